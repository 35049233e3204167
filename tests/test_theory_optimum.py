"""Mixed optimum, duals, best fixed set and frontier against HiGHS and plain enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory import frontier, optimum, set_table
from c2mabv_jax.theory import sets as sets_module


def suc(num_arms, num_selected, budget, at_most=False):
    return Problem(
        num_arms=num_arms,
        num_selected=num_selected,
        budget=budget,
        reward_model="SUC",
        cardinality="at_most" if at_most else "exactly",
    )


def highs(mu, c, size, budget, at_most):
    """The relaxed problem by HiGHS: value, or None if infeasible."""
    ones = np.ones((1, len(mu)))
    rows, limits = [np.asarray(c)], [budget]
    if at_most:
        answer = linprog(-mu, np.vstack([rows, ones]), [*limits, size], bounds=(0, 1))
    else:
        answer = linprog(-mu, rows, limits, ones, [size], bounds=(0, 1))
    return -answer.fun if answer.status == 0 else None


def value_of(model, mu, chosen):
    """r(S) in plain Python."""
    picked = [mu[k] for k in chosen]
    if model == "SUC":
        return math.fsum(picked)
    return 1 - math.prod(1 - x for x in picked) if model == "AWC" else math.prod(picked)


def all_sets(num_arms, size, at_most):
    sizes = range(size + 1) if at_most else [size]
    return [s for n in sizes for s in itertools.combinations(range(num_arms), n)]


def instances(number, seed):
    """Random instances with ties, zero costs, equal arms, tight and loose budgets."""
    rng = np.random.default_rng(seed)
    for index in range(number):
        num_arms = int(rng.integers(2, 9))
        size = int(rng.integers(1, num_arms + 1))
        mu, c = rng.random(num_arms), rng.random(num_arms)
        if index % 3 == 0:  # coarse values: many ties
            mu, c = np.round(mu * 4) / 4, np.round(c * 4) / 4
        cheap, dear = np.sort(c)[:size].sum(), np.sort(c)[-size:].sum()
        budget = cheap + rng.random() * (dear - cheap)
        if index % 5 == 0:
            budget = np.sort(c)[:size].sum() if index % 2 else round(budget * 4) / 4
        yield mu, c, size, float(budget), bool(index % 2)


def test_suc_value_and_duals():
    """Value as HiGHS has it; duals prove it and satisfy the Lagrangian identity."""
    rng = np.random.default_rng(1)
    for mu, c, size, budget, at_most in instances(300, 0):
        best = optimum(suc(mu.size, size, budget, at_most), mu, c)
        reference = highs(mu, c, size, budget * (1 + 1e-12) + 1e-15, at_most)
        assert best.feasible == (reference is not None)
        if reference is None:
            continue
        assert best.relaxed == pytest.approx(reference, abs=1e-9)
        z, lam, nu = best.marginals, best.multiplier, best.cardinality_multiplier
        # primal: feasible, and worth what is claimed
        assert mu @ z == pytest.approx(best.relaxed, abs=1e-12)
        assert c @ z <= budget + 1e-12
        assert (z >= 0).all() and (z <= 1).all()
        assert z.sum() <= size + 1e-12 and (at_most or z.sum() >= size - 1e-12)
        # dual: the same value, from the multipliers alone
        adjusted = np.sort(mu - lam * c)[::-1][:size]
        dual = lam * budget + (np.maximum(adjusted, 0) if at_most else adjusted).sum()
        assert lam >= 0
        assert dual == pytest.approx(best.relaxed, abs=1e-10 * (1 + lam))
        # identity for any point of the polytope (here: any z with the cardinality)
        y = rng.random(mu.size)
        y *= min(1, size / y.sum())
        y += (size - y.sum()) * (1 - y) / max((1 - y).sum(), 1e-300)
        away = np.where(best.reduced < 0, y, 1 - y)
        left = best.relaxed - mu @ y + lam * (c @ y - budget)
        right = (np.abs(best.reduced) * away).sum() + nu * (size - y.sum())
        # basic arms count as reduced reward 0, whichever way
        assert left == pytest.approx(right, abs=1e-9 * (1 + lam))


def test_suc_is_a_vertex_one_swap_apart():
    """Zero, one (at most) or two fractional arms; sets one swap apart; the mix is the vertex."""
    for mu, c, size, budget, at_most in instances(300, 7):
        best = optimum(suc(mu.size, size, budget, at_most), mu, c)
        fractional = ((best.marginals > 1e-9) & (best.marginals < 1 - 1e-9)).sum()
        assert fractional in ((0, 1, 2) if at_most else (0, 2))
        assert np.allclose(best.mix @ np.array(best.sets, float), best.marginals)
        assert best.mix.sum() == pytest.approx(1)
        if len(best.sets) == 2:
            assert (best.sets[0] ^ best.sets[1]).sum() <= 2
            assert best.basic.sum() in ((1, 2) if at_most else (2,))
        elif best.feasible:
            assert not best.binding and best.multiplier == 0


def test_degenerate_is_flagged():
    """Ties and exactly met budgets are called degenerate; generic instances are not."""
    mu, c = np.array([0.9, 0.6, 0.3]), np.array([0.7, 0.3, 0.2])
    generic = optimum(suc(3, 1, 0.45), mu, c)
    assert not generic.degenerate
    assert generic.multiplier == pytest.approx(0.75)
    assert generic.marginals == pytest.approx([0.375, 0.625, 0])
    assert generic.reduced == pytest.approx([0, 0, -0.225])
    assert optimum(suc(3, 1, 0.3), mu, c).degenerate  # one set meets the budget
    collinear = np.array([0.9, 0.6, 0.525])  # third arm on the line of the first two
    assert optimum(suc(3, 1, 0.45), collinear, c).degenerate
    assert optimum(suc(3, 1, 5.0), np.array([0.5, 0.5, 0.1]), c).degenerate
    assert not optimum(suc(3, 1, 5.0), mu, c).degenerate


@pytest.mark.parametrize("model", ["AWC", "AIC"])
def test_products_against_enumeration(model):
    """Mixed optimum by HiGHS over all sets; best fixed set by plain enumeration."""
    for mu, c, size, budget, _ in instances(60, 3):
        problem = Problem(num_arms=mu.size, num_selected=size, budget=budget, reward_model=model)
        rows = all_sets(mu.size, size, problem.at_most)
        values = np.array([value_of(model, mu, s) for s in rows])
        costs = np.array([math.fsum(c[list(s)]) for s in rows])
        best = optimum(problem, mu, c)
        within = costs <= budget * (1 + 1e-12)
        assert best.feasible == bool(within.any())
        if not within.any():
            assert best.fixed_set is None and best.fixed_value is None
            continue
        assert best.fixed_value == pytest.approx(values[within].max(), abs=1e-12)
        ones = np.ones((1, len(rows)))
        answer = linprog(-values, costs[None], [budget * (1 + 1e-12)], ones, [1])
        assert best.relaxed == pytest.approx(-answer.fun, abs=1e-9)
        # the multiplier supports the envelope: no set lies above its line
        assert (values <= best.relaxed + best.multiplier * (costs - budget) + 1e-9).all()


def test_many_arms():
    """K = 1024 needs no enumeration; value and multiplier as HiGHS has them."""
    rng = np.random.default_rng(5)
    mu = rng.random(1024)
    c = 0.6 * rng.random(1024) + 0.3 * mu
    best = optimum(suc(1024, 16, 3.0), mu, c)
    assert best.relaxed == pytest.approx(highs(mu, c, 16, 3.0, False), abs=1e-9)
    assert best.exact and best.fixed_value <= best.relaxed
    assert c[best.fixed_set].sum() <= 3.0 and best.fixed_set.sum() == 16


@pytest.mark.parametrize("model", ["SUC", "AWC", "AIC"])
def test_beyond_enumeration(model, monkeypatch):
    """With the table forbidden: fixed set still right; AWC and AIC give a true upper bound."""
    rng = np.random.default_rng(11)
    for _ in range(8):
        mu, c = rng.random(9), rng.random(9)
        problem = Problem(num_arms=9, num_selected=3, budget=1.0, reward_model=model)
        exact = optimum(problem, mu, c)
        table = set_table(problem, mu, c)
        with monkeypatch.context() as patch:
            patch.setattr(sets_module, "MOST_SETS", 5)
            other = optimum(problem, mu, c)
        assert other.fixed_value == pytest.approx(exact.fixed_value, abs=1e-6)
        assert other.relaxed >= exact.relaxed - 1e-9
        lines = other.relaxed + other.multiplier * (table.costs - 1.0)
        assert (table.values <= lines + 1e-9).all()
        assert other.exact == (model == "SUC")


def test_table_of_dependent_arms():
    """A reward table over subsets replaces the formula, bit k of the index for arm k."""
    problem = Problem(num_arms=4, num_selected=2, budget=0.7, reward_model="AWC")
    rng = np.random.default_rng(2)
    mu, c, table = rng.random(4), rng.random(4), rng.random(16)
    table[0] = 0
    listed = set_table(problem, mu, c, table)
    for row, value in zip(listed.sets, listed.values, strict=True):
        assert value == table[sum(1 << k for k in range(4) if row[k])]
    independent = [
        value_of("AWC", mu, [k for k in range(4) if code >> k & 1]) for code in range(16)
    ]
    assert optimum(problem, mu, c, independent).relaxed == pytest.approx(
        optimum(problem, mu, c).relaxed
    )


@pytest.mark.parametrize("model", ["SUC", "AWC", "AIC"])
def test_frontier_is_the_optimum_of_every_budget(model):
    """Interpolating the corners gives the mixed optimum; the curve rises and is concave."""
    rng = np.random.default_rng(4)
    mu, c = rng.random(7), rng.random(7)
    problem = Problem(num_arms=7, num_selected=3, budget=1.0, reward_model=model)
    curve = frontier(problem, mu, c)
    slopes = np.diff(curve.values) / np.diff(curve.costs)
    assert (slopes > 0).all() and (np.diff(slopes) < 1e-12).all()
    assert [c[s].sum() for s in curve.sets] == pytest.approx(curve.costs)
    for budget in np.linspace(curve.costs[0], curve.costs[-1] + 0.1, 13):
        here = optimum(problem.replace(budget=budget), mu, c)
        expected = np.interp(budget, curve.costs, curve.values)
        assert here.relaxed == pytest.approx(expected, abs=1e-12)


@pytest.mark.smoke
def test_money_of_any_size():
    """Costs of 1e-7 or 1e7: the same policy, and the multiplier in reward per that money."""
    mu, c = np.array([0.9, 0.6, 0.3]), np.array([0.7, 0.3, 0.2])
    for unit in (1e-7, 1e7):
        best = optimum(suc(3, 1, 0.45 * unit), mu, c * unit)
        assert best.marginals == pytest.approx([0.375, 0.625, 0])
        assert best.multiplier * unit == pytest.approx(0.75)
        assert not best.degenerate


def test_plain_types():
    """Results go into JSON and attributes: Python numbers, not NumPy scalars."""
    for budget in (0.05, 0.45, 9.0):
        best = optimum(suc(3, 1, budget), [0.9, 0.6, 0.3], [0.7, 0.3, 0.2])
        assert type(best.relaxed) is float and type(best.multiplier) is float
        for flag in (best.binding, best.feasible, best.exact, best.degenerate):
            assert type(flag) is bool


def test_bad_means_are_named():
    """Wrong shapes and missing numbers give a line that names the field."""
    with pytest.raises(ProblemError, match="mean_reward"):
        optimum(suc(3, 1, 0.5), [0.5, 0.5], [0.1, 0.1, 0.1])
    with pytest.raises(ProblemError, match="mean_cost"):
        optimum(suc(3, 1, 0.5), [0.5, 0.5, 0.5], [0.1, np.nan, 0.1])
    with pytest.raises(ProblemError, match="too many"):
        set_table(
            Problem(num_arms=60, num_selected=10, budget=1.0, reward_model="AIC"),
            np.full(60, 0.5),
            np.full(60, 0.1),
        )
