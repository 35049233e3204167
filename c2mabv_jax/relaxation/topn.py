"""Top-N selection over the arm axis, batched over any trailing axes."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array.arms import IN_ORDER, UNROLLED, arm_index, largest, once
from c2mabv_jax.array.xla import stored, within_one_function

RANKED = 16  # arms up to which K^2 / 2 comparisons are the cheapest


def top_n(
    scores: Array, num_selected: int, positive: bool = False, ties: tuple[Array, ...] = ()
) -> Array:
    """The N largest scores; ties go to the lower index.

    Args:
      scores: `[K, ...]`, no NaN.
      num_selected: N, 0..K (static).
      positive: select only scores > 0, so possibly fewer than N arms.
      ties: what decides among equal scores before the index does, `[K, ...]` each, the
        larger first; the second decides among those equal in the first, and so on.

    Returns:
      selected, bool `[K, ...]`; exactly N per column unless `positive`.
    """
    num_arms = scores.shape[0]
    # Recomputed per comparison, a score may round differently and rank N + 1 arms first.
    one = jnp.where(jnp.isnan(scores[:1]), 2, 1).astype(scores.dtype)
    keys = [once(key, one) for key in (scores, *ties)]
    if num_selected <= 0:
        chosen = jnp.zeros(scores.shape, bool)
    elif num_selected >= num_arms:
        chosen = jnp.ones(scores.shape, bool)
    elif num_arms <= RANKED:
        return _by_rank(keys, num_selected, positive)
    elif 2 * num_selected > num_arms:  # drop the smallest; of equals the last goes first
        dropped = [-key[::-1] for key in keys]
        chosen = ~_of_many(dropped, num_arms - num_selected, one)[::-1]
    else:
        chosen = _of_many(keys, num_selected, one)
    return chosen & (keys[0] > 0) if positive else chosen


def _of_many(keys: list[Array], num_selected: int, one: Array) -> Array:
    # What equals the threshold must be the very number that it was found from, not the same sum
    # made again: only within one function can it be said that a number is stored.
    if len(keys) == 1 and len(keys[0]) <= UNROLLED and within_one_function():
        return _by_threshold(stored(keys[0]), num_selected, one[0])
    return _by_extraction(keys, num_selected)


def _by_rank(keys: list[Array], num_selected: int, positive: bool) -> Array:
    """rank_k = number of arms that beat k; one comparison serves both arms of a pair."""
    num_arms = keys[0].shape[0]
    rank: list = [0] * num_arms
    for i in range(num_arms):
        for j in range(i + 1, num_arms):
            first_wins = keys[-1][i] >= keys[-1][j]
            for key in keys[-2::-1]:
                first_wins = (key[i] > key[j]) | ((key[i] == key[j]) & first_wins)
            first_wins = first_wins.astype(jnp.int32)
            rank[j] = rank[j] + first_wins
            rank[i] = rank[i] + (1 - first_wins)
    chosen = [r < num_selected for r in rank]
    if positive:  # row by row: whoever packs the rows into words needs no array of them
        chosen = [row & (keys[0][k] > 0) for k, row in enumerate(chosen)]
    return jnp.stack(chosen)


def _by_threshold(scores: Array, num_selected: int, one: Array) -> Array:
    """All above the N-th largest score, and of those equal to it the first, until there are N.

    One pass keeps the N largest in order, a second one finds the last arm of the threshold's
    value that is needed: two loops over the batch that store nothing but their result.
    """
    rows = list(scores)
    nothing = jnp.full_like(rows[0], -jnp.inf)
    best = [nothing] * num_selected
    for row in rows:
        pushed = [row] + [jnp.where(row > least, least, row) for least in best[:-1]]
        best = [jnp.where(x > old, x, old) for x, old in zip(pushed, best, strict=True)]
    threshold = once(best[-1], one)
    missing = num_selected - sum((row > threshold).astype(jnp.int32) for row in rows)
    last = jnp.zeros_like(missing)
    for arm, row in enumerate(rows):
        tied = row == threshold
        last = jnp.where(tied & (missing > 0), arm, last)
        missing = missing - tied
    last = once(last.astype(scores.dtype), one).astype(jnp.int32)
    return (scores > threshold) | ((scores == threshold) & (arm_index(scores) <= last))


def _by_extraction(keys: list[Array], num: int) -> Array:
    """The best of all, then the best of the others, and so on."""
    arms = arm_index(keys[0])
    chosen = jnp.zeros(keys[0].shape, bool)
    for _ in range(num):
        best = ~chosen
        for key in keys:
            left = jnp.where(best, key, -jnp.inf)
            best = best & (left == _most(left))
        index = -_most(jnp.where(best, -arms, -len(keys[0])))
        chosen = chosen | (arms == index)
    return chosen


def _most(values: Array) -> Array:
    """Maximum over arms, the order of which does not matter."""
    return largest(values) if values.shape[0] <= IN_ORDER else values.max(axis=0)
