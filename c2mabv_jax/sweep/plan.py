"""The plan of a sweep: which points share a compiled program, and how work is cut into tiles.

A lane is one run: (point, seed). Points whose problem, environment and policy have the same
structure share one program; budgets, alphas, deltas, means, costs and horizons are its
arguments. Lanes of one program, one horizon and, where it is large, one environment form a
batch, point after point and seed after seed; a tile is a stretch of a batch. Nothing here
changes what a lane computes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from c2mabv_jax.engine import block
from c2mabv_jax.engine.records import recorded_rounds
from c2mabv_jax.engine.tally import Accounting
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.simulation import accounting_for, check_fit, check_fit_of_types
from c2mabv_jax.sweep.grid import Point

LANE_QUANTUM = 64
TILE_ROUNDS = 4e7  # rounds of work in a tile: some seconds, what a kill may cost
TILE_BYTES = 1 << 25  # of results in a tile


class Program(NamedTuple):
    """What is compiled once: a structure, whatever numbers it is run with.

    Attributes:
      structure: of (problem, environment, policy), with shapes and kinds of leaves; hashable.
      accounting: what is tallied, without its table of set rewards.
      shared: whether part of the environment (a log, a table of set rewards) is one argument
        for all lanes of a block, so that a block holds lanes of one environment only.
    """

    structure: Any
    accounting: Accounting
    shared: bool


class Batch(NamedTuple):
    """Lanes that may share a call: one program, one horizon.

    Attributes:
      program: index into `Plan.programs`.
      horizon: T.
      points: indices into `Plan.points`, ascending.
    """

    program: int
    horizon: int
    points: tuple[int, ...]


class Tile(NamedTuple):
    """Lanes start..stop-1 of a batch: lane i is point i // num_seeds, seed i % num_seeds."""

    batch: int
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """See the module.

    Attributes:
      points: the grid.
      seed: root of all random numbers.
      first_seed, num_seeds: seed ids of every point.
      rounds: recorded rounds, ascending, int32 `[R]`; a point records those within its
        horizon and its horizon.
      programs, batches, tiles: see their classes.
    """

    points: Sequence[Point]
    seed: int
    first_seed: int
    num_seeds: int
    rounds: np.ndarray
    programs: tuple[Program, ...]
    batches: tuple[Batch, ...]
    tiles: tuple[Tile, ...]

    def lanes(self, batch: int) -> int:
        """Number of lanes of a batch."""
        return len(self.batches[batch].points) * self.num_seeds

    def recorded(self, horizon: int) -> np.ndarray:
        """Recorded rounds of a point, int32 `[R']`."""
        return self.rounds[self.rounds <= horizon]

    def lane_rounds(self, tile: Tile) -> int:
        """Rounds of work in a tile."""
        return (tile.stop - tile.start) * self.batches[tile.batch].horizon


def make_plan(
    points: Sequence[Point],
    num_seeds: int,
    *,
    seed: int = 0,
    first_seed: int = 0,
    record_at: Any = 60,
    coverage: bool = False,
    tile: int | None = None,
) -> Plan:
    """Group points into programs and batches, and cut batches into tiles of `tile` lanes.

    Raises:
      ProblemError: sizes that do not fit together.
    """
    if tile is not None and (tile < LANE_QUANTUM or tile % LANE_QUANTUM):
        raise ProblemError(f"tile = {tile}: give a multiple of {LANE_QUANTUM}")
    accountings: dict[tuple[int, str], Accounting] = {}  # may need a table: once per world
    programs: dict[Program, int] = {}
    batches: dict[tuple[int, int, int], list[int]] = {}
    for index, point in enumerate(points):
        check_fit(point.problem, point.environment, point.horizon, num_seeds, None)
        check_fit_of_types(point.problem, point.environment, point.policy)
        problem, environment = point.problem, point.environment
        key = id(environment), problem.reward_model
        if key not in accountings:
            accountings[key] = accounting_for(problem, environment, coverage)
        program = program_of(point, accountings[key])
        number = programs.setdefault(program, len(programs))
        world = id(point.environment) if program.shared else 0
        batches.setdefault((number, point.horizon, world), []).append(index)
    found = tuple(
        Batch(number, horizon, tuple(members)) for (number, horizon, _), members in batches.items()
    )
    rounds = common_rounds([point.horizon for point in points], record_at)
    tiles = []
    for number, batch in enumerate(found):
        arms = max(points[i].problem.num_arms for i in batch.points)
        width = tile or default_tile(batch.horizon, len(rounds), arms)
        lanes = len(batch.points) * num_seeds
        tiles += [
            Tile(number, start, min(start + width, lanes)) for start in range(0, lanes, width)
        ]
    programs_found = tuple(programs)
    return Plan(points, seed, first_seed, num_seeds, rounds, programs_found, found, tuple(tiles))


def program_of(point: Point, accounting: Accounting) -> Program:
    """The program that a point needs."""
    things = (point.problem, point.environment, point.policy)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(things)]
    structure = jax.tree.structure(things), tuple((x.shape, x.dtype.kind) for x in leaves)
    fields = dataclasses.fields(point.environment)
    shared = accounting.expected == "table" or any(f.metadata.get("shared") for f in fields)
    return Program(structure, dataclasses.replace(accounting, table=None), shared)


def smallest_tile() -> int:
    """Lanes of the smallest tile that fills a block."""
    return max(block.lanes(), LANE_QUANTUM)


def common_rounds(horizons: Sequence[int], record_at: Any) -> np.ndarray:
    """Recorded rounds of the sweep: those of its longest horizon, and every horizon."""
    if isinstance(record_at, list):
        record_at = [t for t in record_at if t <= max(horizons)] or [max(horizons)]
    longest = recorded_rounds(max(horizons), record_at)
    return np.union1d(longest, np.asarray(horizons)).astype(np.int32)


def default_tile(horizon: int, num_rounds: int, num_arms: int) -> int:
    """Lanes of a tile: some seconds of work, some megabytes of results."""
    by_work = TILE_ROUNDS / horizon
    by_size = TILE_BYTES / (num_rounds * (64 + 8 * num_arms))
    lanes = 2 ** int(math.log2(max(min(by_work, by_size), LANE_QUANTUM)))
    return min(max(lanes, 4 * LANE_QUANTUM), 1 << 16)
