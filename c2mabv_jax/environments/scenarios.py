"""Scenarios of real LLMs: prices and accuracies as public facts, each with its source.

A scenario is a TOML file (`data/`), so a user can replace prices without touching code.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from importlib import resources
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from c2mabv_jax import toml
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.laws import Bernoulli, token_cost
from c2mabv_jax.environments.synthetic import Synthetic
from c2mabv_jax.errors import ProblemError

_FILES = {"nine-llms": "nine_llms.toml"}
_PER_PRICE = 1e6  # prices are per 1M tokens


class Figure(NamedTuple):
    """One figure of a scenario: whose, what, how much, from where, and whether guessed."""

    model: str
    quantity: str
    value: float
    unit: str
    source: str
    guess: bool


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Sourced(_Strict):
    value: Annotated[float, Field(ge=0)]
    source: Annotated[str, Field(min_length=1)] = "not stated"
    guess: bool = False

    @model_validator(mode="before")
    @classmethod
    def _plain_number(cls, given: Any) -> Any:
        """A number alone is a figure without a source."""
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return {"value": given}
        if not isinstance(given, dict):
            raise ValueError("give a number, or a table of value, source and guess")
        return given


class _Positive(_Sourced):
    value: Annotated[float, Field(gt=0)]


class _Share(_Sourced):
    value: Annotated[float, Field(ge=0, le=1)]


class _Profile(_Strict):
    input_tokens: _Sourced
    output_tokens: _Positive
    output_spread: _Sourced
    max_output_tokens: _Positive


class _Model(_Strict):
    name: Annotated[str, Field(min_length=1)]
    currency: str = "USD"
    input_price: _Sourced
    output_price: _Sourced
    accuracy: _Share


class _File(_Strict):
    title: str = "LLMs with prices of your own"
    exchange: dict[str, _Positive] = {}
    profile: _Profile
    model: Annotated[list[_Model], Field(min_length=1)]


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Scenario(Synthetic):
    """A synthetic environment made from a file of sourced figures.

    Attributes:
      title: of the file.
      figures: every figure behind the environment, with its source.
    """

    title: str = dataclasses.field(default="", metadata={"static": True})
    figures: tuple[Figure, ...] = dataclasses.field(default=(), metadata={"static": True})

    def describe(self) -> dict[str, Any]:
        figures = [figure._asdict() for figure in self.figures]
        return {**super().describe(), "kind": "scenario", "title": self.title, "figures": figures}


def scenario_names() -> tuple[str, ...]:
    """Names that `scenario` knows."""
    return tuple(_FILES)


def scenario(name: str = "nine-llms", prices: str | os.PathLike[str] | None = None) -> Scenario:
    """A scenario of real LLMs: Bernoulli rewards, costs in USD per query.

    The reward of an LLM is 1 with probability its accuracy; its cost is input price x input
    tokens + output price x random output tokens (see `laws.token_cost`).

    Args:
      name: one of `scenario_names()`.
      prices: path of a TOML file of the same form as the scenario's own, used instead.

    Raises:
      ProblemError: unknown name, or a file that names the entry and what is wrong with it.
    """
    file = _load(name, prices)
    per_usd = [file.exchange[model.currency].value for model in file.model]
    to_usd = 1 / (np.array(per_usd) * _PER_PRICE)
    profile = file.profile
    cost = token_cost(
        input_price=np.array([model.input_price.value for model in file.model]) * to_usd,
        output_price=np.array([model.output_price.value for model in file.model]) * to_usd,
        input_tokens=profile.input_tokens.value,
        output_tokens=profile.output_tokens.value,
        spread=profile.output_spread.value,
        max_output_tokens=int(profile.max_output_tokens.value),
    )
    return Scenario(
        reward=Bernoulli(np.array([model.accuracy.value for model in file.model])),
        cost=cost,
        correlation=None,
        names=tuple(model.name for model in file.model),
        cost_scale=cost.scale,
        cost_unit=cost.unit,
        title=file.title,
        figures=tuple(_figures(file)),
    )


def figures(
    name: str = "nine-llms", prices: str | os.PathLike[str] | None = None
) -> tuple[Figure, ...]:
    """Every figure of a scenario with its source and whether it is a guess."""
    return tuple(_figures(_load(name, prices)))


def _figures(file: _File) -> list[Figure]:
    rows = []

    def add(model: str, quantity: str, unit: str, figure: _Sourced) -> None:
        rows.append(Figure(model, quantity, figure.value, unit, figure.source, figure.guess))

    for model in file.model:
        add(model.name, "input price", f"{model.currency}/1M tokens", model.input_price)
        add(model.name, "output price", f"{model.currency}/1M tokens", model.output_price)
        add(model.name, "accuracy", "1", model.accuracy)
    add("all", "input tokens", "tokens/query", file.profile.input_tokens)
    add("all", "mean output tokens", "tokens/query", file.profile.output_tokens)
    add("all", "spread of ln(output tokens)", "1", file.profile.output_spread)
    add("all", "max output tokens", "tokens/query", file.profile.max_output_tokens)
    for currency, rate in file.exchange.items():
        add("all", "exchange rate", f"{currency}/USD", rate)
    return rows


def _load(name: str, prices: str | os.PathLike[str] | None) -> _File:
    if name not in _FILES:
        near = difflib.get_close_matches(str(name), _FILES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ProblemError(f"scenario = {name!r}: {hint}choose one of {', '.join(_FILES)}")
    if prices is None:
        source = _FILES[name]
        text = resources.files(__package__).joinpath("data", source).read_text("utf-8")
        table = toml.parse(text, source)
    else:
        source = os.fspath(prices)
        table = toml.read(prices, "prices")
    try:
        file = _File.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = re.sub(r"^Value error, | or instance of \w+", "", first["msg"])
        raise ProblemError(f"prices = {source!r}: {place}: {what}") from None
    if "USD" not in file.exchange:
        usd = _Positive(value=1.0, source="by definition")
        file = file.model_copy(update={"exchange": {**file.exchange, "USD": usd}})
    for model in file.model:
        if model.currency not in file.exchange:
            raise ProblemError(
                f"prices = {source!r}: {model.name}: currency {model.currency!r} has no rate; "
                "add it to [exchange]"
            )
    names = [model.name for model in file.model]
    if len(set(names)) < len(names):
        raise ProblemError(f"prices = {source!r}: two models have one name; name each once")
    return file
