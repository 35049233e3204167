"""From a sweep file to points: every combination of its axes, in the order of the file."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import jax
import numpy as np
from pydantic import TypeAdapter, ValidationError

from c2mabv_jax.environments import by_type, generators, replay, scenario, synthetic
from c2mabv_jax.errors import FLOAT32_NOISE, ProblemError, rounded_up
from c2mabv_jax.policies import catalogue
from c2mabv_jax.problem import Problem
from c2mabv_jax.sweep import spec as tables
from c2mabv_jax.sweep.spec import Spec
from c2mabv_jax.theory.sets import least_cost

MOST_POINTS = 200_000


class Point(NamedTuple):
    """One point of the grid: everything but the seed.

    Attributes:
      problem: with its budget in the environment's money.
      environment: shared (the same object) by points that differ in other things only.
      policy: told its horizon.
      horizon: T.
      coordinates: what names the point in the results, plain numbers and words.
    """

    problem: Problem
    environment: Any
    policy: Any
    horizon: int
    coordinates: dict[str, Any]


class World(NamedTuple):
    """An environment as the file gives it, before N, reward model and horizon are known.

    Attributes:
      coordinates: its label and the values of its axes.
      make: (num_selected, reward_model, horizon) -> (problem or None, environment); the
        problem is that of an instance generator, which brings a budget.
    """

    coordinates: dict[str, Any]
    make: Callable[[int, Any, int], tuple[Problem | None, Any]]


def points(spec: Spec, folder: Path, source: str = "spec") -> list[Point]:
    """All points of a sweep file.

    Raises:
      ProblemError: a combination that is no problem, or budgets that no legal set can keep at
        all points; names table, key, value and fix.
    """
    number = num_points(spec)
    if number > MOST_POINTS:
        raise ProblemError(
            f"{source}: {number:,} points, and {MOST_POINTS:,} at most; shorten the lists"
        )
    found = list(_product(spec, folder, source))
    if all(_least_cost(point) is not None for point in found):
        raise ProblemError(f"{source}: {unaffordable(found)}; give a larger one")
    return found


def num_points(spec: Spec) -> int:
    """How many points there will be, counted from the lists alone."""

    def size(axes: Iterable[list[Any] | None]) -> int:
        return math.prod(len(values) for values in axes if values is not None)

    worlds = sum(
        size(getattr(table, axis) for axis in _AXES[type(table)]) for table in spec.environment
    )
    problems = size(_problem_axes(spec.problem).values())
    return worlds * problems * sum(size(_policy_axes(table).values()) for table in spec.policy)


def unaffordable(found: Sequence[Point]) -> str | None:
    """One line on points whose budget no legal set can keep; None where there are none."""
    over = [(point, least) for point in found if (least := _least_cost(point)) is not None]
    if not over:
        return None
    point, least = over[0]
    given, unit = point.coordinates, point.environment.cost_unit
    money = "" if unit == "1" else f" {unit}"
    key = "budget_fraction" if "budget_fraction" in given else "budget"
    return (
        f"[problem] {key} = {given[key]:g}: {given['num_selected']} LLMs of "
        f"{given['environment']} cost at least {rounded_up(least)}{money}, the budget is "
        f"{given['budget']:.4g}{money} (so at {len(over)} of {len(found)} points)"
    )


def _least_cost(point: Point) -> float | None:
    """What the cheapest legal set costs, in money, where that is more than the budget."""
    cost = np.asarray(point.environment.mean_cost, np.float64) * point.environment.cost_scale
    least = least_cost(point.problem, cost)
    return least if least > float(point.problem.budget) * (1 + FLOAT32_NOISE) else None


def _product(spec: Spec, folder: Path, source: str) -> Iterator[Point]:
    policies = [
        (f"{source}: [[policy]] {number}", table, choice)
        for number, table in enumerate(spec.policy, 1)
        for choice in _choices(_policy_axes(table))
    ]
    for number, table in enumerate(spec.environment, 1):
        where = f"{source}: [[environment]] {number}"
        with _at(where):
            worlds = list(_worlds(table, folder))
        for world in worlds:
            made = _remember(world.make)
            for choice in _choices(_problem_axes(spec.problem)):
                with _at(where):
                    own, environment = made(
                        choice["num_selected"], choice["reward_model"], choice["horizon"]
                    )
                with _at(f"{source}: [problem]"):
                    problem = _problem(choice, own, environment)
                coordinates = {
                    **world.coordinates,
                    "num_arms": problem.num_arms,
                    **choice,
                    "budget": float(problem.budget),
                }
                for place, entry, options in policies:
                    with _at(place):
                        policy = build_policy(
                            entry.name, problem, environment, options, choice["horizon"]
                        )
                    named = {"policy": entry.label or entry.name}
                    yield Point(
                        problem,
                        environment,
                        policy,
                        choice["horizon"],
                        {**named, **coordinates, **_flat(options)},
                    )


class _at:
    """Errors raised inside say which table of the file they come from."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ProblemError) and not str(error).startswith(self.where):
            raise ProblemError(f"{self.where}: {error}") from None


def _choices(axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _remember(make: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple, Any] = {}

    def made(*arguments: Any) -> Any:
        if arguments not in known:
            known[arguments] = make(*arguments)
        return known[arguments]

    return made


# --- the problem ---------------------------------------------------------------------------


def _problem_axes(table: tables.ProblemTable) -> dict[str, list[Any]]:
    axes = {key: getattr(table, key) for key in type(table).model_fields}
    return {key: values for key, values in axes.items() if values is not None}


def _problem(choice: dict[str, Any], own: Problem | None, environment: Any) -> Problem:
    options = {k: v for k, v in choice.items() if k not in ("horizon", "budget_fraction")}
    if options["num_selected"] > environment.num_arms:
        raise ProblemError(
            f"num_selected = {options['num_selected']}: there are {environment.num_arms} LLMs; "
            f"give 1 to {environment.num_arms}"
        )
    if "budget_fraction" in choice:
        costs = np.sort(np.asarray(environment.mean_cost, np.float64))
        dearest = costs[-options["num_selected"] :].sum() * environment.cost_scale
        options["budget"] = choice["budget_fraction"] * float(dearest)
    if own is not None:  # an instance generator sets what the file leaves open
        return own.replace(**options)
    return Problem(num_arms=environment.num_arms, **options)


# --- environments --------------------------------------------------------------------------


def _worlds(table: Any, folder: Path) -> Iterator[World]:
    label = {"environment": table.label or getattr(table, "name", None) or table.kind}
    for axes, make in _WORLDS[type(table)](table, folder):
        yield World({**label, **axes}, make)


def _scenario(table: tables.Scenario, folder: Path):
    prices = None if table.prices is None else folder / table.prices
    environment = scenario(table.name, prices)
    yield {}, lambda n, model, horizon: (None, environment)


def _log(table: tables.Log, folder: Path):
    groups: list[str | None] = [*table.group] if table.group else [None]
    for group in groups:
        environment = replay(
            folder / table.path,
            table.models,
            group,
            table.order,
            table.cost_scale,
            cost_unit=table.cost_unit,
            on_missing=table.on_missing,
            types=table.types,
            columns=table.columns,
            prices=None if table.prices is None else folder / table.prices,
            from_means=table.from_means,
        )
        axes = {} if group is None else {"group": group}
        yield axes, lambda n, model, horizon, environment=environment: (None, environment)


def _synthetic(table: tables.Synthetic, folder: Path):
    swept: dict[str, list[Any]] = {
        "correlation": table.correlation,
        "concentration": table.concentration,
    }
    rows: dict[str, list[Any]] = {
        "mean_reward_row": table.mean_reward,
        "mean_cost_row": table.mean_cost,
    }
    if table.frequencies is not None:
        rows = {}
    numbered = {key: list(range(len(values))) for key, values in rows.items()}
    for choice in _choices({**numbered, **swept}):

        def one(reward, cost, choice=choice):
            return synthetic(
                reward,
                cost,
                table.reward,
                table.cost,
                names=table.names,
                correlation=choice["correlation"],
                concentration=choice["concentration"],
                level_values=table.level_values,
                cost_scale=table.cost_scale,
                cost_unit=table.cost_unit,
            )

        if table.frequencies is None:
            environment: Any = one(
                table.mean_reward[choice["mean_reward_row"]],
                table.mean_cost[choice["mean_cost_row"]],
            )
        else:
            worlds = [one(*means) for means in zip(table.mean_reward, table.mean_cost, strict=True)]
            environment = by_type(worlds, table.frequencies, table.types)
        lengths = {key: len(values) for key, values in {**rows, **swept}.items()}
        axes = {key: value for key, value in choice.items() if lengths[key] > 1}
        yield axes, lambda n, model, horizon, environment=environment: (None, environment)


def _random(table: tables.Random, folder: Path):
    axes: dict[str, list[Any]] = {"num_arms": table.num_arms, "instance": table.instance}
    if table.tightness is not None:
        axes["tightness"] = table.tightness
    if table.num_types is not None:
        axes["num_types"] = table.num_types
    for choice in _choices(axes):
        named = {k: v for k, v in choice.items() if k != "num_arms"}

        def make(n, model, horizon, choice=choice):
            _fits(n, choice["num_arms"])
            if "num_types" in choice:
                sizes = (choice["num_types"], choice["num_arms"], n)
                return generators.typed_instance(
                    choice["instance"], *sizes, model, choice.get("tightness")
                )
            return generators.random_instance(
                choice["instance"],
                choice["num_arms"],
                n,
                model,
                binding=n < choice["num_arms"],
                tightness=choice.get("tightness"),
            )

        yield named, make


def _gap(table: tables.Gap, folder: Path):
    for choice in _choices({"num_arms": table.num_arms, "gap": table.gap}):

        def make(n, model, horizon, choice=choice):
            _fits(n, choice["num_arms"])
            return generators.gap_instance(
                choice["num_arms"], n, choice["gap"], model, table.mean_cost
            )

        yield {"gap": choice["gap"]}, make


def _minimax(table: tables.Minimax, folder: Path):
    for choice in _choices({"num_arms": table.num_arms, "factor": table.factor}):

        def make(n, model, horizon, choice=choice):
            _fits(n, choice["num_arms"])
            return generators.minimax_instance(choice["num_arms"], n, horizon, choice["factor"])

        yield {"factor": choice["factor"]}, make


def _cascading(table: tables.Cascading, folder: Path):
    for choice in _choices({"num_arms": table.num_arms, "p": table.p, "gap": table.gap}):

        def make(n, model, horizon, choice=choice):
            _fits(n, choice["num_arms"])
            return generators.cascading_instance(choice["num_arms"], n, choice["p"], choice["gap"])

        yield {"p": choice["p"], "gap": choice["gap"]}, make


def _fits(num_selected: int, num_arms: int) -> None:
    if num_selected > num_arms:
        raise ProblemError(
            f"num_arms = {num_arms}: [problem] num_selected asks for {num_selected} LLMs; "
            f"give at least {num_selected}"
        )


_WORLDS: dict[type, Callable[..., Iterator[tuple[dict[str, Any], Any]]]] = {
    tables.Scenario: _scenario,
    tables.Log: _log,
    tables.Synthetic: _synthetic,
    tables.Random: _random,
    tables.Gap: _gap,
    tables.Minimax: _minimax,
    tables.Cascading: _cascading,
}


# Keys whose lists are axes.
_AXES: dict[type, tuple[str, ...]] = {
    tables.Scenario: (),
    tables.Log: ("group",),
    tables.Synthetic: ("mean_reward", "mean_cost", "correlation", "concentration"),
    tables.Random: ("num_arms", "instance", "tightness"),
    tables.Gap: ("num_arms", "gap"),
    tables.Minimax: ("num_arms", "factor"),
    tables.Cascading: ("num_arms", "p", "gap"),
}


# --- policies ------------------------------------------------------------------------------


def _policy_axes(table: tables.PolicyTable) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    if table.alphas is not None:
        axes["alphas"] = table.alphas
    return {**axes, **table.options}


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """Options with pairs of alphas taken apart."""
    flat = {key: value for key, value in options.items() if key != "alphas"}
    if "alphas" in options:
        flat["alpha_reward"], flat["alpha_cost"] = options["alphas"]
    return flat


def build_policy(
    name: str, problem: Problem, environment: Any, options: dict[str, Any], horizon: int
) -> Any:
    """A policy of the catalogue, told its horizon; options of a wrong kind are an error."""
    options = _flat(options)
    given = ", ".join(f"{key} = {value!r}" for key, value in options.items())
    try:
        policy = catalogue.policy(name, problem, environment, **options)
        for key, value in options.items():
            _check_kind(policy, key, value)
        policy = _one_kind(policy)
        policy = policy.at_horizon(horizon)
    except (TypeError, ValueError) as error:
        if isinstance(error, ProblemError):
            raise
        raise ProblemError(f"{name}: {given}: {error}; see `c2mabv policies`") from None
    for leaf in jax.tree.leaves(policy):
        if np.asarray(leaf).dtype.kind not in "biuf":
            raise ProblemError(f"{name}: {given}: {leaf!r} is no number; give a number")
    return policy


def _one_kind(policy: Any) -> Any:
    """Whole numbers as floats, except where a field counts something: 1 and 1.0 are one program."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(policy):
        value = getattr(policy, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _one_kind(value)
        elif field.metadata.get("static") or type(field.default) is int:
            continue
        elif type(value) is int:
            changes[field.name] = float(value)
    return dataclasses.replace(policy, **changes)


def _check_kind(policy: Any, key: str, value: Any) -> None:
    """Raise unless an option is a number where numbers belong and a choice where choices do."""
    field = {f.name: f for f in dataclasses.fields(policy)}.get(key)
    if field is None:  # the catalogue knows what it means
        return
    if field.metadata.get("static"):
        kind = TypeAdapter(get_type_hints(type(policy))[key])
        try:
            kind.validate_python(value, strict=True)
        except ValidationError as error:
            why = error.errors()[0]["msg"].replace("Input should be", "should be")
            raise ProblemError(f"{key} = {value!r}: {why}") from None
    elif isinstance(value, bool):
        raise ProblemError(f"{key} = {value!r}: give a number")
