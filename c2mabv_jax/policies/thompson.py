"""Combinatorial Thompson sampling with Beta posteriors, with and without the budget.

theta_k ~ Beta(1 + s_k, 1 + n_k - s_k), kappa_k ~ Beta(1 + y_k, 1 + n_k - y_k), where s and y
are sums of outcomes made binary. Without a budget it is MP-TS (Komiyama, Honda, Nakagawa 2015,
arXiv 1506.00779); "ratio" is budgeted Thompson sampling (Xia et al. 2015) for sets. Putting
the drawn means into the LP of C2MAB-V, with the same rounding, is this project's reading of
"Thompson sampling with the budget".
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import one_of
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.policies.beta_sampling import beta
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.policies.learning import Learned, by_index, by_lp, learn, own_key, start
from c2mabv_jax.policies.purse import SMALLEST_COST
from c2mabv_jax.problem import Problem


@register
@dataclasses.dataclass(frozen=True)
class ThompsonSampling(Policy):
    """Thompson sampling over sets.

    A graded outcome X counts as 1 with probability X (a coin of the policy's own), which
    leaves its mean as it is. The coins are drawn in `select` and travel in `Decision.memo`.

    Attributes:
      choice: "budget" (the LP at the drawn means), "top" (the N largest drawn rewards; no
        budget) or "ratio" (the N largest drawn reward / drawn cost). Draws are positive, so
        "top" and "ratio" take N arms with `at_most` too.
    """

    choice: Literal["budget", "top", "ratio"] = dataclasses.field(
        default="budget", metadata={"static": True}
    )

    def __post_init__(self) -> None:
        one_of("choice", self.choice, ("budget", "top", "ratio"))

    @property
    def heavy(self) -> bool:  # type: ignore[override]
        """Two posteriors are; that of rewards alone is not."""
        return self.choice != "top"

    def init(self, problem: Problem) -> Learned:
        """State before the first round: uniform priors."""
        return start(problem, lp=self.choice == "budget")

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """Draw the means and act as if they were true."""
        drawn = self.draw(state.estimates, own_key(key, 0))
        if self.choice == "budget":
            decision = by_lp(problem, key, drawn, state, available)
        else:
            index = drawn.reward_ucb
            if self.choice == "ratio":
                index = index / jnp.maximum(drawn.cost_lcb, SMALLEST_COST)
            decision = by_index(problem, key, index, state, drawn, available)
        # Draws are not bounds: nobody should count how often they cover the means.
        coins = streams.uniforms(own_key(key, 1), 2 * problem.num_arms)
        return decision._replace(
            evidence=decision.evidence._replace(bounds=None), memo=(decision.memo, coins)
        )

    def draw(self, estimates: Estimates, key: Array) -> Bounds:
        """Posterior draws of mean reward and mean cost, `[K, ...]` each."""
        dtype = estimates.reward.high.dtype
        ones = [estimates.reward.high, estimates.cost.high]
        counts = [count.astype(dtype) for count in estimates.counts]
        if self.choice == "top":
            theta = beta(key, 1 + ones[0], 1 + counts[0] - ones[0])
            return Bounds(theta, jnp.zeros_like(theta))
        both, seen = jnp.concatenate(ones), jnp.concatenate(counts)
        drawn = beta(key, 1 + both, 1 + seen - both)
        num_arms = estimates.count.shape[0]
        return Bounds(drawn[:num_arms], drawn[num_arms:])

    def update(
        self, problem: Problem, state: Learned, decision: Decision, feedback: Feedback
    ) -> Learned:
        """Count the outcomes, made binary by the coins of the round."""
        edges, coins = decision.memo
        return learn(state, decision._replace(memo=edges), binary(feedback, coins))


def binary(feedback: Feedback, coins: Array) -> Feedback:
    """Outcomes made 0 or 1 with their own probability; `coins` `[2 K, ...]`, rewards' first."""
    num_arms, dtype = len(feedback.reward), feedback.reward.dtype
    return feedback._replace(
        reward=(coins[:num_arms] < feedback.reward).astype(dtype),
        cost=(coins[num_arms:] < feedback.cost).astype(dtype),
    )
