"""Many runs of one configuration: seeds fill blocks, every block runs one compiled program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from tqdm import tqdm

from c2mabv_jax.engine.block import Point
from c2mabv_jax.engine.observer import Both, Observer
from c2mabv_jax.engine.records import recorded_rounds
from c2mabv_jax.engine.runner import Runs, each_done
from c2mabv_jax.engine.tally import Accounting
from c2mabv_jax.errors import ProblemError, check_whole
from c2mabv_jax.policies.base import Policy, check_policy
from c2mabv_jax.policies.known import check_types
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation.typed import check_additive
from c2mabv_jax.results.dataset import of_observer, to_dataset

MOST_SEEDS = 2**32  # a seed id, like a root, is one 32-bit word


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
    observer: Observer | None = None,
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
      tile: runs handed to a worker at a time (rounded up to whole blocks); changes how
        often progress is shown and nothing else.
      coverage: also count rounds in which a confidence bound missed its mean.
      marginals: also sum the relaxed vectors z_t.
      observer: a statistic of your own (see `Observer`): keeps a dictionary of arrays, scalar
        or `[K]`, which become variables of these names.
      progress: show a progress bar on standard error, or call this with every number of seeds
        done (one bar over many simulations).

    Returns:
      Dataset with dims `seed`, `round`, `arm`; see `results.dataset.to_dataset`.

    Raises:
      ProblemError: sizes that do not fit together; the message names the field and the fix.
    """
    check_fit(problem, environment, horizon, num_seeds, tile)
    check_whole("seed", seed, 0, MOST_SEEDS - 1)
    check_whole("first_seed", first_seed, 0, MOST_SEEDS - num_seeds)
    rounds = recorded_rounds(horizon, record_at)
    check_policy(policy)
    check_fit_of_types(problem, environment, policy)
    policy = policy.at_horizon(horizon)
    accounting = accounting_for(problem, environment, coverage, marginals)
    point = Point(in_scaled_cost(problem, environment), environment, policy)
    runs = Runs([point], [accounting if observer is None else Both(accounting, observer)], rounds)
    per_tile = math.ceil((tile or 1) / runs.lanes) * runs.lanes
    end = first_seed + num_seeds
    starts = range(first_seed, end, per_tile)

    def run_tile(first: int) -> Any:
        ids = np.arange(first, min(first + per_tile, end))
        return runs.play(np.zeros(len(ids), int), ids, seed)

    bar = tqdm(
        total=num_seeds,
        unit="seed",
        desc=type(policy).__name__,
        disable=progress is not True,
        leave=False,
    )
    tiles: dict[int, Any] = {}
    with bar:
        for index, piece in each_done(run_tile, starts):
            tiles[index] = piece
            done = min(per_tile, end - starts[index])
            bar.update(done)
            if callable(progress):
                progress(done)
    pieces = [tiles[index] for index in range(len(starts))]
    kept = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *pieces)
    tally, own = (kept, {}) if observer is None else kept
    seeds = np.arange(first_seed, end)
    data = to_dataset(tally, problem, environment, policy, rounds, seeds, root_seed=seed)
    return data.assign(of_observer(own, data))


def check_fit(
    problem: Problem, environment: Any, horizon: int, num_seeds: int, tile: int | None
) -> None:
    """Raise a `ProblemError` unless problem, environment and sizes fit together."""
    if environment.num_arms != problem.num_arms:
        raise ProblemError(
            f"num_arms = {problem.num_arms}: the environment has {environment.num_arms} LLMs; "
            "give the same number"
        )
    if np.ndim(problem.budget):
        raise ProblemError(f"budget = {problem.budget}: give one number for all runs")
    check_whole("num_seeds", num_seeds, 1, MOST_SEEDS)
    if tile is not None:
        check_whole("tile", tile, 1, MOST_SEEDS)
    recorded_rounds(horizon, 1)


def check_fit_of_types(problem: Problem, environment: Any, policy: Any) -> None:
    """Raise a `ProblemError` unless problem and policy can do with the environment's types."""
    if policy.typed:
        check_types(type(policy).__name__, environment)
        if policy.num_types != environment.num_types:
            raise ProblemError(
                f"num_types = {policy.num_types}: the environment has {environment.num_types} types"
            )
    if environment.num_types is not None:
        check_additive(problem)


def in_scaled_cost(problem: Problem, environment: Any) -> Problem:
    """The problem with its budget in the environment's internal cost scale of [0, 1]."""
    budget = jnp.asarray(problem.budget, jnp.result_type(float)) / environment.cost_scale
    return problem.replace(budget=budget)


def accounting_for(
    problem: Problem, environment: Any, coverage: bool = False, marginals: bool = False
) -> Accounting:
    """What is tallied: it depends on how the expected reward of a set is known here."""
    table = None
    if environment.num_types is not None:  # rewards add up, so pulls by type tell
        return Accounting("counts", coverage, marginals, environment.num_types)
    if environment.changes:  # means move, so counts do not tell
        known = problem.reward_model == "SUC" or not environment.dependent
        expected = "formula" if known else "none"
    elif problem.reward_model == "SUC":
        expected = "counts"
    elif not environment.dependent:
        expected = "formula"
    else:
        table = environment.set_reward_table(problem.reward_model, problem.num_selected)
        expected = "none" if table is None else "table"
    if table is not None:
        table = jnp.asarray(table, jnp.result_type(float))
    return Accounting(expected, coverage, marginals, table=table)
