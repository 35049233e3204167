"""From options to a world and a problem, with a budget where none is given."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from c2mabv_jax.cli.log import LogOptions
from c2mabv_jax.errors import FLOAT32_NOISE, ProblemError, rounded_up
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory.front import true_front
from c2mabv_jax.theory.sets import least_cost

BOUGHT = 0.8  # share of the rise of the front that the default budget buys


class Fence(NamedTuple):
    """What sets of N LLMs cost per round under the true mean costs, in money.

    Attributes:
      least: no legal set costs less (0 where fewer than N may be asked).
      single: the cheapest LLM.
      cheapest: the N cheapest LLMs.
      best: the N LLMs with the highest mean reward (ties: the cheaper).
      dearest: the N dearest LLMs.
    """

    least: float
    single: float
    cheapest: float
    best: float
    dearest: float


def world(scenario: str, log: LogOptions | None, order: str, seed: int, **others: Any) -> Any:
    """The environment that the options ask for: a log, or a scenario.

    Args:
      scenario: name of a scenario.
      log: a log; None for the scenario.
      order: of the log's rows. seed: of a permuted order.
      others: what was given of a log's options without a log, of which `prices` is also a
        scenario's.

    Raises:
      ProblemError: options that exclude each other, an unknown scenario, a malformed file.
    """
    from c2mabv_jax import environments

    if log is not None:
        return log.open(order, seed)
    for name, value in others.items():
        if name != "prices" and value:
            option = "--" + name.replace("_", "-")
            raise ProblemError(f"{option} = {value!r}: only a --log has it")
    return environments.scenario(scenario, prices=others.get("prices"))


def fence(problem: Problem, environment: Any) -> Fence:
    """What sets of N LLMs cost; see `Fence`."""
    cost = np.asarray(environment.mean_cost, np.float64) * float(environment.cost_scale)
    reward = np.asarray(environment.mean_reward, np.float64)
    sorted_cost, number = np.sort(cost), problem.num_selected
    best = np.lexsort((cost, -reward))[:number]
    cheapest = float(sorted_cost[:number].sum())
    return Fence(
        least=least_cost(problem, cost),
        single=float(sorted_cost[0]),
        cheapest=cheapest,
        best=float(cost[best].sum()),
        dearest=float(sorted_cost[-number:].sum()),
    )


def default_budget(problem: Problem, environment: Any) -> tuple[float, str]:
    """A budget at which money still buys quality, and how it was found.

    The front of the best mixtures rises from the cheapest set that asks an LLM to the best set;
    the budget is where `BOUGHT` of that rise is made, to three digits.
    """
    costs, values = true_front(problem, environment)
    cheapest, best = (f"{values[i]:.4g} for {costs[i]:.3g}" for i in (0, -1))
    if len(costs) == 1:
        return float(costs[0]), (
            f"no --budget given: took what the cheapest set costs ({cheapest}): none earns more"
        )
    exact = float(np.interp(values[0] + BOUGHT * (values[-1] - values[0]), values, costs))
    budget = min(max(float(f"{exact:.3g}"), costs[0]), costs[-1])
    return float(budget), (
        f"no --budget given: took what buys the best mixture {100 * BOUGHT:g} % of the way from "
        f"the cheapest set (reward {cheapest}) to the best ({best})"
    )


def check_budget(problem: Problem, environment: Any) -> str | None:
    """A remark on an odd budget; raises where no legal set can meet it.

    Raises:
      ProblemError: names --budget and the smallest feasible one.
    """
    budget, prices, unit = float(problem.budget), fence(problem, environment), environment.cost_unit
    money = "" if unit == "1" else f" {unit}"
    if budget < prices.least * (1 - FLOAT32_NOISE):
        fewer = ", or a smaller --num-selected" if problem.num_selected > 1 else ""
        cheapest = (
            f"the {problem.num_selected} cheapest LLMs cost" if fewer else "the cheapest costs"
        )
        raise ProblemError(
            f"--budget = {budget:g}{money}: {cheapest} {rounded_up(prices.least)}{money}; give at "
            f"least that{fewer}"
        )
    if budget < prices.single:
        return (
            f"the budget is less than the cheapest LLM costs ({prices.single:.3g}{money}): many "
            "queries are put to no LLM at all"
        )
    if budget > prices.dearest:
        return (
            f"the budget never binds: even the {problem.num_selected} dearest LLMs cost only "
            f"{prices.dearest:.4g}{money} (is its unit right?)"
        )
    if budget > prices.best:
        return (
            f"the budget may not bind: the {problem.num_selected} best LLMs cost "
            f"{prices.best:.4g}{money}"
        )
    return None
