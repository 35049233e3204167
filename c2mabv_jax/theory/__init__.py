"""Optima, bounds, predictions, lower bounds, statistics of claims: float64 on the host."""

from c2mabv_jax.theory.bounds import (
    Bound,
    least_observation_probability,
    regret_bound,
    violation_bound,
)
from c2mabv_jax.theory.envelope import Frontier, frontier
from c2mabv_jax.theory.optimum import Optimum, optimum
from c2mabv_jax.theory.sets import SetTable, set_table
from c2mabv_jax.theory.widths import failing_rounds, log_term, side_failure, width_sum

__all__ = [
    "Bound",
    "Frontier",
    "Optimum",
    "SetTable",
    "failing_rounds",
    "frontier",
    "least_observation_probability",
    "log_term",
    "optimum",
    "regret_bound",
    "set_table",
    "side_failure",
    "violation_bound",
    "width_sum",
]
