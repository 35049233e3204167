"""The arm axis: reductions in a fixed order, and numbers computed once.

Arrays are arm first, `[K, ...]`; reductions give `[...]`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

UNROLL_LIMIT = 32  # more arms than this are combined by halving


def arm_index(like: Array) -> Array:
    """0, 1, ..., K - 1 along the arm axis, int32 `[K, 1, ...]`, to broadcast with `like`."""
    return jnp.arange(like.shape[0], dtype=jnp.int32).reshape((-1,) + (1,) * (like.ndim - 1))


def reduce_arms(combine: Callable[[Array, Array], Array], values: Array) -> Array:
    """Combine over the arm axis in an order that the code fixes, not the compiler.

    Every batch layout then rounds alike. Few arms are combined one after another (each step
    is a cheap vector operation over the batch); many by halving.
    """
    if values.shape[0] <= UNROLL_LIMIT:
        result = values[0]
        for k in range(1, values.shape[0]):
            result = combine(result, values[k])
        return result
    while values.shape[0] > 1:
        half = values.shape[0] // 2
        paired = combine(values[:half], values[half : 2 * half])
        values = jnp.concatenate([paired, values[2 * half :]])
    return values[0]


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
