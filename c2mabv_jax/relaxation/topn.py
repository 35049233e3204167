"""Top-N selection over the arm axis, batched over any trailing axes."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array.arms import UNROLL_LIMIT, arm_index, largest, once

RANK_LIMIT = 16  # above this, N rounds of extraction beat K^2 / 2 comparisons


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
    elif num_arms <= RANK_LIMIT:
        return _by_rank(keys, num_selected, positive)
    elif 2 * num_selected <= num_arms:
        chosen = _by_extraction(keys, num_selected, last_index=False)
    else:  # drop the smallest; among equals the highest index goes first
        chosen = ~_by_extraction([-key for key in keys], num_arms - num_selected, last_index=True)
    return chosen & (keys[0] > 0) if positive else chosen


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


def _by_extraction(keys: list[Array], num: int, last_index: bool) -> Array:
    arms = arm_index(keys[0])
    num_arms = keys[0].shape[0]
    chosen = jnp.zeros(keys[0].shape, bool)
    for _ in range(num):
        best = ~chosen
        for key in keys:
            left = jnp.where(best, key, -jnp.inf)
            best = best & (left == _most(left))
        index = (
            _most(jnp.where(best, arms, -1))
            if last_index
            else -_most(jnp.where(best, -arms, -num_arms))
        )
        chosen = chosen | (arms == index)
    return chosen


def _most(values: Array) -> Array:
    """Maximum over arms, the order of which does not matter."""
    return largest(values) if values.shape[0] <= UNROLL_LIMIT else values.max(axis=0)
