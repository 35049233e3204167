"""The best that could be done knowing everything: mixed optimum and best fixed set (float64).

One idea serves every reward model: the best mixed policy at a budget lies on the upper concave
envelope of the points (c(S), r(S)). See `envelope`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.problem import Problem
from c2mabv_jax.theory.envelope import Oracle, bracket, share_of, table_oracle, top_n_oracle
from c2mabv_jax.theory.fixed_set import Fixed, best_fixed_set, best_in_table, best_row
from c2mabv_jax.theory.sets import (
    AFFORDABLE,
    billed_table,
    check_means,
    enumerable,
    least_cost,
    reward_of,
    set_table,
)

_NEGLIGIBLE = 1e-11  # relative size below which a reduced reward or a share counts as zero


@dataclasses.dataclass(frozen=True)
class Optimum:
    """Optima of one problem at known means. See `optimum`.

    Attributes:
      relaxed: value of the best mixed policy within the budget; an upper bound of it where
        `exact` is False. Where no set is affordable: the value of the cheapest set.
      marginals: its probability of each arm, z* `[K]`.
      sets: the super arms it mixes, one or two, each bool `[K]`.
      mix: their probabilities.
      multiplier: lambda*, reward per unit of cost that the budget is worth; 0 when slack. For
        every set r(S) - relaxed <= lambda* (c(S) - budget).
      fixed_set: best affordable set, bool `[K]`; None if there is none or it was not found.
      fixed_value: its value.
      binding: whether the best set of all breaks the budget.
      feasible: whether some set is affordable.
      exact: whether `relaxed` is exact.
      cardinality_multiplier: nu*, the value of one more place in the set. This and the next
        three for SUC only (otherwise None and False).
      reduced: mu - lambda* c - nu* `[K]`. For any z of the polytope
        relaxed - mu.z + lambda* (c.z - budget) = sum |reduced| dev, dev = z where reduced < 0
        and 1 - z where reduced > 0 (plus nu* (N - sum z) with at most N arms).
      basic: arms at the threshold, bool `[K]`: the two that are swapped when the budget binds,
        the last one taken when it is slack.
      degenerate: whether z* or the multipliers are not unique (a nonbasic arm of reduced
        reward 0, or a single set that just meets the budget).
      orders, fixed_order: where the bill depends on the order of asking, the order that has
        it, positions `[K]`, of each of `sets` and of `fixed_set`; otherwise None.
      note: why nothing is known (`relaxed` and the rest are then NaN); otherwise empty.
    """

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
    cardinality_multiplier: float | None = None
    reduced: np.ndarray | None = None
    basic: np.ndarray | None = None
    degenerate: bool = False
    orders: tuple[np.ndarray, ...] | None = None
    fixed_order: np.ndarray | None = None
    note: str = ""


def true_optimum(problem: Problem, environment: Any) -> Optimum:
    """`optimum` at the truth of an environment, in its money, with what is really billed.

    Dependent arms are worth what the environment says their sets are worth, and a cascade
    billed as it is queried costs what the asked part costs, so that no policy, in whatever
    order it asks, is better than the optimum. Where that cannot be had, the optimum is NaN and
    its `note` says why.
    """
    mu = np.asarray(environment.mean_reward, np.float64)
    cost = np.asarray(environment.mean_cost, np.float64) * float(environment.cost_scale)
    queried = problem.cascading and problem.billing == "queried"
    dependent = environment.dependent and problem.reward_model != "SUC"
    if not queried and (not dependent or environment.changes):
        return optimum(problem, mu, cost)
    table = billed_table(problem, environment)
    if table is None:
        return _unknown(problem, mu, cost)
    budget = float(problem.budget)
    fixed = best_in_table(table, budget)
    row = best_row(table, budget)
    return _mixed(table_oracle(table), budget, fixed, table.orders, row)


def _unknown(problem: Problem, mu: np.ndarray, cost: np.ndarray) -> Optimum:
    if not enumerable(problem.num_arms, problem.num_selected, at_most=True):
        note = f"{problem.num_arms} LLMs have too many sets to enumerate"
    else:
        note = "the bill of a cascade is known for a world that stays, and for one set of means"
        if problem.satisfaction != "bernoulli":
            note = "the bill of a cascade with a threshold is known for rewards of 0 and 1"
    nothing = np.full(mu.shape, np.nan)
    feasible = least_cost(problem, cost) <= float(problem.budget) * AFFORDABLE
    return Optimum(
        np.nan, nothing, (), np.array([]), np.nan, None, None, False, feasible, False, note=note
    )


def optimum(
    problem: Problem,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    set_reward: ArrayLike | None = None,
) -> Optimum:
    """Best mixed policy at the budget and best fixed set, knowing the means.

    Args:
      problem: the problem; its budget must be one number, in the unit of `mean_cost`.
      mean_reward: `[K]`, in [0, 1].
      mean_cost: `[K]`, not negative, in any unit; the whole super arm is charged.
      set_reward: r(S) of every subset, `[2^K]`, bit k of the index for arm k, where the arms
        are dependent; by default the formula for independent arms.

    Returns:
      `Optimum`. SUC: exact for any K. AWC and AIC: exact while all sets can be enumerated
      (`listing.MOST_SETS`), beyond that an upper bound by linear programming and `exact` False:
      any-win is at most mu(S) and equals 1 - exp(-sum of -ln(1 - mu)); all-in is at most the
      mean of mu over S and the product of the N largest mu.

    Raises:
      ProblemError: sizes that do not fit, or means that are not finite.
    """
    mu, c = check_means(problem, mean_reward, mean_cost)
    budget = float(problem.budget)
    if problem.reward_model == "SUC" and set_reward is None:
        return _linear(problem, mu, c, budget)
    if set_reward is None and not enumerable(
        problem.num_arms, problem.num_selected, problem.at_most
    ):
        return _upper_bound(problem, mu, c, budget)
    table = set_table(problem, mu, c, set_reward)
    return _mixed(table_oracle(table), budget, best_in_table(table, budget))


def _mixed(
    oracle: Oracle,
    budget: float,
    fixed: Fixed = (None, None),
    orders: np.ndarray | None = None,
    fixed_row: int | None = None,
) -> Optimum:
    """Two points of the envelope around the budget, or one if the best set fits or none does."""
    slack = oracle.high.cost <= budget * AFFORDABLE
    feasible = oracle.low.cost <= budget * AFFORDABLE
    points, mix, slope = [oracle.high if slack else oracle.low], np.ones(1), 0.0
    if feasible and not slack:
        low, high, slope = bracket(oracle, budget)
        share = share_of(low.cost, high.cost, budget)
        points, mix = [low, high], np.array([1 - share, share])
    sets = tuple(oracle.mask(point.arms) for point in points)
    return Optimum(
        relaxed=float(mix @ [point.value for point in points]),
        marginals=mix @ np.array(sets, float),
        sets=sets,
        mix=mix,
        multiplier=slope,
        fixed_set=fixed[0],
        fixed_value=fixed[1],
        binding=not slack,
        feasible=feasible,
        exact=True,
        orders=_rows(orders, [point.arms for point in points]),
        fixed_order=None if fixed_row is None else (_rows(orders, [fixed_row]) or [None])[0],
    )


def _rows(orders: np.ndarray | None, rows: list) -> tuple[np.ndarray, ...] | None:
    return None if orders is None else tuple(orders[row].astype(float) for row in rows)


def _linear(problem: Problem, mu: np.ndarray, c: np.ndarray, budget: float) -> Optimum:
    """SUC: a vertex of the linear programme, its duals and whether they are unique."""
    num_arms, size = problem.num_arms, problem.num_selected
    oracle = top_n_oracle(problem, mu, c)
    best = _mixed(oracle, budget, best_fixed_set(problem, mu, c))
    if not best.feasible:
        return best
    adjusted = mu - best.multiplier * c
    if best.binding:
        sets, mix = _one_swap(c, best.sets, budget, problem.at_most, size)
        best = dataclasses.replace(best, sets=sets, mix=mix, marginals=mix @ np.array(sets, float))
        basic = sets[0] ^ sets[1]
        # Swapping an arm against an empty place: the threshold is that of no arm, 0.
        swap = basic.sum() == 2
        nu = float(adjusted[basic].mean()) if swap else 0.0
        unique = float(mix.min()) > _NEGLIGIBLE
    else:
        chosen = best.sets[0]
        places_left = chosen.sum() < size
        nu = 0.0 if places_left else float(adjusted[chosen].min())
        basic = np.zeros(num_arms, bool)
        if not places_left:
            basic[np.flatnonzero(chosen)[np.argmin(adjusted[chosen])]] = True
        unique = abs(c[chosen].sum() - budget) > _NEGLIGIBLE * budget
    reduced = np.where(basic, 0.0, adjusted - nu)
    scale = np.abs(mu).max() + best.multiplier * np.abs(c).max()
    tied = (np.abs(reduced) <= _NEGLIGIBLE * scale) & ~basic
    return dataclasses.replace(
        best,
        cardinality_multiplier=nu,
        reduced=reduced,
        basic=basic,
        degenerate=bool(tied.any() or not unique),
    )


def _one_swap(
    c: np.ndarray, sets: tuple[np.ndarray, ...], budget: float, at_most: bool, size: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Two sets one swap apart that mix to the budget, from two optimal sets.

    The arms in which the two sets differ have equal adjusted reward (empty places count as
    arms of cost 0). Sorted by cost, the cheapest m of them turn into the dearest m by single
    swaps, each at least as dear as the last; the budget falls into one of these.
    """
    num_arms = c.size
    padded_cost = np.append(c, np.zeros(size if at_most else 0))
    low, high = (_fill(chosen, size, padded_cost.size) for chosen in sets)
    free = np.flatnonzero(low ^ high)
    free = free[np.argsort(padded_cost[free], kind="stable")]
    count = free.size // 2
    current = low & high
    common = current.copy()
    current[free[:count]] = True
    for place in reversed(range(count)):
        for step in range(place, free.size - count + place):
            following = current.copy()
            following[free[step]], following[free[step + 1]] = False, True
            below, above = (float(padded_cost[s].sum()) for s in (current, following))
            if above > budget and above > below:
                share = share_of(below, above, budget)
                pair = (current[:num_arms], following[:num_arms])
                return pair, np.array([1 - share, share])
            current = following
    raise AssertionError(f"no swap of {common.sum()} common arms reaches the budget")


def _fill(chosen: np.ndarray, size: int, length: int) -> np.ndarray:
    """The set with its empty places taken by padding arms, bool `[length]`."""
    padded = np.zeros(length, bool)
    padded[: chosen.size] = chosen
    padded[chosen.size : chosen.size + size - int(chosen.sum())] = True
    return padded


def _upper_bound(problem: Problem, mu: np.ndarray, c: np.ndarray, budget: float) -> Optimum:
    """AWC and AIC with too many sets: an upper bound of the mixed optimum, by top-N selections.

    r(S) is at most a concave function of an additive one, whose tangent at the optimum is
    again a bound: so the multiplier keeps its meaning.
    """
    if problem.reward_model == "AWC":
        best = _mixed(top_n_oracle(problem, mu, c), budget)
        value, factor = (best.relaxed, 1.0) if best.relaxed < 1 else (1.0, 0.0)
        if mu.max() < 1:
            logs = _mixed(top_n_oracle(problem, -np.log1p(-mu), c), budget)
            survive = math.exp(-logs.relaxed)
            if 1 - survive <= value:
                best, value, factor = logs, 1 - survive, survive
    else:
        best = _mixed(top_n_oracle(problem, mu / problem.num_selected, c), budget)
        product = float(np.sort(mu)[-problem.num_selected :].prod())
        value, factor = (best.relaxed, 1.0) if best.relaxed < product else (product, 0.0)
    if not best.feasible:
        value = reward_of(problem, mu, best.sets[0])
    fixed_set, fixed_value = best_fixed_set(problem, mu, c)
    return dataclasses.replace(
        best,
        relaxed=value,
        multiplier=factor * best.multiplier,
        fixed_set=fixed_set,
        fixed_value=fixed_value,
        exact=not best.feasible,
    )
