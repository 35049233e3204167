"""The answer of a sweep: statistics over seeds by point and round, as `results.zarr`.

Dims: `point` (a point of the grid), `round` (recorded rounds; NaN beyond a point's horizon),
`quantile`, `arm`, and with `per_seed` also `seed`. Coordinates along `point`: `policy`,
`environment`, `reward_model`, `num_arms`, `num_selected`, `horizon`, `budget`, `cost_unit`,
and one for every other key of the sweep file that some point sets (`alpha_cost`, `gap`, ...);
numbers where all values are numbers (NaN: not set), words otherwise ("": not set).

For every quantity q of `results.quantities.UNITS` (they mean what they mean in `simulate`):
  q_mean, q_variance [point, round]   over seeds; variance with n - 1, NaN for one seed
  q_quantile [point, round, quantile]
  q [point, seed, round]              with `per_seed`
Further: worst_gap, worst_feasibility [point, round], over seeds; fallback_total,
unconverged_total [point, round], rounds of all seeds; pulls_mean, count_mean
[point, round, arm]; with `per_seed` pulls, count [point, seed, round, arm], -1 beyond the
horizon; mean_reward, mean_cost [point, arm]; optimum, optimum_fixed_set, budget_multiplier,
binding, feasible [point].
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.files import Damaged
from c2mabv_jax.results.dataset import provenance
from c2mabv_jax.results.quantities import MONEY, UNITS, Arrays, Best, quantities
from c2mabv_jax.sweep.plan import Plan
from c2mabv_jax.sweep.store import Folder, writing
from c2mabv_jax.theory.typed import best_of

CHUNK_BYTES = 3 << 28  # of a point's runs held at once while they are summed up
RUN_BYTES = 240  # of one run and round: as stored, as derived, and copies on the way


def unstack(results: xr.Dataset, *names: str) -> xr.Dataset:
    """The results with `point` unfolded along coordinates, such as "budget", "alpha_cost".

    Where combinations are missing there is NaN. The names must tell all points apart: select
    first (`results.where(results.policy == "c2mabv", drop=True)`).
    """
    others = [c for c in results.coords if results[c].dims == ("point",) and c not in names]
    indexed = results.drop_vars(others).set_index(point=list(names))
    if not indexed.indexes["point"].is_unique:
        raise ProblemError(f"unstack: {', '.join(names)} do not tell all points apart; select")
    return indexed.unstack("point")


def assemble(plan: Plan, folder: Folder, attributes: dict[str, Any], options: Any) -> list[str]:
    """Write `results.zarr` from the stored tiles.

    Args:
      plan: of the sweep.
      folder: with every tile in it.
      attributes: of the dataset, beside the provenance.
      options: of the sweep file: `quantiles`, `per_seed`, `coverage`.

    Returns:
      A line for everything that lay in its place and was not ours.
    """
    partial = folder.stage()
    quantities = dict(UNITS, **({"uncovered": "rounds"} if options.coverage else {}))
    with writing(folder.path):
        truths = [best_of(point.problem, point.environment) for point in plan.points]
        dataset = _empty(plan, quantities, options.quantiles, truths)
        dataset.attrs.update(attributes, **provenance())
        runs = _RunFile(partial, plan, dataset, quantities) if options.per_seed else None
        for index, rows, values in _by_point(plan, folder, truths, options.per_seed):
            _summarise(dataset, index, rows, values, options.quantiles, quantities)
            if runs is not None:
                runs.add(index, rows, values)
        _means_by_arm(dataset, plan, folder)
        if options.per_seed:
            ids = plan.first_seed + np.arange(plan.num_seeds)
            dataset = dataset.assign_coords(seed=("seed", ids))
        with warnings.catch_warnings():
            # Consolidated metadata is an extension of Zarr 3; readers without it do without.
            warnings.filterwarnings("ignore", "Consolidated metadata")
            dataset.to_zarr(partial, mode="a", zarr_format=3, consolidated=True)
    return folder.publish(partial)


# --- one point -----------------------------------------------------------------------------


def _by_point(
    plan: Plan, folder: Folder, truths: Sequence[Best], per_seed: bool
) -> Iterator[tuple[int, slice, Arrays]]:
    """Every point's quantities, `[rows, seeds]`, some recorded rounds at a time.

    The stretch of rounds depends on the number of seeds alone, and a tile is cut along
    seeds, so nothing that is computed from the values depends on the tiles.
    """
    reader = _Reader(folder)
    most = max(point.problem.num_arms for point in plan.points) if per_seed else 0
    for number, batch in enumerate(plan.batches):
        tiles = [(i, tile) for i, tile in enumerate(plan.tiles) if tile.batch == number]
        rounds = plan.recorded(batch.horizon)
        step = rounds_at_once(plan.num_seeds, most, len(rounds))
        for position, index in enumerate(batch.points):
            start, stop = position * plan.num_seeds, (position + 1) * plan.num_seeds
            here = [(i, tile) for i, tile in tiles if tile.start < stop and start < tile.stop]
            for first in range(0, len(rounds), step):
                rows = slice(first, min(first + step, len(rounds)))
                parts: dict[str, list[np.ndarray]] = {}
                for i, tile in here:
                    lanes = slice(max(start - tile.start, 0), stop - tile.start)
                    for name, value in reader.tile(i).items():
                        if name not in ("points", "pulls", "count", "type_pulls"):
                            # A copy: a view would keep the whole tile in memory.
                            parts.setdefault(name, []).append(value[rows][..., lanes].copy())
                raw = {name: np.concatenate(parts.pop(name), axis=-1) for name in list(parts)}
                budget = float(plan.points[index].problem.budget)
                derived = quantities(raw, rounds[rows], budget, truths[index])
                yield index, rows, raw | derived


class _Reader:
    """Tiles as stored, the last one kept: neighbouring points lie in one tile."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.last: tuple[int, Arrays] = (-1, {})

    def tile(self, number: int) -> Arrays:
        if self.last[0] != number:
            self.last = (-1, {})  # let go of the one before, then read
            try:
                self.last = (number, self.folder.read_tile(number))
            except (Damaged, FileNotFoundError):
                name = self.folder.tile_file(number)
                raise ProblemError(
                    f"{name}: damaged or gone since it was written; go on with --resume"
                ) from None
        return self.last[1]


def _summarise(
    dataset: xr.Dataset,
    index: int,
    rows: slice,
    values: Arrays,
    quantiles: Sequence[float],
    quantities: dict[str, str],
) -> None:
    for name in quantities:
        value = np.ascontiguousarray(values[name], np.float64)
        dataset[f"{name}_mean"].values[index, rows] = value.mean(axis=-1)
        if value.shape[-1] > 1:
            dataset[f"{name}_variance"].values[index, rows] = value.var(axis=-1, ddof=1)
        if quantiles:
            cuts = np.quantile(value, quantiles, axis=-1)
            dataset[f"{name}_quantile"].values[index, rows] = cuts.T
    for name in ("gap", "feasibility"):
        dataset[f"worst_{name}"].values[index, rows] = values[name].max(axis=-1)
    for name in ("fallback", "unconverged"):
        total = values[name].sum(axis=-1, dtype=np.int64)
        dataset[f"{name}_total"].values[index, rows] = total


def _means_by_arm(dataset: xr.Dataset, plan: Plan, folder: Folder) -> None:
    """Mean counts per arm: whole numbers added up, then divided once."""
    totals: dict[tuple[str, int], np.ndarray] = {}
    reader = _Reader(folder)
    for number in range(len(plan.tiles)):
        stored = reader.tile(number)
        for name in ("pulls", "count"):
            for index, counts in zip(stored["points"].tolist(), stored[name], strict=True):
                key = name, index
                totals[key] = totals[key] + counts if key in totals else counts
    for (name, index), total in totals.items():
        kept, arms = total.shape
        dataset[f"{name}_mean"].values[index, :kept, :arms] = total / plan.num_seeds


# --- the dataset ---------------------------------------------------------------------------


def _empty(
    plan: Plan, quantities: dict[str, str], quantiles: Sequence[float], truths: Sequence[Best]
) -> xr.Dataset:
    points, rounds = plan.points, plan.rounds
    units = {point.environment.cost_unit for point in points}
    money = units.pop() if len(units) == 1 else "cost_unit of the point"
    most = max(point.environment.num_arms for point in points)
    size = {"point": len(points), "round": len(rounds), "quantile": len(quantiles), "arm": most}

    def blank(*dims: str, unit: str) -> tuple:
        shape = [size[dim] for dim in dims]
        return dims, np.full(shape, np.nan), {"units": money if unit == MONEY else unit}

    variables: dict[str, tuple] = {}
    for name, unit in quantities.items():
        squared = f"({money if unit == MONEY else unit})^2"
        variables[f"{name}_mean"] = blank("point", "round", unit=unit)
        variables[f"{name}_variance"] = blank("point", "round", unit=squared)
        if quantiles:
            variables[f"{name}_quantile"] = blank("point", "round", "quantile", unit=unit)
    for name in ("gap", "feasibility"):
        variables[f"worst_{name}"] = blank("point", "round", unit=quantities[name])
    for name in ("fallback_total", "unconverged_total"):
        variables[name] = blank("point", "round", unit="rounds")
    variables["pulls_mean"] = blank("point", "round", "arm", unit="rounds")
    variables["count_mean"] = blank("point", "round", "arm", unit="observations")
    for name, scaled, unit in (("mean_reward", False, "reward"), ("mean_cost", True, MONEY)):
        dims, filled, attributes = blank("point", "arm", unit=unit)
        for row, point in zip(filled, points, strict=True):
            value = np.asarray(getattr(point.environment, name), np.float64)
            row[: len(value)] = value * (point.environment.cost_scale if scaled else 1)
        variables[name] = dims, filled, attributes

    def each(values: list[Any], unit: str) -> tuple:
        return ("point",), np.array(values), {"units": unit}

    fixed = [np.nan if best.fixed_value is None else float(best.fixed_value) for best in truths]
    variables["optimum"] = each([float(best.relaxed) for best in truths], "reward/round")
    variables["optimum_fixed_set"] = each(fixed, "reward/round")
    variables["budget_multiplier"] = each([float(b.multiplier) for b in truths], "reward/cost")
    variables["binding"] = each([bool(best.binding) for best in truths], "1")
    variables["feasible"] = each([bool(best.feasible) for best in truths], "1")
    coordinates: dict[str, Any] = {
        "round": ("round", rounds.astype(np.int64), {"units": "rounds"}),
        **_point_coordinates(plan, money),
    }
    if quantiles:
        coordinates["quantile"] = ("quantile", np.array(quantiles))
    names = {point.environment.names for point in points}
    if len(names) == 1:
        coordinates["arm"] = ("arm", np.array(names.pop(), dtype=object))
    else:
        table = np.full((len(points), most), "", dtype=object)
        for row, point in zip(table, points, strict=True):
            row[: point.environment.num_arms] = point.environment.names
        coordinates["arm_name"] = (("point", "arm"), table)
    return xr.Dataset(variables, coordinates)


def _point_coordinates(plan: Plan, money: str) -> dict[str, Any]:
    keys = dict.fromkeys(key for point in plan.points for key in point.coordinates)
    coordinates: dict[str, Any] = {}
    for key in keys:
        values = [point.coordinates.get(key) for point in plan.points]
        attributes = {"units": money} if key == "budget" else {}
        coordinates[key] = ("point", _column(values), attributes)
    units = np.array([point.environment.cost_unit for point in plan.points], dtype=object)
    coordinates["cost_unit"] = ("point", units)
    return coordinates


def _column(values: list[Any]) -> np.ndarray:
    """Whole numbers, numbers (NaN: not set), truth values or words ("": not set)."""
    given = [value for value in values if value is not None]
    kinds = {type(value) for value in given}
    if kinds == {bool} and len(given) == len(values):
        return np.array(values)
    if kinds <= {int, float}:
        whole = kinds == {int} and len(given) == len(values)
        return np.array([np.nan if v is None else v for v in values], int if whole else float)
    words = ["" if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
    return np.array(words, dtype=object)


class _RunFile:
    """Per-seed results, written point by point: they need not fit in memory."""

    def __init__(self, path: Path, plan: Plan, dataset: xr.Dataset, names: Iterable[str]) -> None:
        self.arrays: dict[str, Any] = {}
        root = zarr.open_group(path, mode="w", zarr_format=3)
        sizes = {**dataset.sizes, "seed": plan.num_seeds}
        step = rounds_at_once(plan.num_seeds, sizes["arm"], sizes["round"])
        for name in (*names, "pulls", "count"):
            arm = ("arm",) if name in ("pulls", "count") else ()
            dims = ("point", "seed", "round", *arm)
            self.arrays[name] = root.create_array(
                name,
                shape=tuple(sizes[dim] for dim in dims),
                chunks=(1, sizes["seed"], step, *(sizes[dim] for dim in arm)),
                dtype="int32" if arm else "float64",
                fill_value=-1 if arm else np.nan,
                dimension_names=dims,
                attributes={"units": dataset[f"{name}_mean"].attrs["units"]},
            )

    def add(self, index: int, rows: slice, values: Arrays) -> None:
        """Write some rounds of a point."""
        for name, array in self.arrays.items():
            if name in ("pulls", "count"):
                counts = values[f"{name}_of_lane"].transpose(2, 0, 1)
                array[index, :, rows, : counts.shape[2]] = counts
            else:
                array[index, :, rows] = np.asarray(values[name], np.float64).T


def rounds_at_once(num_seeds: int, num_arms: int, num_rounds: int) -> int:
    """Recorded rounds of all seeds of a point that are held in memory together.

    Args:
      num_seeds: runs of a point.
      num_arms: LLMs whose counts are kept per run; 0 without `per_seed`.
      num_rounds: recorded rounds, the most there can be.
    """
    return min(max(1, CHUNK_BYTES // ((RUN_BYTES + 8 * num_arms) * num_seeds)), num_rounds)
