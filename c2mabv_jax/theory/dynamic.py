"""The moving target of a changing world: the best mixed policy of every round (float64)."""

from __future__ import annotations

from typing import Any

import numpy as np

from c2mabv_jax.problem import Problem
from c2mabv_jax.theory.optimum import optimum

POINTS = 33  # per drifting piece; between them the optimum is interpolated


def dynamic_optimum(problem: Problem, environment: Any, rounds: np.ndarray) -> np.ndarray:
    """Sum over t = 1..T of the mixed optimum at the means of round t, for T in `rounds` `[R]`.

    The budget holds in every round by itself. Exact where the means are piecewise constant;
    in a drift the optimum, a piecewise smooth function of them, is interpolated linearly
    between `POINTS` rounds. Independent arms.
    """
    horizon = int(rounds[-1])
    starts = environment.pieces(horizon)
    value = np.empty(horizon)
    for first, after in zip(starts, [*starts[1:], horizon + 1], strict=True):
        points = np.unique(np.linspace(first, after - 1, POINTS).astype(np.int64))
        constant = _means(environment, points[0]) == _means(environment, points[-1])
        if constant:
            points = points[:1]
        best = [_at(problem, environment, int(t)) for t in points]
        value[first - 1 : after - 1] = np.interp(np.arange(first, after), points, best)
    return np.cumsum(value)[np.asarray(rounds) - 1]


def _means(environment: Any, t: int) -> bytes:
    now = environment.at(int(t))
    return np.asarray(now.mean_reward).tobytes() + np.asarray(now.mean_cost).tobytes()


def _at(problem: Problem, environment: Any, t: int) -> float:
    now = environment.at(t)
    money = np.asarray(now.mean_cost, np.float64) * float(environment.cost_scale)
    return optimum(problem, np.asarray(now.mean_reward, np.float64), money).relaxed
