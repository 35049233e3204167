"""Relaxed problem: both solvers against HiGHS, certificates, other objectives, any win."""

from __future__ import annotations

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sparse
from quick import QUICKLY
from scipy.optimize import linprog

from c2mabv_jax import Problem, relaxation
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.policies import local_server
from c2mabv_jax.relaxation import INFEASIBLE, NOT_CONVERGED, OPTIMAL, parametric
from c2mabv_jax.rewards import REWARD_MODELS, log_failure

SOLVERS = ("solve_lp", "projected_gradient")
SHAPES = [(9, 4, False), (9, 4, True), (6, 1, False), (6, 6, False), (64, 20, False)]
KINDS = (
    "random",
    "zero costs",
    "equal arms",
    "ties",
    "slack",
    "cheapest",
    "infeasible",
    "negative",
)
EACH = 300  # of every kind and shape: 12,000 instances in all


@functools.cache
def instances(num_arms, num_selected):
    """Weights and costs `[K, B]`, budgets `[B]`; float32 values, so that all see the same LP."""
    rng = np.random.default_rng((num_arms, num_selected))
    batch = []
    for kind in KINDS:
        weights, costs = rng.random((2, num_arms, EACH))
        spread = rng.uniform(0.05, 1.0, EACH)
        if kind == "zero costs":
            costs[rng.random(costs.shape) < 0.5] = 0
        elif kind == "equal arms":
            half = num_arms // 2 + 1
            weights[:half], costs[:half] = weights[:1], costs[:1]
        elif kind == "ties":
            weights, costs = np.round(4 * weights) / 4, np.round(4 * costs) / 4
        elif kind in ("cheapest", "infeasible"):
            costs = np.round(64 * costs) / 64  # sums of these are exact in float32
        elif kind == "negative":
            weights = weights - 0.5
        ordered = np.sort(costs, axis=0)
        least, most = ordered[:num_selected].sum(0), ordered[-num_selected:].sum(0)
        budget = least + spread * (most - least) + 1e-3
        if kind == "ties":
            budget = np.ceil(4 * budget) / 4
        elif kind == "slack":
            budget = most + 1
        elif kind == "cheapest":
            budget = least
        elif kind == "infeasible":
            budget = np.maximum(least - 1 / 16, 0)
        batch.append((weights, costs, budget))
    return tuple(
        np.concatenate(part, axis=-1).astype(np.float32) for part in zip(*batch, strict=True)
    )


@functools.cache
def reference(num_arms, num_selected, at_most):
    """Optimal objectives by HiGHS, NaN where infeasible: one block-diagonal LP for each kind."""
    weights, costs, budget = (x.astype(np.float64) for x in instances(num_arms, num_selected))
    least = np.sort(costs, axis=0)[:num_selected].sum(0)
    feasible = np.full(budget.shape, True) if at_most else least <= budget
    values = np.full(budget.shape, np.nan)
    for kind in range(len(KINDS)):
        lanes = np.flatnonzero(feasible[kind * EACH : (kind + 1) * EACH]) + kind * EACH
        if not lanes.size:
            continue
        w, c = weights[:, lanes].T, costs[:, lanes].T
        bills = sparse.block_diag(list(c[:, None]), format="csr")
        sizes = sparse.kron(sparse.identity(lanes.size), np.ones((1, num_arms)), format="csr")
        many = np.full(lanes.size, num_selected)
        limits = [bills, sizes] if at_most else [bills]
        answer = linprog(
            -w.ravel(),
            A_ub=sparse.vstack(limits),
            b_ub=np.concatenate([budget[lanes], many]) if at_most else budget[lanes],
            A_eq=None if at_most else sizes,
            b_eq=None if at_most else many,
            bounds=(0, 1),
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        assert answer.status == 0, answer.message
        values[lanes] = (w * answer.x.reshape(w.shape)).sum(1)
    return values


@functools.cache
def compiled(solver, num_selected, at_most):
    solve = getattr(relaxation, solver)
    return jax.jit(
        lambda weights, costs, budget, warm=None: solve(
            weights, costs, num_selected, budget, at_most=at_most, warm=warm
        )
    )


def shortfall(solution, data, best, tolerance, num_selected, at_most):
    """Errors over what is allowed: objective, cardinality, budget and box; float64."""
    weights, costs, budget = (x.astype(np.float64) for x in data)
    z = np.asarray(solution.marginals, np.float64)
    price = np.asarray(solution.multiplier, np.float64)
    # A budget met to within `feasible` is worth price x feasible of objective.
    feasible = tolerance * np.maximum(1, budget) / 10
    allowed = tolerance * np.maximum(1, np.abs(best)) + price * feasible
    size = z.sum(0) - num_selected
    return {
        "objective": np.abs((weights * z).sum(0) - best) / allowed,
        "reported": np.abs(np.asarray(solution.certificate.objective) - (weights * z).sum(0))
        / allowed,
        "budget": ((costs * z).sum(0) - budget) / np.maximum(1e-6 * np.maximum(1, budget), 0),
        "cardinality": np.maximum(size, 0) / 1e-6 / num_selected
        if at_most
        else np.abs(size) / 1e-6 / num_selected,
        "box": np.maximum(-z, z - 1).max(0) / 1e-6,
    }


def check(solver, num_arms, num_selected, at_most, tolerance):
    data = instances(num_arms, num_selected)
    best = reference(num_arms, num_selected, at_most)
    dtype = jnp.result_type(float)
    arrays = [jnp.asarray(x, dtype) for x in data]
    solution = compiled(solver, num_selected, at_most)(*arrays)
    status = np.asarray(solution.certificate.status)
    feasible = ~np.isnan(best)
    assert (status[~feasible] == INFEASIBLE).all()
    assert (status[feasible] == OPTIMAL).all()
    errors = shortfall(solution, data, best, tolerance, num_selected, at_most)
    for name, error in errors.items():
        assert np.nanmax(error[feasible]) <= 1, (name, np.nanmax(error[feasible]))
    if not feasible.all():  # the N cheapest
        bill = (data[1] * np.asarray(solution.marginals)).sum(0)
        least = np.sort(data[1], axis=0)[:num_selected].sum(0)
        np.testing.assert_allclose(bill[~feasible], least[~feasible], rtol=1e-6)
    fractional = ((np.asarray(solution.marginals) > 0) & (np.asarray(solution.marginals) < 1)).sum(
        0
    )
    assert fractional.max() <= 2
    return solution, best


@pytest.mark.parametrize("num_arms, num_selected, at_most", SHAPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_agrees_with_highs_float32(solver, num_arms, num_selected, at_most):
    solution, best = check(solver, num_arms, num_selected, at_most, 1e-5)
    certificate = solution.certificate
    true_gap = best - np.asarray(certificate.objective, np.float64)
    noise = 1e-5 * np.maximum(1, np.abs(best)) + 1e-6 * np.asarray(solution.multiplier)
    assert np.nanmax(true_gap - np.asarray(certificate.gap) - noise) <= 0
    assert np.nanmax(np.asarray(certificate.gap) - noise) <= 0


@pytest.mark.parametrize("num_arms, num_selected, at_most", [SHAPES[0], SHAPES[1], SHAPES[4]])
@pytest.mark.parametrize("solver", SOLVERS)
def test_agrees_with_highs_float64(solver, num_arms, num_selected, at_most):
    with jax.enable_x64(True):
        check(solver, num_arms, num_selected, at_most, 1e-9)


def test_comparison_with_highs_can_fail():
    """Negative control: the top N by reward per cost, mixed with nothing, is not optimal."""
    data, best = instances(9, 4), reference(9, 4, True)
    solution = compiled("solve_lp", 4, True)(*map(jnp.asarray, data))
    density = data[0] / np.maximum(data[1], 1e-3)
    greedy = np.argsort(np.argsort(-density, axis=0), axis=0) < 4
    wrong = solution._replace(marginals=greedy.astype(np.float32))
    errors = shortfall(wrong, data, best, 1e-5, 4, True)
    assert (errors["objective"] > 1).mean() > 0.3


@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_leaves_the_optimum(solver):
    """From the edge of a perturbed problem, and from any sets of the right size."""
    num_arms, num_selected, _ = SHAPES[0]
    weights, costs, budget = map(jnp.asarray, instances(num_arms, num_selected))
    cold = compiled(solver, num_selected, False)
    solve = compiled(solver, num_selected, False)
    expected = solve(weights, costs, budget)
    near = cold(weights + 0.01 * jnp.sin(7 * weights), costs, budget).edge
    rng = np.random.default_rng(5)
    ranks = rng.random((2, *weights.shape)).argsort(axis=1).argsort(axis=1)
    anything = tuple(jnp.asarray(r < num_selected) for r in ranks)
    for warm in (near, anything, expected.edge):
        solution = solve(weights, costs, budget, warm)
        np.testing.assert_array_equal(solution.certificate.status, expected.certificate.status)
        slack = 1e-5 + 1e-6 * np.asarray(expected.multiplier)
        error = np.abs(solution.certificate.objective - expected.certificate.objective)
        assert (error <= slack).all()


@pytest.mark.smoke
@pytest.mark.parametrize("solver", SOLVERS)
def test_one_closed_form(solver):
    """Two arms share one place: z_1 = (rho - c_2) / (c_1 - c_2), price = slope."""
    solve = getattr(relaxation, solver)
    solution = solve(jnp.array([0.9, 0.5]), jnp.array([0.8, 0.3]), 1, 0.5)
    np.testing.assert_allclose(solution.marginals, [0.4, 0.6], rtol=1e-6)
    np.testing.assert_allclose(solution.multiplier, 0.8, rtol=1e-5)
    assert solution.certificate.status == OPTIMAL


@pytest.mark.parametrize(
    "optimizer", [optax.sgd(2.0), optax.sgd(1.0, momentum=0.5)], ids=["sgd", "momentum"]
)
def test_other_transformations_reach_the_optimum(optimizer):
    data = [x[..., :100] for x in instances(9, 4)]
    best = reference(9, 4, False)[:100]
    solution = jax.jit(
        lambda w, c, b: relaxation.projected_gradient(w, c, 4, b, optimizer=optimizer),
        compiler_options=QUICKLY,
    )(*map(jnp.asarray, data))
    assert (np.asarray(solution.certificate.status) == OPTIMAL).all()
    np.testing.assert_allclose(solution.certificate.objective, best, atol=1e-4)


def test_too_few_steps_say_so():
    data = [x[..., :100] for x in instances(9, 4)]
    best = reference(9, 4, False)[:100]
    w, c, b = map(jnp.asarray, data)
    solution = relaxation.projected_gradient(w, c, 4, b, optimizer=optax.sgd(0.01), max_steps=2)
    gap = np.asarray(solution.certificate.gap)
    far = best - np.asarray(solution.certificate.objective)
    assert (far > 1e-3).mean() > 0.9
    assert (np.asarray(solution.certificate.status)[far > 1e-3] == NOT_CONVERGED).all()
    assert (gap >= far - 1e-5).all()


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize(("num_arms", "num_selected"), [(9, 4), (30, 6)])
def test_an_exact_search_stopped_early_says_so(num_arms, num_selected, steps, monkeypatch):
    data = [x[..., :200] for x in instances(num_arms, num_selected)]
    best = reference(num_arms, num_selected, False)[:200]
    monkeypatch.setattr(parametric, "MAX_STEPS", steps)
    solution = relaxation.solve_lp(*map(jnp.asarray, data[:2]), num_selected, jnp.asarray(data[2]))
    status = np.asarray(solution.certificate.status)
    unfinished = status == NOT_CONVERGED
    assert unfinished.mean() > (0.02 if steps == 3 else 0.2)
    gap = np.asarray(solution.certificate.gap)[unfinished]
    far = (best - np.asarray(solution.certificate.objective))[unfinished]
    assert (gap >= far - 1e-5).all() and (gap > 1e-5).mean() > 0.9
    if steps == 3:
        assert np.isfinite(gap).any()  # both ends were found: how far is it at most?


def test_a_concave_objective_of_ones_own():
    """-|z - y|^2 / 2 has the projection of y as its maximum."""
    weights, costs, budget = (jnp.asarray(x[..., :200]) for x in instances(9, 4))
    target = 2 * weights - 0.3
    solution = jax.jit(
        lambda start, c, b: relaxation.ascend(
            lambda z: -((z - target) ** 2).sum(0) / 2, start, c, 4, b, optimizer=optax.sgd(0.7)
        ),
        compiler_options=QUICKLY,
    )(jnp.full(costs.shape, 0.5), costs, budget)
    expected = jax.jit(lambda y, c, b: relaxation.project(y, c, 4, b), compiler_options=QUICKLY)(
        target, costs, budget
    )
    np.testing.assert_allclose(solution.marginals, expected, atol=2e-5)
    assert (np.asarray(solution.certificate.status) == OPTIMAL).all()


# Any win -------------------------------------------------------------------------------------

ANY_WIN = (6, 3, 1000)
RATIO = 1 - math.exp(-1)


@functools.cache
def any_win():
    """Instances, and the exact mixed optimum: min over prices of the best penalised set."""
    num_arms, num_selected, batch = ANY_WIN
    rng = np.random.default_rng(11)
    values = rng.random((num_arms, batch)) ** rng.choice([0.2, 1.0, 3.0], (1, batch))
    costs = rng.random((num_arms, batch))
    budget = rng.uniform(0.05, 1.5, batch)
    table = np.array(
        [
            [k in chosen for k in range(num_arms)]
            for size in range(num_selected + 1)
            for chosen in itertools.combinations(range(num_arms), size)
        ],
        float,
    )
    reward = 1 - np.prod(np.where(table[:, :, None] > 0, 1 - values, 1), axis=1)
    bill = table @ costs
    # The upper concave envelope at the budget: the best of all mixtures of two sets around it.
    mixed = np.where(bill <= budget, reward, -np.inf).max(0)
    for low, high in itertools.permutations(range(len(table)), 2):
        across = (bill[low] <= budget) & (bill[high] > budget)
        share = np.where(
            across, (budget - bill[low]) / np.where(across, bill[high] - bill[low], 1), 0
        )
        mixture = reward[low] + share * (reward[high] - reward[low])
        mixed = np.where(across, np.maximum(mixed, mixture), mixed)
    return values.astype(np.float32), costs.astype(np.float32), budget.astype(np.float32), mixed


@pytest.mark.parametrize("solver", ["exact", "projected_gradient"])
def test_any_win_keeps_its_ratio(solver, record_property):
    values, costs, budget, mixed = any_win()
    num_arms, num_selected, _ = ANY_WIN
    problem = Problem(num_arms=num_arms, num_selected=num_selected, budget=budget)
    solution, _ = jax.jit(local_server.relax, static_argnames="solver", compiler_options=QUICKLY)(
        problem, Bounds(jnp.asarray(values), jnp.asarray(costs)), solver=solver
    )
    ratio = np.asarray(REWARD_MODELS["AWC"].relaxed(values, solution.marginals)) / mixed
    record_property("worst_ratio", float(ratio.min()))
    print(f"any win, {solver}: worst ratio {ratio.min():.4f}, mean {ratio.mean():.4f}")
    assert ratio.min() >= RATIO
    assert ratio.max() <= 1 + 1e-5
    assert (np.asarray(solution.certificate.feasibility) <= 1e-6).all()


def test_boosted_ascent_keeps_its_ratio_and_its_certificate(record_property):
    values, costs, budget, mixed = any_win()
    num_selected = ANY_WIN[1]
    solution = jax.jit(
        functools.partial(relaxation.boosted_ascent, num_selected=num_selected),
        compiler_options=QUICKLY,
    )(values, costs, budget=budget)
    reached = np.asarray(solution.certificate.objective)
    record_property("worst_ratio", float((reached / mixed).min()))
    print(f"any win, boosted ascent alone: worst ratio {(reached / mixed).min():.4f}")
    assert (reached / mixed).min() >= RATIO
    gap = np.asarray(solution.certificate.gap)
    assert np.quantile(gap, 0.99) < 1e-3
    # Promise of the certificate, against feasible points of other makers.
    solve = compiled("solve_lp", num_selected, True)
    for weights in (values, np.asarray(log_failure(jnp.asarray(values)))):
        other = solve(jnp.asarray(weights), jnp.asarray(costs), jnp.asarray(budget)).marginals
        rival = np.asarray(REWARD_MODELS["AWC"].relaxed(values, other))
        assert (reached >= RATIO * rival - gap - 1e-5).all()


def test_ratio_check_can_fail():
    """Negative control: log-failure weights alone, with sure winners in the list, fall below."""
    values, costs, budget, mixed = any_win()
    weights = np.asarray(log_failure(jnp.asarray(values)))
    solve = compiled("solve_lp", ANY_WIN[1], True)
    z = solve(jnp.asarray(weights), jnp.asarray(costs), jnp.asarray(budget)).marginals
    ratio = np.asarray(REWARD_MODELS["AWC"].relaxed(values, z)) / mixed
    assert ratio.min() < RATIO


def test_boosted_gradient_is_the_integral():
    """Against SciPy quadrature of e^{s-1} grad F(s z) on one instance."""
    from scipy.integrate import quad

    from c2mabv_jax.relaxation.multilinear import boosted_gradient

    rng = np.random.default_rng(3)
    values, z = rng.random((2, 7))

    def entry(k):
        others = np.delete(np.arange(7), k)
        return quad(
            lambda s: math.exp(s - 1) * values[k] * np.prod(1 - s * values[others] * z[others]),
            0,
            1,
        )[0]

    expected = [entry(k) for k in range(7)]
    got = boosted_gradient(jnp.asarray(values), jnp.asarray(z))
    np.testing.assert_allclose(got, expected, rtol=2e-6)
