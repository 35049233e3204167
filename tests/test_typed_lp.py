"""The relaxed problem with task types: HiGHS, canonical ties, warm starts, one type."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from c2mabv_jax import relaxation
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE, OPTIMAL, solve_lp, solve_typed_lp
from c2mabv_jax.relaxation.typed import check_additive

# (G, K, N, at_most, instances): 2,100 instances of random numbers.
SIZES = (
    (2, 3, 1, False, 300),
    (3, 11, 1, False, 300),
    (3, 5, 2, True, 300),
    (4, 9, 4, False, 300),
    (8, 16, 1, True, 300),
    (8, 16, 5, False, 300),
    (5, 26, 3, False, 300),  # more arms than a word holds
)


def instances(seed, num_types, num_arms, num_selected, number, grid=None):
    """Weights, costs `[G, K, M]`, frequencies `[G, M]` and budgets `[M]`."""
    rng = np.random.default_rng(seed)
    weights, costs = rng.uniform(size=(2, num_types, num_arms, number))
    if grid:
        weights, costs = np.round(weights * grid) / grid, np.round(costs * grid) / grid
    share = rng.dirichlet(np.ones(num_types), number).T
    if grid:  # dyadic frequencies: ties are ties, to the bit
        share = np.tile(2.0 ** -np.arange(1, num_types + 1), (number, 1)).T
    least = (share * np.sort(costs, axis=1)[:, :num_selected].sum(1)).sum(0)
    most = (share * np.sort(costs, axis=1)[:, -num_selected:].sum(1)).sum(0)
    budget = least + rng.uniform(-0.05, 1.05, number) * (most - least)
    return weights, costs, share, np.maximum(budget, 0)


# Compiled for a few hundred instances each: quickly rather than well.
QUICKLY = {"xla_backend_optimization_level": 0}
solve = jax.jit(solve_typed_lp, static_argnums=(3, 5), compiler_options=QUICKLY)


def highs(weights, costs, share, num_selected, budget, at_most, value=None):
    """Optimal value, or with `value` the least cost of what reaches it; None if infeasible."""
    num_types, num_arms = weights.shape
    gain, cost = ((share[:, None] * x).ravel() for x in (weights, costs))
    places = np.kron(np.eye(num_types), np.ones(num_arms))
    full = np.full(num_types, num_selected)
    rows, limits = [cost], [budget]
    if value is not None:
        rows, limits = [*rows, -gain], [*limits, -value]
    equal = {} if at_most else {"A_eq": places, "b_eq": full}
    if at_most:
        rows, limits = [*rows, *places], [*limits, *full]
    aim = -gain if value is None else cost
    solved = linprog(aim, A_ub=np.array(rows), b_ub=np.array(limits), bounds=(0, 1), **equal)
    return solved.fun * (-1 if value is None else 1) if solved.status == 0 else None


@pytest.mark.parametrize(("num_types", "num_arms", "num_selected", "at_most", "number"), SIZES)
def test_agrees_with_highs(num_types, num_arms, num_selected, at_most, number):
    with jax.enable_x64(True):
        args = instances(num_types, num_types, num_arms, num_selected, number)
        weights, costs, share, budget = args
        solved = solve(weights, costs, share, num_selected, budget, at_most)
        z = np.asarray(solved.marginals)
        certificate = jax.tree.map(np.asarray, solved.certificate)
    fractional = ((z > 0) & (z < 1)).sum(axis=1)
    seen = set()
    for m in range(number):
        best = highs(weights[..., m], costs[..., m], share[:, m], num_selected, budget[m], at_most)
        seen.add(best is None)
        assert certificate.status[m] == (INFEASIBLE if best is None else OPTIMAL)
        if best is None:
            cheapest = np.sort(costs[..., m], axis=1)[:, :num_selected].sum(1)
            assert (z[..., m] * costs[..., m]).sum(1) == pytest.approx(cheapest)
            continue
        assert certificate.objective[m] == pytest.approx(best, abs=1e-9)
        assert certificate.objective[m] + certificate.gap[m] >= best - 1e-9
        assert certificate.feasibility[m] <= 1e-12
        assert fractional[:, m].max() <= 2 and (fractional[:, m] > 0).sum() <= 1
    assert False in seen
    assert at_most or True in seen


@pytest.mark.parametrize("at_most", [False, True])
@pytest.mark.parametrize("num_selected", [1, 2])
def test_ties_go_to_the_cheapest(num_selected, at_most):
    """On a coarse grid most optima are not unique."""
    args = instances(1, 3, 5, num_selected, 150, grid=4)
    weights, costs, share, budget = args
    with jax.enable_x64(True):
        z = np.asarray(solve(*args[:3], num_selected, budget, at_most).marginals)
    spent = (share[:, None] * costs * z).sum((0, 1))
    value = (share[:, None] * weights * z).sum((0, 1))
    slack = 0
    for m in range(150):
        numbers = weights[..., m], costs[..., m], share[:, m], num_selected, budget[m], at_most
        best = highs(*numbers)
        if best is None:
            continue
        assert value[m] == pytest.approx(best, abs=1e-9)
        assert spent[m] == pytest.approx(highs(*numbers, value=best - 1e-12), abs=1e-7)
        slack += spent[m] < budget[m] - 1e-6
    assert slack > 20  # there the cheapest had to be found


@pytest.mark.parametrize("grid", [None, 4])
@pytest.mark.parametrize(("num_selected", "at_most"), [(1, False), (3, True)])
def test_a_warm_start_changes_no_bit(num_selected, at_most, grid):
    """Whatever solution it starts from: of other numbers, with ties, with unseen types."""
    weights, costs, share, budget = instances(2, 4, 9, num_selected, 300, grid)
    share[1, ::3] = 0
    cold = solve(weights, costs, share, num_selected, budget, at_most)
    other = instances(3, 4, 9, num_selected, 300, grid)
    far = solve(*other[:3], num_selected, other[3], at_most)
    for edge in (cold.edge, far.edge, far.edge[::-1]):
        warm = solve(weights, costs, share, num_selected, budget, at_most, edge)
        for a, b in zip(jax.tree.leaves(cold), jax.tree.leaves(warm), strict=True):
            if a.dtype == jnp.int32 or a.ndim == 3:  # decisions; the gap may tell the path
                np.testing.assert_array_equal(a, b)


def test_equal_arms_go_to_the_lower_index():
    weights, costs = jnp.full((2, 4), 0.5), jnp.full((2, 4), 0.25)
    solved = solve(weights, costs, jnp.array([0.5, 0.5]), 2, 0.6)
    np.testing.assert_array_equal(solved.marginals, [[1, 1, 0, 0]] * 2)


@pytest.mark.parametrize(("num_selected", "at_most"), [(1, True), (3, False)])
def test_one_type_is_the_plain_solver_to_the_bit(num_selected, at_most):
    weights, costs, _, budget = instances(4, 1, 9, num_selected, 400)
    one = jnp.ones(1)
    typed = solve(weights, costs, one, num_selected, budget, at_most)
    plain = jax.jit(solve_lp, static_argnums=(2, 4), compiler_options=QUICKLY)
    plain = plain(weights[0], costs[0], num_selected, budget, at_most)
    np.testing.assert_array_equal(typed.marginals[0], plain.marginals)
    np.testing.assert_array_equal(typed.multiplier, plain.multiplier)
    for a, b in zip(typed.certificate, plain.certificate, strict=True):
        np.testing.assert_array_equal(a, b)
    again = solve(weights, costs, one, num_selected, budget, at_most, typed.edge)
    np.testing.assert_array_equal(again.marginals, typed.marginals)


def test_equal_types_are_the_plain_problem():
    """Types that do not differ spend what the plain problem spends."""
    weights, costs, _, budget = instances(5, 1, 9, 2, 200)
    share = np.full((4, 200), 0.25)
    typed = solve(np.tile(weights, (4, 1, 1)), np.tile(costs, (4, 1, 1)), share, 2, budget)
    plain = jax.jit(solve_lp, static_argnums=2, compiler_options=QUICKLY)
    plain = plain(weights[0], costs[0], 2, budget)
    np.testing.assert_allclose(
        typed.certificate.objective, plain.certificate.objective, rtol=2e-6, atol=1e-7
    )


def test_other_rewards_are_refused():
    check_additive(Problem(num_arms=3, num_selected=1, budget=1, reward_model="AWC"))
    check_additive(Problem(num_arms=3, num_selected=2, budget=1, reward_model="SUC"))
    for model in ("AWC", "AIC"):
        with pytest.raises(ProblemError, match=r"num_selected = 2: .*common scale.*SUC"):
            check_additive(Problem(num_arms=3, num_selected=2, budget=1, reward_model=model))
    assert relaxation.solve_typed_lp is solve_typed_lp
