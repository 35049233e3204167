"""What the best mixture of sets earns at every budget, at the truth of an environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from c2mabv_jax.problem import Problem
from c2mabv_jax.rewards import REWARD_MODELS
from c2mabv_jax.theory.envelope import corners_of, frontier, table_oracle, top_n_oracle
from c2mabv_jax.theory.sets import SetTable, billed_table
from c2mabv_jax.theory.typed import money_by_type, typed_front


def true_front(problem: Problem, environment: Any) -> tuple[np.ndarray, np.ndarray]:
    """Corners (costs, values) of the front of all legal sets that ask at least one LLM.

    The cheapest such set is the first corner, the cheapest of the best ones the last; the best
    mixture earns what lies on the line between two of them. Costs are in the environment's
    money, rewards those of its own (dependent) arms, a cascade's bills what is really billed.
    Where there are too many sets to list, the front of those that are best at some price by
    the reward's additive form: legal sets, but perhaps not all of the best. Where queries have
    types, of the choices that see them.

    Args:
      problem: its budget is not used.
      environment: a world that stays.

    Returns:
      Costs and values, each `[M]`, both rising; one corner where the cheapest set is the best.

    Raises:
      ProblemError: types of queries, and rewards that do not add up over them.
    """
    if environment.num_types is not None:
        if problem.num_selected == 1 and problem.at_most:  # an LLM, or none: here an LLM
            problem = problem.replace(reward_model="SUC", feedback="semi-bandit")
        return typed_front(problem, *money_by_type(environment))
    mu = np.asarray(environment.mean_reward, np.float64)
    cost = np.asarray(environment.mean_cost, np.float64) * float(environment.cost_scale)
    if problem.reward_model == "SUC":
        front = frontier(problem, mu, cost)
        return front.costs, front.values
    table = billed_table(problem, environment)
    if table is None:
        table = _best_at_some_price(problem, environment, mu, cost)
    asks = table.sets.any(axis=1)
    oracle = table_oracle(SetTable(table.sets[asks], table.values[asks], table.costs[asks]))
    corners = corners_of(oracle)
    return np.array([p.cost for p in corners]), np.array([p.value for p in corners])


def _best_at_some_price(
    problem: Problem, environment: Any, mu: np.ndarray, cost: np.ndarray
) -> SetTable:
    """Sets of the front by additive weights; of at most N LLMs also each alone."""
    oracle = top_n_oracle(problem, REWARD_MODELS[problem.reward_model].additive(mu), cost)
    sets = np.array([oracle.mask(corner.arms) for corner in corners_of(oracle)])
    if problem.at_most:
        sets = np.concatenate([np.eye(problem.num_arms, dtype=bool), sets])
    return SetTable(sets, environment.set_reward(problem.reward_model, sets), sets @ cost)
