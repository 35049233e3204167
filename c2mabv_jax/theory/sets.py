"""Super arms as points: every set with its expected reward and cost (float64)."""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem

MAX_SETS = 200_000
MAX_ENTRIES = 5_000_000  # sets times arms, so that a table stays small
AFFORDABLE = 1 + 1e-12  # a set at the budget is affordable whatever its costs' rounding


class SetTable(NamedTuple):
    """All super arms: `sets` bool `[M, K]`, their `values` `[M]` and `costs` `[M]`."""

    sets: np.ndarray
    values: np.ndarray
    costs: np.ndarray


def set_table(
    problem: Problem,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    set_reward: ArrayLike | None = None,
) -> SetTable:
    """Expected reward and cost of every super arm; arguments as in `optimum`.

    Raises:
      ProblemError: more than `MAX_SETS` sets.
    """
    mu, c = check_means(problem, mean_reward, mean_cost)
    sets = subsets(problem.num_arms, problem.num_selected, problem.at_most)
    if set_reward is not None:
        table = np.asarray(set_reward, float)
        if table.shape != (2**problem.num_arms,):
            raise ProblemError(f"set_reward: has shape {table.shape}, give [2^num_arms]")
        values = table[sets @ (1 << np.arange(problem.num_arms))]
    elif problem.reward_model == "SUC":
        values = sets @ mu
    elif problem.reward_model == "AWC":
        values = 1 - np.where(sets, 1 - mu, 1).prod(1)
    else:
        values = np.where(sets, mu, 1).prod(1)
    return SetTable(sets, values, sets @ c)


def least_cost(problem: Problem, mean_cost: ArrayLike) -> float:
    """What no legal super arm costs less than, in the unit of `mean_cost` `[K]`.

    Nothing where fewer than N arms may be asked, the cheapest arm where a cascade is billed as
    it is queried, else the N cheapest.
    """
    if problem.at_most:
        return 0.0
    asked = 1 if problem.cascading and problem.billing == "queried" else problem.num_selected
    return float(np.sort(np.asarray(mean_cost, np.float64))[:asked].sum())


@functools.lru_cache(maxsize=8)
def subsets(num_arms: int, num_selected: int, at_most: bool) -> np.ndarray:
    """All sets of the cardinality, read-only bool `[M, K]`, in lexicographic order by size.

    Raises:
      ProblemError: more than `MAX_SETS` of them, or a table of more than `MAX_ENTRIES`.
    """
    number = number_of_sets(num_arms, num_selected, at_most)
    if not enumerable(num_arms, num_selected, at_most):
        raise ProblemError(
            f"num_arms = {num_arms}: {number} sets are too many to enumerate; "
            "take fewer arms, or SUC"
        )
    blocks = []
    for size in _sizes(num_selected, at_most):
        flat = itertools.chain.from_iterable(itertools.combinations(range(num_arms), size))
        count = math.comb(num_arms, size)
        chosen = np.fromiter(flat, np.int64, count * size).reshape(count, size)
        block = np.zeros((count, num_arms), bool)
        np.put_along_axis(block, chosen, True, axis=1)
        blocks.append(block)
    table = np.concatenate(blocks)
    table.flags.writeable = False
    return table


def number_of_sets(num_arms: int, num_selected: int, at_most: bool) -> int:
    """How many super arms there are."""
    return sum(math.comb(num_arms, size) for size in _sizes(num_selected, at_most))


def enumerable(num_arms: int, num_selected: int, at_most: bool) -> bool:
    """Whether `subsets` would list them."""
    number = number_of_sets(num_arms, num_selected, at_most)
    return number <= min(MAX_SETS, MAX_ENTRIES // num_arms)


def _sizes(num_selected: int, at_most: bool) -> tuple[int, ...]:
    return tuple(range(num_selected + 1)) if at_most else (num_selected,)


def reward_of(problem: Problem, mean_reward: np.ndarray, selected: np.ndarray) -> float:
    """r(S; mu) of one set of independent arms, `selected` bool `[K]`."""
    chosen = mean_reward[selected]
    if problem.reward_model == "SUC":
        return float(chosen.sum())
    return float(1 - (1 - chosen).prod() if problem.reward_model == "AWC" else chosen.prod())


def check_means(
    problem: Problem, mean_reward: ArrayLike, mean_cost: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    mu, c = np.asarray(mean_reward, np.float64), np.asarray(mean_cost, np.float64)
    for field, values in (("mean_reward", mu), ("mean_cost", c)):
        if values.shape != (problem.num_arms,):
            raise ProblemError(
                f"{field}: has shape {values.shape}, give [num_arms] = [{problem.num_arms}]"
            )
        if not np.isfinite(values).all():
            raise ProblemError(f"{field}: has values that are not finite")
    return mu, c
