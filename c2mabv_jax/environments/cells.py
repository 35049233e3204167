"""Cells as people write them: scores, money and token counts as numbers."""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from c2mabv_jax.environments.tables import Table, short

Kind = Literal["score", "cost", "tokens"]
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "-", "?"})
ROUNDING = 1e-9  # by which a score that was computed may lie outside [0, 1]
CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP"}
_WORDS = {"true": 1.0, "false": 0.0}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


class Numbers(NamedTuple):
    """A column as numbers.

    Attributes:
      values: float64 `[rows]`, NaN where missing.
      currency: of the signs written beside the numbers; "" without any.
    """

    values: np.ndarray
    currency: str


def numbers(table: Table, cells: pd.Series, kind: Kind) -> Numbers:
    """The numbers in a column of `table`, checked to be possible scores, costs or counts.

    Raises:
      LogError: names the line, the column and the fix.
    """
    codes, distinct = factorized(cells)
    values = np.full(len(distinct) + 1, np.nan)
    signs: dict[str, Any] = {}
    marks: dict[str, Any] = {}
    for code, cell in enumerate(distinct):
        try:
            values[code], sign, mark = _number(cell, kind, table.decimal_comma)
        except ValueError as error:
            at = cells.index[int(np.argmax(codes == code))]
            raise table.error(f"{short(cell)} {error}", at, str(cells.name)) from None
        if sign:
            signs.setdefault(sign, cell)
        if mark:
            marks.setdefault(mark, cell)
    for what, seen in (("currencies", signs), ("decimal points and commas", marks)):
        if len(seen) > 1:
            first, other = list(seen.values())[:2]
            raise table.error(
                f"mixes {what} ({short(first)}, {short(other)}); write all numbers one way",
                column=str(cells.name),
            )
    return Numbers(values[codes], next(iter(signs), ""))


def factorized(cells: pd.Series) -> tuple[np.ndarray, Any]:
    """Codes of the cells and the distinct ones: a log repeats itself. Missing ones have -1."""
    try:
        return pd.factorize(cells)
    except TypeError:  # lists in JSON, which are not hashable
        return pd.factorize(cells.map(lambda cell: str(cell) if isinstance(cell, list) else cell))


def _number(cell: Any, kind: Kind, decimal_comma: bool) -> tuple[float, str, str]:
    """Value, currency and decimal mark of a cell; ValueError says what is wrong."""
    sign = mark = ""
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in MISSING:
            return math.nan, "", ""
        if kind == "cost" and text[:1] in CURRENCIES:
            sign, text = CURRENCIES[text[0]], text[1:].strip()
        percent = kind == "score" and text.endswith("%")
        if percent:
            text = text[:-1].strip()
        if decimal_comma and text.count(",") == 1:
            text = text.replace(".", "x").replace(",", ".")  # 1.234,5 is not guessed at
            mark = ","
        elif "." in text:
            mark = "."
        if mark == "," and "x" in text:
            raise ValueError("is not a number; leave out the points between thousands")
        if kind == "score" and text.lower() in _WORDS:
            value = _WORDS[text.lower()]
        elif _NUMBER.fullmatch(text):
            value = float(text) / (100 if percent else 1)
        elif text.lower().lstrip("+-") in ("inf", "infinity"):
            value = math.inf
        elif re.fullmatch(r"[\d.]*\d,\d+[\d.,]*", text):
            raise ValueError("is not a number; write it without commas, with a decimal point")
        else:
            raise ValueError("is not a number; give one, or leave the cell empty")
    else:
        try:
            value = float(cell)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("is not a number; give one, or leave it empty") from None
        if math.isnan(value):
            return math.nan, "", ""
    if kind == "score":
        if not -ROUNDING <= value <= 1 + ROUNDING:
            raise ValueError("is no score: they lie in [0, 1]; divide by the largest possible one")
        value = min(max(value, 0.0), 1.0)
    elif not 0 <= value < math.inf:
        what = "costs" if kind == "cost" else "token counts"
        raise ValueError(f"is impossible: {what} are finite and 0 or more; correct it")
    return value, sign, mark
