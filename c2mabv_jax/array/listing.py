"""All sets of at most N arms in a list, and where in it a set stands.

A table over sets (expected rewards of dependent arms, say) is a row for each of them. Up to
`WORDS` arms the list is all 2^K sets and the place of a set its word; beyond, only sets of at
most N arms are listed, smaller ones first: C(25, <= 4) = 15,276 rows instead of 33,554,432.
"""

from __future__ import annotations

import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

WORDS = 16  # arms up to which every set is listed
MOST_SETS = 200_000
MOST_ENTRIES = 5_000_000  # sets times arms, so that a list stays small


def listable(num_arms: int, num_selected: int) -> bool:
    """Whether there are few enough sets for a table."""
    number = sum(math.comb(num_arms, size) for size in range(num_selected + 1))
    return num_arms <= WORDS or number <= min(MOST_SETS, MOST_ENTRIES // num_arms)


@functools.lru_cache(maxsize=8)
def listed(num_arms: int, num_selected: int) -> np.ndarray:
    """The sets of the list, bool `[M, K]`, read-only."""
    if num_arms <= WORDS:
        table = (np.arange(1 << num_arms)[:, None] >> np.arange(num_arms)) & 1 > 0
    else:
        sizes = (by_rank(num_arms, size) for size in range(num_selected + 1))
        table = np.concatenate([mask_of(members, num_arms) for members in sizes])
    table.flags.writeable = False
    return table


def place_of(selected: Array, num_selected: int) -> Array:
    """Where sets of at most N arms, bool `[K, ...]`, stand in the list, int32 `[...]`."""
    num_arms = selected.shape[0]
    place = jnp.zeros(selected.shape[1:], jnp.int32)
    if num_arms <= WORDS:
        for k in range(num_arms):
            place = place + jnp.where(selected[k], 1 << k, 0)
        return place
    size = jnp.zeros(selected.shape[1:], jnp.int32)
    smaller = np.cumsum([0] + [math.comb(num_arms, s) for s in range(num_selected + 1)])
    for k in range(num_arms):
        size = size + selected[k]
        ways = jnp.asarray([math.comb(k, s) for s in range(num_selected + 1)], jnp.int32)
        place = place + jnp.where(selected[k], ways[size], 0)
    return place + jnp.asarray(smaller, jnp.int32)[size]


def rank_of(members: np.ndarray, num_arms: int) -> np.ndarray:
    """Place of sets of one size among all of it; `members` ascending, int `[M, size]`."""
    size = members.shape[1]
    ways = np.array([[math.comb(k, s) for s in range(size + 1)] for k in range(num_arms)])
    return ways[members, np.arange(1, size + 1)].sum(axis=1)


@functools.lru_cache(maxsize=16)
def by_rank(num_arms: int, size: int) -> np.ndarray:
    """Members of all sets of one size, ascending, int `[M, size]`; row i has rank i."""
    count = math.comb(num_arms, size)
    flat = itertools.chain.from_iterable(itertools.combinations(range(num_arms), size))
    members = np.fromiter(flat, np.int64, count * size).reshape(count, size)
    ordered = np.empty_like(members)
    ordered[rank_of(members, num_arms)] = members
    ordered.flags.writeable = False
    return ordered


def mask_of(members: np.ndarray, num_arms: int) -> np.ndarray:
    """Members `[M, size]` as bool `[M, K]`."""
    mask = np.zeros((len(members), num_arms), bool)
    np.put_along_axis(mask, members, True, axis=1)
    return mask
