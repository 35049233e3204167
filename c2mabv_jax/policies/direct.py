"""C2MAB-V-Direct: the discrete problem at the bounds, solved by enumeration.

max r(S; U) over sets of the cardinality with L(S) <= rho, from a static table of all sets. No
relaxation and no rounding, any reward model: for comparing quality and time on few LLMs.
Reconstructed from its description; a set within the budget every round leaves unspent what a
mixture would use.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.arms import total
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import local_server
from c2mabv_jax.policies.base import Decision, Evidence, register
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.learning import Learned
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE, OPTIMAL, Certificate
from c2mabv_jax.rewards import reward_model

MAX_SETS = 20_000


@functools.lru_cache(maxsize=8)
def table_of_sets(num_arms: int, num_selected: int, at_most: bool) -> np.ndarray:
    """All sets, bool `[K, M]`: larger first, then by lowest indices.

    Raises:
      ProblemError: more than `MAX_SETS` sets.
    """
    sizes = range(num_selected, -1, -1) if at_most else (num_selected,)
    number = sum(math.comb(num_arms, size) for size in sizes)
    if number > MAX_SETS:
        raise ProblemError(
            f"num_arms = {num_arms}: {number} sets of {num_selected} are too many for "
            f"c2mabv-direct (at most {MAX_SETS}); give fewer LLMs, or use c2mabv"
        )
    chosen = [arms for size in sizes for arms in itertools.combinations(range(num_arms), size)]
    table = np.zeros((num_arms, number), bool)
    for column, arms in enumerate(chosen):
        table[list(arms), column] = True
    return table


@register
@dataclasses.dataclass(frozen=True)
class C2MABVDirect(C2MABV):
    """C2MAB-V without relaxation and rounding; options as of `C2MABV` (`solver` has no use).

    Ties go to the larger set (with any win, every set with one bound of 1 ties), then to lower
    indices. Where no set is within the budget, the one of least
    L is played and counted as a fallback.
    """

    def init(self, problem: Problem) -> Learned:
        """State before the first round; raises where there are too many sets."""
        table_of_sets(problem.num_arms, problem.num_selected, problem.at_most)
        return super().init(problem)._replace(edges=())

    def relax(self, problem: Problem, state: Learned, available: Array | None = None) -> Decision:
        """The best set at the bounds; `selected` is still empty, `marginals` are the set."""
        bound = local_server.of_available(self.bounds(problem, state), available)
        table = table_of_sets(problem.num_arms, problem.num_selected, problem.at_most)
        batch = bound.reward_ucb.ndim - 1
        lifted = jnp.asarray(table.reshape(table.shape + (1,) * batch))
        value = reward_model(problem).of_set(bound.reward_ucb[:, None], lifted)  # [M, ...]
        cost = total(jnp.where(lifted, bound.cost_lcb[:, None], 0))
        # A budget equal to the cost of a set must not fail for the last bit of a sum.
        room = 2 * problem.num_selected * jnp.finfo(cost.dtype).eps * cost
        within = cost <= problem.budget + room
        feasible = within.any(axis=0)
        best = jnp.argmax(jnp.where(within, value, -jnp.inf), axis=0)
        best = jnp.where(feasible, best, jnp.argmin(cost, axis=0))
        chosen = jnp.take(jnp.asarray(table), best, axis=1)
        marginals = chosen.astype(cost.dtype)
        certificate = Certificate(
            objective=reward_model(problem).of_set(bound.reward_ucb, chosen),
            feasibility=jnp.maximum(total(bound.cost_lcb * marginals) - problem.budget, 0),
            gap=jnp.zeros(best.shape, cost.dtype),
            status=jnp.where(feasible, OPTIMAL, INFEASIBLE).astype(jnp.int32),
        )
        priority = local_server.cascade_priority(problem, self._remembered(state), bound)
        evidence = Evidence(certificate, bound, sent=1)
        return Decision(jnp.zeros(chosen.shape, bool), marginals, priority, evidence, memo=())

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The best set at the bounds."""
        del key
        decision = self.relax(problem, state, available)
        return decision._replace(selected=decision.marginals > 0.5)
