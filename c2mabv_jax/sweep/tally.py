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
import threading
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from c2mabv_jax.array import sums
from c2mabv_jax.array.xla import compiler_options
from c2mabv_jax.engine import block
from c2mabv_jax.engine.tally import Accounting, Tally, TypeTally
from c2mabv_jax.results import typed
from c2mabv_jax.simulation import in_scaled_cost
from c2mabv_jax.sweep.plan import Batch, Plan, Program, Tile
from c2mabv_jax.theory.typed import money_by_type, typed_optimum

Arrays = dict[str, np.ndarray]


class Call(NamedTuple):
    """Arguments of one compiled call."""

    point: block.Point
    observer: Accounting
    root: Any
    seeds: Any
    record_at: Any


def run_tile(plan: Plan, tile: Tile, width: int, per_seed: bool = False) -> Arrays:
    """Run a tile in calls of `width` lanes; the last one is filled up with repeats.

    What a lane computes depends on its point and seed alone, not on the tile around it.
    """
    batch = plan.batches[tile.batch]
    program = plan.programs[batch.program]
    pieces = []
    for start in range(tile.start, tile.stop, width):
        lanes = np.minimum(np.arange(start, start + width), tile.stop - 1)
        call = arguments(plan, batch, program, lanes)
        compile_once(program, call)
        records = run(program, call)
        used = min(width, tile.stop - start)
        pieces.append(jax.tree.map(lambda x, used=used: np.asarray(x)[..., :used], records))
    tally = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *pieces)
    kept = len(plan.recorded(batch.horizon))
    tally = jax.tree.map(lambda x: x[:kept], tally)
    return extract(plan, batch, np.arange(tile.start, tile.stop), tally, per_seed)


def arguments(
    plan: Plan, batch: Batch, program: Program, lanes: np.ndarray, horizon: int | None = None
) -> Call:
    """Arguments of a call for these lanes of a batch (`horizon`: shorter, to calibrate)."""
    position, seed = np.divmod(lanes, plan.num_seeds)
    which, lane_point = np.unique(position, return_inverse=True)
    points = [plan.points[batch.points[i]] for i in which]
    scaled = [
        block.Point(in_scaled_cost(p.problem, p.environment), p.environment, p.policy)
        for p in points
    ]
    accounting = program.accounting
    if accounting.expected == "table":
        first = points[0]
        table = set_reward_table(
            first.environment, first.problem.reward_model, first.problem.num_selected
        )
        on_device = jnp.asarray(table, jnp.result_type(float))
        accounting = dataclasses.replace(accounting, table=on_device)
    rounds = plan.recorded(batch.horizon)
    padded = np.full(len(plan.rounds), batch.horizon, np.int32)
    padded[: len(rounds)] = rounds
    if horizon is not None:
        padded = np.minimum(padded, horizon)
    return Call(
        block.per_lane(scaled, lane_point.reshape(-1)),
        accounting,
        jax.random.key(plan.seed, impl="threefry2x32"),
        jnp.asarray((plan.first_seed + seed).astype(np.uint32)),
        jnp.asarray(padded),
    )


@functools.lru_cache(maxsize=64)
def set_reward_table(environment: Any, reward_model: str, size: int) -> np.ndarray | None:
    """Expected reward of every listed set `[M]`, worked out once per environment."""
    return environment.set_reward_table(reward_model, size)


_compiled: set[tuple[Program, int]] = set()
_compiling = threading.Lock()


def compile_once(program: Program, call: Call) -> None:
    """Compile a program with a call of no rounds; threads that need it meanwhile wait."""
    key = program, call.seeds.size
    if key not in _compiled:
        with _compiling:
            if key not in _compiled:
                nothing = call._replace(record_at=jnp.zeros_like(call.record_at))
                jax.block_until_ready(run(program, nothing))
                _compiled.add(key)


def run(program: Program, call: Call) -> Tally:
    """One compiled call, its lanes shared out evenly over all local devices."""
    if jax.local_device_count() == 1:
        return block.run_block(*call)
    both = call[:2]
    leaves, structure = jax.tree.flatten_with_path(both)
    specs = tuple(_lanes_last(leaf.ndim, _is_shared(both, path)) for path, leaf in leaves)
    numbers = [leaf for _, leaf in leaves]

    def play(one: bool) -> Tally:
        return _sharded(structure, specs, one)(numbers, *call[2:])

    return block.or_in_pieces(play, *both, call.seeds[: block.lanes()])


def _lanes_last(ndim: int, shared: bool = False) -> PartitionSpec:
    return PartitionSpec() if shared else PartitionSpec(*[None] * (ndim - 1), "lanes")


def _is_shared(node: Any, path: tuple) -> bool:
    """Whether the leaf at `path` belongs to a field marked `shared`."""
    for key in path:
        if not isinstance(key, jax.tree_util.GetAttrKey):
            node = node[key.idx]
            continue
        if dataclasses.is_dataclass(node):
            field = {f.name: f for f in dataclasses.fields(node)}[key.name]
            if field.metadata.get("shared"):
                return True
        node = getattr(node, key.name)
    return False


@functools.cache
def _sharded(structure: Any, specs: tuple[PartitionSpec, ...], one: bool) -> Any:
    """`block.advance` on every device with its own share of the lanes.

    Every device runs the program of one block, not a part of a larger one, so the number of
    devices cannot change a bit; no device waits for another.
    """
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("lanes",), (AxisType.Auto,), devices=devices)
    whole, lanes = PartitionSpec(), PartitionSpec("lanes")

    def body(leaves, root, seeds, record_at):
        return block.program(one)(*jax.tree.unflatten(structure, leaves), root, seeds, record_at)

    def on_all(leaves, root, seeds, record_at):
        shapes = jax.eval_shape(body, leaves, root, seeds, record_at)
        mapped = jax.shard_map(
            body,
            mesh=mesh,
            in_specs=(list(specs), whole, lanes, whole),
            out_specs=jax.tree.map(lambda x: _lanes_last(x.ndim), shapes),
            check_vma=False,
        )
        return mapped(leaves, root, seeds, record_at)

    place = lambda spec: NamedSharding(mesh, spec)  # noqa: E731
    arguments = ([place(s) for s in specs], *map(place, (whole, lanes, whole)))
    return jax.jit(on_all, in_shardings=arguments, compiler_options=compiler_options())


def extract(
    plan: Plan, batch: Batch, lanes: np.ndarray, tally: Tally, per_seed: bool = False
) -> Arrays:
    """What is kept of the tally `[R, ..., lanes]` of these lanes of a batch."""
    position = lanes // plan.num_seeds
    which, first = np.unique(position, return_index=True)
    points = [plan.points[batch.points[i]] for i in which]
    own = np.searchsorted(which, position)
    scale = np.array([p.environment.cost_scale for p in points])[own]
    mean_reward = np.stack([np.asarray(p.environment.mean_reward, np.float64) for p in points])
    mean_cost = np.stack([np.asarray(p.environment.mean_cost, np.float64) for p in points])
    pulls = np.asarray(tally.pulls)
    observed = pulls if tally.observed is None else np.asarray(tally.observed)

    def weighted(values: np.ndarray) -> np.ndarray:
        """sum_k pulls_k values_k, `[R, lanes]`, the arms in order."""
        total = np.zeros(pulls[:, 0].shape)
        for k in range(pulls.shape[1]):
            total += pulls[:, k] * values[own, k]
        return total

    if tally.expected is not None:
        expected = sums.value(tally.expected)
    elif points[0].problem.reward_model == "SUC":
        expected = weighted(mean_reward)
    else:
        expected = np.full(pulls[:, 0].shape, np.nan)
    expected_cost = weighted(mean_cost) * scale
    of_types: Arrays = {}
    if tally.by_type is not None:
        expected, expected_cost, of_types = by_type(tally.by_type, points, own)
    kept: Arrays = {
        "reward": sums.value(tally.reward),
        "cost": sums.value(tally.cost) * scale,
        "expected_reward": expected,
        "expected_cost": expected_cost,
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
        kept |= of_types
        many["type_pulls"] = np.asarray(tally.by_type.pulls)
    for name, counts in many.items():
        sums_of_points = np.add.reduceat(counts.astype(np.int64), first, axis=-1)
        kept[name] = np.moveaxis(sums_of_points, -1, 0)
        if per_seed and name != "type_pulls":
            kept[f"{name}_of_lane"] = counts
    return kept


def by_type(
    tally: TypeTally, points: list[Any], own: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """Expected reward and cost, and those of the optimum on the same types, `[R, lanes]`.

    Lane i is of `points[own[i]]`; money.
    """
    means = [money_by_type(point.environment) for point in points]
    best = [typed_optimum(p.problem, *mine) for p, mine in zip(points, means, strict=True)]
    met, pulls = np.asarray(tally.rounds)[:, :, None], np.asarray(tally.pulls)
    stacked = lambda values: np.stack(list(values))[own].transpose(1, 2, 0)  # noqa: E731
    return (
        typed.weighted(pulls, stacked(mu for mu, _, _ in means)),
        typed.weighted(pulls, stacked(c for _, c, _ in means)),
        {
            "ideal": typed.weighted(met, stacked(b.value_by_type[:, None] for b in best)),
            "ideal_cost": typed.weighted(met, stacked(b.cost_by_type[:, None] for b in best)),
        },
    )
