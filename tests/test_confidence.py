"""Radii against closed forms and root finding in float64; coverage against an exact programme."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from c2mabv_jax import confidence

COUNTS = np.array([1, 2, 7, 50, 1000, 10**6])
ROUND, ARMS, DELTA = 10**6 + 5, 9, 0.05


@pytest.mark.smoke
def test_radii_are_their_closed_forms():
    n = COUNTS.astype(float)
    ell = math.log(2 * math.pi**2 * ARMS * float(ROUND) ** 3 / (3 * DELTA))
    variance = np.linspace(0, 0.25, len(n))
    level = np.log(2 * math.pi**2 * ARMS * n**2 / (3 * DELTA))
    x = np.log(math.pi**2 * ARMS * n**2 / DELTA)
    expected = {
        "hoeffding": np.sqrt(ell / (2 * n)),
        "anytime": np.sqrt(level / (2 * n)),
        "ucb1": np.sqrt(1.5 * math.log(ROUND) / n),
        "bernstein": np.sqrt(2 * variance * x / n) + 3 * x / n,
    }

    @jax.jit
    def radii(counts, variance):
        return {
            "hoeffding": confidence.hoeffding_radius(ROUND, counts, ARMS, DELTA),
            "anytime": confidence.anytime_radius(counts, ARMS, DELTA),
            "ucb1": confidence.ucb1_radius(ROUND, counts),
            "bernstein": confidence.bernstein_radius(counts, variance, ARMS, DELTA),
        }

    for tolerance, wide in ((2e-6, False), (1e-13, True)):
        with jax.enable_x64(wide):
            got = radii(jnp.asarray(COUNTS, jnp.int32), jnp.asarray(variance))
            for name, radius in got.items():
                np.testing.assert_allclose(radius, expected[name], rtol=tolerance, err_msg=name)


def test_nothing_observed_is_fully_optimistic():
    zero = jnp.zeros(3, jnp.int32)
    radii = [
        confidence.hoeffding_radius(5, zero, 3, 0.1),
        confidence.anytime_radius(zero, 3, 0.1),
        confidence.ucb1_radius(5, zero),
        confidence.bernstein_radius(zero, jnp.zeros(3), 3, 0.1),
    ]
    for radius in radii:
        assert np.isinf(radius).all()
        bounds = confidence.optimistic(jnp.zeros(3), radius, jnp.zeros(3), radius)
        np.testing.assert_array_equal(bounds.reward_ucb, 1)
        np.testing.assert_array_equal(bounds.cost_lcb, 0)
    np.testing.assert_array_equal(confidence.kl_bound(jnp.zeros(3), zero, 2.0, upper=True), 1)
    np.testing.assert_array_equal(confidence.kl_bound(jnp.zeros(3), zero, 2.0, upper=False), 0)


def test_bounds_stay_in_the_unit_interval():
    bounds = confidence.optimistic(
        jnp.array([0.1, 0.9]), jnp.array([0.2, 0.3]), jnp.array([0.1, 0.9]), jnp.array([0.3, 0.2])
    )
    np.testing.assert_allclose(bounds.reward_ucb, [0.3, 1.0], rtol=1e-6)
    np.testing.assert_allclose(bounds.cost_lcb, [0.0, 0.7], rtol=1e-6)


def divergence(p, q):
    left = p * math.log(p / q) if p > 0 else 0.0
    return left + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


@pytest.mark.parametrize("upper", [True, False])
def test_kl_bound_is_the_root(upper):
    cases = [(p, n) for p in (0.0, 0.05, 0.5, 0.93, 1.0) for n in (1, 10, 1000)]
    level = 4.0
    expected = []
    for p, n in cases:
        edge = 1.0 if upper else 0.0
        tiny = 1e-15
        inner, outer = (p, edge - tiny) if upper else (edge + tiny, p)
        inside = lambda q, p=p, n=n: n * divergence(p, q) - level  # noqa: E731
        if p == edge or inside(outer if upper else inner) < 0:
            expected.append(edge)
        else:
            start = max(inner, tiny) if upper else inner
            stop = outer if upper else min(outer, 1 - tiny)
            expected.append(brentq(inside, start, stop, xtol=1e-15))
    means, counts = (np.array(x) for x in zip(*cases, strict=True))
    with jax.enable_x64(True):
        got = confidence.kl_bound(jnp.asarray(means), jnp.asarray(counts), level, upper=upper)
        np.testing.assert_allclose(got, expected, atol=1e-8)
    got = confidence.kl_bound(jnp.asarray(means), jnp.asarray(counts), level, upper=upper)
    np.testing.assert_allclose(got, expected, atol=2e-4)


# Coverage ------------------------------------------------------------------------------------

MEAN, ROUNDS, RUNS = 0.6, 60, 200_000
FALSE_ALARM = 1e-6
DEVIATION = 4.9  # two-sided normal quantile of FALSE_ALARM


def width(t, n, alpha):
    ell = math.log(2 * math.pi**2 * t**3 / (3 * DELTA))
    return alpha * math.sqrt(ell / (2 * n))


def failure_probability(alpha):
    """P(some upper bound of rounds 2..ROUNDS is below the mean), arm seen every round; exact."""
    alive = {0: 1.0}
    for n in range(1, ROUNDS):
        after: dict[int, float] = {}
        for wins, mass in alive.items():
            after[wins + 1] = after.get(wins + 1, 0) + mass * MEAN
            after[wins] = after.get(wins, 0) + mass * (1 - MEAN)
        radius = width(n + 1, n, alpha)
        alive = {wins: mass for wins, mass in after.items() if wins / n + radius >= MEAN}
    return 1 - sum(alive.values())


def simulated_failures(alpha):
    rng = np.random.default_rng(17)
    with jax.enable_x64(True):
        n = jnp.arange(1, ROUNDS)
        radius = confidence.hoeffding_radius(n + 1, n, 1, DELTA)
        radius = np.asarray(alpha * radius)
    failed = np.zeros(RUNS, bool)
    wins = np.zeros(RUNS)
    for seen in range(1, ROUNDS):
        wins += rng.random(RUNS) < MEAN
        failed |= wins / seen + radius[seen - 1] < MEAN
    return failed.mean()


@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_coverage_is_what_the_dynamic_programme_says(alpha):
    """At most 1e-6 of correct programs fail here (normal limit of a binomial, 2e5 runs)."""
    exact = failure_probability(alpha)
    error = DEVIATION * math.sqrt(exact * (1 - exact) / RUNS)
    assert exact > 1e-3  # there is something to see at a reduced alpha
    assert abs(simulated_failures(alpha) - exact) <= error
    # Negative control: a radius smaller by a tenth is found out.
    assert abs(simulated_failures(0.9 * alpha) - exact) > error


def test_full_radius_keeps_its_promise():
    """One side fails with probability at most 1.5 delta (zeta(3) - 1) / pi^2 for each arm."""
    assert failure_probability(1.0) <= 1.5 * DELTA * 0.2020569 / math.pi**2
