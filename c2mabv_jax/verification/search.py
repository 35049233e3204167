"""Looking for the instance that brings regret or violation closest to its bound.

A cross-entropy search (an evolution strategy with diagonal covariance): a generation of
random instances (mu, c, rho), all played side by side, one per lane, by one compiled
program; the best tenth says where the next generation is drawn. The bounds depend on K, N,
T, delta and alpha alone, so the instance with the largest mean is the one closest to its
bound. Selection favours lucky instances; the winner is therefore played again with fresh
random numbers, and only those runs are reported.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from c2mabv_jax.engine.block import Point
from c2mabv_jax.environments.synthetic import synthetic
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory.bounds import regret_bound, violation_bound
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.presets import Search
from c2mabv_jax.verification.statistic import Mean
from c2mabv_jax.verification.watch import Watcher

NUM_ARMS, NUM_SELECTED = 6, 2
ELITE = 0.1  # share of a generation that the next one is drawn around
SMALLEST_STEP = 0.05  # standard deviations never shrink below this
FRESH = 1 << 20  # ids of the runs that confirm a winner


class Found(NamedTuple):
    """The worst instance of a search.

    Attributes:
      objective: "regret" or "violation".
      mean_reward, mean_cost: `[K]`. budget: rho.
      ratio: measured / bound of fresh runs, `[runs]`.
      tried: instances played.
      history: best mean ratio of every generation (while searching).
    """

    objective: str
    mean_reward: np.ndarray
    mean_cost: np.ndarray
    budget: float
    ratio: np.ndarray
    tried: int
    history: tuple[float, ...]


class Instances(NamedTuple):
    """A generation: `[P, K]`, `[P, K]`, `[P]`."""

    mean_reward: np.ndarray
    mean_cost: np.ndarray
    budget: np.ndarray


def decode(points: np.ndarray) -> Instances:
    """Instances from unconstrained points `[P, 2 K + 1]`; every one is feasible.

    The budget lies between the cost of the N cheapest arms and that of the N dearest.
    """
    mean_reward = expit(points[:, :NUM_ARMS])
    mean_cost = expit(points[:, NUM_ARMS : 2 * NUM_ARMS])
    ordered = np.sort(mean_cost, axis=1)
    low, high = ordered[:, :NUM_SELECTED].sum(1), ordered[:, -NUM_SELECTED:].sum(1)
    share = expit(points[:, -1])
    # A hair of slack: the float32 copy of the cheapest set must stay affordable.
    return Instances(mean_reward, mean_cost, low + 1e-5 + share * (high - low))


def lp_values(instances: Instances, num_selected: int) -> tuple[np.ndarray, np.ndarray]:
    """Optimal value and dual price of every instance, `[P]` each, float64.

    The dual lambda rho + sum of the N largest (mu - lambda c) is convex and piecewise linear
    in lambda >= 0: its minimum is at 0 or where two arms tie.
    """
    mu, c, budget = instances
    i, j = np.triu_indices(mu.shape[1], 1)
    apart = c[:, i] - c[:, j]
    with np.errstate(divide="ignore", invalid="ignore"):
        ties = (mu[:, i] - mu[:, j]) / apart
    prices = np.where(np.isfinite(ties) & (ties > 0), ties, 0.0)
    prices = np.concatenate([np.zeros((len(mu), 1)), prices], axis=1)  # [P, M]
    scores = mu[:, None, :] - prices[:, :, None] * c[:, None, :]
    best = -np.sort(-scores, axis=2)[:, :, :num_selected].sum(2)
    dual = prices * budget[:, None] + best
    at = dual.argmin(axis=1)
    rows = np.arange(len(mu))
    return dual[rows, at], prices[rows, at]


def limits(horizon: int) -> dict[str, float]:
    """The bounds on mean regret and on mean overspending in total, at the horizon."""
    size = (horizon, NUM_ARMS, NUM_SELECTED, C2MABV().delta)
    return {
        "regret": float(regret_bound(*size, kind="expected").value),
        "violation": horizon * float(violation_bound(*size, kind="expected").value),
    }


def room(horizon: int) -> dict[str, float]:
    """What a worst policy on the worst instance would do / the bound: N per round is possible.

    It is a supremum over instances too: a bad policy would lead the search elsewhere.
    """
    return {name: NUM_SELECTED * horizon / bound for name, bound in limits(horizon).items()}


def play(
    laboratory: Laboratory, instances: Instances, runs: int, horizon: int, seed: int
) -> dict[str, np.ndarray]:
    """Regret and realised overspending at the horizon, divided by their bounds, `[P, runs]`."""
    problem = Problem(num_arms=NUM_ARMS, num_selected=NUM_SELECTED, budget=1.0, reward_model="SUC")
    points = [
        Point(problem.replace(budget=float(rho)), synthetic(mu, c), C2MABV())
        for mu, c, rho in zip(*instances, strict=True)
    ]
    watchers = [Watcher(*known) for known in zip(*lp_values(instances, NUM_SELECTED), strict=True)]
    which = np.repeat(np.arange(len(points)), runs)
    elsewhere = dataclasses.replace(laboratory, seed=(laboratory.seed + FRESH * seed) % 2**32)
    seen = elsewhere.play(points, watchers, which, [horizon]).watch
    bound, shape = limits(horizon), (len(points), runs)
    overspend = np.maximum(seen.overspend_realised[:, -1], 0)
    return {
        "regret": (seen.regret[:, -1] / bound["regret"]).reshape(shape),
        "violation": (overspend / bound["violation"]).reshape(shape),
    }


def search(laboratory: Laboratory, sizes: Search, objective: str) -> Found:
    """The worst instance found for one objective, confirmed by fresh runs."""
    rng = np.random.default_rng([laboratory.seed, len(objective)])
    dim = 2 * NUM_ARMS + 1
    centre, spread = np.zeros(dim), np.full(dim, 2.0)
    elite = max(4, int(ELITE * sizes.population))
    champion, record, history = centre, -np.inf, []
    for generation in range(sizes.generations):
        points = centre + spread * rng.standard_normal((sizes.population, dim))
        ratios = play(laboratory, decode(points), sizes.seeds, sizes.horizon, seed=2 + generation)[
            objective
        ].mean(1)
        order = np.argsort(-ratios)
        history.append(float(ratios[order[0]]))
        if ratios[order[0]] > record:
            champion, record = points[order[0]], ratios[order[0]]
        chosen = points[order[:elite]]
        centre, spread = chosen.mean(0), np.maximum(chosen.std(0), SMALLEST_STEP)
    # The centre of the last elite is less of a lucky draw than the champion: try both.
    finalists = decode(np.stack([champion, centre]))
    confirmed = play(laboratory, finalists, sizes.confirm, sizes.horizon, seed=1)[objective]
    winner = int(confirmed[:, : sizes.confirm // 2].mean(1).argmax())
    return Found(
        objective=objective,
        mean_reward=finalists.mean_reward[winner],
        mean_cost=finalists.mean_cost[winner],
        budget=float(finalists.budget[winner]),
        ratio=confirmed[winner, sizes.confirm // 2 :],
        tried=sizes.population * sizes.generations,
        history=tuple(history),
    )


def _measure(laboratory: Laboratory) -> list[Comparison]:
    sizes = laboratory.preset.search
    assert sizes is not None
    comparisons = []
    for objective in ("regret", "violation"):
        found = search(laboratory, sizes, objective)
        laboratory.found.append(found)
        comparisons.append(
            Comparison(
                f"{objective} / bound at the worst of {found.tried:,} instances, "
                f"T = {sizes.horizon:,}",
                Mean(found.ratio),
                ceiling=1,
                ratio=room(sizes.horizon)[objective],
            )
        )
    return comparisons


CLAIM = Claim(
    name="worst-instance",
    statement="No instance that a search can find breaks the bound on expected regret or on "
    "expected violation",
    assumptions=("sum-up rewards, Bernoulli outcomes, K = 6, N = 2", "alpha = 1"),
    instances=("thousands, drawn and evolved over (mu, c, rho)",),
    statistic="measured / bound at the worst instance found",
    test="upper confidence limit of the mean below 1, from fresh runs of the winner, half of "
    "which chose between two finalists and are left out",
    power="N per round is possible, 3 times the bound and more at the horizons of the presets; "
    "the search maximises, see the history of its generations in report.json",
    measure=_measure,
)
