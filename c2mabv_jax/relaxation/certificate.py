"""What every relaxed solution carries, whichever solver made it."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

OPTIMAL, INFEASIBLE, NOT_CONVERGED = 0, 1, 2
STATUS_NAMES = ("optimal", "infeasible", "not converged")


class Certificate(NamedTuple):
    """Evidence about one relaxed solution (or a batch `[...]` of them).

    Attributes:
      objective: weights . z, `[...]`.
      feasibility: largest violation of cardinality, budget (in cost units) or box, `[...]`.
      gap: upper bound on OPT - weights . z from LP duality, `[...]`; 0 is proven optimal.
      status: int32 `[...]`: OPTIMAL, INFEASIBLE (no z meets the budget; the N cheapest arms
        are returned), or NOT_CONVERGED (the step limit was met; `gap` says how far off).
    """

    objective: Array
    feasibility: Array
    gap: Array
    status: Array


class Solution(NamedTuple):
    """A relaxed solution.

    Attributes:
      marginals: z, `[K, ...]`, in [0, 1].
      certificate: evidence, each entry `[...]`.
      multiplier: lambda, the price of one unit of budget, `[...]`; 0 with a slack budget.
      edge: two sets, bool `[K, ...]`, whose mixture z is (or, for solvers that do not work
        with sets, the two sets z rounds to): hand it to the next solve as `warm`.
    """

    marginals: Array
    certificate: Certificate
    multiplier: Array
    edge: tuple[Array, Array]
