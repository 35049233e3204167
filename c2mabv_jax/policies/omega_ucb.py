"""Ratio indices: most optimistic reward per optimistic cost (omega-UCB, ratio-CUCB).

omega-UCB (Heyden, Arzamasov, Fouche, Boehm, KDD 2024; formulas as in their public code): with
z = sqrt(2 r ln t), t the round to come, and eta = min(1, variance / (m (1 - m))) for outcomes
that are not binary (1 before 30 observations), the bounds are the Wilson interval
(n m + z^2/2)/(n + z^2) -+ z/(n + z^2) sqrt(n m (1 - m) + z^2/4), z scaled by sqrt(eta).
ratio-CUCB (fKUBE style, Tran-Thanh et al. 2012) takes the UCB1 bounds instead. Both
were made for single arms; sets of N are this project's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from c2mabv_jax import confidence
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import check_number, one_of
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.policies.estimates import empty
from c2mabv_jax.policies.learning import by_index
from c2mabv_jax.policies.purse import SMALLEST_COST, Purse, full_purse, pay, stop_when_spent
from c2mabv_jax.policies.wilson import shrinkage, wilson
from c2mabv_jax.problem import Problem


@register
@dataclasses.dataclass(frozen=True)
class OmegaUCB(Policy):
    """The N largest U_k / max(L_k, 1e-6), whatever the budget per round.

    All indices are positive: N arms with `at_most` too. AIC takes U as it is. The budget
    matters when the money of all rounds is gone: see `stop_when_spent`.

    Attributes:
      r: exploration of the Wilson bounds; 1 in theory, 1/4 in the authors' experiments.
      bound: "wilson" (omega-UCB) or "ucb1" (ratio-CUCB, radius sqrt(1.5 ln t / n)).
      binary: eta = 1, as for outcomes of 0 and 1; False estimates it (omega*-UCB).
      stop: whether to stop when the budget of all rounds is spent.
      horizon: T, told by `at_horizon`; None never stops.
    """

    r: Any = 0.25
    bound: Literal["wilson", "ucb1"] = dataclasses.field(
        default="wilson", metadata={"static": True}
    )
    binary: bool = dataclasses.field(default=False, metadata={"static": True})
    stop: bool = dataclasses.field(default=True, metadata={"static": True})
    horizon: Any = None

    def __post_init__(self) -> None:
        check_number("r", self.r)
        check_number("horizon", self.horizon, 1)
        one_of("bound", self.bound, ("wilson", "ucb1"))

    def at_horizon(self, horizon: Any) -> OmegaUCB:
        """The policy told how many rounds it will play, if it cares."""
        return dataclasses.replace(self, horizon=horizon) if self.stop else self

    def init(self, problem: Problem) -> Purse:
        """State before the first round."""
        squares = self.bound == "wilson" and not self.binary
        return full_purse(problem, lp=False, estimates=empty(problem, squares))

    def bounds(self, state: Purse) -> Bounds:
        """Optimistic reward and cost, `[K, ...]`."""
        t, estimates = state.learned.round, state.learned.estimates
        (mean, mean_cost), (count, cost_count) = estimates.means(), estimates.counts
        if self.bound == "ucb1":
            widths = [confidence.ucb1_radius(t, n) for n in (count, cost_count)]
            return confidence.optimistic(mean, widths[0], mean_cost, widths[1])
        z = jnp.sqrt(2 * self.r * jnp.log(t.astype(mean.dtype)))
        scaled = [z, z]
        if not self.binary:
            variances = estimates.variances()
            scaled = [
                z * jnp.sqrt(shrinkage(*of_arm))
                for of_arm in zip((mean, mean_cost), variances, (count, cost_count), strict=True)
            ]
        upper = wilson(mean, count, scaled[0])[1]
        return Bounds(upper, wilson(mean_cost, cost_count, scaled[1])[0])

    def select(
        self, problem: Problem, state: Purse, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The N largest ratios."""
        bounds = self.bounds(state)
        index = bounds.reward_ucb / jnp.maximum(bounds.cost_lcb, SMALLEST_COST)
        decision = by_index(problem, key, index, state.learned, bounds, available)
        horizon = self.horizon if self.stop else None
        return stop_when_spent(problem, state, horizon, bounds.cost_lcb, decision)

    def update(
        self, problem: Problem, state: Purse, decision: Decision, feedback: Feedback
    ) -> Purse:
        """Learn from the observed arms, and count the money."""
        return pay(state, decision, feedback)
