"""The verifier's own arithmetic against other ways to compute it; audits of a sound system."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from c2mabv_jax.verification import PRESETS, Outcome, dual, ledger
from c2mabv_jax.verification.claim import judge
from c2mabv_jax.verification.claims import CLAIMS
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.possible import legal_sets


def programmes(at_most, seed, number=60, num_arms=5):
    rng = np.random.default_rng(seed)
    w = rng.normal(0.2, 0.5, (number, num_arms)) if at_most else rng.random((number, num_arms))
    c = rng.random((number, num_arms))
    c[::7] = np.round(c[::7], 1)
    least = 0 if at_most else np.sort(c, axis=1)[:, :2].sum(1)
    return w, c, least + 0.01 + 0.8 * rng.random(number)


@pytest.mark.parametrize("at_most", [False, True])
def test_dual_is_the_optimum_of_highs(at_most):
    w, c, budget = programmes(at_most, seed=1)
    value, price = dual.solve(w, c, 2, budget, at_most)
    for m in range(len(w)):
        cardinality = {"A_ub": [c[m], np.ones(5)], "b_ub": [budget[m], 2]}
        if not at_most:
            cardinality = {"A_ub": [c[m]], "b_ub": [budget[m]], "A_eq": [np.ones(5)], "b_eq": [2]}
        truth = linprog(-w[m], bounds=(0, 1), **cardinality)
        assert value[m] == pytest.approx(-truth.fun, abs=1e-9)
    assert (price >= 0).all() and (price > 0).any() and (price == 0).any()


@pytest.mark.parametrize("at_most", [False, True])
def test_mixtures_are_optimal_where_they_are_unique(at_most):
    w, c, budget = programmes(at_most, seed=2)
    table = np.array([[k in s for k in range(5)] for s in legal_sets(5, 2, at_most)], float)
    some = 0
    for m in range(len(w)):
        value, price = dual.solve(w[[m]], c[[m]], 2, budget[m], at_most)
        worth, costs = w[[m]] @ table.T, c[[m]] @ table.T
        shares, unique = dual.mixture(worth, costs, price, float(budget[m]), 1e-6)
        best = dual.best_mixture(worth, costs, float(budget[m]))
        assert best[0] == pytest.approx(value[0], abs=1e-9)
        if unique[0]:
            some += 1
            assert shares[0].sum() == pytest.approx(1)
            assert (shares @ costs[0])[0] <= budget[m] + 1e-9
            assert (shares @ worth[0])[0] == pytest.approx(value[0], abs=1e-9)
    assert some > 40


def test_ledger_by_hand():
    """One run, two arms, three rounds."""
    observed = np.array([[[1, 0], [1, 1], [0, 1]]], bool)
    reward = np.array([[[1, 9], [0, 1], [9, 0]]], float)
    billed = np.ones((1, 3, 2), bool)
    cost = np.array([[[0.5, 0.1], [0.7, 0.3], [0.2, 0.2]]])
    now = ledger.known(observed, reward, billed, cost)
    np.testing.assert_array_equal(now.seen[0], [[0, 0], [1, 0], [2, 1]])
    np.testing.assert_array_equal(now.won[0], [[0, 0], [1, 0], [1, 1]])
    np.testing.assert_allclose(now.paid[0, 2], [1.2, 0.4])
    late = ledger.known(observed, reward, billed, cost, delay=1)
    np.testing.assert_array_equal(late.seen[0], [[0, 0], [0, 0], [1, 0]])
    faded = ledger.known(observed, reward, billed, cost, discount=0.5)
    np.testing.assert_allclose(faded.seen[0, 2], [1.5, 1])
    upper, lower = ledger.bounds(now, 0.1, 0.2, 0.05)
    width = math.sqrt(math.log(2 * math.pi**2 * 2 * 27 / 0.15) / (2 * 2))
    assert upper[0, 2, 0] == pytest.approx(0.5 + 0.1 * width)
    assert lower[0, 2, 0] == pytest.approx(max(0, 0.6 - 0.2 * width))
    assert upper[0, 0, 0] == 1 and lower[0, 0, 0] == 0
    forgetful = ledger.bounds(now, 0.1, 0.2, 0.05, memory=2)[0][0, 2, 0]
    width = math.sqrt(math.log(2 * math.pi**2 * 2 * 8 / 0.15) / (2 * 2))
    assert forgetful == pytest.approx(0.5 + 0.1 * width)


@pytest.mark.parametrize("stops_at", [0, 1])
def test_expected_length_by_enumeration(stops_at):
    mean = np.array([0.3, 0.6, 0.8, 0.1])
    selected = np.array([True, False, True, True])
    place = ledger.places(np.array([0.2, 0.1, 0.2, 0.05]), selected)
    np.testing.assert_array_equal(place, [1, 4, 2, 0])  # ties by lower index
    order, expected = [3, 0, 2], 0.0
    for answers in itertools.product((0, 1), repeat=3):
        chance = math.prod(
            mean[k] if x else 1 - mean[k] for k, x in zip(order, answers, strict=True)
        )
        length = answers.index(stops_at) + 1 if stops_at in answers else 3
        expected += chance * length
    assert ledger.expected_length(mean, place, stops_at) == pytest.approx(expected)


def test_a_window_forgets_and_a_delay_comes_first():
    seen = np.ones((1, 6, 1), bool)
    rewards = np.arange(1.0, 7)[None, :, None]  # that of round t is t
    held = ledger.known(seen, rewards, seen, rewards, window=2)
    np.testing.assert_array_equal(held.seen[0, :, 0], [0, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(held.won[0, :, 0], [0, 1, 3, 5, 7, 9])
    late = ledger.known(seen, rewards, seen, rewards, delay=1, window=2)
    np.testing.assert_array_equal(late.won[0, :, 0], [0, 0, 1, 3, 5, 7])


def test_bounds_that_forget_hold():
    claim, laboratory = CLAIMS["bounds-that-forget"], Laboratory(PRESETS["tiny"], seed=5)
    verdict = judge(claim, claim.measure(laboratory), 1e-4, 0.0, "")
    assert verdict.outcome == Outcome.HOLDS, verdict.decisive


@pytest.mark.parametrize(
    "name",
    [
        "bounds-as-defined",
        "delayed-feedback",
        "relaxed-optimum",
        "better-candidate",
        "relaxed-ratio",
        "cascade-order",
        "cascade-length",
        "billing",
        "expected-reward",
    ],
)
def test_a_sound_system_passes_the_audit(name):
    """All but cascade-length are exact; that one at 1e-4 for each of its 4 comparisons."""
    laboratory = Laboratory(PRESETS["tiny"], seed=5, only=("any-win-3",))
    verdict = judge(CLAIMS[name], CLAIMS[name].measure(laboratory), 1e-4, 0.0, "")
    assert verdict.outcome == Outcome.HOLDS, verdict.decisive
    assert json.loads(json.dumps(verdict.as_table(), allow_nan=False))["claim"] == name
