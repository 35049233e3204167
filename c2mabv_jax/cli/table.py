"""The table that `c2mabv run` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from c2mabv_jax.results.summary import Estimate


def number(value: float) -> str:
    """Four significant digits, with thousands marked."""
    if not math.isfinite(value):
        return "unknown"
    if 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return _compact(f"{value:.4g}")


def with_interval(value: Estimate | None) -> str:
    """ "mean ±half" of a 95 % confidence interval; the mean alone for one seed."""
    if value is None:
        return "unknown"
    if math.isnan(value.half):
        return number(value.mean)
    # A policy whose set never changes has the same regret in every seed, up to rounding.
    half = 0.0 if value.half < 1e-9 * abs(value.mean) else value.half
    return f"{number(value.mean)} ±{_compact(f'{half:.2g}')}"


def _compact(text: str) -> str:
    """1.2e-05 as 1.2e-5."""
    return text.replace("e-0", "e-").replace("e+0", "e")


def table(rows: dict[str, dict[str, Any]], unit: str) -> list[list[str]]:
    """The results of a run in words, the head first; `rows` from `results.summary.summarise`."""
    money = "" if unit in ("", "1") else f" ({unit})"
    lines = [["policy", "reward", f"cost{money}", "of budget", "violation", "regret", "rew./viol."]]
    for policy, row in rows.items():
        used, per = row["budget_used"], row["reward_per_violation"]
        lines.append(
            [
                policy,
                with_interval(row["reward"]),
                with_interval(row["cost"]),
                "unknown" if used is None else f"{100 * used:,.1f} %",
                with_interval(row["violation"]) if per else "0",
                with_interval(row.get("regret")),
                with_interval(per) if per else "no violation",
            ]
        )
    return lines


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right; a rule below the head."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *text[1:]])


def markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table: the first column to the left, the others to the right."""
    head, *rest = lines
    rule = [":--", *("--:" for _ in head[1:])]
    return ["| " + " | ".join(line) + " |" for line in (head, rule, *rest)]
