"""Does a policy-round cost the same in long runs, and in many?"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from c2mabv_jax.bench.case import Contestant
from c2mabv_jax.bench.contestants import LONG, MAIN, WIDE
from c2mabv_jax.bench.package import package
from c2mabv_jax.engine.block import lanes

TURNS = 3
_ONCE_ABOVE_S = 20.0  # what takes longer is measured once


def over_horizon(full: bool, step: Callable[[str], object] = lambda name: None) -> list[dict]:
    """One block per core at growing T; the horizon is traced, so nothing compiles anew."""
    horizons = LONG if full else LONG[:2]
    players = [package(dataclasses.replace(MAIN, horizon=horizon)) for horizon in horizons]
    # Short runs are repeated within a turn, so that a turn is long enough to time.
    repeats = [max(1, 8_000 // horizon) for horizon in horizons]
    step("long runs")
    speeds = _measure(players, [player.unit for player in players], repeats)
    return [{"horizon": t} | speed for t, speed in zip(horizons, speeds, strict=True)]


def over_seeds(full: bool, step: Callable[[str], object] = lambda name: None) -> list[dict]:
    """More and more blocks at T = 1,000."""
    player = package(MAIN)
    width = lanes()
    sizes = sorted({max(n * width, player.unit) for n in (WIDE if full else WIDE[:3])})
    repeats = [max(1, 16 * width // size) for size in sizes]
    step("many runs")
    speeds = _measure([player] * len(sizes), sizes, repeats)
    return [{"seeds": size} | speed for size, speed in zip(sizes, speeds, strict=True)]


def _measure(
    players: Sequence[Contestant], seeds: Sequence[int], repeats: Sequence[int]
) -> list[dict[str, Any]]:
    """Rounds per second of each, in interleaved turns."""
    rates: list[list[float]] = [[] for _ in players]
    slow: set[int] = set()
    players[0].play(players[0].unit, 99)  # compiled before the clock runs
    for turn in range(TURNS):
        for index, player in enumerate(players):
            if index in slow:
                continue
            start = time.perf_counter()
            for repeat in range(repeats[index]):
                player.play(seeds[index], 100 + 10 * turn + repeat)
            seconds = time.perf_counter() - start
            rates[index].append(repeats[index] * seeds[index] * player.case.horizon / seconds)
            if seconds > _ONCE_ABOVE_S:
                slow.add(index)
    results = []
    for found in rates:
        low, median, high = np.percentile(found, (25, 50, 75))
        speed = {"median": median, "q1": low, "q3": high}
        results.append({"rounds_per_s": speed, "turns": len(found)})
    return results
