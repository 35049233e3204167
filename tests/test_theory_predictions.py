"""Leading orders and their refinements: closed forms, limits, and a noise-free run in Python."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtri

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory import lower_bounds, optimum
from c2mabv_jax.theory import predictions as pr
from c2mabv_jax.theory.equilibrium import equilibrium, sum_over_rounds

DELTA = 0.05
MU, COST, BUDGET = np.array([0.9, 0.6, 0.3]), np.array([0.7, 0.3, 0.2]), 0.45


def suc(num_arms, num_selected, budget):
    return Problem(num_arms=num_arms, num_selected=num_selected, budget=budget, reward_model="SUC")


def ell(t, num_arms):
    return math.log(2 * math.pi**2 * num_arms * t**3 / (3 * DELTA))


def one_arm_lp(upper, lower, budget):
    """max upper.z, sum z = 1, lower.z <= budget: best single arm or pair, plain Python."""
    arms = range(len(upper))
    best, answer = -1.0, None
    for i in arms:
        if lower[i] <= budget and upper[i] > best:
            best, answer = upper[i], {i: 1.0}
    for i in arms:
        for j in arms:
            if lower[i] > budget > lower[j]:
                share = (budget - lower[j]) / (lower[i] - lower[j])
                value = share * upper[i] + (1 - share) * upper[j]
                if value > best + 1e-15:
                    best, answer = value, {i: share, j: 1 - share}
    return answer


def noise_free_run(horizon, alpha_reward, alpha_cost):
    """C2MAB-V on averages that equal the means, playing z_t itself: (T V, regret, counts)."""
    counts, overspent, regret, best = [0.0] * 3, 0.0, 0.0, 0.375 * 0.9 + 0.625 * 0.6
    for t in range(1, horizon + 1):
        log = ell(t, 3)
        upper, lower = [1.0] * 3, [0.0] * 3
        for k in range(3):
            if counts[k] > 0:
                width = math.sqrt(log / (2 * counts[k]))
                upper[k] = min(1.0, MU[k] + alpha_reward * width)
                lower[k] = max(0.0, COST[k] - alpha_cost * width)
        for k, share in one_arm_lp(upper, lower, BUDGET).items():
            counts[k] += share
            overspent += share * COST[k]
            regret -= share * MU[k]
    return overspent - BUDGET * horizon, regret + best * horizon, counts


@pytest.mark.parametrize("alpha_cost", [1.0, 0.3])
def test_noise_free_run(alpha_cost):
    """Refined predictions against the algorithm without noise, 30 000 rounds in plain Python.

    Counts within 2 %. Overspending within 7 %: the first rounds, in which every arm looks
    affordable, do not use up the budget, and the prediction leaves them out (a constant).
    """
    horizon = 30_000
    overspent, regret, counts = noise_free_run(horizon, 1.0, alpha_cost)
    best = optimum(suc(3, 1, BUDGET), MU, COST)
    args = (horizon, 3, DELTA, best, MU, COST, 1.0, alpha_cost)
    settled = equilibrium(*args)
    assert settled.counts == pytest.approx(counts, rel=0.02)
    assert settled.counts.sum() == pytest.approx(horizon, rel=1e-3)
    assert COST @ settled.counts == pytest.approx(BUDGET * horizon + settled.overspent, rel=1e-3)
    assert overspent == pytest.approx(pr.violation_refined(*args), rel=0.07)
    lagrangian = regret + best.multiplier * overspent
    assert lagrangian == pytest.approx(0.225 * counts[2], rel=1e-6)
    assert lagrangian == pytest.approx(pr.lagrangian_regret(*args, refined=True), rel=0.02)
    assert lagrangian < 0.75 * pr.lagrangian_regret(*args)  # the leading order is far off here
    predicted = pr.plain_regret(lagrangian, best.multiplier, settled.overspent)
    assert predicted < 0 and regret == pytest.approx(predicted, rel=0.1)


def test_equilibrium_of_any_vertex():
    """At-most problems (one arm against an empty place) and slack budgets add up too."""
    problem = Problem(
        num_arms=3, num_selected=2, budget=0.5, reward_model="SUC", cardinality="at_most"
    )
    mu, c = np.array([0.9, 0.5, 0.1]), np.array([0.4, 0.5, 0.6])
    best = optimum(problem, mu, c)
    assert best.marginals == pytest.approx([1, 0.2, 0])
    settled = equilibrium(1e6, 3, DELTA, best, mu, c)
    assert c @ settled.counts == pytest.approx(0.5e6 + settled.overspent, rel=1e-6)
    slack = optimum(suc(4, 2, 9.0), [0.9, 0.7, 0.4, 0.3], [0.1] * 4)
    settled = equilibrium([1e4, 1e6], 4, DELTA, slack, [0.9, 0.7, 0.4, 0.3], [0.1] * 4)
    assert settled.counts.sum(0) == pytest.approx([2e4, 2e6])
    assert (settled.overspent == 0).all()
    water = pr.gap_regret_refined(1e6, 2, DELTA, [0.9, 0.7, 0.4, 0.3])
    assert settled.lagrangian[1] == pytest.approx(water, rel=0.01)
    with pytest.raises(ProblemError, match="slack"):
        pr.violation_refined(1e4, 4, DELTA, slack, [0.9, 0.7, 0.4, 0.3], [0.1] * 4)


def test_violation_leading():
    """alpha sum sqrt(z) sqrt(2 ell T), by hand; the refined value approaches it."""
    z = [0.375, 0.625, 0.0]
    roots = math.sqrt(0.375) + math.sqrt(0.625)
    by_hand = 0.3 * roots * math.sqrt(2 * ell(1e6, 3) * 1e6)
    assert pr.violation_leading(1e6, 3, DELTA, z, 0.3) == pytest.approx(by_hand)
    assert pr.violation_constant(z, 0.3) * pr.rate(1e6, 3, DELTA) == pytest.approx(by_hand)
    best = optimum(suc(3, 1, BUDGET), MU, COST)
    ratios = [
        pr.violation_refined(t, 3, DELTA, best, MU, COST) / pr.violation_leading(t, 3, DELTA, z)
        for t in (1e4, 1e8, 1e14)
    ]
    # the logarithm of each round, not the last: relative error 3 / ell_T
    assert abs(ratios[2] - 1) < 3.2 / ell(1e14, 3)
    assert abs(ratios[2] - 1) < abs(ratios[1] - 1) + 0.01


def test_sum_over_rounds():
    """Exact below 2^12, and to 1e-6 beyond; arrays of horizons."""
    horizons = np.array([0, 1, 100, 2**12, 2**12 + 1, 300_000])

    def term(t):
        return np.minimum(0.3, np.sqrt(np.log(5 * t) / t))

    every = np.concatenate([[0], np.cumsum(term(np.arange(1.0, 300_001)))])
    assert sum_over_rounds(term, horizons) == pytest.approx(every[horizons], rel=1e-7)


def test_lagrangian_leading_constant():
    """(alpha_mu + lambda alpha_c)^2 ell / (2 |reduced|) where no bound is clipped; clip if so."""
    mu, c, budget = np.array([0.9, 0.6, 0.55]), np.array([0.9, 0.5, 0.6]), 0.7
    best = optimum(suc(3, 1, budget), mu, c)
    gap, lam = -best.reduced[2], best.multiplier
    assert gap > 0 and not best.basic[2]
    log = ell(1e6, 3)
    got = pr.lagrangian_regret(1e6, 3, DELTA, best, mu, c, 1.0, 0.5)
    assert got == pytest.approx((1 + 0.5 * lam) ** 2 * log / (2 * gap))
    # a cheap arm: its cost bound is 0 before the threshold is reached
    c_cheap, mu_cheap = np.array([0.9, 0.5, 0.02]), np.array([0.9, 0.6, 0.01])
    best = optimum(suc(3, 1, budget), mu_cheap, c_cheap)
    gap, lam = -best.reduced[2], best.multiplier
    assert gap > lam * 0.02 * 2
    width = gap - lam * 0.02  # mu + w - 0 = nu
    counts = pr.exploration_counts(1e6, 3, DELTA, best, mu_cheap, c_cheap)
    assert counts[2] == pytest.approx(log / (2 * width**2))
    assert counts[2] < (1 + lam) ** 2 * log / (2 * gap**2)


def test_refined_tends_to_leading():
    """The refinement matters at 1e4 and fades: ratio to leading rises towards 1."""
    best = optimum(suc(3, 1, BUDGET), MU, COST)
    ratio = [
        pr.lagrangian_regret(t, 3, DELTA, best, MU, COST, refined=True)
        / pr.lagrangian_regret(t, 3, DELTA, best, MU, COST)
        for t in (1e4, 1e6, 1e8, 1e12)
    ]
    assert ratio == sorted(ratio) and ratio[0] < 0.8 and 0.99 < ratio[-1] < 1


def test_always_played_arms_cost_nothing():
    """Arms with positive reduced reward add no leading term: only the three outside do."""
    mu, c = np.array([0.95, 0.85, 0.6, 0.3, 0.2]), np.array([0.2, 0.7, 0.3, 0.3, 0.1])
    best = optimum(suc(5, 2, 0.65), mu, c)
    counts = pr.exploration_counts(1e6, 5, DELTA, best, mu, c)
    assert best.reduced[0] > 0
    assert (counts > 0).tolist() == [False, False, False, True, True]


def test_gap_regret():
    """Without a budget: the formula, the same from the duals, and the level by another solver."""
    mu = [0.7, 0.7, 0.4, 0.4, 0.4, 0.4]
    leading = pr.gap_regret_leading(1e6, 2, DELTA, mu)
    assert leading == pytest.approx(4 * ell(1e6, 6) / 0.6)
    assert pr.gap_regret_leading(1e6, 2, DELTA, mu, 0.5) == pytest.approx(leading / 4)
    best = optimum(suc(6, 2, 9.0), mu, [0.1] * 6)
    assert pr.lagrangian_regret(1e6, 6, DELTA, best, mu, [0.1] * 6) == pytest.approx(leading)

    def plays(level, mean):
        return min(1e6, ell(1e6, 6) / (2 * (level - mean) ** 2))

    level = brentq(lambda u: sum(plays(u, m) for m in mu) - 2e6, 0.7 + 1e-9, 2, xtol=1e-15)
    by_hand = 4 * 0.3 * plays(level, 0.4)
    assert pr.gap_regret_refined(1e6, 2, DELTA, mu) == pytest.approx(by_hand, rel=1e-6)
    assert by_hand < leading


def test_gap_regret_refined_limits():
    """From the flat start to the logarithm: both ends known, in between never above either."""
    mu = np.array([0.6, 0.6, 0.4, 0.4, 0.4])
    long = 1e13
    assert pr.gap_regret_refined(long, 2, DELTA, mu) == pytest.approx(
        pr.gap_regret_leading(long, 2, DELTA, mu), rel=1e-4
    )
    flat = np.array([0.5 + 5e-7, 0.5 + 5e-7, 0.5, 0.5, 0.5])
    # all arms alike: 2 T pulls spread over 5 arms, 3 of them worth 5e-7 less
    assert pr.gap_regret_refined(1e4, 2, DELTA, flat) == pytest.approx(
        1e4 * 2 * 3 / 5 * 5e-7, rel=1e-3
    )
    gaps = np.geomspace(1e-3, 0.5, 60)
    horizon = 1e5
    values = [
        pr.gap_regret_refined(horizon, 2, DELTA, [0.5 + g / 2] * 2 + [0.5 - g / 2] * 8)
        for g in gaps
    ]
    for g, value in zip(gaps, values, strict=True):
        means = [0.5 + g / 2] * 2 + [0.5 - g / 2] * 8
        assert 0 < value <= pr.gap_regret_leading(horizon, 2, DELTA, means)
        assert value <= horizon * 2 * 8 / 10 * g * (1 + 1e-9)
    # the worst gap is of the predicted size
    worst = gaps[int(np.argmax(values))]
    scale = pr.worst_gap(horizon, 10, 2, DELTA)
    assert scale == pytest.approx(math.sqrt(ell(1e5, 10) * 10 / (2 * 2 * 1e5)))
    assert 0.5 < worst / scale < 1.5


def test_gap_regret_refined_without_choice():
    """N = K, or arms all equal: no regret."""
    assert pr.gap_regret_refined(1e4, 3, DELTA, [0.9, 0.5, 0.1]) == pytest.approx(0, abs=1e-8)
    assert pr.gap_regret_refined(1e4, 2, DELTA, [0.5] * 4) == pytest.approx(0, abs=1e-8)


def test_noise_floor():
    """Oracle z*: sigma / sqrt(2 pi T), and 40 000 simulated oracles (false alarm 1e-6).

    The normal approximation is off by order 1/T, here far below the standard error.
    """
    best, horizon, runs = optimum(suc(3, 1, BUDGET), MU, COST), 400, 40_000
    z = best.marginals
    sigma2 = (z * COST * (1 - COST)).sum() + z[0] * z[1] * (COST[0] - COST[1]) ** 2
    floor = pr.noise_floor(horizon, best, COST, BUDGET)
    assert floor == pytest.approx(math.sqrt(sigma2 / (2 * math.pi * horizon)))
    rng = np.random.default_rng(0)
    dear = rng.binomial(horizon, z[0], runs)
    spent = rng.binomial(dear, COST[0]) + rng.binomial(horizon - dear, COST[1])
    excess = np.maximum(spent / horizon - BUDGET, 0)
    error = excess.std() / math.sqrt(runs)
    assert abs(excess.mean() - floor) < -ndtri(5e-7) * error
    # slack budget: far below, and exactly the mean where nothing is random
    slack = optimum(suc(3, 1, 0.75), MU, COST)
    assert pr.noise_floor(horizon, slack, COST, 0.75) < floor / 3
    assert pr.noise_floor(horizon, slack, COST, 0.75, variance=np.zeros(3)) == 0


def test_duals_are_needed():
    """An optimum without duals (any win) is refused with a word on why."""
    problem = Problem(num_arms=3, num_selected=1, budget=BUDGET, reward_model="AWC")
    with pytest.raises(ProblemError, match="SUC"):
        pr.lagrangian_regret(10, 3, DELTA, optimum(problem, MU, COST), MU, COST)


# Lower bounds --------------------------------------------------------------------------------


def test_divergence():
    """By hand, at the edges, and against the second-order expansion."""
    assert lower_bounds.bernoulli_kl(0.4, 0.7) == pytest.approx(0.19204, abs=5e-6)
    assert lower_bounds.bernoulli_kl([0.0, 1.0, 0.5], [0.5, 1.0, 1.0]) == pytest.approx(
        [math.log(2), 0.0, math.inf]
    )
    assert lower_bounds.bernoulli_kl(0.3, 0.3 + 1e-4) == pytest.approx(1e-8 / (2 * 0.21), rel=1e-3)


@pytest.mark.smoke
def test_lower_bound_constants():
    """Known examples; ties cost nothing; C2MAB-V at alpha = 1 is above its lower bound."""
    mu = [0.7, 0.7, 0.4, 0.4, 0.4, 0.4]
    assert lower_bounds.top_n_constant(mu, 2) == pytest.approx(6.249, abs=5e-4)
    assert lower_bounds.top_n_constant(mu, 2) * math.log(1e6) == pytest.approx(86.3, abs=0.05)
    assert lower_bounds.top_n_constant(mu, 1) == lower_bounds.one_arm_constant(mu)
    assert lower_bounds.top_n_constant([0.5] * 4, 2) == 0
    assert lower_bounds.top_n_constant(mu, 6) == 0
    per_log = 4 * 3 / (2 * 0.3)  # alpha^2 ell_T / (2 gap), ell_T ~ 3 ln T
    assert per_log > lower_bounds.top_n_constant(mu, 2)
    by_hand = 12 * 0.15 * 0.8**3 / lower_bounds.bernoulli_kl(0.05, 0.2)
    assert lower_bounds.cascade_constant(16, 4, 0.2, 0.15) == pytest.approx(by_hand)


def test_minimax_orders():
    """Both branches, no choice, and a lower bound that stays below this project's upper bound."""
    assert lower_bounds.top_n_minimax_order(100, 8, 2) == pytest.approx(40)
    few = lower_bounds.top_n_minimax_order(100, 8, 7)
    assert few == pytest.approx(math.sqrt(math.log(8) * 100))
    assert lower_bounds.top_n_minimax_order(100, 8, 8) == 0
    assert lower_bounds.path_minimax([1, 1e6], 8, 2) == pytest.approx([0.1, 200])
    assert set(lower_bounds.SOURCES) >= {"top_n", "one_arm", "cascade", "top_n_minimax"}
