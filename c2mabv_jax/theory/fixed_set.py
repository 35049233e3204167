"""The best affordable super arm: by enumeration, or by integer programming when too many."""

from __future__ import annotations

import numpy as np

from c2mabv_jax.problem import Problem
from c2mabv_jax.rewards import REWARD_MODELS
from c2mabv_jax.theory.envelope import top_n_oracle
from c2mabv_jax.theory.sets import AFFORDABLE, SetTable, enumerable, reward_of, set_table

MAX_NODES = 20_000  # of branch and bound; nodes, not seconds, so that answers repeat
TIED = 1e-12  # relative difference of values that counts as none
_TIGHTER = 2e-6  # HiGHS lets a constraint be broken by 1e-6

Fixed = tuple[np.ndarray | None, float | None]


def best_fixed_set(problem: Problem, mean_reward: np.ndarray, mean_cost: np.ndarray) -> Fixed:
    """Best set within the budget, bool `[K]`, and its value; (None, None) if there is none.

    1 - prod(1 - mu) grows with the sum of -ln(1 - mu) and prod mu with the sum of ln mu, so one
    linear knapsack with a cardinality serves all three reward models (independent arms). It
    is exact by enumeration, and beyond that up to HiGHS's tolerances (1e-6); also (None, None)
    if branch and bound meets `MAX_NODES`.
    """
    if enumerable(problem.num_arms, problem.num_selected, problem.at_most):
        return best_in_table(set_table(problem, mean_reward, mean_cost), float(problem.budget))
    weights = REWARD_MODELS[problem.reward_model].additive(mean_reward)
    limit = float(problem.budget) * AFFORDABLE
    oracle = top_n_oracle(problem, weights, mean_cost)
    if oracle.low.cost > limit:
        return None, None
    if oracle.high.cost <= limit:
        chosen = oracle.mask(oracle.high.arms)
    else:
        found = _integer_program(problem, weights, mean_cost)
        if found is None:
            return None, None
        chosen = found
    return chosen, reward_of(problem, mean_reward, chosen)


def best_in_table(table: SetTable, budget: float) -> Fixed:
    """Best affordable row of a table of sets; of equally good ones the cheapest, then the first."""
    row = best_row(table, budget)
    return (None, None) if row is None else (table.sets[row], float(table.values[row]))


def best_row(table: SetTable, budget: float) -> int | None:
    """`best_in_table` as an index; values that differ by rounding alone are equal."""
    affordable = table.costs <= budget * AFFORDABLE
    if not affordable.any():
        return None
    values = np.where(affordable, table.values, -np.inf)
    best = values.max()
    tied = np.flatnonzero(values >= best - TIED * abs(best))
    return int(tied[np.argmin(table.costs[tied])])


def _integer_program(problem: Problem, weights: np.ndarray, cost: np.ndarray) -> np.ndarray | None:
    """argmax of weights over affordable sets; None without a proven answer."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    budget, size = float(problem.budget), problem.num_selected
    unit = budget or 1.0
    for margin in (0.0, _TIGHTER):
        answer = milp(
            -weights,
            integrality=np.ones_like(weights),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(cost[None] / unit, -np.inf, budget / unit - margin),
                LinearConstraint(np.ones((1, weights.size)), 0 if problem.at_most else size, size),
            ],
            options={"mip_rel_gap": 0.0, "node_limit": MAX_NODES},
        )
        if answer.status != 0:
            return None
        chosen = answer.x > 0.5
        if cost[chosen].sum() <= budget * AFFORDABLE:
            return chosen
    return None
