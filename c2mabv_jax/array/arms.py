"""The arm axis: reductions in a fixed order, and numbers computed once.

Arrays are arm first, `[K, ...]`; reductions give `[...]`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

IN_ORDER = 32  # up to here arms are combined one after another, above it by halving
UNROLLED = 64  # up to here an arm is an operation of its own in the compiled program


def arm_index(like: Array) -> Array:
    """0, 1, ..., K - 1 along the arm axis, int32 `[K, 1, ...]`, to broadcast with `like`."""
    return jnp.arange(like.shape[0], dtype=jnp.int32).reshape((-1,) + (1,) * (like.ndim - 1))


def reduce_arms(combine: Callable[[Array, Array], Array], values: Array) -> Array:
    """Combine over the arm axis in an order that the code fixes, not the compiler.

    Every batch layout then rounds alike. Few arms are combined one after another, many by
    halving. Arm by arm the whole is one fused loop over the batch, with nothing stored between.
    """
    if values.shape[0] <= IN_ORDER:
        return functools.reduce(combine, list(values))
    while values.shape[0] > UNROLLED:
        values = _halved(combine, values)
    rows = list(values)
    while len(rows) > 1:
        half = len(rows) // 2
        paired = list(map(combine, rows[:half], rows[half : 2 * half]))
        rows = paired + rows[2 * half :]
    return rows[0]


def _halved(combine: Callable[[Array, Array], Array], values: Array) -> Array:
    half = values.shape[0] // 2
    paired = combine(values[:half], values[half : 2 * half])
    return jnp.concatenate([paired, values[2 * half :]])


def lift(values: ArrayLike, ndim: int) -> Array:
    """Values `[K]` or `[K, B]` with trailing axes up to rank `ndim`, to broadcast."""
    values = jnp.asarray(values)
    return values.reshape(values.shape + (1,) * max(ndim - values.ndim, 0))


def spread(values: ArrayLike, state: Array) -> Array:
    """Values `[K]` or `[K, B]` as `[K, ...]` beside a scalar of the state `[...]`."""
    values = lift(values, state.ndim + 1)
    return jnp.broadcast_to(values, (values.shape[0], *state.shape))


def product(factors: Array) -> Array:
    """prod over arms, `[...]`."""
    return reduce_arms(jnp.multiply, factors)


def total(terms: Array) -> Array:
    """Sum over arms, `[...]`."""
    return reduce_arms(jnp.add, terms)


def largest(values: Array) -> Array:
    """Maximum over arms, `[...]`."""
    return reduce_arms(jnp.maximum, values)


def once(value: Array, one: Array) -> Array:
    """The value, computed once; `one` is 1 in a way that the compiler cannot see.

    The compiler repeats cheap work for every arm that uses its result, but never a division.
    """
    if value.dtype == bool:
        return once(value.astype(one.dtype), one) > 0.5
    return value / one
