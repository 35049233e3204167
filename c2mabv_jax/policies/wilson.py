"""Wilson intervals of omega-UCB, and their shrinkage for outcomes that are not binary.

Formulas as in the public code of Heyden et al. (KDD 2024); see `omega_ucb`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

MIN_SAMPLES = 30  # a variance from fewer observations is not trusted


def wilson(mean: Array, count: Array, z: Array) -> tuple[Array, Array]:
    """Wilson interval `[K, ...]`; all of [0, 1] where nothing was observed."""
    n = count.astype(mean.dtype)
    denominator = jnp.maximum(n + z**2, 1e-30)
    centre = (n * mean + z**2 / 2) / denominator
    half = z / denominator * jnp.sqrt(jnp.maximum(n * mean * (1 - mean), 0) + z**2 / 4)
    low = jnp.where(count > 0, jnp.maximum(centre - half, 0), 0)
    return low, jnp.where(count > 0, jnp.minimum(centre + half, 1), 1)


def shrinkage(mean: Array, variance: Array, count: Array) -> Array:
    """eta, the variance as a share of that of a binary outcome with this mean, `[K, ...]`."""
    binary = mean * (1 - mean)
    known = (binary > 0) & (count >= MIN_SAMPLES)
    return jnp.where(known, jnp.clip(variance / jnp.where(known, binary, 1), 0, 1), 1)
