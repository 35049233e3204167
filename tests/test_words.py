"""Sets in words are what they are as masks."""

import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax.relaxation import words


@pytest.mark.parametrize("num_arms", [1, 5, words.LARGEST, words.LARGEST + 1, 40])
def test_words_are_masks(num_arms):
    rng = np.random.default_rng(num_arms)
    mask = rng.random((num_arms, 200)) < rng.random(200)
    mask[:, :2] = [False, True]  # nothing and everything
    values = rng.random((num_arms, 200)).astype(np.float32)
    packed = words.pack(jnp.asarray(mask))
    assert packed.shape == ((200,) if num_arms <= words.LARGEST else mask.shape)
    np.testing.assert_array_equal(words.unpack(packed, num_arms), mask)
    kept = words.once(packed, jnp.ones(200, jnp.float32))
    np.testing.assert_array_equal(kept, packed)
    sums = np.where(mask, values, 0).sum(0, dtype=np.float64)
    np.testing.assert_allclose(words.total_of(packed, jnp.asarray(values)), sums, rtol=1e-5)
    np.testing.assert_array_equal(words.several(packed), mask.sum(0) > 1)
    alone = np.asarray(words.unpack(words.first(packed), num_arms))
    expected = np.zeros_like(mask)
    some = np.flatnonzero(mask.any(0))
    expected[mask[:, some].argmax(0), some] = True
    np.testing.assert_array_equal(alone, expected)
