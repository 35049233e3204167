"""CUCB: the N largest upper confidence bounds, whatever they cost.

Chen, Wang, Yuan 2013 ("Combinatorial multi-armed bandit"): U_k = min(1, mean + sqrt(3 ln t /
(2 n_k))). Under any-win with cascading feedback it is CascadeUCB1, and with the KL index
CascadeKL-UCB, of Kveton et al. 2015 (arXiv 1502.02763). They list items by descending bound:
give the problem `cascade_order="highest-ucb"` for that.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from c2mabv_jax import confidence
from c2mabv_jax.array import sums
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import check_number, one_of
from c2mabv_jax.policies.base import Decision, register
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.policies.learning import Learned, Learning, by_index
from c2mabv_jax.problem import Problem


@register
@dataclasses.dataclass(frozen=True)
class CUCB(Learning):
    """Combinatorial UCB without a budget: top-N by U, with `at_most` too (every U > 0).

    Costs only decide among equal indices, see `by_index`.

    Attributes:
      alpha_reward: factor on the radius (for "kl": its square on the level).
      index: "ucb1", sqrt(1.5 ln t / n), or "kl", the largest q with
        n kl(mean, q) <= ln t + loglog ln ln t (Garivier and Cappe 2011).
      loglog: 3 in their theorem, 0 in their practice.
      clip: cut U at 1, as Chen et al. do; Kveton et al. do not. It only decides ties among
        arms that were hardly observed. Arms never observed come first either way.
      first_look: rewards of one free look at every arm before round 1, `[K]` or `[K, ...]`
        (the initial sample of Kveton et al.); None to begin with nothing.
    """

    alpha_reward: Any = 1.0
    index: Literal["ucb1", "kl"] = dataclasses.field(default="ucb1", metadata={"static": True})
    loglog: Any = 3.0
    clip: bool = dataclasses.field(default=True, metadata={"static": True})
    first_look: Any = None

    def __post_init__(self) -> None:
        check_number("alpha_reward", self.alpha_reward)
        check_number("loglog", self.loglog)
        check_number("first_look", self.first_look, 0, 1)
        one_of("index", self.index, ("ucb1", "kl"))

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The N largest upper bounds."""
        estimates = self._with_first_look(state.estimates)
        upper = self.upper(estimates, state.round)
        bounds = Bounds(upper, jnp.zeros_like(upper))  # it knows nothing of costs
        return by_index(problem, key, upper, state, bounds, available)

    def upper(self, estimates: Estimates, t: Array) -> Array:
        """U, `[K, ...]`."""
        (mean, _), (count, _) = estimates.means(), estimates.counts
        if self.index == "kl":
            log = jnp.log(t.astype(mean.dtype))
            level = self.alpha_reward**2 * (log + self.loglog * jnp.log(jnp.maximum(log, 1)))
            return confidence.kl_bound(mean, count, level, upper=True)
        width = confidence.ucb1_radius(t, count)
        upper = mean + jnp.where(count > 0, self.alpha_reward * width, jnp.inf)
        return jnp.minimum(1, upper) if self.clip else upper

    def _with_first_look(self, estimates: Estimates) -> Estimates:
        if self.first_look is None:
            return estimates
        look = jnp.asarray(self.first_look, estimates.reward.high.dtype)
        look = look.reshape(look.shape + (1,) * (estimates.count.ndim - look.ndim))
        look = jnp.broadcast_to(look, estimates.count.shape)
        return estimates._replace(
            count=estimates.count + 1, reward=sums.add(estimates.reward, look)
        )
