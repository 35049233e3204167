"""What a sweep will take: compiled programs, memory, disk and time, from a short calibration."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import jax
import numpy as np

from c2mabv_jax.engine import runner
from c2mabv_jax.sweep import tally
from c2mabv_jax.sweep.plan import Batch, Plan
from c2mabv_jax.sweep.progress import duration
from c2mabv_jax.sweep.results import RUN_BYTES, rounds_at_once

CALIBRATION_SECONDS = 0.5  # per program
_HOST_BYTES = 4e8  # Python, JAX and compiled programs
_KEPT = 52  # bytes of one run and recorded round on disk, without arms
_TALLIED = 60  # and while it is tallied


class Forecast(NamedTuple):
    """What a sweep will take.

    Attributes:
      points, programs, tiles, lanes: of the plan; a lane is a run.
      rounds: of all lanes.
      memory: bytes resident in one process, an estimate from above.
      disk: bytes of tiles and results.
      compile_seconds, run_seconds: on one process of this machine.
      remarks: what the user should know, a line each.
    """

    points: int
    programs: int
    tiles: int
    lanes: int
    rounds: float
    memory: float
    disk: float
    compile_seconds: float
    run_seconds: float
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"points        {self.points}",
            f"compilations  {self.programs}",
            f"tiles         {self.tiles}",
            f"runs          {self.lanes} ({self.rounds:.3g} rounds)",
            f"memory        about {size(self.memory)}",
            f"disk          about {size(self.disk)}",
            f"time          about {duration(self.compile_seconds + self.run_seconds)} "
            f"(compiling {duration(self.compile_seconds)})",
            *self.remarks,
        ]


def forecast(plan: Plan, per_seed: bool = False, moment: float = CALIBRATION_SECONDS) -> Forecast:
    """Compile every program and run it for about `moment` seconds."""
    width = runner.Width()
    compiling = running = memory = disk = 0.0
    for number in range(len(plan.programs)):
        batches = {i: b for i, b in enumerate(plan.batches) if b.program == number}
        first, batch = next(iter(batches.items()))
        arms = plan.points[batch.points[0]].problem.num_arms
        wide = width.lanes()
        lanes = np.arange(min(wide, plan.lanes(first)))
        begin = time.perf_counter()
        tally.play(plan, batch, lanes, width, horizon=0)
        compiling += time.perf_counter() - begin
        calls = sum(math.ceil(plan.lanes(i) / wide) * b.horizon for i, b in batches.items())
        running += calls * _seconds_a_round(plan, batch, lanes, width, moment)
        kept = len(plan.rounds) * (_KEPT + (8 * arms if per_seed else 0))
        disk += kept * sum(plan.lanes(i) for i in batches) * (2 if per_seed else 1)
        tiles = [tile.stop - tile.start for tile in plan.tiles if tile.batch in batches]
        tallied = len(plan.rounds) * (_TALLIED + 8 * arms)
        memory = max(memory, 2 * tallied * (max(tiles) + wide))  # pieces, and pieces joined
    # The statistics; and the runs of a point while they are summed up.
    results = 8 * 100 * len(plan.points) * len(plan.rounds)
    assembling = plan.num_seeds * rounds_at_once(plan.num_seeds, 0, plan.rounds.size) * RUN_BYTES
    cpu = jax.default_backend() == "cpu" and jax.local_device_count() == 1
    return Forecast(
        len(plan.points),
        len(plan.programs),
        len(plan.tiles),
        len(plan.points) * plan.num_seeds,
        float(sum(plan.lane_rounds(tile) for tile in plan.tiles)),
        _HOST_BYTES + results + max(memory * runner.workers(), assembling),
        disk + results,
        compiling,
        running / (runner.workers() if cpu else 1),
    )


def _seconds_a_round(
    plan: Plan, batch: Batch, lanes: np.ndarray, width: runner.Width, moment: float
) -> float:
    """Time of one round of one call, from ever longer runs."""
    horizon = min(8, batch.horizon)
    while True:
        begin = time.perf_counter()
        tally.play(plan, batch, lanes, width, horizon)
        seconds = time.perf_counter() - begin
        if seconds > moment / 2 or horizon == batch.horizon:
            return seconds / horizon
        horizon = min(2 * horizon, batch.horizon)


def size(amount: float) -> str:
    """Bytes as people say it."""
    for factor, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if amount >= factor:
            return f"{amount / factor:.3g} {unit}"
    return f"{amount / 1024:.3g} KiB"
