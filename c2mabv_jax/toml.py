"""TOML files that a person gives, read within limits; every mistake is one line."""

from __future__ import annotations

import os
import tomllib
from typing import Any

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError

LARGEST = 1 << 20  # bytes; such a file is written by hand
DEEPEST = 32  # tables within tables
MOST_DOTS = 200  # between two commas; the time tomllib takes grows with the square of them


def read(path: str | os.PathLike[str], field: str) -> dict[str, Any]:
    """The table in a file.

    Args:
      path: the file, as the user named it.
      field: names the file in errors.

    Raises:
      ProblemError: no regular file, too large, not text, or not TOML.
    """
    content = files.read(path, LARGEST, field, "give a TOML file")
    source = f"{field} = {os.fspath(path)!r}"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ProblemError(f"{source}: not UTF-8 text; give a TOML file") from None
    return parse(text, source)


def parse(text: str, source: str) -> dict[str, Any]:
    """The table that a text says; `source` names it in errors.

    Raises:
      ProblemError: not TOML, or nested deeper than anybody writes.
    """
    pieces = (piece for line in text.splitlines() for piece in line.split(","))
    if any(piece.count(".") > MOST_DOTS for piece in pieces):
        raise ProblemError(_too_deep(source))
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ProblemError(_too_deep(source)) from None
    except ValueError as error:  # TOMLDecodeError, and numbers of too many digits
        why = " ".join(str(error).split())
        raise ProblemError(f"{source}: not TOML: {why}; correct the file there") from None
    level: list[Any] = [table]
    for _ in range(DEEPEST):  # no recursion: whoever reads the table may use it
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return table
    raise ProblemError(_too_deep(source))


def _too_deep(source: str) -> str:
    return f"{source}: tables nested more than {DEEPEST} deep; write fewer levels"
