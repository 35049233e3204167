"""The verifier's own linear programme, float64 on the host: nothing of the package's solvers.

    maximise w.z  over  { z in [0,1]^K, 1.z = N (or <= N), c.z <= rho }

By weak duality `lambda rho + (sum of the N largest w - lambda c)` is at least the optimum for
every lambda >= 0. It is convex and piecewise linear in lambda, so its least value, which is the
optimum, is at 0 or where two arms tie (or, with at most N, where an arm's worth vanishes).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Dual(NamedTuple):
    """Of every programme: its optimal value and a price lambda* that proves it, `[M]`."""

    value: np.ndarray
    price: np.ndarray


def solve(
    weights: np.ndarray,
    costs: np.ndarray,
    num_selected: int,
    budget: np.ndarray | float,
    at_most: bool = False,
) -> Dual:
    """The optimum of M feasible programmes, entries `[M, K]`, budget scalar or `[M]`."""
    w, c = np.asarray(weights, float), np.asarray(costs, float)
    budget = np.broadcast_to(np.asarray(budget, float), len(w))
    i, j = np.triu_indices(w.shape[1], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ties = (w[:, i] - w[:, j]) / (c[:, i] - c[:, j])
        if at_most:
            ties = np.concatenate([ties, w / c], axis=1)
    prices = np.where(np.isfinite(ties) & (ties > 0), ties, 0.0)
    prices = np.concatenate([np.zeros((len(w), 1)), prices], axis=1)  # [M, P]
    scores = w[:, None, :] - prices[:, :, None] * c[:, None, :]
    if at_most:
        scores = np.maximum(scores, 0)
    best = -np.sort(-scores, axis=2)[:, :, :num_selected].sum(2)
    dual = prices * budget[:, None] + best
    at = dual.argmin(axis=1)
    rows = np.arange(len(w))
    return Dual(dual[rows, at], prices[rows, at])


def mixture(
    values: np.ndarray, costs: np.ndarray, price: np.ndarray, budget: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """The optimal mixture of sets at a price, where it is the only one.

    Args:
      values, costs: w(S) and c(S) of every set, `[M, sets]`.
      price: lambda*, `[M]`. budget: rho.
      margin: other sets must be worth this much less, at the price.

    Returns:
      shares of the sets, `[M, sets]`, and whether the optimum is unique, bool `[M]`.
    """
    worth = values - price[:, None] * costs
    order = np.argsort(-worth, axis=1, kind="stable")
    rows = np.arange(len(worth))
    first, second, third = (order[:, j] for j in range(3))
    gap = lambda one, two: worth[rows, one] - worth[rows, two]  # noqa: E731
    slack = price == 0
    single = slack & (gap(first, second) > margin) & (costs[rows, first] < budget)
    low = np.where(costs[rows, first] <= costs[rows, second], first, second)
    high = np.where(low == first, second, first)
    apart = costs[rows, high] - costs[rows, low]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (budget - costs[rows, low]) / apart
    inside = (share > margin) & (share < 1 - margin)
    double = ~slack & (gap(second, third) > margin) & inside
    shares = np.zeros(worth.shape)
    shares[rows[single], first[single]] = 1
    shares[rows[double], high[double]] = share[double]
    shares[rows[double], low[double]] = 1 - share[double]
    return shares, single | double


def best_mixture(values: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray:
    """The largest mean value of two sets mixed within the budget, by all pairs, `[M]`.

    `values`, `costs` are `[M, sets]`; minus infinity where no set is affordable.
    """
    fits = costs <= budget
    best = np.where(fits, values, -np.inf).max(axis=1)
    for high in range(values.shape[1]):
        over = ~fits[:, high]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (budget - costs) / (costs[:, high : high + 1] - costs)
            mixed = values + share * (values[:, high : high + 1] - values)
        mixed = np.where(fits & over[:, None], mixed, -np.inf)
        best = np.maximum(best, mixed.max(axis=1))
    return best
