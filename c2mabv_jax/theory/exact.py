"""Coverage computed exactly: one always-observed Bernoulli arm, by dynamic programming.

At alpha = 1 a confidence bound fails about once in 1e8 runs, which no simulation sees. At
alpha = 0.5 or 0.3 it fails often enough, and these values say how often, to rounding error.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory.widths import log_term

Side = Literal["upper", "lower", "two"]


def coverage_failure(
    mean: float,
    horizon: int,
    num_arms: int,
    delta: float,
    alpha: float,
    side: Side = "two",
    *,
    counts_before: bool = True,
) -> np.ndarray:
    """P(the bound has failed in some round up to t), t = 1..horizon.

    In round t the arm has n = t - 1 observations of Bernoulli(mean), radius
    alpha sqrt(ell_t / (2 n)), infinite at n = 0. Mass at (n, successes) that fails is removed
    as it appears; what remains is convolved with the next observation.

    Args:
      mean: in [0, 1].
      horizon: T; time and memory grow as T^2 and T.
      num_arms: K of ell_t (one arm is followed).
      delta: parameter of the radius.
      alpha: factor on the radius.
      side: "upper", the upper bound falls below the mean (average + radius < mean); "lower",
        the lower bound rises above it (average - radius > mean); "two", either.
      counts_before: whether n excludes round t (as in C2MAB-V); False is the off-by-one variant
        with n = t.

    Returns:
      Float64 `[horizon]`, rising.
    """
    if side not in ("upper", "lower", "two"):
        raise ProblemError(f"side = {side!r}: choose one of upper, lower, two")
    if horizon < 1:
        raise ProblemError(f"horizon = {horizon}: give at least 1")
    ell = np.asarray(log_term(np.arange(1, horizon + 1), num_arms, delta))
    alive = np.array([1.0])  # P(not failed yet, s successes), s = 0..n
    lost = np.zeros(horizon)
    failed = 0.0
    for t in range(1, horizon + 1):
        n = t - 1 if counts_before else t
        if n > 0:
            grown = np.zeros(n + 1)
            grown[:-1] = alive * (1 - mean)
            grown[1:] += alive * mean
            error = np.arange(n + 1) / n - mean
            radius = alpha * math.sqrt(ell[t - 1] / (2 * n))
            low, high = error < -radius, error > radius
            wrong = {"upper": low, "lower": high, "two": low | high}[side]
            failed += float(grown[wrong].sum())
            alive = np.where(wrong, 0.0, grown)
        lost[t - 1] = failed
    return lost


def some_arm_fails(probabilities: np.ndarray) -> np.ndarray:
    """P(some of several independent arms fails), from each arm's `[arms, ...]`."""
    return -np.expm1(np.log1p(-np.asarray(probabilities, float)).sum(0))
