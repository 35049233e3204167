"""What goes wrong and how it is said: one line that names the field and the fix."""

from __future__ import annotations

import math
import numbers
from typing import Any

FLOAT32_NOISE = 1e-6  # relative; what a sum of costs may be off by


class ProblemError(ValueError):
    """A problem that cannot be posed; the message names the field and the fix."""


def rounded_up(value: float) -> str:
    """Four digits, rounded up (but for the noise of float32): an amount that is itself enough."""
    shown = float(f"{value:.4g}")
    if shown < value * (1 - FLOAT32_NOISE):
        shown += 10.0 ** (math.floor(math.log10(value)) - 3)
    return f"{shown:.4g}"


def printable(text: str) -> str:
    """The text in one line, without what a terminal would obey (ESC and the like)."""
    shown = (c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    return "".join(shown)


def shortened(value: Any, most: int = 80) -> str:
    """A value as it is written in Python, at most so many characters of it."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def is_traced(value: Any) -> bool:
    """Whether `value` is abstract (inside `jit` or `vmap`) or one entry per lane: not checked."""
    import jax  # here, so that a command that only complains need not wait for it

    abstract = isinstance(value, jax.core.Tracer) or not hasattr(value, "__float__")
    return abstract or getattr(value, "ndim", 0) > 0


def require(ok: bool, field: str, value: Any, fix: str) -> None:
    """Raise a `ProblemError` that names the field, its value and the fix, unless `ok`."""
    if not ok:
        raise ProblemError(f"{field} = {value!r}: {fix}")


def check_whole(field: str, value: Any, low: int, high: int) -> None:
    """Raise unless `value` is a whole number from `low` to `high`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    fix = f"give a whole number from {low} to {high}"
    require(whole and low <= value <= high, field, value, fix)


def one_of(field: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the allowed words."""
    require(value in allowed, field, value, "choose one of " + ", ".join(allowed))


def check_number(field: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Raise unless `value` is None, traced, or finite numbers in [low, high]."""
    require(not isinstance(value, str), field, value, "give a number")
    if value is None or is_traced(value):
        return
    import numpy as np  # here, so that a command that only complains need not wait for it

    given = np.asarray(value, np.float64)
    asked = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
    inside = bool((np.isfinite(given) & (given >= low) & (given <= high)).all())
    require(inside, field, value, f"give a finite number, {asked}")
