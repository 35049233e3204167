"""Estimates that forget, so that confidence bounds follow a changing world.

Discounted sums (D-UCB) and a sliding window (SW-UCB) after Garivier and Moulines 2011; the
logarithm of the radius stops growing at the effective memory. The guarantees of
`confidence` do not hold for them. Both have the interface of `estimates.Estimates`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.problem import Problem

BLOCKS = 16  # a window slides in steps of a sixteenth of its length, or of one round


class Weighted(NamedTuple):
    """Weighted counts and sums of each arm, float `[K, ...]` (or `[BLOCKS, K, ...]`)."""

    count: Array  # type: ignore[assignment]
    cost_count: Array
    reward: Array
    cost: Array

    @property
    def counts(self) -> tuple[Array, Array]:
        """Effective observations of reward and of cost."""
        return self.count, self.cost_count

    def means(self) -> tuple[Array, Array]:
        """Weighted means `[K, ...]`, 0 where nothing is remembered; of costs at most 1."""
        return (
            _ratio(self.reward, self.count),
            jnp.minimum(_ratio(self.cost, self.cost_count), 1),
        )


def _ratio(total: Array, count: Array) -> Array:
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), 0)


def news(feedback: Feedback) -> Weighted:
    """One round of feedback as weighted sums."""
    billed = feedback.observed if feedback.billed is None else feedback.billed
    dtype = feedback.reward.dtype
    return Weighted(
        feedback.observed.astype(dtype),
        billed.astype(dtype),
        jnp.where(feedback.observed, feedback.reward, 0),
        jnp.where(billed, feedback.cost, 0),
    )


def _nothing(shape: tuple[int, ...]) -> Weighted:
    return Weighted(*(jnp.zeros(shape) for _ in Weighted._fields))


class Discounted(NamedTuple):
    """Every round, what was remembered weighs `discount` times what it did.

    Attributes:
      sums: weighted sums `[K, ...]`.
      refused: how often `guard` mended what an arm showed, int32 `[K, ...]`.
    """

    sums: Weighted
    refused: Array | int = 0

    @classmethod
    def empty(cls, problem: Problem) -> Discounted:
        """Nothing observed yet."""
        return cls(_nothing((problem.num_arms,)), jnp.zeros(problem.num_arms, jnp.int32))

    def remembered(self) -> Weighted:
        """What bounds are computed from."""
        return self.sums

    def observe(self, feedback: Feedback, discount: Any) -> Discounted:
        """After one more round."""
        fresh = news(feedback)
        after = jax.tree.map(lambda old, new: discount * old + new, self.sums, fresh)
        return Discounted(after, _refused(self, feedback))


class Windowed(NamedTuple):
    """The last `window` rounds, in blocks; between 15/16 and all of the window is held.

    The window is a circle of `window` places that the rounds fill in turn, cut into `BLOCKS`
    arcs whose lengths differ by at most one. Who enters an arc empties it first, so what is
    missing is at most the rest of one arc: ceil(window / 16) - 1 < window / 16 rounds.

    Attributes:
      round: rounds seen, int32 `[...]`.
      blocks: sums per arc, `[BLOCKS, K, ...]`.
      refused: how often `guard` mended what an arm showed, int32 `[K, ...]`.
    """

    round: Array
    blocks: Weighted
    refused: Array | int = 0

    @classmethod
    def empty(cls, problem: Problem) -> Windowed:
        """Nothing observed yet."""
        none = jnp.zeros(problem.num_arms, jnp.int32)
        return cls(jnp.int32(0), _nothing((BLOCKS, problem.num_arms)), none)

    def remembered(self) -> Weighted:
        """What bounds are computed from."""
        return jax.tree.map(_sum_blocks, self.blocks)

    def observe(self, feedback: Feedback, window: Any) -> Windowed:
        """After one more round."""
        here, starts = _arc(self.round, jnp.asarray(window, jnp.int32))
        fresh = news(feedback)
        slots = jnp.arange(BLOCKS).reshape((-1,) + (1,) * fresh.reward.ndim)
        now = slots == here

        def advance(ring: Array, new: Array) -> Array:
            kept = jnp.where(now & starts, 0, ring)
            return kept + jnp.where(now, new[None], 0)

        blocks = jax.tree.map(advance, self.blocks, fresh)
        return Windowed(self.round + 1, blocks, _refused(self, feedback))


def _refused(memory: Discounted | Windowed, feedback: Feedback) -> Array | int:
    return memory.refused + (0 if feedback.refused is None else feedback.refused)


def _arc(rounds: Array, window: Array) -> tuple[Array, Array]:
    """The arc that the next round falls into, and whether it is the first in it; `[...]` each."""
    place = rounds % window
    short, longer = window // BLOCKS, window % BLOCKS  # the first `longer` arcs have one more
    rest = place - longer * (short + 1)
    length = jnp.where(rest < 0, short + 1, jnp.maximum(short, 1))
    from_here = jnp.where(rest < 0, place, rest)
    return from_here // length + jnp.where(rest < 0, 0, longer), from_here % length == 0


def _sum_blocks(ring: Array) -> Array:
    result = ring[0]
    for block in range(1, BLOCKS):
        result = result + ring[block]
    return result
