"""The coverage programme against enumeration of all outcomes and against simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import ndtri

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory import coverage_failure, side_failure
from c2mabv_jax.theory.exact import some_arm_fails


def enumerate_outcomes(mean, horizon, num_arms, delta, alpha, side, lag):
    """P(failed by round t) from all 2^n outcomes of one arm, plain Python."""
    failed_by = [0.0] * horizon
    steps = horizon - lag
    for outcome in itertools.product((0, 1), repeat=steps):
        chance = math.prod(mean if x else 1 - mean for x in outcome)
        for t in range(1, horizon + 1):
            n = t - lag
            if n == 0:
                continue
            error = sum(outcome[:n]) / n - mean
            log = math.log(2 * math.pi**2 * num_arms * t**3 / (3 * delta))
            radius = alpha * math.sqrt(log / (2 * n))
            upper, lower = error < -radius, error > radius
            if {"upper": upper, "lower": lower, "two": upper or lower}[side]:
                for later in range(t - 1, horizon):
                    failed_by[later] += chance
                break
    return failed_by


@pytest.mark.parametrize("side", ["upper", "lower", "two"])
@pytest.mark.parametrize("counts_before", [True, False])
def test_every_outcome(side, counts_before):
    """Equal to the sum over all outcomes; counts before the round, and off by one."""
    args = (0.37, 11, 1, 0.5, 0.45, side)
    got = coverage_failure(*args, counts_before=counts_before)
    exact = enumerate_outcomes(*args, lag=1 if counts_before else 0)
    assert got == pytest.approx(exact, abs=1e-14)
    assert got[-1] > 0 and (np.diff(got) >= 0).all()


def test_sides_mirror():
    """The upper bound of mean m fails as the lower bound of mean 1 - m does."""
    upper = coverage_failure(0.3, 100, 1, 0.3, 0.4, "upper")
    lower = coverage_failure(0.7, 100, 1, 0.3, 0.4, "lower")
    assert upper == pytest.approx(lower, rel=1e-10)
    both = coverage_failure(0.3, 100, 1, 0.3, 0.4)
    assert both[-1] <= upper[-1] + coverage_failure(0.3, 100, 1, 0.3, 0.4, "lower")[-1]


def test_simulated_paths():
    """20 000 simulated arms fail as often as computed; false alarm below 1e-6.

    Control: the off-by-one count is told apart from the right one.
    """
    mean, horizon, num_arms, delta, alpha, runs = 0.3, 300, 1, 0.9, 0.5, 20_000
    rng = np.random.default_rng(0)
    sums = np.cumsum(rng.random((runs, horizon - 1)) < mean, axis=1)
    n = np.arange(1, horizon)
    log = np.log(2 * np.pi**2 * num_arms * (n + 1.0) ** 3 / (3 * delta))
    seen = (np.abs(sums / n - mean) > alpha * np.sqrt(log / (2 * n))).any(1).mean()

    def distance(expected):
        return abs(seen - expected) / math.sqrt(expected * (1 - expected) / runs)

    limit = -ndtri(5e-7)
    right = coverage_failure(mean, horizon, num_arms, delta, alpha)[-1]
    wrong = coverage_failure(mean, horizon, num_arms, delta, alpha, counts_before=False)[-1]
    assert distance(right) < limit
    assert distance(wrong) > limit


@pytest.mark.parametrize("alpha", [1.0, 0.8, 0.6])
def test_below_the_union_bound(alpha):
    """The bound holds, with room: at alpha = 1 the truth is about 1e-7 of a delta of 0.05."""
    horizon = 1000
    for side in ("upper", "lower"):
        exact = coverage_failure(0.5, horizon, 1, 0.05, alpha, side)[-1]
        assert 0 < exact < side_failure(horizon, 1, 0.05, alpha)
    assert coverage_failure(0.5, horizon, 9, 0.05, 1.0)[-1] < 1e-6


def test_several_arms():
    """Independent arms: 1 - prod(1 - p), also for tiny p."""
    assert some_arm_fails([0.5, 0.5]) == pytest.approx(0.75)
    assert some_arm_fails([1e-12] * 9) == pytest.approx(9e-12, rel=1e-9)


def test_bad_side():
    """An unknown side is named."""
    with pytest.raises(ProblemError, match="side"):
        coverage_failure(0.5, 10, 1, 0.1, 1.0, "left")
