"""Projection onto box, cardinality and budget: exact references, KKT, closed forms."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick import QUICKLY
from scipy.optimize import minimize

from c2mabv_jax.relaxation import project
from c2mabv_jax.relaxation.polytope import Polytope
from c2mabv_jax.relaxation.projection import project_with_multipliers


@functools.cache
def compiled(num_selected, at_most):
    return jax.jit(
        lambda y, c, budget: project_with_multipliers(
            y, Polytope(c, num_selected, budget, at_most)
        ),
        compiler_options=QUICKLY,
    )


def draw(num_arms, num_selected, batch, seed, ties=False):
    """Points, costs and feasible budgets in float64; some lanes with zero and equal costs."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0.5, 1.0, (num_arms, batch))
    c = rng.random((num_arms, batch))
    if ties:
        y, c = np.round(2 * y) / 2, np.round(4 * c) / 4
    c[: num_arms // 2, : batch // 8] = 0
    c[: num_arms // 2, batch // 8 : batch // 4] = 0.5
    ordered = np.sort(c, axis=0)
    least, most = ordered[:num_selected].sum(0), ordered[-num_selected:].sum(0)
    return y, c, least + rng.uniform(0.02, 1.1, batch) * (most - least) + 1e-3


def by_enumeration(y, c, num_selected, budget, at_most):
    """Closest point by trying every set of bounds and active constraints; `[K, B]`."""
    num_arms, batch = y.shape
    best, distance = np.full(y.shape, np.nan), np.full(batch, np.inf)
    for status in itertools.product((0, 1, None), repeat=num_arms):
        free = np.array([s is None for s in status])
        fixed = np.array([s or 0 for s in status], float)
        for count, bill in itertools.product((False, True), repeat=2):
            if not at_most and not count:
                continue
            for lane in range(batch):
                rows = [np.ones(num_arms)] * count + [c[:, lane]] * bill
                z = fixed.copy()
                z[free] = y[free, lane]
                if rows:
                    a = np.array(rows)
                    want = np.array([num_selected] * count + [budget[lane]] * bill) - a @ z
                    z[free] += np.linalg.pinv(a[:, free]) @ want if free.any() else 0
                size, spent = z.sum() - num_selected, c[:, lane] @ z - budget[lane]
                fits = z.min() >= -1e-9 and z.max() <= 1 + 1e-9 and spent <= 1e-9
                fits = fits and (size <= 1e-9 if at_most else abs(size) <= 1e-9)
                far = ((z - y[:, lane]) ** 2).sum()
                if fits and far < distance[lane]:
                    best[:, lane], distance[lane] = z, far
    return best


@pytest.mark.parametrize("at_most", [False, True])
def test_agrees_with_enumeration(at_most):
    """Every face of the polytope tried in float64: an exact, independent QP solution."""
    y, c, budget = draw(3, 2, 40, seed=1, ties=True)
    expected = by_enumeration(y, c, 2, budget, at_most)
    with jax.enable_x64(True):
        got = compiled(2, at_most)(jnp.asarray(y), jnp.asarray(c), jnp.asarray(budget))
        np.testing.assert_allclose(got.marginals, expected, atol=1e-9)


def test_agrees_with_slsqp():
    y, c, budget = draw(9, 4, 64, seed=2)
    z = np.asarray(compiled(4, False)(*(jnp.asarray(x, jnp.float32) for x in (y, c, budget)))[0])
    for lane in range(0, 64, 4):
        answer = minimize(
            lambda x, lane=lane: ((x - y[:, lane]) ** 2).sum() / 2,
            np.full(9, 4 / 9),
            jac=lambda x, lane=lane: x - y[:, lane],
            method="SLSQP",
            bounds=[(0, 1)] * 9,
            constraints=[
                {"type": "eq", "fun": lambda x: x.sum() - 4},
                {"type": "ineq", "fun": lambda x, lane=lane: budget[lane] - c[:, lane] @ x},
            ],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(z[:, lane], answer.x, atol=1e-5)


def kkt_residuals(projection, y, c, budget, num_selected, at_most):
    """Largest violations of feasibility and of stationarity, in float64."""
    z = np.asarray(projection.marginals, np.float64)
    price, level = (np.asarray(x, np.float64) for x in (projection.price, projection.level))
    size, spent = z.sum(0) - num_selected, (c * z).sum(0) - budget
    infeasible = max(
        (np.maximum(size, 0) if at_most else np.abs(size)).max(),
        spent.max(),
        (-z).max(),
        (z - 1).max(),
    )
    # The multipliers are recovered to rounding error times the price, so scale by it.
    off = np.abs(z - np.clip(y - level - price * c, 0, 1)) / (1 + price)
    complementary = np.abs(np.minimum(price, -spent)) / (1 + price)
    assert (price >= 0).all()
    if at_most:
        assert (level >= 0).all()
        complementary = np.maximum(complementary, np.minimum(level, -size))
    return infeasible, off.max(), complementary.max()


@pytest.mark.parametrize(
    "num_arms, num_selected, at_most", [(9, 4, False), (9, 4, True), (16, 6, False)]
)
def test_kkt_float32(num_arms, num_selected, at_most):
    y, c, budget = (
        x.astype(np.float32).astype(np.float64) for x in draw(num_arms, num_selected, 1024, seed=3)
    )
    projection = compiled(num_selected, at_most)(
        *(jnp.asarray(x, jnp.float32) for x in (y, c, budget))
    )
    infeasible, off, complementary = kkt_residuals(projection, y, c, budget, num_selected, at_most)
    assert infeasible <= 1e-6 * max(1, num_selected / 4)  # rounding of a sum of N terms
    assert off <= 2e-5
    assert complementary <= 2e-5
    again = compiled(num_selected, at_most)(
        projection.marginals, jnp.asarray(c, jnp.float32), jnp.asarray(budget, jnp.float32)
    )
    np.testing.assert_allclose(again.marginals, projection.marginals, atol=5e-6)


@pytest.mark.parametrize("at_most", [False, True])
def test_kkt_float64(at_most):
    y, c, budget = draw(9, 4, 512, seed=4, ties=True)
    with jax.enable_x64(True):
        projection = compiled(4, at_most)(*map(jnp.asarray, (y, c, budget)))
        assert max(kkt_residuals(projection, y, c, budget, 4, at_most)) <= 1e-10


def test_optimality_check_can_fail():
    """Negative control: clipping and rescaling, a projection in no norm, breaks stationarity."""
    y, c, budget = draw(9, 4, 1024, seed=3)
    projection = compiled(4, False)(*(jnp.asarray(x, jnp.float32) for x in (y, c, budget)))
    z = np.clip(y, 0, 1)
    wrong = projection._replace(marginals=z * 4 / z.sum(0))
    infeasible, off, _ = kkt_residuals(wrong, y, c, budget, 4, False)
    assert infeasible > 1e-2
    assert off > 1e-2


@pytest.mark.smoke
def test_closed_forms():
    costs = jnp.array([0.1, 0.4, 0.2, 0.3])[:, None]
    solve = jax.jit(project, static_argnums=(2, 4))
    # Without a budget the capped simplex: y shifted by a constant, here 1/4.
    # Budget equal to the two cheapest arms, or below them: those arms, whatever the point.
    points = jnp.array([[1.2, 0.5, 0.0, -0.3], [0.2, 0.9, 0.4, -0.3], [0.2, 0.9, 0.4, -0.3]]).T
    exactly = solve(points, costs, 2, jnp.array([9.0, 0.3, 0.1]), False)
    np.testing.assert_allclose(exactly[:, 0], [1, 0.75, 0.25, 0], atol=1e-6)
    np.testing.assert_allclose(exactly[:, 1], [1, 0, 1, 0], atol=1e-5)
    np.testing.assert_array_equal(exactly[:, 2], [1, 0, 1, 0])
    # At most two: a feasible point stays but for the box; without money nothing is left; with
    # two places for 2 + 1/2 the excess is taken from all alike.
    points = jnp.array([[0.2, 0.9, 0.4, -0.3], [0.2, 0.9, 0.4, -0.3], [0.5, 0.75, 0.75, 0.5]]).T
    at_most = solve(points, costs, 2, jnp.array([9.0, 0.0, 9.0]), True)
    np.testing.assert_allclose(at_most[:, 0], [0.2, 0.9, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(at_most[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(at_most[:, 2], [0.375, 0.625, 0.625, 0.375], atol=1e-6)


def test_far_points_lose_no_more_than_their_digits():
    """The constraints hold to rounding error of a point of size 1e4, not to that of 1."""
    y, c, budget = draw(9, 4, 1024, seed=6)
    y = (1e4 * y).astype(np.float32)
    projection = compiled(4, False)(*(jnp.asarray(x, jnp.float32) for x in (y, c, budget)))
    z = np.asarray(projection.marginals, np.float64)
    c, budget = (x.astype(np.float32).astype(np.float64) for x in (c, budget))
    noise = 2.0**-23 * np.abs(y).max(0)
    assert (np.abs(z.sum(0) - 4) <= noise).all()
    assert ((c * z).sum(0) - budget <= noise).all()


@pytest.mark.parametrize("at_most", [False, True])
def test_the_budget_holds_to_the_last_bits(at_most):
    """A linear correction follows the search, which alone is off by ten times as much."""
    rng = np.random.default_rng(0)
    points = (3 * rng.normal(size=(5, 400))).astype(np.float32)
    costs = rng.random((5, 400)).astype(np.float32)
    budget = 1.3 * np.sort(costs, axis=0)[:2].sum(axis=0)
    z = np.asarray(project(points, costs, 2, budget, at_most), float)
    over = (costs * z).sum(axis=0) / budget - 1
    assert over.max() <= 2 * np.finfo(np.float32).eps
    assert (over > -1e-3).mean() > 0.5  # most budgets are spent
