"""Many runs: seeds are cut into tiles of a fixed width and every tile runs one program."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from tqdm import tqdm

from c2mabv_jax.policies.base import Policy
from c2mabv_jax.problem import Problem, ProblemError
from c2mabv_jax.simulation.records import recorded_rounds
from c2mabv_jax.simulation.results import to_dataset
from c2mabv_jax.simulation.round import Accounting, Tally
from c2mabv_jax.simulation.tile import run_tile

LANE_QUANTUM = 64  # tiles are whole multiples of this, so every lane meets the same code
DEFAULT_TILE = {"cpu": 512, "gpu": 65536, "tpu": 16384}


def simulate(
    problem: Problem,
    environment: Any,
    policy: Policy,
    horizon: int,
    num_seeds: int,
    record_at: Sequence[int] | int | None = None,
    *,
    seed: int = 0,
    first_seed: int = 0,
    tile: int | None = None,
    coverage: bool = False,
    marginals: bool = False,
    progress: bool | Callable[[int], object] = False,
) -> xr.Dataset:
    """Simulate one policy on one problem over many seeds.

    A seed's trajectory depends on the configuration, `seed` (the root) and its own id
    alone: it is bit for bit the same for any `num_seeds`, `first_seed` or `tile`.

    Args:
      problem: the problem; its budget is in the environment's cost unit.
      environment: where rewards and costs come from.
      policy: any policy of the protocol.
      horizon: T, rounds per run.
      num_seeds: number of independent runs.
      record_at: rounds to record, or how many log-spaced ones (default about 60).
      seed: root of all random numbers.
      first_seed: id of the first run, so that more seeds can be added later.
      tile: runs per compiled call, a multiple of 64; chosen for the backend by default.
      coverage: also count rounds in which a confidence bound missed its mean.
      marginals: also sum the relaxed vectors z_t.
      progress: show a progress bar on standard error, or call this with every number of seeds
        done (one bar over many simulations).

    Returns:
      Dataset with dims `seed`, `round`, `arm`; see `simulation.results.to_dataset`.

    Raises:
      ProblemError: sizes that do not fit together; the message names the field and the fix.
    """
    check_fit(problem, environment, horizon, num_seeds, tile)
    rounds = recorded_rounds(horizon, record_at)
    policy = at_horizon(policy, horizon)
    accounting, table = accounting_for(problem, environment, coverage, marginals)
    lanes = tile_width(tile, num_seeds)
    scaled = in_scaled_cost(problem, environment)
    device_table = None if table is None else jnp.asarray(table, jnp.result_type(float))
    root = jax.random.key(seed, impl="threefry2x32")

    def run(start: int) -> Tally:
        ids = jnp.asarray(np.arange(start, start + lanes, dtype=np.uint32))
        records = run_tile(
            scaled, environment, policy, root, ids, jnp.asarray(rounds), device_table, accounting
        )
        return jax.tree.map(np.asarray, records)

    starts = range(first_seed, first_seed + num_seeds, lanes)
    bar = tqdm(
        total=num_seeds,
        unit="seed",
        desc=type(policy).__name__,
        disable=progress is not True,
        leave=False,
    )
    pieces: list[Tally] = []
    with bar:
        for piece in _in_parallel(run, starts):
            done = min(lanes, num_seeds - lanes * len(pieces))
            pieces.append(piece)
            bar.update(done)
            if callable(progress):
                progress(done)
    tally = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1)[..., :num_seeds], *pieces)
    seeds = np.arange(first_seed, first_seed + num_seeds)
    return to_dataset(tally, problem, environment, policy, rounds, seeds, table, root_seed=seed)


def _in_parallel(run: Any, starts: range) -> Iterator[Tally]:
    """Tiles in order. On the CPU one thread per core: a tile is too small to split further."""
    workers = os.cpu_count() or 1
    if jax.default_backend() != "cpu" or workers == 1 or len(starts) < 2:
        yield from map(run, starts)
        return
    yield run(starts[0])  # compile once, before the threads
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(run, starts[1:])


def check_fit(
    problem: Problem, environment: Any, horizon: int, num_seeds: int, tile: int | None
) -> None:
    """Raise a `ProblemError` unless problem, environment and sizes fit together."""
    if environment.num_arms != problem.num_arms:
        raise ProblemError(
            f"num_arms = {problem.num_arms}: the environment has {environment.num_arms} LLMs; "
            "give the same number"
        )
    if num_seeds < 1:
        raise ProblemError(f"num_seeds = {num_seeds}: give at least 1")
    if tile is not None and (tile < LANE_QUANTUM or tile % LANE_QUANTUM):
        raise ProblemError(f"tile = {tile}: give a multiple of {LANE_QUANTUM}")
    recorded_rounds(horizon, 1)


def at_horizon(policy: Policy, horizon: int) -> Policy:
    """The policy told its horizon, where it wants to know ("1/T" and the like)."""
    return policy.at_horizon(horizon) if hasattr(policy, "at_horizon") else policy


def tile_width(tile: int | None, num_seeds: int) -> int:
    """Lanes of a tile: what is asked or suits the backend, no wider than the seeds need."""
    width = tile or DEFAULT_TILE.get(jax.default_backend(), 512)
    needed = math.ceil(num_seeds / LANE_QUANTUM) * LANE_QUANTUM
    return min(width, needed)


def in_scaled_cost(problem: Problem, environment: Any) -> Problem:
    """The problem with its budget in the environment's internal cost scale of [0, 1]."""
    budget = jnp.asarray(problem.budget, jnp.result_type(float)) / environment.cost_scale
    return problem.replace(budget=budget)


def accounting_for(
    problem: Problem, environment: Any, coverage: bool = False, marginals: bool = False
) -> tuple[Accounting, np.ndarray | None]:
    """How the expected reward of a set is known here, and its table if it needs one."""
    table = None
    if problem.reward_model == "SUC":
        expected = "counts"
    elif not environment.dependent:
        expected = "formula"
    else:
        table = environment.set_reward_table(problem.reward_model)
        expected = "none" if table is None else "table"
    return Accounting(expected, coverage, marginals), table
