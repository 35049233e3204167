"""Reward models against enumeration of sets, finite differences and a written-out cascade."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax import rewards
from c2mabv_jax.array import arms
from c2mabv_jax.rewards import REWARD_MODELS

K = 5
SETS = np.array(list(itertools.product((False, True), repeat=K)))  # [2^K, K]
DIRECT = {
    "AWC": lambda x, chosen: 1 - math.prod(1 - x[k] for k in chosen),
    "SUC": lambda x, chosen: sum(x[k] for k in chosen),
    "AIC": lambda x, chosen: math.prod(x[k] for k in chosen),
}


def values():
    return np.array([0.9, 0.0, 1.0, 0.35, 0.5])


@pytest.mark.smoke
@pytest.mark.parametrize("name", REWARD_MODELS)
def test_set_reward_of_every_set(name):
    model = REWARD_MODELS[name]
    expected = [DIRECT[name](values(), np.flatnonzero(row)) for row in SETS]
    batch = jnp.asarray(np.repeat(values()[:, None], len(SETS), axis=1), jnp.float32)
    got = model.of_set(batch, jnp.asarray(SETS.T))
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["AWC", "SUC"])
def test_relaxed_reward_is_the_mean_over_independent_coins(name):
    """The multilinear extension; all-in uses a lower bound instead, see below."""
    rng = np.random.default_rng(0)
    z = rng.random(K)
    chance = np.where(SETS, z, 1 - z).prod(1)
    expected = sum(
        p * DIRECT[name](values(), np.flatnonzero(row)) for p, row in zip(chance, SETS, strict=True)
    )
    got = REWARD_MODELS[name].relaxed(jnp.asarray(values()), jnp.asarray(z))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_all_in_relaxation_is_exact_on_sets_and_below_mixtures():
    x = np.array([0.9, 0.2, 0.7, 0.35, 0.5])
    model = REWARD_MODELS["AIC"]
    for row in SETS:
        got = model.relaxed(jnp.asarray(x), jnp.asarray(row, jnp.float32))
        np.testing.assert_allclose(got, DIRECT["AIC"](x, np.flatnonzero(row)), rtol=2e-6)
    a, b = SETS[13].astype(float), SETS[22].astype(float)
    for share in (0.2, 0.5, 0.9):
        mixed = share * DIRECT["AIC"](x, np.flatnonzero(a)) + (1 - share) * DIRECT["AIC"](
            x, np.flatnonzero(b)
        )
        assert (
            float(model.relaxed(jnp.asarray(x), jnp.asarray(share * a + (1 - share) * b))) <= mixed
        )


@pytest.mark.parametrize("name", REWARD_MODELS)
def test_gradient_is_the_derivative(name):
    model = REWARD_MODELS[name]
    x = jnp.asarray([0.9, 0.2, 1.0, 0.35, 0.5])
    z = jnp.asarray([0.3, 1.0, 0.8, 0.0, 0.6])
    expected = jax.grad(lambda z: model.relaxed(x, z))(z)
    np.testing.assert_allclose(model.gradient(x, z), expected, rtol=1e-5, atol=1e-7)


def test_product_of_others_allows_zeros():
    factors = np.array([0.5, 0.0, 2.0, 0.0, 3.0])
    expected = [np.prod(np.delete(factors, k)) for k in range(K)]
    np.testing.assert_allclose(rewards.product_of_others(jnp.asarray(factors)), expected)


@pytest.mark.parametrize("num", [1, 7, 32, 33, 100])
def test_reductions_over_arms(num):
    x = np.random.default_rng(num).integers(1, 4, (num, 3))
    np.testing.assert_array_equal(arms.total(jnp.asarray(x)), x.sum(0))
    np.testing.assert_array_equal(arms.largest(jnp.asarray(x)), x.max(0))


def test_weights_are_logarithms_and_finite_at_the_ends():
    x = jnp.array([0.0, 0.3, 1.0])
    np.testing.assert_allclose(rewards.log_success(x), np.log([1e-6, 0.3, 1.0]), rtol=1e-5)
    np.testing.assert_allclose(rewards.log_failure(x), -np.log([1.0, 0.7, 1e-6]), rtol=1e-5)


def test_cascade_is_asked_one_after_another():
    """Every set, outcome pattern and order with ties, against a loop in Python."""
    rng = np.random.default_rng(1)
    batch = 4000
    selected = rng.random((K, batch)) < 0.6
    stops = rng.random((K, batch)) < 0.4
    priority = rng.integers(0, 4, (K, batch)).astype(np.float32)
    expected = np.zeros((K, batch), bool)
    for lane in range(batch):
        for k in sorted(np.flatnonzero(selected[:, lane]), key=lambda k: (priority[k, lane], k)):
            expected[k, lane] = True
            if stops[k, lane]:
                break
    got = rewards.cascade_prefix(*map(jnp.asarray, (selected, stops, priority)))
    np.testing.assert_array_equal(got, expected)
