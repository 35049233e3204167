"""The N largest of many arms, against a stable sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax.relaxation import top_n


@pytest.mark.parametrize("num_arms", [17, 40, 65])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("positive", [False, True])
def test_top_n_of_many_is_the_head_of_a_stable_sort(num_arms, part, positive):
    num = max(1, int(part * num_arms))
    scores = np.random.default_rng(num_arms).integers(-4, 5, (num_arms, 200)) / 4  # many ties
    scores[:, :20] = -np.inf  # nothing is on offer
    scores[3, :10] = 1
    scores = scores.astype(np.float32)
    expected = np.zeros(scores.shape, bool)
    first = np.argsort(-scores, axis=0, kind="stable")[:num]
    np.put_along_axis(expected, first, values=True, axis=0)
    if positive:
        expected &= scores > 0
    np.testing.assert_array_equal(top_n(jnp.asarray(scores), num, positive), expected)


@pytest.mark.parametrize("num_arms", [17, 26, 64])
def test_a_score_that_is_computed_is_chosen_once(num_arms):
    """A sum that is made anew for every use may round otherwise; then N + 1 arms are chosen."""
    rng = np.random.default_rng(num_arms)
    weights, costs = (jnp.asarray(rng.random((num_arms, 4096)), jnp.float32) for _ in range(2))
    price = jnp.asarray(rng.random(4096), jnp.float32)

    got = jax.jit(lambda w, c, price: top_n(w - price * c, 3))(weights, costs, price)
    np.testing.assert_array_equal(got.sum(axis=0), 3)
