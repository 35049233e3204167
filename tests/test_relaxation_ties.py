"""Where several relaxed solutions are optimal, the decision is still a function of the bounds.

Of all optimal solutions the cheapest, of equal arms the lower index (SPEC.md section 11):
thousands of problems whose weights, costs and budgets are multiples of 1/8, so that ties are
exact and sums have no rounding error, against an enumeration of all vertices.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax.relaxation import INFEASIBLE, OPTIMAL, solve_lp

SHAPES = [(4, 2, False), (5, 1, True), (6, 3, False), (6, 4, True), (8, 4, False), (8, 3, True)]
EACH = 800
FAST = {"compiler_options": {"xla_backend_optimization_level": 0}}  # most time goes to compiling
CLOSE = 1e-6  # of marginals: shares are quotients, and so rounded
shapes = pytest.mark.parametrize(("num_arms", "num_selected", "at_most"), SHAPES)


class Posed(NamedTuple):
    """Problems, one a column: weights and costs `[K, B]`, budgets `[B]`."""

    weights: np.ndarray
    costs: np.ndarray
    budget: np.ndarray


@functools.cache
def posed(num_arms, num_selected, at_most):
    """From few levels (nearly all arms alike) to many; a tenth cannot be afforded."""
    rng = np.random.default_rng((num_arms, num_selected, at_most))
    few, many = rng.integers(1, 9, (2, EACH))
    weights = rng.integers(0, 1 + few, (num_arms, EACH)) / 8
    costs = rng.integers(0, 1 + many, (num_arms, EACH)) / 8
    weights -= np.where(at_most & (rng.random(EACH) < 0.5), 1 / 4, 0)
    ordered = np.sort(costs, axis=0)
    least = 0 if at_most else ordered[:num_selected].sum(0)
    most = ordered[-num_selected:].sum(0)
    budget = np.round(8 * (least + rng.random(EACH) * (most - least + 1 / 4))) / 8
    budget = np.where(rng.random(EACH) < 0.1, np.maximum(budget - 1, 0), budget)
    return Posed(weights, costs, budget)


class Vertices(NamedTuple):
    """All vertices, `[V, K, B]`, and which of them are optimal, and cheapest of these, `[V, B]`."""

    z: np.ndarray
    optimal: np.ndarray
    canonical: np.ndarray


@functools.cache
def vertices(num_arms, num_selected, at_most):
    """Affordable sets, and mixtures of neighbouring sets that cost the budget.

    In eighths all is whole but for the shares, whose denominators are at most 8: values that
    differ do so by 1/64 of an eighth at least.
    """
    weights, costs, budget = posed(num_arms, num_selected, at_most)
    sizes = range(num_selected + 1) if at_most else [num_selected]
    sets = np.array([
        np.isin(np.arange(num_arms), chosen)
        for size in sizes for chosen in itertools.combinations(range(num_arms), size)
    ])  # fmt: skip
    gains = (sets[:, None] & ~sets).sum(2)  # arms of one set that another has not
    dear, cheap = np.nonzero((gains <= 1) & (gains.T <= 1))
    cost = sets @ costs
    around = (cost[dear] > budget) & (cost[cheap] < budget)
    run = np.where(around, cost[dear] - cost[cheap], 1)
    share = np.where(around, (budget - cost[cheap]) / run, 0)[:, None]
    z = np.concatenate([
        np.broadcast_to(sets[:, :, None], (*sets.shape, EACH)),
        share * sets[dear][:, :, None] + (1 - share) * sets[cheap][:, :, None],
    ])  # fmt: skip
    there = np.concatenate([cost <= budget, around])
    value = np.where(there, (weights * z).sum(1), -np.inf)
    optimal = there & (value > value.max(0) - 1e-9)
    bill = np.where(optimal, (costs * z).sum(1), np.inf)
    return Vertices(z, optimal, optimal & (bill < bill.min(0) + 1e-9))


@functools.cache
def solver(num_selected, at_most):
    return jax.jit(
        lambda weights, costs, budget, warm=None: solve_lp(
            weights, costs, num_selected, budget, at_most, warm
        ),
        **FAST,
    )


def solved(num_selected, at_most, problems, warm=None):
    return solver(num_selected, at_most)(*map(jnp.asarray, problems), warm)


@shapes
def test_of_all_optima_one_of_the_cheapest(num_arms, num_selected, at_most):
    shape = num_arms, num_selected, at_most
    problems, known = posed(*shape), vertices(*shape)
    solution = solved(num_selected, at_most, problems)
    z, status = np.asarray(solution.marginals), np.asarray(solution.certificate.status)
    feasible = known.optimal.any(0)
    np.testing.assert_array_equal(status, np.where(feasible, OPTIMAL, INFEASIBLE))
    same = np.abs(known.z - z).max(1) < CLOSE
    assert (same & known.canonical).any(0)[feasible].all()
    # The enumeration has something to choose from: many optima, and dearer ones among them.
    assert (known.optimal.sum(0) > 1).mean() > 0.1
    assert (known.optimal & ~known.canonical).any(0).mean() > 0.02


@shapes
def test_of_equal_arms_the_lower_index(num_arms, num_selected, at_most):
    problems = posed(num_arms, num_selected, at_most)
    z = np.asarray(solved(num_selected, at_most, problems).marginals)
    tied = 0
    for low, high in itertools.combinations(range(num_arms), 2):
        alike = (problems.weights[low] == problems.weights[high]) & (
            problems.costs[low] == problems.costs[high]
        )
        assert (z[low] >= z[high] - CLOSE)[alike].all()
        tied += (alike & (z[low] > z[high] + CLOSE)).sum()
    assert tied > 30  # pairs of which one had to be preferred


@shapes
def test_what_cannot_be_afforded_is_the_cheapest_set(num_arms, num_selected, at_most):
    problems = posed(num_arms, num_selected, at_most)
    problems = problems._replace(budget=np.full(EACH, -1 / 8) if at_most else 0 * problems.budget)
    solution = solved(num_selected, at_most, problems)
    poor = np.asarray(solution.certificate.status) == INFEASIBLE
    place = np.argsort(np.argsort(problems.costs, axis=0, kind="stable"), axis=0, kind="stable")
    cheapest = np.zeros_like(place) if at_most else place < num_selected
    assert poor.mean() > 0.05
    np.testing.assert_array_equal(np.asarray(solution.marginals)[:, poor], cheapest[:, poor])


def same_bits(one, other):
    """But for the gap: rounding leaves a trace in it of the sets that the search met."""
    for solution in (one, other):
        gap, status = solution.certificate.gap, solution.certificate.status
        assert (np.asarray(gap)[np.asarray(status) == OPTIMAL] < 1e-5).all()
    one, other = (x._replace(certificate=x.certificate._replace(gap=0)) for x in (one, other))
    for mine, its in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(mine, its)


@shapes
def test_a_warm_start_changes_no_bit(num_arms, num_selected, at_most):
    """From any two legal sets, and from the edges of solutions of other problems."""
    problems = posed(num_arms, num_selected, at_most)
    cold = solved(num_selected, at_most, problems)
    rng = np.random.default_rng(1)
    place = rng.random((6, num_arms, EACH)).argsort(axis=1).argsort(axis=1)
    size = rng.integers(0, num_selected + 1, (6, 1, EACH)) if at_most else num_selected
    starts = [tuple(pair) for pair in (place < size).reshape(3, 2, num_arms, EACH)]
    others = Posed(*(np.roll(x, 1, axis=-1) for x in problems))
    starts += [cold.edge, solved(num_selected, at_most, others).edge]
    for start in starts:
        warm = solved(num_selected, at_most, problems, tuple(map(jnp.asarray, start)))
        same_bits(cold, warm)


@shapes
def test_both_precisions_decide_alike(num_arms, num_selected, at_most):
    problems = posed(num_arms, num_selected, at_most)
    single = solved(num_selected, at_most, problems)
    with jax.enable_x64(True):
        double = solved(num_selected, at_most, problems)
        assert double.marginals.dtype == np.float64
    np.testing.assert_array_equal(single.edge, double.edge)
    np.testing.assert_allclose(single.marginals, double.marginals, rtol=0, atol=CLOSE)


@shapes
def test_the_order_of_arms_decides_between_equal_ones_only(num_arms, num_selected, at_most):
    """Where the cheapest optimum is unique, permuted arms are decided alike."""
    shape = num_arms, num_selected, at_most
    problems = posed(*shape)
    unique = vertices(*shape).canonical
    # Two pairs of sets may have the same mixture, which is one solution then.
    z = np.asarray(solved(num_selected, at_most, problems).marginals)
    other = np.abs(vertices(*shape).z - z).max(1) > CLOSE
    unique = unique.any(0) & ~(unique & other).any(0)
    assert unique.mean() > 0.3
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(num_arms)
        shuffled = Posed(problems.weights[order], problems.costs[order], problems.budget)
        again = np.asarray(solved(num_selected, at_most, shuffled).marginals)
        np.testing.assert_allclose(again[:, unique], z[order][:, unique], rtol=0, atol=CLOSE)


@pytest.mark.parametrize(("num_selected", "at_most"), [(3, False), (4, True)])
def test_without_ties_neither_start_order_nor_precision_matter(num_selected, at_most):
    """Six arms of random bounds: every optimum is unique, away from rounding error."""
    rng = np.random.default_rng(9)
    weights, costs = rng.random((2, 6, EACH)).astype(np.float32)
    budget = rng.uniform(0.2, 2, EACH).astype(np.float32)
    problems = Posed(weights - np.float32(0.3 * at_most), costs, budget)
    cold = solved(num_selected, at_most, problems)
    sets = rng.random((2, 6, EACH)).argsort(axis=1).argsort(axis=1) < num_selected
    same_bits(cold, solved(num_selected, at_most, problems, tuple(map(jnp.asarray, sets))))
    order = rng.permutation(6)
    other = Posed(problems.weights[order], costs[order], budget)
    shuffled = np.asarray(solved(num_selected, at_most, other).marginals)
    with jax.enable_x64(True):
        double = np.asarray(solved(num_selected, at_most, problems).marginals)
    # A share is a quotient whose denominator may be small: it is compared by what it costs.
    for z in (shuffled, double[order]):
        off = costs[order] * (np.asarray(cold.marginals)[order] - z)
        assert np.abs(off).max() < 2e-5


@pytest.mark.parametrize("at_most", [False, True])
@pytest.mark.parametrize("budget", [2.0, 0.45])
def test_what_nearly_ties_does_not_look_at_the_lanes_beside_it(budget, at_most):
    """Margins of 0 to 60 eps about a tie, each lane alone and beside an exact tie: no bit."""
    eps = np.finfo(np.float32).eps
    margins = np.concatenate([np.arange(61), -np.arange(61)]) * eps
    weights = np.tile(np.float32([[0.9], [0.5], [0.5], [0.1], [0.05]]), len(margins))
    weights[1] += margins.astype(np.float32)
    weights[3] = np.abs(weights[1] - np.float32(0.5)) - 4 * eps  # about 0, where arms may stay out
    costs = np.tile(np.float32([[0.25], [0.375], [0.25], [0.125], [0.125]]), len(margins))
    tie = np.float32([0.5, 0.5, 0.5, 0.5, 0.5])

    @functools.partial(jax.jit, **FAST)
    def solve(weights, costs):
        return solve_lp(weights, costs, 2, jnp.float32(budget), at_most=at_most)

    for lane in range(len(margins)):
        own, cost = weights[:, lane], costs[:, lane]
        alone = solve(np.stack([own, own], axis=1), np.stack([cost, cost], axis=1))
        beside = solve(np.stack([own, tie], axis=1), np.stack([cost, cost], axis=1))
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(beside), strict=True):
            np.testing.assert_array_equal(one[..., 0], other[..., 0])
