"""What a sweep file says: TOML, checked key by key, every error one line with its fix.

A key of `[problem]`, of an `[[environment]]` or of a `[[policy]]` may hold a value or a list
of values; a list is an axis of the grid:

    seed = 0                      # root of all random numbers
    num_seeds = 1000              # runs of every point
    record_at = 60                # log-spaced rounds, or a list of rounds

    [problem]
    num_selected = [2, 4]         # N
    reward_model = ["AWC", "SUC"]
    horizon = [1000, 10000]       # T
    budget_fraction = [0.3, 0.6]  # of the mean cost of the N dearest LLMs; or budget = [...]

    [[environment]]
    kind = "scenario"             # "log", "synthetic", "random", "gap", "minimax", "cascading"
    name = "nine-llms"

    [[policy]]
    name = "c2mabv"               # as `c2mabv policies` lists them; other keys are its options
    alphas = [[0.3, 0.05], [1, 0.05]]   # pairs of alpha_reward and alpha_cost

Paths are relative to the folder of the sweep file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from c2mabv_jax import toml
from c2mabv_jax.engine.records import LARGEST_HORIZON
from c2mabv_jax.errors import ProblemError, shortened

T = TypeVar("T")


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _rows(value: Any) -> Any:
    flat = isinstance(value, list) and not any(isinstance(item, list) for item in value)
    return [value] if flat else value


def _once(values: list[Any]) -> list[Any]:
    seen: list[Any] = []
    for value in values:
        if value in seen:
            raise ValueError(f"{value!r} is given twice; give every value once")
        seen.append(value)
    return values


Axis = Annotated[list[T], BeforeValidator(_listed), Field(min_length=1), AfterValidator(_once)]
Lists = Annotated[list[list[T]], BeforeValidator(_rows), Field(min_length=1)]
Rows = Annotated[Lists[T], AfterValidator(_once)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Cost = Annotated[float, Field(ge=0)]
Arms = Annotated[int, Field(ge=1, le=1024)]
SeedId = Annotated[int, Field(ge=0, lt=1 << 32)]
Horizon = Annotated[int, Field(ge=1, le=LARGEST_HORIZON)]


def _satisfaction(value: Any) -> Any:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    if value != "bernoulli" and not good:
        raise ValueError("give 'bernoulli' or a number in (0, 1]")
    return value


class Table(BaseModel):
    """A table of the file: no unknown keys, no guessing of types, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ProblemTable(Table):
    """`[problem]`: what is fixed by the user; K comes from the environment."""

    num_selected: Axis[Arms]
    horizon: Axis[Horizon]
    reward_model: Axis[Literal["AWC", "SUC", "AIC"]] = ["AWC"]
    budget: Axis[Cost] | None = None
    budget_fraction: Axis[Cost] | None = None
    cardinality: Axis[Literal["exactly", "at_most"]] | None = None
    feedback: Axis[Literal["semi-bandit", "cascading"]] | None = None
    billing: Axis[Literal["selected", "queried"]] | None = None
    cascade_order: Axis[Literal["cheapest", "highest-ucb", "given"]] | None = None
    satisfaction: Axis[Annotated[Any, AfterValidator(_satisfaction)]] | None = None

    @model_validator(mode="after")
    def _one_budget(self) -> ProblemTable:
        if self.budget is not None and self.budget_fraction is not None:
            raise ValueError("budget: give either budget or budget_fraction, not both")
        return self


class Scenario(Table):
    """A scenario of real LLMs."""

    kind: Literal["scenario"]
    label: Word | None = None
    name: Word = "nine-llms"
    prices: Word | None = None


class Log(Table):
    """Replay of a log; every group given is an environment of its own."""

    kind: Literal["log"]
    label: Word | None = None
    path: Word
    models: Annotated[list[Word], Field(min_length=1)] | None = None
    group: Axis[Word] | None = None
    order: Literal["shuffled", "permuted", "logged"] = "shuffled"
    cost_scale: Positive | None = None
    cost_unit: Word | None = None
    on_missing: Literal["drop", "error"] = "drop"
    types: Literal["group"] | None = None
    columns: Word | None = None
    prices: Word | None = None
    from_means: bool = False


class Synthetic(Table):
    """Stated means; a list of lists of means is an axis, with `frequencies` the types' means."""

    kind: Literal["synthetic"]
    label: Word | None = None
    mean_reward: Lists[Share]
    mean_cost: Lists[Share]
    reward: Literal["bernoulli", "constant", "beta", "uniform", "levels"] = "bernoulli"
    cost: Literal["bernoulli", "constant", "beta", "uniform", "levels"] = "bernoulli"
    correlation: Axis[Annotated[float, Field(ge=0, lt=1)]] = [0.0]
    concentration: Axis[Positive] = [4.0]
    level_values: Annotated[list[Share], Field(min_length=2)] = [0.0, 0.1, 0.5]
    names: list[Word] | None = None
    cost_scale: Positive | None = None
    cost_unit: Word | None = None
    frequencies: Annotated[list[Share], Field(min_length=1)] | None = None
    types: list[Word] | None = None

    @model_validator(mode="after")
    def _by_type(self) -> Synthetic:
        if self.frequencies is None:
            if self.types is not None:
                raise ValueError("types: give frequencies too, one number per type")
            for name in ("mean_reward", "mean_cost"):
                try:
                    _once(getattr(self, name))
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
            return self
        for name in ("mean_reward", "mean_cost"):
            if len(getattr(self, name)) != len(self.frequencies):
                raise ValueError(f"{name}: give {len(self.frequencies)} lists, one per type")
        return self


class Random(Table):
    """Random instances, one for every `instance`; they bring a binding budget."""

    kind: Literal["random"]
    label: Word | None = None
    num_arms: Axis[Arms]
    instance: Axis[SeedId] = [0]
    tightness: Axis[Share] | None = None
    num_types: Axis[Arms] | None = None


class Gap(Table):
    """N good LLMs and K - N others, a gap apart; the budget is slack."""

    kind: Literal["gap"]
    label: Word | None = None
    num_arms: Axis[Arms]
    gap: Axis[Share]
    mean_cost: Share = 0.5


class Minimax(Table):
    """The gap at which regret is worst for the horizon."""

    kind: Literal["minimax"]
    label: Word | None = None
    num_arms: Axis[Arms]
    factor: Axis[Positive] = [1.0]


class Cascading(Table):
    """N LLMs satisfying with probability p, the others with p - gap; no costs."""

    kind: Literal["cascading"]
    label: Word | None = None
    num_arms: Axis[Arms]
    p: Axis[Share]
    gap: Axis[Share]


Environment = Annotated[
    Scenario | Log | Synthetic | Random | Gap | Minimax | Cascading, Field(discriminator="kind")
]


class PolicyTable(Table):
    """`[[policy]]`: a name of the catalogue; further keys are options of that policy."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    name: Word
    label: Word | None = None
    alphas: Rows[Cost] | None = None

    @model_validator(mode="after")
    def _plain_options(self) -> PolicyTable:
        for pair in self.alphas or ():
            if len(pair) != 2:
                raise ValueError(f"alphas = {pair!r}: give pairs of alpha_reward and alpha_cost")
        for key, values in self.options.items():
            if self.alphas is not None and key in ("alpha_reward", "alpha_cost"):
                raise ValueError(f"{key}: alphas gives it already; leave one of them out")
            if not values:
                raise ValueError(f"{key} = []: give a value or a list of values")
            for value in values:
                for item in value if isinstance(value, list) else [value]:
                    _check_option(key, item)
            try:
                _once(values)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return self

    @property
    def options(self) -> dict[str, list[Any]]:
        """Options as axes: each a list of values."""
        return {key: _listed(value) for key, value in (self.model_extra or {}).items()}


def _check_option(key: str, item: Any) -> None:
    if isinstance(item, float) and not abs(item) < float("inf"):
        raise ValueError(f"{key} = {item!r}: give a finite number")
    if isinstance(item, int) and abs(item) >= 1 << 53:
        raise ValueError(f"{key} = {item!r}: give a smaller number")
    if not isinstance(item, str | bool | int | float):
        raise ValueError(f"{key} = {item!r}: give a number, a word or a list of them")


def _record_at(value: Any) -> Any:
    rounds = value if isinstance(value, list) else [value]
    whole = all(isinstance(t, int) and not isinstance(t, bool) and t >= 1 for t in rounds)
    if not rounds or not whole or max(rounds) > LARGEST_HORIZON or len(rounds) > 10_000:
        raise ValueError("give a number of rounds to record, or a list of rounds, 1 or more")
    if not isinstance(value, list) and value > 10_000:
        raise ValueError("give at most 10000 rounds to record")
    return value


class Spec(Table):
    """A sweep file."""

    title: str = ""
    seed: SeedId = 0
    num_seeds: Annotated[int, Field(ge=1, le=1 << 31)]
    first_seed: SeedId = 0
    record_at: Annotated[Any, AfterValidator(_record_at)] = 60
    per_seed: bool = False
    coverage: bool = False
    quantiles: Annotated[list[Share], AfterValidator(_once)] = [0.025, 0.25, 0.5, 0.75, 0.975]
    problem: ProblemTable
    environment: Annotated[list[Environment], Field(min_length=1)]
    policy: Annotated[list[PolicyTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _together(self) -> Spec:
        if self.first_seed + self.num_seeds > 1 << 32:
            raise ValueError(f"first_seed = {self.first_seed}: seed ids must stay below 2^32")
        brings = all(isinstance(e, Random | Gap | Minimax | Cascading) for e in self.environment)
        if not brings and self.problem.budget is None and self.problem.budget_fraction is None:
            raise ValueError("[problem] budget: missing; give budget or budget_fraction")
        return self


def load(path: str | os.PathLike[str]) -> tuple[Spec, Path]:
    """Read and check a sweep file; returns it with the folder its paths are relative to.

    Raises:
      ProblemError: one line with file, table, key, value and fix.
    """
    return _checked(toml.read(path, "spec"), os.fspath(path)), Path(path).parent


def parse(text: str, source: str) -> Spec:
    """Check the text of a sweep file; `source` names it in errors."""
    return _checked(toml.parse(text, source), source)


def _checked(table: dict[str, Any], source: str) -> Spec:
    try:
        return Spec.model_validate(table)
    except ValidationError as error:
        raise ProblemError(f"{source}: {_first_problem(error)}") from None


_KEYS = {
    "problem": tuple(ProblemTable.model_fields),
    "policy": tuple(PolicyTable.model_fields),
    **{
        table.model_fields["kind"].annotation.__args__[0]: tuple(table.model_fields)  # type: ignore[union-attr]
        for table in (Scenario, Log, Synthetic, Random, Gap, Minimax, Cascading)
    },
}


def _first_problem(error: ValidationError) -> str:
    """The first problem as `[table] key = value: fix`."""
    problems = error.errors()
    mistyped = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    first = (mistyped or problems)[0]  # a mistyped key is why another one is missing
    kind, location = first["type"], [str(part) for part in first["loc"]]
    table, allowed = "", tuple(Spec.model_fields)
    if location and location[0] == "problem" and (len(location) > 1 or kind != "missing"):
        location.pop(0)
        table, allowed = "[problem] ", _KEYS["problem"]
    elif len(location) > 1 and location[0] in ("environment", "policy") and location[1].isdigit():
        name, number = location.pop(0), int(location.pop(0)) + 1
        table, allowed = f"[[{name}]] {number}: ", _KEYS["policy"]
        if name == "environment":
            tag = location.pop(0) if location and location[0] in _KEYS else "scenario"
            allowed = _KEYS[tag]
    key = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in location)[1:]
    value = "" if kind in ("missing", "model_type") else f" = {shortened(first['input'])}"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{table}{key}{value}: unknown key; {hint}choose one of {', '.join(allowed)}"
    if kind == "missing":
        return f"{table}{key}: missing; give it"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        kinds = ", ".join(k for k in _KEYS if k not in ("problem", "policy"))
        chosen = first["input"].get("kind") if isinstance(first["input"], dict) else None
        given = "missing" if chosen is None else "unknown"
        value = "" if chosen is None else f" = {shortened(chosen)}"
        return f"{table}kind{value}: {given}; choose one of {kinds}"
    if kind == "list_type" and key in ("environment", "policy") and not table:
        return f"[{key}]: may occur more than once; write [[{key}]]"
    message = first["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "should be")
    if not key:  # a check of the whole table, which names its keys itself
        return f"{table}{message}"
    return f"{table}{key}{value}: {message}"


def differences(old: Any, new: Any, place: str = "") -> Sequence[tuple[str, Any, Any]]:
    """Where two nested tables differ: (place, old value, new value), in order of the keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[tuple[str, Any, Any]] = []
        for key in [*old, *(k for k in new if k not in old)]:
            inner = f"{place}.{key}" if place else str(key)
            found += differences(old.get(key), new.get(key), inner)
        return found
    same_length = isinstance(old, list) and isinstance(new, list) and len(old) == len(new)
    if same_length and any(isinstance(item, dict) for item in old):
        found = []
        for number, (a, b) in enumerate(zip(old, new, strict=True), 1):
            found += differences(a, b, f"{place} {number}")
        return found
    return [] if old == new and type(old) is type(new) else [(place, old, new)]
