"""What the package promises about its speed, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

CONSTANT = 1.25  # largest over smallest cost that still counts as constant
START_S = 15.0


def rate(results: dict[str, Any], name: str, **where: Any) -> float | None:
    """Median rounds per second of the entry of that name; the main case where not said."""
    where = {
        "solver": "exact", "reward_model": "SUC", "num_arms": 9, "budget": "binding", **where
    }  # fmt: skip
    for entry in results["entries"]:
        if entry["name"] == name and all(entry[key] == value for key, value in where.items()):
            return float(entry["rounds_per_s"]["median"])
    return None


def targets(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target with its measured value; `met` is None where nothing was measured."""
    ours = rate(results, "this package")
    cores = results["machine"]["cores"]

    def against(name: str) -> float | None:
        other = rate(results, name)
        return ours / other if ours and other else None

    def share(**where: Any) -> float | None:
        other = rate(results, "this package", **where)
        return other / ours if ours and other else None

    highs = against("NumPy + SciPy HiGHS")
    start = results["start"] or {}
    rows = (
        ("times the numba loop that keeps a certificate", against("numba loop"), ">=", 1.5),
        ("times the random-number floor", against("random numbers, own streams"), ">=", 0.5),
        ("projected gradient, times exact", share(solver="projected_gradient"), ">=", 0.5),
        ("times NumPy + HiGHS, per core", highs and highs / cores, ">=", 5000.0),
        ("AWC, times SUC", share(reward_model="AWC"), ">=", 0.5),
        ("AIC, times SUC", share(reward_model="AIC"), ">=", 0.5),
        ("cost per round, T = 1e3 to 1e6: largest / smallest", _spread(results["horizons"], 4),
         "<=", CONSTANT),
        ("cost per round over seeds: largest / smallest", _spread(results["seeds"], 3),
         "<=", CONSTANT),
        ("exponent of the cost in K, 16 to 256", _exponent(results), "<=", 1.3),
        ("seconds to the first result of `c2mabv run`", start.get("cold_s"), "<=", START_S),
        ("second start, times the first", start and start["cached_s"] / start["cold_s"],
         "<=", 1.0),
    )  # fmt: skip
    compare: dict[str, Callable[[float, float], bool]] = {
        ">=": lambda value, bound: value >= bound,
        "<=": lambda value, bound: value <= bound,
    }
    return [
        {
            "what": what,
            "measured": value or None,
            "target": f"{sign} {bound:g}",
            "met": compare[sign](value, bound) if value else None,
        }
        for what, value, sign, bound in rows
    ]


def _spread(points: list[dict[str, Any]], needed: int) -> float | None:
    rates = [float(point["rounds_per_s"]["median"]) for point in points]
    return max(rates) / min(rates) if len(rates) >= needed else None


def _exponent(results: dict[str, Any]) -> float | None:
    few, many = (rate(results, "this package", num_arms=num_arms) for num_arms in (16, 256))
    return math.log(few / many) / math.log(256 / 16) if few and many else None
