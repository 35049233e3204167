"""UCB-BwK: the LP at optimistic bounds, with a slightly smaller budget, until it is spent.

Agrawal and Devanur 2014 ("Bandits with concave rewards and convex knapsacks"): radius
rad(v, n) = sqrt(g v / n) + g / n around the mean v, budget (1 - e) rho with e =
sqrt(g m / B) + ln(T) g m / B, m arms, B = rho T. Remembered constants, hence reconstructed;
with the rounding of C2MAB-V it is close to SemiBwK-RRS (Sankararaman and Slivkins 2018).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import check_number
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.policies.learning import by_lp
from c2mabv_jax.policies.purse import SMALLEST_COST, Purse, full_purse, pay, stop_when_spent, told
from c2mabv_jax.problem import Problem


def radius(mean: Array, count: Array, gamma: Array) -> Array:
    """rad(v, n) = sqrt(g v / n) + g / n, infinite where nothing was observed; `[K, ...]`."""
    n = jnp.maximum(count, 1).astype(mean.dtype)
    return jnp.where(count > 0, jnp.sqrt(gamma * mean / n) + gamma / n, jnp.inf)


@register
@dataclasses.dataclass(frozen=True)
class UCBBwK(Policy):
    """UCB-BwK for sets; the relaxed problem and the rounding are those of C2MAB-V.

    Attributes:
      gamma: g, the logarithmic factor of the radius; 1 in practice, about ln(K T) in theory.
      horizon: T, told by `at_horizon`.
      stop: whether to stop when the budget of all rounds is spent (`stop_when_spent`).
    """

    gamma: Any = 1.0
    horizon: Any = None
    stop: bool = dataclasses.field(default=True, metadata={"static": True})

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma)
        check_number("horizon", self.horizon, 1)

    def at_horizon(self, horizon: Any) -> UCBBwK:
        """The policy told how many rounds it will play."""
        return dataclasses.replace(self, horizon=horizon)

    def init(self, problem: Problem) -> Purse:
        """State before the first round."""
        return full_purse(problem, lp=True)

    def reserve(self, problem: Problem) -> Array:
        """e, the share of the budget that is held back, `[...]`."""
        horizon = jnp.asarray(told(self.horizon), jnp.result_type(float))
        share = self.gamma * problem.num_arms / jnp.maximum(problem.budget * horizon, SMALLEST_COST)
        return jnp.minimum(1, jnp.sqrt(share) + jnp.log(horizon) * share)

    def bounds(self, estimates: Estimates) -> Bounds:
        """Optimistic reward and cost, `[K, ...]`."""
        (mean, mean_cost), (count, cost_count) = estimates.means(), estimates.counts
        return Bounds(
            jnp.minimum(1, mean + radius(mean, count, self.gamma)),
            jnp.maximum(0, mean_cost - radius(mean_cost, cost_count, self.gamma)),
        )

    def select(
        self, problem: Problem, state: Purse, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The LP within the smaller budget."""
        bounds = self.bounds(state.learned.estimates)
        smaller = problem.replace(budget=(1 - self.reserve(problem)) * problem.budget)
        decision = by_lp(smaller, key, bounds, state.learned, available)
        decision = decision._replace(evidence=decision.evidence._replace(bounds=bounds))
        horizon = self.horizon if self.stop else None
        return stop_when_spent(problem, state, horizon, bounds.cost_lcb, decision)

    def update(
        self, problem: Problem, state: Purse, decision: Decision, feedback: Feedback
    ) -> Purse:
        """Learn from the observed arms, and count the money."""
        return pay(state, decision, feedback)
