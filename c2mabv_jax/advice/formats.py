"""How advice writes money, quality, queries, sets and tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from c2mabv_jax.advice.resample import Interval
from c2mabv_jax.problem import Problem


def set_name(selected: np.ndarray, names: Sequence[str]) -> str:
    """The LLMs of a set, joined."""
    return " + ".join(name for name, asked in zip(names, selected, strict=True) if asked) or "none"


def how_many(problem: Problem) -> str:
    """How many LLMs a query asks, in words."""
    if problem.num_selected == 1:
        return "one LLM"
    return f"{'up to ' if problem.at_most else ''}{problem.num_selected} LLMs"


def money(value: float) -> str:
    """Three significant digits, never in exponents."""
    if not np.isfinite(value):
        return "unknown"
    if value == 0:
        return "0"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{digits}f}"


def queries(value: int | None, horizon: int) -> str:
    """A number of queries, or that it took more than was tried."""
    return f"> {horizon:,}" if value is None else f"{value:,}"


def quality(value: float, interval: Sequence[float] | np.ndarray | None = None) -> str:
    """Quality with three digits, and its interval."""
    if not np.isfinite(value):
        return "none"
    return f"{value:.3f}" + (
        f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval is not None else ""
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = [":--", *("--:" for _ in head[1:])]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in (head, rule, *lines))
    return ["| " + " | ".join(line) + " |" for line in cells] + [""]


def points(gain: Interval) -> str:
    """A difference in quality in points (hundredths), with its interval."""
    return f"{100 * gain.value:.1f} points [{100 * gain.low:.1f}, {100 * gain.high:.1f}]"


def percent(share: Interval) -> str:
    """A share in per cent, with its interval."""
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
