"""The relaxed problem solved by looking at every pair of sets (float64).

The extreme points of { z in [0,1]^K, sum z = N (or <= N) } are the sets, and a budget cuts
off at most one edge: the optimum is the best mixture of one set within the budget and one
above it. Ties as the package resolves them: of the sets of largest weight the cheapest, of
equally dear arms the lower index, when that set is affordable.
"""

import itertools
from typing import NamedTuple

import numpy as np


class Relaxed(NamedTuple):
    """Optimal vertex z, its value, and the price of one unit of budget."""

    marginals: np.ndarray
    value: float
    multiplier: float


def subsets(num_arms, num_selected, at_most):
    """All sets of the cardinality, float64 `[M, K]` of 0 and 1."""
    sizes = range(num_selected + 1) if at_most else [num_selected]
    table = [
        [float(k in chosen) for k in range(num_arms)]
        for size in sizes
        for chosen in itertools.combinations(range(num_arms), size)
    ]
    return np.array(table)


def first_n(scores, num_selected, only_positive=False, costs=None):
    """The N largest scores as a vector of 0 and 1; equal ones the cheaper, then lower index."""
    costs = np.zeros(len(scores)) if costs is None else costs
    order = np.lexsort((np.arange(len(scores)), costs, -scores))[:num_selected]
    chosen = np.zeros(len(scores))
    chosen[[k for k in order if scores[k] > 0 or not only_positive]] = 1.0
    return chosen


def solve(table, weights, costs, budget, at_most):
    """Maximise weights.z subject to costs.z <= budget over mixtures of the rows of `table`."""
    num_selected = int(table.sum(1).max())
    value, cost = table @ weights, table @ costs
    if cost.min() > budget * (1 + 1e-12):  # nothing is affordable: the cheapest set
        cheapest = first_n(-costs, num_selected)
        return Relaxed(cheapest, float(cheapest @ weights), 0.0)
    dearest = first_n(weights, num_selected, only_positive=at_most, costs=costs)
    if dearest @ costs <= budget * (1 + 1e-12):
        return Relaxed(dearest, float(dearest @ weights), 0.0)
    low, high = np.flatnonzero(cost <= budget * (1 + 1e-12)), np.flatnonzero(cost > budget)
    run = cost[high] - cost[low, None]
    share = (budget - cost[low, None]) / run
    mixed = value[low, None] + share * (value[high] - value[low, None])
    i, j = np.unravel_index(np.argmax(mixed), mixed.shape)
    z = (1 - share[i, j]) * table[low[i]] + share[i, j] * table[high[j]]
    slope = (value[high[j]] - value[low[i]]) / run[i, j]
    return Relaxed(z, float(mixed[i, j]), float(max(slope, 0.0)))
