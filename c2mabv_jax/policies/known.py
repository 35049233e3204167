"""Policies that know their world: built from a problem and the true means of an environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.fixed_set import FixedSet
from c2mabv_jax.policies.oracle import Oracle
from c2mabv_jax.policies.typed_baselines import TypedOracle
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory import Optimum, money_by_type, true_optimum, typed_optimum


def oracle(problem: Problem, environment: Any) -> Oracle:
    """The mixed optimum at the truth; a cascade billed as queried is asked at least expense."""
    best = _optimum(problem, environment)
    usual = _order(problem, environment, _mean(environment, "mean_cost"))
    orders = best.orders or (usual,)
    return Oracle(best.sets[0], best.sets[-1], float(best.mix[0]), orders[0], orders[-1])


def oracle_by_type(problem: Problem, environment: Any) -> TypedOracle:
    """The mixed optimum that sees the type of a query."""
    check_types("TypedOracle", environment)
    best = typed_optimum(problem, *money_by_type(environment))
    return TypedOracle(best.sets[0], best.sets[-1], float(best.mix[0]))


def check_types(policy: str, environment: Any) -> None:
    """Raise unless there is an environment whose queries have types."""
    if environment is None or environment.num_types is None:
        raise ProblemError(
            f"policy = {policy}: needs to see the type of a query; give an environment with "
            "types (`environments.by_type`, `replay(..., types='group')`, --types group)"
        )


def best_fixed_set(problem: Problem, environment: Any) -> FixedSet:
    """The best set within the budget at the true means; the cheapest where none is."""
    best = _optimum(problem, environment)
    if best.fixed_set is None and best.feasible:
        raise ProblemError(
            f"num_arms = {problem.num_arms}: too many sets to find the best fixed one; "
            "give fewer LLMs"
        )
    chosen = best.sets[0] if best.fixed_set is None else best.fixed_set
    order = best.fixed_order
    if order is None:
        order = _order(problem, environment, _mean(environment, "mean_cost"))
    return FixedSet(chosen, order)


def dearest(problem: Problem, environment: Any) -> FixedSet:
    """The dearest LLM with at most N arms; the N dearest with exactly N (ties: lower index)."""
    return _first(problem, environment, -_mean(environment, "mean_cost"))


def cheapest(problem: Problem, environment: Any) -> FixedSet:
    """The cheapest LLM with at most N arms; the N cheapest with exactly N (ties: lower index)."""
    return _first(problem, environment, _mean(environment, "mean_cost"))


def fixed_set(
    problem: Problem, environment: Any, models: Sequence[str | int] | str | int | None = None
) -> FixedSet:
    """The named LLMs (names or indices), or the N of highest mean reward, whatever they cost."""
    if models is None:
        keep = np.argsort(-_mean(environment, "mean_reward"), kind="stable")
        chosen = np.isin(np.arange(problem.num_arms), keep[: problem.num_selected])
    else:
        chosen = np.zeros(problem.num_arms, bool)
        for model in [models] if isinstance(models, str | int) else models:
            chosen[_index(problem, environment, model)] = True
    known = environment is not None
    order = _order(problem, environment, _mean(environment, "mean_cost")) if known else None
    policy = FixedSet(chosen, order)
    policy.init(problem)  # raises on a set of the wrong size
    return policy


def _first(problem: Problem, environment: Any, ascending: np.ndarray) -> FixedSet:
    keep = np.argsort(ascending, kind="stable")[: 1 if problem.at_most else problem.num_selected]
    chosen = np.isin(np.arange(problem.num_arms), keep)
    return FixedSet(chosen, _order(problem, environment, _mean(environment, "mean_cost")))


def _optimum(problem: Problem, environment: Any) -> Optimum:
    for field in ("mean_reward", "mean_cost"):
        _mean(environment, field)
    best = true_optimum(problem, environment)
    if best.note:
        raise ProblemError(
            f"num_arms = {problem.num_arms}: {best.note}; give fewer LLMs, or leave out policies "
            "that know the truth"
        )
    return best


def _order(problem: Problem, environment: Any, mean_cost: np.ndarray) -> np.ndarray | None:
    """In which order a cascade asks: as the problem says, by the true means."""
    if not problem.cascading or problem.cascade_order == "given":
        return None
    if problem.cascade_order == "cheapest":
        return mean_cost
    return -_mean(environment, "mean_reward")


def _mean(environment: Any, field: str) -> np.ndarray:
    if environment is None:
        raise ProblemError(f"environment: missing; this policy needs its true {field}")
    mean = np.asarray(getattr(environment, field), np.float64)
    if mean.ndim != 1:
        raise ProblemError(f"{field}: has one column per run; this policy needs a single one")
    return mean


def _index(problem: Problem, environment: Any, model: str | int) -> int:
    names = () if environment is None else environment.names
    if isinstance(model, str) and model in names:
        return names.index(model)
    if isinstance(model, int | np.integer) and 0 <= model < problem.num_arms:
        return int(model)
    choices = ", ".join(names) or f"indices from 0 to {problem.num_arms - 1}"
    raise ProblemError(f"models = {model!r}: no such LLM; choose among {choices}")
