"""Random streams: the bits of threefry, uniform on their grid, apart from one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import threefry

from c2mabv_jax.array import streams

SEEDS = np.array([0, 1, 7, 2**31, 2**32 - 1], np.uint32)


@pytest.fixture(scope="module")
def keys():
    return streams.run_keys(jax.random.key(42, impl="threefry2x32"), jnp.asarray(SEEDS))


def test_keys_are_those_of_jax(keys):
    for lane, seed in enumerate(SEEDS):
        expected = jax.random.fold_in(jax.random.key(42, impl="threefry2x32"), seed)
        np.testing.assert_array_equal(
            jax.random.key_data(keys[lane]), jax.random.key_data(expected)
        )


def test_numbers_are_those_of_the_counter(keys):
    words, num = np.asarray(jax.random.key_data(keys)), 7
    with np.errstate(over="ignore"):
        expected = threefry.uniforms((words[:, 0], words[:, 1]), num).T
    drawn = streams.uniforms(keys, num)
    assert drawn.shape == (num, len(SEEDS)) and drawn.dtype == jnp.float32
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(streams.uniforms(keys[2], num), expected[:, 2])
    raw = streams.uniforms(jax.random.key_data(keys), num)
    np.testing.assert_array_equal(raw, expected)


def test_every_number_of_the_grid_is_exact():
    """Bits to numbers, for all 2^23 mantissas: m 2^-23 and nothing else."""
    convert = jax.jit(streams._to_unit)
    mantissa = np.arange(2**23, dtype=np.uint32)
    found = np.asarray(convert(jnp.asarray(mantissa << 9)))
    np.testing.assert_array_equal(found.astype(np.float64), mantissa * 2.0**-23)
    assert found.min() == 0 and found.max() < 1
    low_bits = np.asarray(convert(jnp.asarray((mantissa[:1000] << 9) | 511)))
    np.testing.assert_array_equal(low_bits, found[:1000])


def test_purposes_and_rounds_have_streams_of_their_own():
    seeds = jnp.arange(100, dtype=jnp.uint32)
    run = streams.run_keys(jax.random.key(0, impl="threefry2x32"), seeds)
    seen = set()
    for t in range(1, 11):
        key = streams.fold_in(run, t)
        for purpose in range(streams.TYPE + 1):
            drawn = np.stack(streams.of_arms(key, 4, purpose=purpose))
            seen |= set(map(tuple, drawn.reshape(8, 100).T.tolist()))
    assert len(seen) == 100 * 10 * 6
