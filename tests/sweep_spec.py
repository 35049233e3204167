"""A small sweep file, and a writer for variants of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

# 24 points of one structure: one compiled program, two horizons.
BASE: dict[str, Any] = {
    "seed": 5,
    "num_seeds": 150,
    "record_at": 8,
    "quantiles": [0.1, 0.5, 0.9],
    "problem": {
        "num_selected": 2,
        "horizon": [40, 100],
        "reward_model": "SUC",
        "budget": [0.5, 0.7, 0.9],
    },
    "environment": [
        {
            "kind": "synthetic",
            "mean_reward": [0.9, 0.7, 0.5, 0.3],
            "mean_cost": [0.6, 0.3, 0.2, 0.1],
        }
    ],
    "policy": [{"name": "c2mabv", "alphas": [[0.3, 0.05], [1.0, 1.0]], "delta": [0.05, "1/T"]}],
}
POINTS, PER_HORIZON = 24, 12


def variant(**changes: Any) -> dict[str, Any]:
    """BASE with entries replaced; `problem__budget=...` reaches into a table."""
    spec = copy.deepcopy(BASE)
    for key, value in changes.items():
        table, name = spec, key
        if "__" in key:
            place, name = key.split("__")
            table = spec[place]
        if isinstance(table, list):
            table = table[0]
        if value is None:
            table.pop(name)
        else:
            table[name] = value
    return spec


def toml(spec: dict[str, Any]) -> str:
    """The TOML text of a spec of numbers, words, lists and tables."""
    lines = [f"{key} = {_value(v)}" for key, v in spec.items() if not _is_table(v)]
    for key, tables in spec.items():
        if _is_table(tables):
            heading = f"[{key}]" if isinstance(tables, dict) else f"[[{key}]]"
            for table in [tables] if isinstance(tables, dict) else tables:
                lines += ["", heading, *(f"{name} = {_value(v)}" for name, v in table.items())]
    return "\n".join(lines) + "\n"


def written(folder: Path, spec: dict[str, Any], name: str = "spec.toml") -> Path:
    """The spec as a file."""
    path = folder / name
    path.write_text(toml(spec))
    return path


def _is_table(value: Any) -> bool:
    tables = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
    return isinstance(value, dict) or bool(tables)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float) and value != value:
        return "nan"
    if isinstance(value, float) and abs(value) == float("inf"):
        return "inf" if value > 0 else "-inf"
    return json.dumps(value)
