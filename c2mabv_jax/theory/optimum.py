"""The best that could be done knowing everything: mixed optimum and best fixed set (float64)."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from scipy.optimize import linprog

from c2mabv_jax.problem import Problem, ProblemError

MAX_SETS = 200_000


@dataclasses.dataclass(frozen=True)
class Optimum:
    """Optima of one problem at known means. See `optimum`."""

    relaxed: float
    marginals: np.ndarray
    sets: tuple[np.ndarray, ...]
    mix: np.ndarray
    multiplier: float
    fixed_set: np.ndarray | None
    fixed_value: float | None
    binding: bool
    feasible: bool
    exact: bool


def subsets(num_arms: int, num_selected: int, at_most: bool) -> np.ndarray:
    """All sets of the cardinality, bool `[M, K]`."""
    sizes = range(num_selected + 1) if at_most else (num_selected,)
    number = sum(math.comb(num_arms, size) for size in sizes)
    if number > MAX_SETS:
        raise ProblemError(f"num_arms = {num_arms}: {number} sets are too many to enumerate")
    rows = [
        chosen for size in sizes for chosen in itertools.combinations(range(num_arms), size)
    ]
    table = np.zeros((len(rows), num_arms), bool)
    for row, chosen in enumerate(rows):
        table[row, list(chosen)] = True
    return table


def optimum(problem, mean_reward, mean_cost, set_reward=None) -> Optimum:
    """Mixed optimum at the budget, by enumeration of sets and their upper concave envelope."""
    mean_reward, mean_cost = np.asarray(mean_reward, float), np.asarray(mean_cost, float)
    budget = float(problem.budget)
    table = subsets(problem.num_arms, problem.num_selected, problem.at_most)
    costs = table @ mean_cost
    if set_reward is not None:
        values = np.asarray(set_reward)[table @ (1 << np.arange(problem.num_arms))]
    elif problem.reward_model == "SUC":
        values = table @ mean_reward
    elif problem.reward_model == "AWC":
        values = 1 - np.where(table, 1 - mean_reward, 1).prod(1)
    else:
        values = np.where(table, mean_reward, 1).prod(1)
    affordable = costs <= budget * (1 + 1e-12)
    if not affordable.any():
        cheapest = int(np.argmin(costs))
        return Optimum(values[cheapest], table[cheapest].astype(float), (table[cheapest],),
                       np.ones(1), 0.0, None, None, True, False, True)
    best = int(np.flatnonzero(affordable)[np.argmax(values[affordable])])
    top = int(np.argmax(values))
    if costs[top] <= budget:
        return Optimum(values[top], table[top].astype(float), (table[top],), np.ones(1), 0.0,
                       table[best], values[best], False, True, True)
    answer = linprog(-values, A_ub=[costs], b_ub=[budget], A_eq=[np.ones(len(values))], b_eq=[1],
                     method="highs")
    weights = answer.x
    used = np.flatnonzero(weights > 1e-12)
    return Optimum(-answer.fun, weights @ table, tuple(table[used]), weights[used],
                   -answer.ineqlin.marginals[0], table[best], values[best], True, True, True)
