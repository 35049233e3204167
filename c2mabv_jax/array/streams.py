"""Random streams: one threefry key per run and round, one stream of counters per purpose.

A run is named by its seed id alone: `fold_in(root, seed)`, then `fold_in(run_key, round)`. Who
draws in a round takes the round's key and a purpose, the high word of the counter; its low word
counts numbers, or names an arm. Nothing else enters, so a trajectory cannot depend on its
neighbours in a batch, on the tile, on the device count or on where a sweep was resumed, and
what an arm does in a round does not depend on who else is asked.

Keys here are batches `[...]`; draws come out arm first, `[num, ...]`, which is the layout
of the whole package (the long batch axis is the minor one). `fold_in` gives the very bits of
`jax.random.fold_in`; numbers are those that the threefry counter (purpose, index) names.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.xla import apart, pair_apart

# Purposes. A policy's is 0, the one whose counters `jax.random` and `fold_in` use: whatever a
# policy does with its key, it does not touch the streams of the world.
POLICY, ENVIRONMENT, SATISFACTION, DIFFICULTY, CHANGE, TYPE = range(6)


def words(key: Array) -> tuple[Array, Array]:
    """The two uint32 words of a (batch of) threefry key(s): `[...]` each."""
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return data[..., 0], data[..., 1]


def from_words(first: Array, second: Array) -> Array:
    """The (batch of) threefry key(s) of two uint32 words `[...]`."""
    return jax.random.wrap_key_data(jnp.stack([first, second], axis=-1), impl="threefry2x32")


def fold_in(key: Array, data: Array | int) -> Array:
    """`jax.random.fold_in` for a batch of keys `[...]` and data that broadcasts with it."""
    return from_words(*_threefry(words(key), 0, jnp.asarray(data).astype(jnp.uint32)))


def run_keys(root: Array, seeds: Array) -> Array:
    """The key of each run: `fold_in(root, seed)`, `[...]` for seeds `[...]`."""
    return fold_in(root, seeds)


def uniforms(key: Array, num: int, dtype: jnp.dtype = jnp.float32, purpose: int = POLICY) -> Array:
    """Independent uniforms in [0, 1), `[num, ...]` for keys `[...]`.

    With b = ceil(num / 2) threefry blocks, number i < b is the first word of the block with
    counter (purpose, i) and number b + i its second word: every word of a block is used, half
    the hashing of one block per number.
    """
    if num == 1:
        only = lambda *key: _to_unit(_threefry(key, purpose, jnp.uint32(0))[0])[None]  # noqa: E731
        return apart(only, *words(key)).astype(dtype)
    first, second = _pairs(key, purpose, _counters(key, (num + 1) // 2))
    return jnp.concatenate([first, second])[:num].astype(dtype)


def of_arms(
    key: Array, num_arms: int, dtype: jnp.dtype = jnp.float32, purpose: int = ENVIRONMENT
) -> tuple[Array, Array]:
    """Two independent uniforms of every arm, each `[K, ...]`: the words of block (purpose, arm)."""
    first, second = _pairs(key, purpose, _counters(key, num_arms))
    return first.astype(dtype), second.astype(dtype)


def _counters(key: Array, num: int) -> Array:
    """0, 1, ..., num - 1 as `[num, 1, ...]`."""
    return jnp.arange(num, dtype=jnp.uint32).reshape((num,) + (1,) * words(key)[0].ndim)


def _pairs(key: Array, purpose: int, counter: Array) -> tuple[Array, Array]:
    """Both uniforms of the blocks (purpose, counter)."""

    def hashed(k0: Array, k1: Array, counter: Array) -> tuple[Array, Array]:
        first, second = _threefry((k0, k1), purpose, counter)
        return _to_unit(first), _to_unit(second)

    return pair_apart(hashed, words(key), counter)


_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def _threefry(key: tuple[Array, Array], high: int, counter: Array) -> tuple[Array, Array]:
    """Threefry-2x32 (20 rounds) of the blocks (high, counter), written out.

    The same bits as JAX's primitive, which on the CPU rolls the rounds into a loop of many
    small steps: written out, the compiler fuses and vectorises them (`experiments/benchmarks`).
    """
    k0, k1 = key
    keys = (k0, k1, k0 ^ k1 ^ _PARITY)
    first, second = keys[0] + np.uint32(high), counter + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            first = first + second
            left, right = np.uint32(rotation), np.uint32(32 - rotation)
            second = first ^ ((second << left) | (second >> right))
        first = first + keys[(group + 1) % 3]
        second = second + keys[(group + 2) % 3] + np.uint32(group + 1)
    return first, second


def _to_unit(bits: Array) -> Array:
    """Uniform float32 in [0, 1) on a grid of 2^-23."""
    unit = jax.lax.bitcast_convert_type((bits >> np.uint32(9)) | np.uint32(0x3F800000), jnp.float32)
    return unit - np.float32(1.0)
