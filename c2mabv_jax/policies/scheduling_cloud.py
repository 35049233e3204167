"""Scheduling cloud: rounds the relaxed vector it is sent to a set of LLMs, and runs them.

Tier 2 of 2. It sees marginals and serves super arms; it never sees user feedback.
"""

from __future__ import annotations

from jax import Array

from c2mabv_jax import rounding
from c2mabv_jax.problem import Problem


def round_marginals(problem: Problem, key: Array, marginals: Array) -> Array:
    """Dependent rounding of z `[K, ...]` to a super arm, bool `[K, ...]`."""
    num_selected = None if problem.at_most else problem.num_selected
    return rounding.dependent_round(key, marginals, num_selected)
