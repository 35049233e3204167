"""Sets of arms packed into words: one number `[...]` instead of K truth values `[K, ...]`.

Up to 24 arms a set is a whole number that float32 holds exactly; more arms stay a mask. The
functions here take either, so whoever uses them need not know which it is.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import arms

LARGEST = 24  # arms of a word: the digits of float32


def pack(mask: Array) -> Array:
    """The set of a mask `[K, ...]`: int32 `[...]`, or the mask itself where K is large."""
    if mask.shape[0] > LARGEST:
        return mask
    word = jnp.zeros(mask.shape[1:], jnp.int32)
    for k in range(mask.shape[0]):
        # Of one type: XLA 0.10 crashes where it has to narrow three numbers of 64 bits.
        word = word | jnp.where(mask[k], np.int32(1 << k), np.int32(0))
    return word


def unpack(word: Array, num_arms: int) -> Array:
    """The mask `[K, ...]` of a set."""
    if num_arms > LARGEST:
        return word
    bits = 1 << jnp.arange(num_arms).reshape((-1,) + (1,) * word.ndim)
    return word & bits != 0


def total_of(word: Array, values: Array) -> Array:
    """Sum of values `[K, ...]` over a set, `[...]`."""
    if len(values) > LARGEST:
        return arms.total(jnp.where(word, values, 0))
    sum_ = jnp.where(word & 1 != 0, values[0], 0)
    for k in range(1, len(values)):
        sum_ = sum_ + jnp.where(word & (1 << k) != 0, values[k], 0)
    return sum_


def once(word: Array, one: Array) -> Array:
    """The set, computed once; see `arms.once`."""
    if word.dtype == bool:
        return arms.once(word, one)
    return arms.once(word.astype(one.dtype), one).astype(jnp.int32)


def contains(word: Array, arm: int) -> Array:
    """Whether an arm is in a set, bool `[...]`."""
    return word[arm] if word.dtype == bool else word & (1 << arm) != 0


def size(word: Array, num_arms: int) -> Array:
    """Number of arms of a set, int32 `[...]`."""
    return sum(contains(word, k).astype(jnp.int32) for k in range(num_arms))  # type: ignore[return-value]


def first(word: Array) -> Array:
    """The set of its arm of lowest index alone; nothing of an empty set."""
    if word.dtype == bool:
        index = arms.arm_index(word)
        return index == jnp.where(word, index, len(word)).min(axis=0)
    return word & -word


def last(word: Array) -> Array:
    """The set of its arm of highest index alone; nothing of an empty set."""
    if word.dtype == bool:
        index = arms.arm_index(word)
        return index == jnp.where(word, index, -1).max(axis=0)
    for places in (1, 2, 4, 8, 16):  # every bit below the highest one
        word = word | word >> places
    return word ^ word >> 1


def several(word: Array) -> Array:
    """Whether a set has more than one arm, bool `[...]`."""
    if word.dtype == bool:
        return arms.total(word.astype(jnp.int32)) > 1
    return word & (word - 1) != 0


def some(word: Array) -> Array:
    """Whether a set has any arm, bool `[...]`."""
    return arms.reduce_arms(jnp.logical_or, word) if word.dtype == bool else word != 0


def by_type(word: Array) -> Array:
    """Sets of several types `[G, ...]`, types first also where they are masks `[K, G, ...]`."""
    return jnp.swapaxes(word, 0, 1) if word.dtype == bool else word


def extremes(upper: Array, lower: Array, scores: Array) -> tuple[Array, Array, Array, Array]:
    """Scores about two sets `[...]`: least within both, and within either; most without.

    Args:
      upper, lower: the sets.
      scores: of the arms, `[K, ...]`.

    Returns:
      Least score of arms in both, least in either, most of arms not in both, most in neither,
      `[...]`; infinite where there are none.
    """
    both, either = upper & lower, upper | lower
    least_both = least_either = jnp.full(scores.shape[1:], jnp.inf, scores.dtype)
    most_rest = most_neither = -least_both
    for k in range(len(scores)):
        score = scores[k]
        in_both, in_either = contains(both, k), contains(either, k)
        least_both = jnp.minimum(least_both, jnp.where(in_both, score, jnp.inf))
        least_either = jnp.minimum(least_either, jnp.where(in_either, score, jnp.inf))
        most_rest = jnp.maximum(most_rest, jnp.where(in_both, -jnp.inf, score))
        most_neither = jnp.maximum(most_neither, jnp.where(in_either, -jnp.inf, score))
    return least_both, least_either, most_rest, most_neither
