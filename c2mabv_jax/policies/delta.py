"""The confidence parameter delta of a policy: a number in (0, 1), or "1/T" until T is known."""

from __future__ import annotations

import dataclasses
from typing import Any

from c2mabv_jax.errors import ProblemError, is_traced


def check(delta: Any) -> None:
    """Raise unless delta is a number in (0, 1), traced, or "1/T"."""
    word = isinstance(delta, str)
    if not (delta == "1/T" if word else is_traced(delta) or 0 < float(delta) < 1):
        raise ProblemError(f"delta = {delta!r}: give a number in (0, 1) or '1/T'")


def at_horizon(policy: Any, horizon: Any) -> Any:
    """The policy with delta = "1/T" made a number; itself otherwise."""
    if isinstance(policy.delta, str):
        return dataclasses.replace(policy, delta=1.0 / horizon)
    return policy


def number(policy: Any) -> Any:
    """Delta as a number; raises where it waits for a horizon."""
    if isinstance(policy.delta, str):
        raise ProblemError("delta = '1/T' needs a horizon: call policy.at_horizon(T) first")
    return policy.delta
