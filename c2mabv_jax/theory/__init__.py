"""Optima, bounds, predictions, lower bounds, statistics of claims: float64 on the host.

optimum, frontier, set_table   what is best knowing the means; true_optimum, true_front: in an
                               environment
typed_optimum, typed_front     the same where one sees the type of every query
regret_bound, violation_bound  explicit bounds and the probability that they fail
predictions                    leading orders: what C2MAB-V should measure
lower_bounds                   what no algorithm can beat
statistics                     confidence limits, growth exponents, power
exact                          coverage by dynamic programming
"""

from c2mabv_jax.theory import exact, lower_bounds, predictions, statistics
from c2mabv_jax.theory.bounds import (
    Bound,
    gap_regret_bound,
    least_observation_probability,
    regret_bound,
    violation_bound,
)
from c2mabv_jax.theory.envelope import Frontier, frontier
from c2mabv_jax.theory.exact import coverage_failure
from c2mabv_jax.theory.front import true_front
from c2mabv_jax.theory.optimum import Optimum, optimum, true_optimum
from c2mabv_jax.theory.sets import SetTable, billed_table, set_table
from c2mabv_jax.theory.typed import (
    TypedOptimum,
    best_of,
    money_by_type,
    typed_front,
    typed_optimum,
    typed_regret_bound,
    typed_violation_bound,
)
from c2mabv_jax.theory.widths import failing_rounds, log_term, side_failure, width_sum

__all__ = [
    "Bound",
    "Frontier",
    "Optimum",
    "SetTable",
    "TypedOptimum",
    "best_of",
    "billed_table",
    "coverage_failure",
    "exact",
    "failing_rounds",
    "frontier",
    "gap_regret_bound",
    "least_observation_probability",
    "log_term",
    "lower_bounds",
    "money_by_type",
    "optimum",
    "predictions",
    "regret_bound",
    "set_table",
    "side_failure",
    "statistics",
    "true_front",
    "true_optimum",
    "typed_front",
    "typed_optimum",
    "typed_regret_bound",
    "typed_violation_bound",
    "violation_bound",
    "width_sum",
]
