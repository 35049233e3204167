"""Types of query under one budget: optimum, front and bounds (float64).

With frequencies p the best mixed policy that sees the type solves

    maximise sum_g p_g mu_g.z_g  over  z_g in box and cardinality, sum_g p_g c_g.z_g <= budget

A choice of one set for every type is a point (cost, value); as in `optimum` the best mix lies
on the upper concave envelope of these points, and at a price every type takes its own top N.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation.typed import check_additive
from c2mabv_jax.theory.bounds import Bound, regret_bound, violation_bound
from c2mabv_jax.theory.envelope import Oracle, Point, bracket, corners_of, share_of
from c2mabv_jax.theory.fixed_set import best_fixed_set
from c2mabv_jax.theory.optimum import Optimum, true_optimum
from c2mabv_jax.theory.sets import AFFORDABLE


@dataclasses.dataclass(frozen=True)
class TypedOptimum:
    """Optimum of one problem at known means of every type. See `typed_optimum`.

    Attributes:
      relaxed: value of the best mixed policy within the budget, per round; of the cheapest
        choice where none is affordable.
      marginals: z* of every type, `[G, K]`.
      sets: the one or two choices that it mixes, each bool `[G, K]`; two differ by one swap in
        one type.
      mix: their probabilities.
      multiplier: lambda*, reward per unit of cost; 0 when slack. For every choice of sets
        value - relaxed <= lambda* (cost - budget).
      value_by_type, cost_by_type: mu_g.z*_g and c_g.z*_g of a query of each type, `[G]`.
      binding: whether the best choice of all breaks the budget.
      feasible: whether some choice is affordable.
      fixed_set, fixed_value: the best one set for all types within the budget, bool `[K]`, and
        its value; None where none is affordable.
      frequencies: p, `[G]`.
    """

    relaxed: float
    marginals: np.ndarray
    sets: tuple[np.ndarray, ...]
    mix: np.ndarray
    multiplier: float
    value_by_type: np.ndarray
    cost_by_type: np.ndarray
    binding: bool
    feasible: bool
    fixed_set: np.ndarray | None
    fixed_value: float | None
    frequencies: np.ndarray
    exact = True

    @property
    def visits(self) -> np.ndarray:
        """Share of all rounds that are of type g and ask arm k, p_g z*_gk, `[G K]`.

        The leading order of the violation takes these as the marginals of G K arms:
        `predictions.violation_leading(T, G K, delta, best.visits)`, so that its constant is the
        sum over types and arms of sqrt(p_g z*_gk).
        """
        return (self.frequencies[:, None] * self.marginals).ravel()


def typed_optimum(
    problem: Problem,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    frequencies: ArrayLike,
) -> TypedOptimum:
    """Best mixed policy that sees the type of every query, within one budget, exactly.

    Args:
      problem: SUC, or N = 1; its budget in the unit of `mean_cost`.
      mean_reward: `[G, K]`, in [0, 1].
      mean_cost: `[G, K]`, not negative.
      frequencies: p, `[G]`, adding up to 1.

    Raises:
      ProblemError: rewards that do not add up, or sizes that do not fit.

    Example:
      >>> env = environments.replay(log, types="group")
      >>> best = typed_optimum(problem, *money_by_type(env))
    """
    mu, c, p = _check(problem, mean_reward, mean_cost, frequencies)
    budget = float(problem.budget)
    oracle = typed_oracle(problem, mu, c, p)
    slack = oracle.high.cost <= budget * AFFORDABLE
    feasible = oracle.low.cost <= budget * AFFORDABLE
    sets, mix, slope = [(oracle.high if slack else oracle.low).arms], np.ones(1), 0.0
    if feasible and not slack:
        low, high, slope = bracket(oracle, budget)
        sets, mix = _one_swap(c * p[:, None], low.arms, high.arms, budget)
    fixed_set, fixed_value = best_fixed_set(_linear(problem), p @ mu, p @ c)
    marginals = np.tensordot(mix, np.array(sets, float), axes=1)
    value, cost = (mu * marginals).sum(axis=1), (c * marginals).sum(axis=1)
    return TypedOptimum(
        relaxed=float(p @ value),
        marginals=marginals,
        sets=tuple(sets),
        mix=mix,
        multiplier=slope,
        value_by_type=value,
        cost_by_type=cost,
        binding=not slack,
        feasible=feasible,
        fixed_set=fixed_set,
        fixed_value=fixed_value,
        frequencies=p,
    )


def best_of(problem: Problem, environment: Any) -> Optimum | TypedOptimum:
    """The optimum at the truth of an environment, in its money: by type where it has types."""
    if environment.num_types is None:
        return true_optimum(problem, environment)
    return typed_optimum(problem, *money_by_type(environment))


def typed_front(
    problem: Problem, mean_reward: ArrayLike, mean_cost: ArrayLike, frequencies: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Best value over all budgets: corners (costs, values), linear between, constant beyond.

    Arguments as in `typed_optimum`; the problem's own budget is not used.
    """
    mu, c, p = _check(problem, mean_reward, mean_cost, frequencies)
    corners = corners_of(typed_oracle(problem, mu, c, p))
    return np.array([x.cost for x in corners]), np.array([x.value for x in corners])


def typed_oracle(problem: Problem, mu: np.ndarray, c: np.ndarray, p: np.ndarray) -> Oracle:
    """At a price every type takes its own top N; ties: the cheaper, then the lower index."""
    size = problem.num_selected

    def chosen(keys: tuple[np.ndarray, ...], worth: np.ndarray | None = None) -> Point:
        order = np.lexsort(keys, axis=1)[:, :size]
        sets = np.zeros(mu.shape, bool)
        np.put_along_axis(sets, order, True, axis=1)
        if worth is not None:
            sets &= worth
        return Point(float(p @ (c * sets).sum(axis=1)), float(p @ (mu * sets).sum(axis=1)), sets)

    def at(price: float) -> Point:
        score = mu - price * c
        return chosen((c, -score), score > 0 if problem.at_most else None)

    low = chosen((-mu, c), (c == 0) & (mu > 0) if problem.at_most else None)
    high = chosen((c, -mu), mu > 0 if problem.at_most else None)
    return Oracle(at, low, high, lambda sets: sets)


def _one_swap(
    cost: np.ndarray, low: np.ndarray, high: np.ndarray, budget: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """Two choices one swap apart that mix to the budget, on a path from `low` to `high`.

    At the price of the edge all arms of a type in which the ends differ score alike (an empty
    place scores 0), so every step of the path is on the edge too.
    """
    below = low.copy()
    while True:
        above = below.copy()
        g = int(np.flatnonzero((below ^ high).any(axis=1))[0])
        out, into = np.flatnonzero(below[g] & ~high[g]), np.flatnonzero(high[g] & ~below[g])
        if out.size:
            above[g, out[0]] = False
        if into.size:
            above[g, into[0]] = True
        at = [float((cost * sets).sum()) for sets in (below, above)]
        if at[1] >= budget and at[1] > at[0]:
            share = share_of(at[0], at[1], budget)
            return [below, above], np.array([1 - share, share])
        below = above


def _check(
    problem: Problem, mean_reward: ArrayLike, mean_cost: ArrayLike, frequencies: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_additive(problem)
    p = np.asarray(frequencies, np.float64)
    shape = (p.size, problem.num_arms)
    arrays = []
    for name, values in (("mean_reward", mean_reward), ("mean_cost", mean_cost)):
        array = np.asarray(values, np.float64)
        if array.shape != shape or not np.isfinite(array).all():
            raise ProblemError(f"{name}: shape {array.shape}; give finite numbers {shape}")
        arrays.append(array)
    if p.ndim != 1 or not (np.isfinite(p).all() and (p >= 0).all() and abs(p.sum() - 1) < 1e-6):
        raise ProblemError("frequencies: give probabilities, 0 or more, that add up to 1")
    return arrays[0], arrays[1], p


def _linear(problem: Problem) -> Problem:
    """With one LLM per query AWC and AIC are SUC."""
    if problem.reward_model == "SUC":
        return problem
    return problem.replace(reward_model="SUC", feedback="semi-bandit")


def money_by_type(environment: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean reward and mean cost in money, `[G, K]`, and frequencies `[G]` of a typed world."""
    p, mu, c = (np.asarray(x, np.float64) for x in environment.by_type)
    return mu, c * float(environment.cost_scale), p


def typed_regret_bound(
    horizon: ArrayLike, num_types: int, num_arms: int, num_selected: int, delta: ArrayLike,
    alpha_reward: float = 1.0, alpha_cost: float = 1.0, **options: Any,
) -> Bound:  # fmt: skip
    """`regret_bound` of C2MAB-V by type, with known frequencies, against `typed_optimum`.

    The relaxed problem of a round is feasible for z*, so given the past the expected shortfall
    is at most sum_g p_g (U_g - mu_g).z_g, what the set played is expected to owe to the widths
    of its own type: the width sum is that of G K arms, which share N T observations. Given
    the past the type and the rounding are random together, so the martingales range over N, not
    over one swap. Assumptions and `options` as in `regret_bound`; types are i.i.d.
    """
    sizes = (num_types * num_arms, num_selected, delta, alpha_reward, alpha_cost)
    return regret_bound(horizon, *sizes, rounding="any", **options)


def typed_violation_bound(
    horizon: ArrayLike, num_types: int, num_arms: int, num_selected: int, delta: ArrayLike,
    alpha_cost: float = 1.0, **options: Any,
) -> Bound:  # fmt: skip
    """`violation_bound` of C2MAB-V by type, with known frequencies; see `typed_regret_bound`."""
    sizes = (num_types * num_arms, num_selected, delta, alpha_cost)
    return violation_bound(horizon, *sizes, rounding="any", **options)
