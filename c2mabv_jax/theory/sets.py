"""Super arms as points: every set with its expected reward and cost (float64)."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.array.listing import MOST_ENTRIES, MOST_SETS, by_rank, mask_of, rank_of
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.rewards import REWARD_MODELS

AFFORDABLE = 1 + 1e-12  # a set at the budget is affordable whatever its costs' rounding


class SetTable(NamedTuple):
    """All super arms as points.

    Attributes:
      sets: bool `[M, K]`.
      values: expected reward, `[M]`.
      costs: expected bill, `[M]`.
      orders: where the bill depends on the order of asking: by which ascending order `[M, K]`
        a cascade asks for that bill, the least there is; otherwise None.
    """

    sets: np.ndarray
    values: np.ndarray
    costs: np.ndarray
    orders: np.ndarray | None = None


def set_table(
    problem: Problem,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    set_reward: ArrayLike | None = None,
) -> SetTable:
    """Expected reward and cost of every super arm; arguments as in `optimum`.

    Raises:
      ProblemError: more than `listing.MOST_SETS` sets.
    """
    mu, c = check_means(problem, mean_reward, mean_cost)
    sets = subsets(problem.num_arms, problem.num_selected, problem.at_most)
    if set_reward is not None:
        table = np.asarray(set_reward, float)
        if table.shape != (2**problem.num_arms,):
            raise ProblemError(f"set_reward: has shape {table.shape}, give [2^num_arms]")
        values = table[sets @ (1 << np.arange(problem.num_arms))]
    else:
        values = REWARD_MODELS[problem.reward_model].of_sets(sets, mu)
    return SetTable(sets, values, sets @ c)


def billed_table(problem: Problem, environment: Any) -> SetTable | None:
    """Expected reward and bill, in the environment's money, of every super arm.

    Rewards of dependent arms are the environment's own. A cascade that is billed as it is
    queried costs what the asked part costs, in the order of asking that costs least: whatever
    order a policy asks in, its point (cost, reward) is under the upper envelope of these.

    Returns:
      The table; None where the sets are too many or the bill of a cascade is not known.
    """
    return _billed_table(problem.replace(budget=0.0), environment)


@functools.lru_cache(maxsize=32)
def _billed_table(problem: Problem, environment: Any) -> SetTable | None:
    size = (problem.num_arms, problem.num_selected, problem.at_most)
    queried = problem.cascading and problem.billing == "queried"
    if not enumerable(*size) or (queried and not enumerable(*size[:2], at_most=True)):
        return None
    sets = subsets(*size)
    scale = float(environment.cost_scale)
    mean_cost = np.asarray(environment.mean_cost, np.float64) * scale
    values = environment.set_reward(problem.reward_model, sets)
    if not queried:
        return SetTable(sets, values, sets @ mean_cost)
    billed = least_bills(problem, environment)
    if billed is None:
        return None
    costs, orders = billed
    return SetTable(sets, values, costs * scale, orders)


def least_bills(problem: Problem, environment: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Least expected bill of every super arm of a cascade, and the order of asking that has it.

    Whether arm k is reached depends on the set P that is asked before it, not on the order in
    P, so with `Environment.cost_after`, h(P, k), the least bill of a set obeys

        bill(S) = min over k in S of bill(S - k) + h(S - k, k),      k is asked last.

    Returns:
      Scaled costs `[M]` and positions `[M, K]` of the sets of `subsets`; None where h is not
      known.
    """
    num_arms, largest = problem.num_arms, problem.num_selected
    bill, order = np.zeros(1), np.zeros((1, num_arms), np.int16)  # by rank, of sets of `size`
    found = [(bill, order)]
    for size in range(1, largest + 1):
        after = environment.cost_after(problem, mask_of(by_rank(num_arms, size - 1), num_arms))
        if after is None:
            return None
        members = by_rank(num_arms, size)
        rest = [rank_of(np.delete(members, i, axis=1), num_arms) for i in range(size)]
        bills = [bill[r] + after[r, members[:, i]] for i, r in enumerate(rest)]
        last = np.argmin(bills, axis=0)
        bill = np.min(bills, axis=0)
        rows = np.arange(len(members))
        order = order[np.stack(rest)[last, rows]]
        order[rows, members[rows, last]] = size - 1
        found.append((bill, order))
    sets = subsets(num_arms, largest, problem.at_most)
    sizes = sets.sum(axis=1)
    costs, orders = np.empty(len(sets)), np.empty(sets.shape, np.int16)
    for size in _sizes(largest, problem.at_most):
        here = np.flatnonzero(sizes == size)
        members = np.nonzero(sets[here])[1].reshape(len(here), size)
        rank = rank_of(members, num_arms)
        costs[here], orders[here] = (part[rank] for part in found[size])
    return costs, orders


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
      ProblemError: more than `listing.MOST_SETS` of them, or a table of more than
        `listing.MOST_ENTRIES`.
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
        members = np.fromiter(flat, np.int64, count * size).reshape(count, size)
        blocks.append(mask_of(members, num_arms))
    table = np.concatenate(blocks)
    table.flags.writeable = False
    return table


def number_of_sets(num_arms: int, num_selected: int, at_most: bool) -> int:
    """How many super arms there are."""
    return sum(math.comb(num_arms, size) for size in _sizes(num_selected, at_most))


def enumerable(num_arms: int, num_selected: int, at_most: bool) -> bool:
    """Whether `subsets` would list them."""
    number = number_of_sets(num_arms, num_selected, at_most)
    return number <= min(MOST_SETS, MOST_ENTRIES // num_arms)


def _sizes(num_selected: int, at_most: bool) -> tuple[int, ...]:
    return tuple(range(num_selected + 1)) if at_most else (num_selected,)


def reward_of(problem: Problem, mean_reward: np.ndarray, selected: np.ndarray) -> float:
    """r(S; mu) of one set of independent arms, `selected` bool `[K]`."""
    return float(REWARD_MODELS[problem.reward_model].of_sets(selected[None], mean_reward)[0])


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
