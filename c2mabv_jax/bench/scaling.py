"""Does a policy-round cost the same in long runs, and in many?"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from c2mabv_jax.bench.contestants import LONG, MAIN, WIDE
from c2mabv_jax.bench.package import package
from c2mabv_jax.simulation.block import lanes

_REPEAT_BELOW_S = 20.0


def over_horizon(full: bool, step: Callable[[str], object] = lambda name: None) -> list[dict]:
    """One block per core at growing T; the horizon is traced, so nothing compiles anew."""
    found = []
    for horizon in LONG if full else LONG[:2]:
        step(f"T = {horizon:,}")
        contestant = package(dataclasses.replace(MAIN, horizon=horizon))
        seeds = contestant.unit
        # Short runs are repeated within a turn, so that a turn is long enough to time.
        found.append({"horizon": horizon, **_measure(contestant, seeds, max(1, 8_000 // horizon))})
    return found


def over_seeds(full: bool, step: Callable[[str], object] = lambda name: None) -> list[dict]:
    """More and more blocks at T = 1,000."""
    found = []
    contestant = package(MAIN)
    for blocks in WIDE if full else WIDE[:3]:
        seeds = max(blocks * lanes(), contestant.unit)
        step(f"{seeds:,} seeds")
        found.append({"seeds": seeds, **_measure(contestant, seeds, max(1, 16 // blocks))})
    return found


def _measure(contestant: Any, seeds: int, repeats: int) -> dict[str, Any]:
    rounds = repeats * seeds * contestant.case.horizon
    rates = []
    for turn in range(3):
        start = time.perf_counter()
        for repeat in range(repeats):
            contestant.play(seeds, 100 + 10 * turn + repeat)
        seconds = time.perf_counter() - start
        rates.append(rounds / seconds)
        if seconds > _REPEAT_BELOW_S:
            break
    low, median, high = np.percentile(rates, (25, 50, 75))
    return {"rounds_per_s": {"median": median, "q1": low, "q3": high}, "turns": len(rates)}
