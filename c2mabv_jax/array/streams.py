"""Random streams: one threefry key per run and round, one stream per purpose.

A run is named by its seed id alone: `run_key(root, seed)`, then `fold_in(run_key, round)`,
then one stream per purpose. Nothing else enters, so a trajectory cannot depend on its
neighbours in a batch, on the tile, on the device count or on where a sweep was resumed.

Keys here are batches `[...]`; draws come out arm first, `[num, ...]`, which is the layout
of the whole package (the long batch axis is the minor one). Both functions give the very
bits that `jax.random` gives for the same operation (`fold_in`) or that the threefry
counter (index, word) names (`uniforms`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Purposes: what the world does, what the policy does, whether a graded answer satisfies.
ENVIRONMENT, POLICY, SATISFACTION = 0, 1, 2


def words(key: Array) -> tuple[Array, Array]:
    """The two uint32 words of a (batch of) threefry key(s): `[...]` each."""
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return data[..., 0], data[..., 1]


def from_words(first: Array, second: Array) -> Array:
    """The (batch of) threefry key(s) of two uint32 words `[...]`."""
    return jax.random.wrap_key_data(jnp.stack([first, second], axis=-1), impl="threefry2x32")


def fold_in(key: Array, data: Array | int) -> Array:
    """`jax.random.fold_in` for a batch of keys `[...]` and data that broadcasts with it."""
    return from_words(*_threefry(key, jnp.asarray(data).astype(jnp.uint32)))


def run_keys(root: Array, seeds: Array) -> Array:
    """The key of each run: `fold_in(root, seed)`, `[...]` for seeds `[...]`."""
    return fold_in(root, seeds)


def uniforms(key: Array, num: int, dtype: jnp.dtype = jnp.float32) -> Array:
    """Independent uniforms in [0, 1), `[num, ...]` for keys `[...]`.

    With b = ceil(num / 2) threefry blocks, number i < b is the first word of the block with
    counter (0, i) and number b + i its second word: every word of a block is used, half the
    hashing of one block per number.
    """
    blocks = (num + 1) // 2
    ndim = words(key)[0].ndim
    counter = jnp.arange(blocks, dtype=jnp.uint32).reshape((blocks,) + (1,) * ndim)
    first, second = _threefry(key, counter)
    return jnp.concatenate([_to_unit(first), _to_unit(second)])[:num].astype(dtype)


_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def _threefry(key: Array, counter: Array) -> tuple[Array, Array]:
    """Threefry-2x32 (20 rounds) of the blocks (0, counter), written out.

    The same bits as JAX's primitive, which on the CPU rolls the rounds into a loop of many
    small steps: written out, the compiler fuses and vectorises them (`experiments/benchmarks`).
    """
    k0, k1 = words(key)
    keys = (k0, k1, k0 ^ k1 ^ _PARITY)
    first, second = keys[0], counter + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            first = first + second
            left, right = np.uint32(rotation), np.uint32(32 - rotation)
            second = first ^ ((second << left) | (second >> right))
        first = first + keys[(group + 1) % 3]
        second = second + keys[(group + 2) % 3] + np.uint32(group + 1)
    return first, second


def _to_unit(bits: Array) -> Array:
    """Uniform float32 in [0, 1) on a grid of 2^-23.

    The number is computed twice, m 2^-23 and [1, 2) - 1, and returned as sqrt(x x), which is
    x to the bit in binary arithmetic. XLA copies cheap producers into every consumer but
    never a square root, so the twenty rounds above run once per number, not once per use.
    """
    mantissa = bits >> np.uint32(9)
    unit = jax.lax.bitcast_convert_type(mantissa | np.uint32(0x3F800000), jnp.float32)
    again = mantissa.astype(jnp.int32).astype(jnp.float32) * np.float32(2.0**-23)
    return jnp.sqrt((unit - np.float32(1.0)) * again)
