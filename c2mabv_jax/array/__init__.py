"""The ground everything stands on: pytrees, reductions over arms, compensated sums, streams."""
