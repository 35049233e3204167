"""The upper concave envelope of super arms as points (cost, reward), walked by an oracle.

An oracle returns the set that maximises r(S) - lambda c(S): a table of all sets, or for an
additive reward a top-N selection, which needs no table and serves thousands of arms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.problem import Problem
from c2mabv_jax.theory.sets import SetTable, check_means, set_table


class Frontier(NamedTuple):
    """Best mixed value as a function of the budget: corners of a concave, rising curve.

    Attributes:
      costs: ascending, from the cheapest set to the cheapest of the best sets, `[M]`.
      values: best value at those budgets, `[M]`; linear in between, constant beyond.
      sets: the super arm of each corner, bool `[M, K]`.
    """

    costs: np.ndarray
    values: np.ndarray
    sets: np.ndarray


class Point(NamedTuple):
    cost: float
    value: float
    arms: Any  # indices (SUC) or a row of the table


class Oracle(NamedTuple):
    """`at(lam)` maximises value - lam cost; `low` is the cheapest set, `high` the best."""

    at: Callable[[float], Point]
    low: Point
    high: Point
    mask: Callable[[Any], np.ndarray]


def frontier(
    problem: Problem,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    set_reward: ArrayLike | None = None,
) -> Frontier:
    """Best mixed value over all budgets at once; the problem's own budget is not used.

    Arguments as in `optimum`. Exact; SUC for any K, AWC and AIC while sets can be enumerated.
    """
    mu, c = check_means(problem, mean_reward, mean_cost)
    if problem.reward_model == "SUC" and set_reward is None:
        oracle = top_n_oracle(problem, mu, c)
    else:
        oracle = table_oracle(set_table(problem, mu, c, set_reward))
    corners = corners_of(oracle)
    return Frontier(
        np.array([p.cost for p in corners]),
        np.array([p.value for p in corners]),
        np.array([oracle.mask(p.arms) for p in corners]),
    )


def corners_of(oracle: Oracle) -> list[Point]:
    """Corners of the envelope, from the cheapest set to the cheapest of the best ones."""
    corners, open_ends = [oracle.low], [oracle.high]
    while open_ends:
        left, right = corners[-1], open_ends[-1]
        between = None
        if right.cost > left.cost:
            slope = (right.value - left.value) / (right.cost - left.cost)
            between = _above(oracle, left, right, slope)
        if between is None:
            corners.append(open_ends.pop())
        else:
            open_ends.append(between)
    return corners[:1] if corners[-1].cost <= corners[0].cost else corners


def bracket(oracle: Oracle, budget: float) -> tuple[Point, Point, float]:
    """The two corners of the envelope around the budget, and its slope there.

    Each step cuts off every corner on one side of the new one, so it ends.
    """
    low, high = oracle.low, oracle.high
    while True:
        slope = max(0.0, (high.value - low.value) / (high.cost - low.cost))
        new = _above(oracle, low, high, slope)
        if new is None:
            return low, high, slope
        low, high = (new, high) if new.cost <= budget else (low, new)


def _above(oracle: Oracle, low: Point, high: Point, slope: float) -> Point | None:
    """The set farthest above the line through two sets, or None if none is."""
    new = oracle.at(slope)
    gain = (new.value - low.value) - slope * (new.cost - low.cost)
    scale = abs(low.value) + abs(high.value) + abs(slope) * (high.cost + abs(low.cost))
    inside = low.cost < new.cost < high.cost
    return new if inside and gain > 1e-14 * scale else None


def share_of(low: float, high: float, budget: float) -> float:
    """Probability of the dearer set, cost `high`, that spends the budget exactly."""
    return min(1.0, max(0.0, (budget - low) / (high - low)))


def table_oracle(table: SetTable) -> Oracle:
    def point(row: int) -> Point:
        return Point(float(table.costs[row]), float(table.values[row]), row)

    low = int(np.lexsort((-table.values, table.costs))[0])
    high = int(np.lexsort((table.costs, -table.values))[0])
    return Oracle(
        lambda lam: point(int(np.argmax(table.values - lam * table.costs))),
        point(low),
        point(high),
        lambda row: table.sets[row],
    )


def top_n_oracle(problem: Problem, mu: np.ndarray, c: np.ndarray) -> Oracle:
    """Top-N selection. "At most N" adds N arms without reward and cost, never shown outside."""
    size, num_arms = problem.num_selected, problem.num_arms
    if problem.at_most:
        mu, c = np.append(mu, np.zeros(size)), np.append(c, np.zeros(size))

    def point(order: np.ndarray) -> Point:
        arms = np.sort(order[:size])
        return Point(float(c[arms].sum()), float(mu[arms].sum()), arms)

    def mask(arms: np.ndarray) -> np.ndarray:
        chosen = np.zeros(num_arms, bool)
        chosen[arms[arms < num_arms]] = True
        return chosen

    return Oracle(
        lambda lam: point(np.argsort(lam * c - mu, kind="stable")),
        point(np.lexsort((-mu, c))),
        point(np.lexsort((c, -mu))),
        mask,
    )
