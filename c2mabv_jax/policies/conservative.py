"""Conservative: optimistic about rewards, pessimistic about costs, with forced exploration.

The LP of C2MAB-V with the cost bound on the other side, c_ucb = min(1, mean + alpha_cost w):
while the bounds hold, the relaxed solution is within the true budget. This project's own.
Pessimism alone can lock in: the cost bound of an arm that is not played never shrinks. So an
arm observed fewer than `explore` sqrt(t) times is played.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax import confidence
from c2mabv_jax.array.arms import reduce_arms
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import check_number
from c2mabv_jax.policies.base import Decision, register
from c2mabv_jax.policies.learning import Learned, Learning, by_lp
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE, top_n
from c2mabv_jax.rewards import asking_order


@register
@dataclasses.dataclass(frozen=True)
class Conservative(Learning):
    """C2MAB-V with pessimistic costs.

    A forced round plays the least observed arm (ties: lower index) with the N - 1 arms of
    least mean cost, alone with `at_most`, and a cascade asks it first. Where even the N least
    pessimistic costs exceed the budget, the N arms of least mean cost are played: a fallback.
    The bounds in a decision are the optimistic ones of C2MAB-V.

    Attributes:
      alpha_reward, alpha_cost: factors on the radii.
      delta: confidence parameter in (0, 1).
      explore: forced observations of every arm by round t, in units of sqrt(t); 0 for none.
    """

    alpha_reward: Any = 1.0
    alpha_cost: Any = 1.0
    delta: Any = 0.05
    explore: Any = 0.3

    solves_lp = True

    def __post_init__(self) -> None:
        for field in ("alpha_reward", "alpha_cost", "explore"):
            check_number(field, getattr(self, field))
        check_number("delta", self.delta, 1e-300, 1)

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The LP at pessimistic costs, unless some arm is due for exploration."""
        optimistic, cost_ucb = self.bounds(problem, state)
        pessimistic = Bounds(optimistic.reward_ucb, cost_ucb)
        decision = by_lp(problem, key, pessimistic, state, available)
        mean_cost, count = state.estimates.means()[1], state.estimates.count
        least = top_n(-count, 1)  # both means of an arm are known at least this well
        goal = self.explore * jnp.sqrt(state.round.astype(cost_ucb.dtype))
        due = reduce_arms(jnp.minimum, count) < goal
        forced = least
        if not problem.at_most:
            forced = top_n(jnp.where(least, jnp.inf, -mean_cost), problem.num_selected)
        certificate = decision.evidence.certificate
        assert certificate is not None
        # Pessimistic costs of 1 tell no arm from another; means do.
        instead = due | (certificate.status == INFEASIBLE)
        other = jnp.where(due, forced, top_n(-mean_cost, problem.num_selected))
        priority = decision.priority
        if problem.cascading:
            priority = jnp.where(due & least, -jnp.inf, asking_order(priority, count))
        return decision._replace(
            selected=jnp.where(instead, other, decision.selected),
            marginals=jnp.where(instead, other, decision.marginals),
            priority=priority,
            evidence=decision.evidence._replace(bounds=optimistic),
        )

    def bounds(self, problem: Problem, state: Learned) -> tuple[Bounds, Array]:
        """Optimistic bounds and the pessimistic cost, `[K, ...]`."""
        (mean, mean_cost), (seen, billed) = state.estimates.means(), state.estimates.counts
        radius = [
            confidence.hoeffding_radius(state.round, n, problem.num_arms, self.delta)
            for n in (seen, billed)
        ]
        width, cost_width = (
            jnp.where(jnp.isinf(w), jnp.inf, alpha * w)
            for alpha, w in zip((self.alpha_reward, self.alpha_cost), radius, strict=True)
        )
        optimistic = confidence.optimistic(mean, width, mean_cost, cost_width)
        return optimistic, jnp.minimum(1, mean_cost + cost_width)
