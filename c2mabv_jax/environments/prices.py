"""Prices of tokens, so that a log of token counts has costs.

Three forms of one table, model by model: LiteLLM's JSON (`input_cost_per_token`,
`output_cost_per_token`, USD), the same in TOML, and the `[[model]]` entries of a scenario
(`input_price`, `output_price` per 1M tokens, or per what `per` says).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from c2mabv_jax import files, toml
from c2mabv_jax.environments.columns import near
from c2mabv_jax.errors import ProblemError

LARGEST = 1 << 26  # bytes; published lists of all models are some megabytes
PER = {"token": 1.0, "1K": 1e3, "1M": 1e6}


class Price(NamedTuple):
    """USD per token of a question and of an answer."""

    input: float
    output: float


def read_prices(path: str | os.PathLike[str]) -> dict[str, Price]:
    """Prices by model, in USD per token.

    Raises:
      ProblemError: names the file, the entry and the fix.
    """
    source = os.fspath(path)
    kind = "text"
    try:
        text = files.read(path, LARGEST, "prices", "give TOML or JSON").decode("utf-8-sig")
        kind = "JSON" if text.lstrip().startswith("{") else "TOML"
        content = json.loads(text) if kind == "JSON" else toml.parse(text, f"prices = {source!r}")
    except UnicodeDecodeError:
        raise ProblemError(f"prices = {source!r}: not UTF-8 text; give TOML or JSON") from None
    except ProblemError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProblemError(
            " ".join(f"prices = {source!r}: not {kind} ({error}); correct it".split())
        ) from None
    try:
        return _prices(content)
    except ValueError as error:
        raise ProblemError(f"prices = {source!r}: {error}") from None


def price_of(prices: dict[str, Price], models: Iterable[str], source: Any) -> dict[str, Price]:
    """The price of each model: by its name, or by the only entry that ends in `/name`.

    Raises:
      ProblemError: a model without a price.
    """
    found = {}
    for model in models:
        same = [name for name in prices if name.lower() == model.lower()]
        ends = [name for name in prices if _last(name) == _last(model)]
        if model in prices:
            found[model] = prices[model]
        elif same or len(ends) == 1:
            found[model] = prices[(same or ends)[0]]
        else:
            why = f"has {len(ends)} prices ({', '.join(ends[:4])})" if ends else "has no price"
            hint = "" if ends else near(model, list(prices))
            raise ProblemError(
                f"prices = {str(source)!r}: model {model!r} {why}; add one of its own name, or "
                f"leave it out with --models{hint}"
            )
    return found


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1].lower()


def _prices(content: Any) -> dict[str, Price]:
    if not isinstance(content, dict):
        raise ValueError("give an object of models")
    per = content.get("per", "1M")
    if not isinstance(per, str) or per not in PER:
        raise ValueError(f"per = {per!r}: choose one of {', '.join(PER)}")
    entries = content.get("model")
    if isinstance(entries, list):
        named = {}
        for entry in entries:
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name:
                raise ValueError("model: an entry has no name; give every model its own")
            if name in named:
                raise ValueError(f"{name}: two models have one name; name each once")
            named[name] = entry
    else:
        named = {name: entry for name, entry in content.items() if isinstance(entry, dict)}
    exchange = content.get("exchange", {}) if isinstance(entries, list) else {}
    found = {name: _price(name, entry, PER[per], exchange) for name, entry in named.items()}
    priced = {name: price for name, price in found.items() if price is not None}
    if not priced:
        raise ValueError(
            "no model has a price; give input_cost_per_token and output_cost_per_token, or "
            "[[model]] with name, input_price and output_price"
        )
    return priced


def _price(name: str, entry: dict[str, Any], per: float, exchange: Any) -> Price | None:
    """The price in an entry; None where it has none, as the image models of LiteLLM's table."""
    for fields, divisor in (
        (("input_cost_per_token", "output_cost_per_token"), 1.0),
        (("input_price", "output_price"), per),
    ):
        given = [entry.get(field) for field in fields]
        if all(value is None for value in given):
            continue
        if fields[0] == "input_cost_per_token" and None in given:
            return None
        amounts = []
        for field, value in zip(fields, given, strict=True):
            if isinstance(value, dict):  # a sourced figure of a scenario
                value = value.get("value")
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name}: {field} = {value!r}: give a number, 0 or more")
            amounts.append(float(value) / divisor)
        rate = _rate(name, entry.get("currency", "USD"), exchange)
        return Price(amounts[0] / rate, amounts[1] / rate)
    return None


def _rate(name: str, currency: Any, exchange: Any) -> float:
    """Units of a currency per USD."""
    rate = exchange.get(currency) if isinstance(exchange, dict) else None
    if isinstance(rate, dict):
        rate = rate.get("value")
    if rate is None and currency == "USD":
        return 1.0
    if isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0:
        return float(rate)
    raise ValueError(f"{name}: currency {currency!r} has no rate; add it to [exchange]")
