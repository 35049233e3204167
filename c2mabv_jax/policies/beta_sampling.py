"""Exact Beta draws, batched: a draw depends on its own key alone, whatever runs beside it.

A Beta is a ratio of two Gammas; a Gamma with shape >= 1 comes from Marsaglia and Tsang 2000
("A simple method for generating gamma variables"): cube of a shifted normal, accepted with
probability at least 0.95. Attempt j of a key uses the stream `fold_in(key, j)`; attempts go on
until every lane has accepted, and a lane keeps its first accepted value, so the law is exact
and lanes do not influence each other.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams

_STEP = 2.0**-23  # grid of the uniforms; half of it keeps them off both ends


def gamma(key: Array, shape: Array) -> Array:
    """Independent Gamma(shape, 1) draws, `[M, ...]` for shapes `[M, ...]` >= 1, keys `[...]`."""
    num = shape.shape[0]
    d = shape - 1 / 3
    c = 1 / jnp.sqrt(9 * d)

    def attempt(number: Array | int) -> tuple[Array, Array]:
        uniform = streams.uniforms(streams.fold_in(key, number), 2 * num, shape.dtype)
        normal = jnp.sqrt(2.0) * jax.lax.erf_inv(2 * uniform[:num] - (1 - _STEP))
        root = 1 + c * normal
        # y = root^3 - 1 without cancellation; the acceptance exponent stays right for d ~ 1e7.
        y = c * normal * (3 + c * normal * (3 + c * normal))
        y = jnp.maximum(y, _STEP - 1)
        exponent = normal * normal / 2 + d * (jnp.log1p(y) - y)
        accepted = (root > 0) & (jnp.log(uniform[num:] + _STEP / 2) < exponent)
        return d * (1 + y), accepted

    def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, accepted, number = carry
        new, good = attempt(number)
        return jnp.where(accepted, value, new), accepted | good, number + 1

    value, accepted = attempt(0)
    carry = (value, accepted, jnp.int32(1))
    return jax.lax.while_loop(lambda carry: ~jnp.all(carry[1]), again, carry)[0]


def beta(key: Array, a: Array, b: Array) -> Array:
    """Independent Beta(a, b) draws, `[M, ...]` for parameters `[M, ...]` >= 1, keys `[...]`."""
    both = gamma(key, jnp.concatenate([a, b]))
    first, second = both[: a.shape[0]], both[a.shape[0] :]
    return first / (first + second)
