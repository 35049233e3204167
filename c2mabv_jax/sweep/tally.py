"""Tiles: lanes of a batch run in blocks, and what is kept of their tallies.

Kept per lane and recorded round (`[R, lanes]`): totals in float64 (`reward`, `cost`,
`expected_reward`, `expected_cost`; money in the environment's unit), counts in int32
(`fallback`, `unconverged`, `messages`, `uncovered`), worst certificates (`gap`,
`feasibility`). Kept per point of the tile: `points` `[P]`, and `pulls`, `count` summed over
its lanes, int64 `[P, R, K]`, exact in any order; with `per_seed` also of every lane,
`pulls_of_lane`, `count_of_lane`, int32 `[R, K, lanes]`. Where queries have types, per point
`type_pulls` `[P, R, G, K]` too, and per lane `ideal`, `ideal_cost` of the optimum on its types.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax.engine import block
from c2mabv_jax.engine.runner import Runs, Width
from c2mabv_jax.engine.tally import Tally
from c2mabv_jax.results.quantities import Arrays, totals
from c2mabv_jax.simulation import in_scaled_cost
from c2mabv_jax.sweep.plan import Batch, Plan


def run_tile(plan: Plan, number: int, width: Width, per_seed: bool = False) -> Arrays:
    """A tile of the plan."""
    tile = plan.tiles[number]
    batch, lanes = plan.batches[tile.batch], np.arange(tile.start, tile.stop)
    tally = play(plan, batch, lanes, width)
    kept = len(plan.recorded(batch.horizon))
    return extract(plan, batch, lanes, jax.tree.map(lambda x: x[:kept], tally), per_seed)


def play(
    plan: Plan, batch: Batch, lanes: np.ndarray, width: Width, horizon: int | None = None
) -> Tally:
    """Play lanes of a batch: `[R, ..., lanes]`, `R` the rounds of the plan.

    Args:
      plan, batch, lanes, width: what is played, in calls of which width.
      horizon: fewer rounds, to calibrate; 0 compiles and plays none.
    """
    position, seed = np.divmod(lanes, plan.num_seeds)
    used, which = np.unique(position, return_inverse=True)
    points = [plan.points[batch.points[i]] for i in used]
    scaled = [
        block.Point(in_scaled_cost(p.problem, p.environment), p.environment, p.policy)
        for p in points
    ]
    accounting = plan.programs[batch.program].accounting
    if accounting.expected == "table":
        problem = points[0].problem
        table = set_reward_table(points[0].environment, problem.reward_model, problem.num_selected)
        on_device = jnp.asarray(table, jnp.result_type(float))
        accounting = dataclasses.replace(accounting, table=on_device)
    # Every call of a program records as many rounds, so that it is compiled once.
    rounds = plan.recorded(batch.horizon)
    padded = np.full(len(plan.rounds), batch.horizon, np.int32)
    padded[: len(rounds)] = rounds
    if horizon is not None:
        padded = np.minimum(padded, horizon)
    runs = Runs(scaled, [accounting] * len(scaled), padded, width)
    return runs.play(which.reshape(-1), plan.first_seed + seed, plan.seed)


@functools.lru_cache(maxsize=64)
def set_reward_table(environment: Any, reward_model: str, size: int) -> np.ndarray | None:
    """Expected reward of every listed set `[M]`, worked out once per environment."""
    return environment.set_reward_table(reward_model, size)


def extract(
    plan: Plan, batch: Batch, lanes: np.ndarray, tally: Tally, per_seed: bool = False
) -> Arrays:
    """What is kept of the tally `[R, ..., lanes]` of these lanes of a batch."""
    position = lanes // plan.num_seeds
    which, first = np.unique(position, return_index=True)
    points = [plan.points[batch.points[i]] for i in which]
    own = np.searchsorted(which, position)
    pulls = np.asarray(tally.pulls)
    observed = pulls if tally.observed is None else np.asarray(tally.observed)
    kept: Arrays = {
        **totals(tally, points, own, plan.recorded(batch.horizon)),
        "fallback": np.asarray(tally.fallbacks),
        "unconverged": np.asarray(tally.unconverged),
        "messages": np.asarray(tally.messages),
        "gap": np.asarray(tally.gap),
        "feasibility": np.asarray(tally.feasibility),
        "points": np.array([batch.points[i] for i in which], np.int64),
    }
    if tally.uncovered is not None:
        kept["uncovered"] = np.asarray(tally.uncovered)
    many = {"pulls": pulls, "count": observed}
    if tally.by_type is not None:
        many["type_pulls"] = np.asarray(tally.by_type.pulls)
    for name, counts in many.items():
        sums_of_points = np.add.reduceat(counts.astype(np.int64), first, axis=-1)
        kept[name] = np.moveaxis(sums_of_points, -1, 0)
        if per_seed and name != "type_pulls":
            kept[f"{name}_of_lane"] = counts
    return kept
