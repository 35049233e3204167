"""Counts and compensated sums per arm: all that a local server remembers of the past."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import sums
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.problem import Problem


class Estimates(NamedTuple):
    """Running statistics of every arm.

    Attributes:
      count: n_k, reward observations, int32 `[K, ...]`.
      reward, cost: compensated sums of what was observed, `[K, ...]`.
      cost_count: cost observations, int32 `[K, ...]`; None where reward and cost of an arm
        are always seen together.
      reward_square, cost_square: sums of squares for variance-aware radii, else None.
      refused: how often `guard` mended what an arm showed, int32 `[K, ...]`.
    """

    count: Array  # type: ignore[assignment]
    reward: sums.Sum
    cost: sums.Sum
    cost_count: Array | None = None
    reward_square: sums.Sum | None = None
    cost_square: sums.Sum | None = None
    refused: Array | int = 0

    @property
    def counts(self) -> tuple[Array, Array]:
        """Observations of reward and of cost."""
        return self.count, self.count if self.cost_count is None else self.cost_count

    def means(self) -> tuple[Array, Array]:
        """Empirical mean reward and cost `[K, ...]`, 0 where nothing was observed.

        True means are at most 1. That of few costs may be more, where a log has answers far
        dearer than its scale; it is cut, because some bounds are defined in [0, 1] only.
        """
        reward, cost = (
            _mean(total, n) for total, n in zip((self.reward, self.cost), self.counts, strict=True)
        )
        return reward, jnp.minimum(cost, 1)

    def variances(self) -> tuple[Array, Array]:
        """Biased empirical variances `[K, ...]`; needs `squares` at `empty`."""
        assert self.reward_square is not None and self.cost_square is not None
        squares = (self.reward_square, self.cost_square)
        return tuple(
            jnp.maximum(_mean(square, n) - mean**2, 0)
            for square, n, mean in zip(squares, self.counts, self.means(), strict=True)
        )  # type: ignore[return-value]


def _mean(total: sums.Sum, count: Array) -> Array:
    return total.high / jnp.maximum(count, 1).astype(total.high.dtype)


def empty(problem: Problem, squares: bool = False) -> Estimates:
    """Nothing observed yet."""
    shape = (problem.num_arms,)
    count = jnp.zeros(shape, jnp.int32)
    return Estimates(
        count=count,
        reward=sums.zero(shape),
        cost=sums.zero(shape),
        cost_count=None if problem.same_counts else count,
        reward_square=sums.zero(shape) if squares else None,
        cost_square=sums.zero(shape) if squares else None,
        refused=count,
    )


def observe(estimates: Estimates, feedback: Feedback) -> Estimates:
    """Estimates after one more round of feedback."""
    observed = feedback.observed
    billed = observed if feedback.billed is None else feedback.billed
    reward = jnp.where(observed, feedback.reward, 0)
    cost = jnp.where(billed, feedback.cost, 0)
    if estimates.cost_count is None:  # reward and cost come together
        cost_count = None
        cost = jnp.where(observed, cost, 0)
    else:
        cost_count = estimates.cost_count + billed
    squares = [
        None if square is None else sums.add(square, x**2)
        for square, x in (
            (estimates.reward_square, reward),
            (estimates.cost_square, cost),
        )
    ]
    return Estimates(
        estimates.count + observed,
        sums.add(estimates.reward, reward),
        sums.add(estimates.cost, cost),
        cost_count,
        squares[0],
        squares[1],
        estimates.refused + (0 if feedback.refused is None else feedback.refused),
    )
