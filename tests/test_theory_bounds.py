"""Width sums, failure probabilities and bounds against plain Python sums in float64."""

import math

import numpy as np
import pytest

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory import (
    failing_rounds,
    gap_regret_bound,
    least_observation_probability,
    log_term,
    regret_bound,
    side_failure,
    violation_bound,
    width_sum,
)
from c2mabv_jax.theory.predictions import gap_regret_leading
from c2mabv_jax.theory.widths import power_sum

ZETA_2, ZETA_3 = math.pi**2 / 6, 1.2020569031595942


# Independent versions: loops over rounds, no closed forms ------------------------------------


def ell(t, num_arms, delta):
    return math.log(2 * math.pi**2 * num_arms * t**3 / (3 * delta))


def loop_width(horizon, observations, num_arms, delta, alpha):
    """Hand the observations out one by one, always to the arm with the largest increment."""
    log = ell(horizon, num_arms, delta)
    counts, total = [0] * num_arms, 0.0
    for _ in range(observations):
        arm = counts.index(min(counts))
        n = counts[arm]
        total += 1.0 if n == 0 else min(1.0, 2 * alpha * math.sqrt(log / (2 * n)))
        counts[arm] += 1
    return total


def loop_side(horizon, num_arms, delta, alpha):
    return sum(
        num_arms * (3 * delta / (2 * math.pi**2 * num_arms * (s + 1) ** 3)) ** alpha**2
        for s in range(1, horizon)
    )


def loop_rounds(horizon, num_arms, delta, alpha):
    by_round = sum(
        num_arms * (t - 1) * math.exp(-(alpha**2) * ell(t, num_arms, delta))
        for t in range(1, horizon + 1)
    )
    return min(by_round, horizon * min(1, loop_side(horizon, num_arms, delta, alpha)))


# Sums ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 0.27, 0.5, 1.0, 1.5, 3.0])
def test_power_sum(exponent):
    """Partial sums of j^-x to 1e-13, on both sides of the change of method."""
    for last in (0, 1, 7, 32, 33, 1000, 20_000):
        exact = math.fsum(j**-exponent for j in range(1, last + 1))
        assert float(power_sum(exponent, last)) == pytest.approx(exact, rel=1e-13, abs=1e-13)


def test_power_sum_to_infinity():
    """Zeta where it converges, infinite where not."""
    assert float(power_sum(3, np.inf)) == pytest.approx(ZETA_3, rel=1e-14)
    assert float(power_sum(2, np.inf)) == pytest.approx(ZETA_2, rel=1e-14)
    assert np.isinf(power_sum(1.0, np.inf)) and np.isinf(power_sum(0.5, np.inf))


@pytest.mark.parametrize("alpha", [1.0, 0.3, 0.05])
def test_width_sum_is_the_greedy_worst_case(alpha):
    """Closed partial sums equal the observations handed out one by one."""
    for num_arms, size, horizon in ((5, 2, 1), (5, 2, 2), (9, 4, 7), (9, 4, 3000), (3, 3, 500)):
        exact = loop_width(horizon, size * horizon, num_arms, 0.05, alpha)
        got = width_sum(horizon, size * horizon, num_arms, 0.05, alpha)
        assert got == pytest.approx(exact, rel=1e-12)
        assert width_sum(horizon, size * horizon, num_arms, 0.05, alpha, "closed") >= got


def test_side_failure():
    """Known values at K = 9, delta = 0.05, and the loop."""
    assert side_failure(np.inf, 9, 0.05) == pytest.approx(1.5 / math.pi**2 * (ZETA_3 - 1) * 0.05)
    assert side_failure(np.inf, 9, 0.05) / 0.05 == pytest.approx(0.030709, abs=5e-7)
    for alpha, value in ((1.0, 0.00154), (0.9, 0.0108), (0.8, 0.0706)):
        assert side_failure(np.inf, 9, 0.05, alpha) == pytest.approx(value, rel=5e-3)
    assert side_failure(1e6, 9, 0.05, 0.7) == pytest.approx(0.487, rel=5e-3)
    assert side_failure(1e6, 9, 0.05, 0.6) > 1
    assert np.isinf(side_failure(np.inf, 9, 0.05, 0.5))
    for alpha in (1.0, 0.7, 0.4):
        assert side_failure(2000, 9, 0.05, alpha) == pytest.approx(
            loop_side(2000, 9, 0.05, alpha), rel=1e-12
        )


def test_failing_rounds():
    """The loop; 1.5 delta / pi^2 (zeta(2) - zeta(3)) in the limit; never more than T."""
    for alpha in (1.0, 0.7, 0.3):
        got = failing_rounds(2000, 9, 0.05, alpha)
        assert got == pytest.approx(loop_rounds(2000, 9, 0.05, alpha), rel=1e-11)
    limit = 1.5 * 0.05 / math.pi**2 * (ZETA_2 - ZETA_3)
    assert failing_rounds(1e9, 9, 0.05) == pytest.approx(limit, rel=1e-6)
    assert failing_rounds(1e4, 9, 0.05, 0.1) == 1e4


def test_widths_table():
    """Radius of C2MAB-V at K = 9, delta = 0.05, t = 3 n."""
    for n, value in ((10, 0.930), (100, 0.348), (1000, 0.1247), (10_000, 0.0436)):
        assert math.sqrt(log_term(3 * n, 9, 0.05) / (2 * n)) == pytest.approx(value, rel=2e-3)


# Bounds -------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("alpha_reward, alpha_cost", [(1.0, 1.0), (0.9, 0.7), (0.3, 0.05)])
def test_regret_bound_sum_up(alpha_reward, alpha_cost):
    """Expected and pathwise bounds term by term."""
    horizon, num_arms, size, delta = 400, 6, 2, 0.1
    width = loop_width(horizon, size * horizon, num_arms, delta, alpha_reward)
    rounds = 2 * loop_rounds(horizon, num_arms, delta, alpha_reward)
    rounds = min(horizon, rounds + loop_rounds(horizon, num_arms, delta, alpha_cost))
    got = regret_bound(horizon, num_arms, size, delta, alpha_reward, alpha_cost)
    assert got.value == pytest.approx(width + size * rounds, rel=1e-10)
    assert got.failure_probability == 0

    got = regret_bound(
        horizon, num_arms, size, delta, alpha_reward, alpha_cost, "pathwise", confidence=0.01
    )
    assert got.value == pytest.approx(width + math.sqrt(horizon * math.log(100) / 2), rel=1e-10)
    failure = 2 * loop_side(horizon, num_arms, delta, alpha_reward)
    failure += loop_side(horizon, num_arms, delta, alpha_cost) + 0.01
    assert got.failure_probability == pytest.approx(min(1, failure), rel=1e-10)
    assert got.vacuous == (failure >= 1)


def test_regret_bound_options():
    """What each option adds to the pathwise bound, and to its failure probability."""
    horizon, num_arms, size, delta = 1000, 8, 3, 0.05
    base = regret_bound(horizon, num_arms, size, delta, kind="pathwise")

    def with_options(**options):
        return regret_bound(horizon, num_arms, size, delta, kind="pathwise", **options)

    noise = math.sqrt(horizon * math.log(1 / delta) / 2)
    assert with_options(rounding="any").value - base.value == pytest.approx((3 - 1) * noise)
    assert with_options(realised=True).value - base.value == pytest.approx(math.sqrt(3) * noise)
    dependent = with_options(realised=True, independent_rewards=False)
    assert dependent.value - base.value == pytest.approx(3 * noise)
    assert dependent.failure_probability - base.failure_probability == pytest.approx(delta)
    assert with_options(solver_error=0.01).value - base.value == pytest.approx(10)
    assert with_options(lipschitz=0.5).value == pytest.approx(base.value / 2)
    cascade = with_options(reward_model="AWC", feedback="cascading")
    assert cascade.value - base.value == pytest.approx(3 * noise)
    fewer = with_options(reward_model="AWC", feedback="cascading", observations=horizon)
    assert fewer.value < cascade.value
    width = loop_width(horizon, size * horizon, num_arms, delta, 1.0)
    general = with_options(feedback="cascading", p_star=0.25)
    assert general.value == pytest.approx((width + 3 * noise) / 0.25 + noise, rel=1e-10)
    assert general.failure_probability - base.failure_probability == pytest.approx(delta)


def test_expected_cascade_takes_the_better_route():
    """W / p* for p* near 1, the square-root route for small p*; 1 / p* = 1 changes nothing."""
    horizon, num_arms, size, delta = 10_000, 8, 3, 0.05

    def value(p_star):
        return regret_bound(
            horizon, num_arms, size, delta, feedback="cascading", p_star=p_star
        ).value

    extra = size * 3 * loop_rounds(horizon, num_arms, delta, 1.0)
    width = width_sum(horizon, size * horizon, num_arms, delta)
    assert value(1.0) == pytest.approx(width + extra)
    assert value(0.9) == pytest.approx(width / 0.9 + extra)
    log = ell(horizon, num_arms, delta)
    inside = 1 + 2 * log * (1 + math.log(size * horizon / num_arms))
    route = math.sqrt(size * horizon * num_arms / 0.01 * inside)
    assert value(0.01) == pytest.approx(route + extra)


@pytest.mark.parametrize("independent, spread", [(True, 1 + 2), (False, 9)])
def test_violation_bound(independent, spread):
    """Expected, signed, pathwise and cascade forms term by term."""
    horizon, num_arms, size, delta, alpha = 500, 6, 2, 0.1, 0.9
    width = loop_width(horizon, size * horizon, num_arms, delta, alpha)
    rounds = 2 * loop_rounds(horizon, num_arms, delta, alpha)
    signed = violation_bound(horizon, num_arms, size, delta, alpha, independent, signed=True)
    assert signed.value == pytest.approx((width + size * rounds) / horizon, rel=1e-10)
    both = violation_bound(horizon, num_arms, size, delta, alpha, independent)
    assert both.value - signed.value == pytest.approx(math.sqrt(spread / horizon) / 4)
    path = violation_bound(horizon, num_arms, size, delta, alpha, independent, "pathwise")
    noise = math.sqrt(horizon * math.log(1 / delta) / 2)
    assert path.value == pytest.approx((width + math.sqrt(spread) * noise) / horizon)
    failure = 2 * loop_side(horizon, num_arms, delta, alpha) + delta
    assert path.failure_probability == pytest.approx(failure)
    seen = violation_bound(
        horizon, num_arms, size, delta, alpha, independent, "pathwise", observed="cascade",
        p_star=0.5,
    )  # fmt: skip
    assert seen.value == pytest.approx(
        ((width + 2 * noise) / 0.5 + math.sqrt(spread) * noise) / horizon
    )


def test_closed_forms_are_larger():
    """The closed forms are never below the sums."""
    horizons = np.array([1.0, 10, 1e3, 1e5, 1e7])
    for kind in ("expected", "pathwise"):
        for bound in (regret_bound, violation_bound):
            exact = bound(horizons, 9, 4, 0.05, kind=kind).value
            assert (bound(horizons, 9, 4, 0.05, kind=kind, form="closed").value >= exact).all()


def test_anytime_bound_covers_a_fair_coin():
    """The martingale term holds in all rounds at once, and at one level for all rounds together.

    Its failure for fair +-1/2 steps, computed exactly by dynamic programming, is below the level;
    the fixed-horizon term used at every round exceeds its own level (control).
    """
    horizon, level = 600, 0.3
    t = np.arange(1, horizon + 1)
    width = np.asarray(width_sum(t, 1.0 * t, 2, 0.05))
    anytime = regret_bound(t, 2, 1, 0.05, kind="pathwise", confidence=level, anytime=True)
    fixed = regret_bound(t, 2, 1, 0.05, kind="pathwise", confidence=level)

    def crossing(limits):
        alive = {0: 1.0}
        for limit in limits:
            grown = {}
            for s, p in alive.items():
                for step in (-1, 1):
                    if (s + step) / 2 <= limit:
                        grown[s + step] = grown.get(s + step, 0.0) + p / 2
            alive = grown
        return 1 - sum(alive.values())

    assert 0 < crossing(anytime.value - width) <= level
    assert crossing(fixed.value - width) > level
    assert (np.asarray(anytime.failure_probability) >= fixed.failure_probability).all()


def test_arrays_and_delta_that_falls():
    """Horizons and delta broadcast; each entry equals the scalar call."""
    horizons = np.array([10.0, 1000.0, 1e5])
    together = regret_bound(horizons, 9, 4, 1 / horizons, kind="pathwise")
    for i, t in enumerate(horizons):
        alone = regret_bound(t, 9, 4, 1 / t, kind="pathwise")
        assert type(alone.value) is float
        assert together.value[i] == pytest.approx(alone.value)
        assert together.failure_probability[i] == pytest.approx(alone.failure_probability)


def test_vacuous_below_the_threshold():
    """Below 1/sqrt(3) nothing is promised at long horizons, and the bound says so."""
    bound = regret_bound(1e6, 9, 4, 0.05, alpha_reward=0.3, alpha_cost=0.05, kind="pathwise")
    assert bound.vacuous is True and bound.failure_probability == 1.0
    assert regret_bound(1e6, 9, 4, 0.05, kind="pathwise").vacuous is False
    # an expectation is still bounded, if only by what a round can lose
    assert regret_bound(1e4, 9, 4, 0.05, 0.3, 0.05).value >= 4e4


def test_gap_bound():
    """(K - N) + sum 4 alpha^2 ell / gap, capped by the width sum where arms tie."""
    means, horizon = [0.7, 0.7, 0.4, 0.2], 10**7
    log = ell(horizon, 4, 0.05)
    expected = 2 + 4 * log * (1 / 0.3 + 1 / 0.5)
    path = gap_regret_bound(horizon, 2, 0.05, means, kind="pathwise")
    assert path.value == pytest.approx(expected)
    assert path.failure_probability == pytest.approx(2 * side_failure(horizon, 4, 0.05))
    mean = gap_regret_bound(horizon, 2, 0.05, means)
    assert mean.value - path.value == pytest.approx(4 * failing_rounds(horizon, 4, 0.05))
    tied = gap_regret_bound(horizon, 1, 0.05, means, kind="pathwise")
    assert tied.value == pytest.approx(width_sum(horizon, horizon, 4, 0.05))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_gap_bound_is_eight_times_the_leading_term(alpha):
    """And K - N first plays more, with equal arms on top."""
    asked = (1e12, 2, 0.05, [0.9, 0.9, 0.5, 0.2], alpha)
    bound = gap_regret_bound(*asked, kind="pathwise")
    assert bound.value == pytest.approx(2 + 8 * gap_regret_leading(*asked), rel=1e-12)


def test_least_observation_probability():
    """The N - 1 arms most likely to end the cascade stand in front."""
    assert least_observation_probability([0.9, 0.5, 0.2], 3) == pytest.approx(0.1 * 0.5)
    assert least_observation_probability([0.9, 0.5, 0.2], 1) == 1
    assert least_observation_probability([0.9, 0.5, 0.2], 2, "AIC") == pytest.approx(0.2)


def test_options_are_checked():
    """Unknown words and missing p* give one line with the field."""
    with pytest.raises(ProblemError, match="kind = 'typical'"):
        regret_bound(10, 3, 1, 0.1, kind="typical")
    with pytest.raises(ProblemError, match="form"):
        width_sum(10, 10, 3, 0.1, form="open")
    with pytest.raises(ProblemError, match="p_star"):
        regret_bound(10, 3, 1, 0.1, feedback="cascading")
    with pytest.raises(ProblemError, match="p_star"):
        violation_bound(10, 3, 1, 0.1, observed="cascade")
