"""A sweep from its file to `results.zarr`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import c2mabv_jax
from c2mabv_jax.engine import block, runner
from c2mabv_jax.results.stored import RESULTS
from c2mabv_jax.sweep import distributed, grid, results, tally
from c2mabv_jax.sweep.forecast import Forecast, forecast
from c2mabv_jax.sweep.plan import Plan, make_plan
from c2mabv_jax.sweep.progress import Progress
from c2mabv_jax.sweep.spec import Spec, load
from c2mabv_jax.sweep.store import FORMAT, Folder, writing


class Interrupted(KeyboardInterrupt):
    """Stopped by the user; the message says what is done."""


def read(path: str | os.PathLike[str], tile: int | None = None) -> tuple[Spec, Plan]:
    """A sweep file and the plan it amounts to; nothing is run or written.

    Raises:
      ProblemError: one line with file, table, key, value and fix.
    """
    spec, folder = load(path)
    plan = make_plan(
        grid.points(spec, folder, str(path)),
        spec.num_seeds,
        seed=spec.seed,
        first_seed=spec.first_seed,
        record_at=spec.record_at,
        coverage=spec.coverage,
        tile=tile,
    )
    return spec, plan


def dry_run(path: str | os.PathLike[str], tile: int | None = None) -> Forecast:
    """What the sweep would take on this machine, from a short calibration."""
    spec, plan = read(path, tile)
    return forecast(plan, spec.per_seed)._replace(remarks=tuple(remarks(plan)))


def remarks(plan: Plan) -> list[str]:
    """What the user should know before it starts, a line each."""
    over = grid.unaffordable(plan.points)
    return [f"note: {over}; they play the cheapest set, see `feasible`"] if over else []


def sweep(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    tile: int | None = None,
    quiet: bool = False,
) -> Path:
    """Run a sweep, or go on with one; returns the path of `results.zarr`.

    Every process of a `jax.distributed` job calls this with the same arguments; process 0
    returns when the results are there, the others when their tiles are.

    Args:
      path: the sweep file, see `spec`.
      out: folder of the sweep, see `store`.
      resume: go on with the sweep in `out`, and mend what is damaged there.
      tile: runs per unit of work, a multiple of 64; changes what a kill may cost, how often
        progress is shown, and nothing else.
      quiet: say nothing.

    Raises:
      ProblemError: bad file, folder in use, another sweep's folder, full disk.
      Interrupted: stopped by the user; finished tiles are stored.
    """
    spec, plan = read(path, tile)
    folder = Folder(Path(out), identity(spec, Path(path).parent, tile), len(plan.tiles))
    process, processes = jax.process_index(), jax.process_count()
    with contextlib.ExitStack() as held:

        def begin() -> list[str]:
            return held.enter_context(folder.locked(resume))

        warnings = distributed.agree(folder.digest, begin)
        alive = held.enter_context(folder.alive(process, processes))
        todo, damaged = folder.missing_tiles(mend=process == 0)
        broken = folder.results_damage()
        alive.ready()  # what is damaged is out of the way
        alive.wait_until_ready()
        if broken == [] and not damaged and len(todo) == len(plan.tiles):
            todo = []  # finished, and its tiles were cleared away on purpose
        if broken is not None and len(todo) > len(damaged):
            damaged.append(_gone(folder, todo, damaged))
        mine = [number for number in todo if number % processes == process]
        progress = _progress(plan, todo, mine, processes, quiet or process > 0)
        for line in [*remarks(plan), *warnings, *damaged, *(broken or [])]:
            progress.say(line)
        try:
            _run(plan, folder, mine, progress, spec.per_seed, alive.check)
            if process == 0 and (broken != [] or todo):
                folder.wait_for(todo, alive.check)
                _finish(plan, folder, spec, progress)
            elif process > 0:
                alive.wait_until_done()
            else:
                progress.say(f"nothing to do: {folder.path / RESULTS} is complete")
        except KeyboardInterrupt:
            done = f"{progress.done_tiles} of {progress.tiles} tiles are stored"
            raise Interrupted(f"{done}; go on with --resume") from None
        finally:
            progress.close()
    return folder.path / RESULTS


def identity(spec: Spec, folder: Path, tile: int | None) -> dict[str, Any]:
    """What must be equal for two runs to belong to one sweep, in plain JSON types."""
    table = json.loads(spec.model_dump_json())
    files = {}
    for world in spec.environment:
        for name in (getattr(world, "path", None), getattr(world, "prices", None)):
            if name is not None:
                files[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return {
        "format": FORMAT,
        "package": f"c2mabv_jax {c2mabv_jax.__version__}",
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "float": np.dtype(jax.numpy.result_type(float)).name,
        "lanes": block.lanes(),
        "tile": tile or "default",
        "spec": table,
        "files": files,
    }


def _gone(folder: Folder, todo: list[int], damaged: list[str]) -> str:
    """A line on the tiles of a sweep that was finished once and that are not there any more."""
    names = [folder.tile_name(number) for number in todo]
    gone = [name for name in names if not any(line.startswith(name) for line in damaged)]
    more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
    return f"{', '.join(gone[:3])}{more}: missing; computed again"


def _progress(plan: Plan, todo: list[int], mine: list[int], processes: int, quiet: bool):
    """Progress of this process: its share of what is left, and what was there before."""
    rounds = [float(plan.lane_rounds(tile)) for tile in plan.tiles]
    there = set(range(len(plan.tiles))) - set(todo)
    before = sum(rounds[number] for number in there)
    left = sum(rounds[number] for number in mine)
    return Progress(len(there) + len(mine), before + left, len(there), before, quiet=quiet)


def _run(
    plan: Plan,
    folder: Folder,
    mine: list[int],
    progress: Progress,
    per_seed: bool,
    check: Callable[[], None],
) -> None:
    width = runner.Width(progress.say)

    def work(number: int) -> None:
        folder.write_tile(number, tally.run_tile(plan, number, width, per_seed))

    if mine:
        progress.say(f"{len(mine)} of {len(plan.tiles)} tiles to run")
    for index, _ in runner.each_done(work, mine, check):
        progress.tile_done(plan.lane_rounds(plan.tiles[mine[index]]))


def _finish(plan: Plan, folder: Folder, spec: Spec, progress: Progress) -> None:
    with writing(folder.path):
        attributes = {
            "title": spec.title,
            "sweep": json.dumps(folder.identity["spec"]),
            "root_seed": spec.seed,
            "first_seed": spec.first_seed,
            "num_seeds": spec.num_seeds,
        }
        for line in results.assemble(plan, folder, attributes, spec):
            progress.say(line)
    progress.say(f"results in {folder.path / RESULTS}")
