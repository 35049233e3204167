"""Compensated running sums: float32 that stays right after 1e7 rounds.

A plain float32 sum of unit-size terms stops growing at 2^24; a compensated one (Kahan 1965)
keeps the rounding error of every addition and gives it back with the next term.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array


class Sum(NamedTuple):
    """A running sum `high` and the error `low` that it still owes; true sum = high - low."""

    high: Array
    low: Array


def zero(shape: tuple[int, ...]) -> Sum:
    """An empty sum of the default float type."""
    return Sum(jnp.zeros(shape), jnp.zeros(shape))


def add(running: Sum, term: Array) -> Sum:
    """The sum with one more term."""
    owed = term - running.low
    high = running.high + owed
    return Sum(high, (high - running.high) - owed)


def value(running: Sum) -> np.ndarray:
    """The sum in float64, on the host."""
    return np.asarray(running.high, np.float64) - np.asarray(running.low, np.float64)
