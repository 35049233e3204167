"""Sweeps: what is run does not depend on how it is cut, spread, stopped or mended."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from sweep_spec import POINTS, variant, written

from c2mabv_jax import files, simulate, sweep
from c2mabv_jax.cli import run_command
from c2mabv_jax.engine import program, runner
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.sweep import grid, run, store, tally
from c2mabv_jax.sweep.spec import load


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of results.zarr."""
    root = folder / "results.zarr"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> tuple[Path, Path]:
    """The base sweep file and the folder of its finished sweep, in tiles of 256."""
    folder = tmp_path_factory.mktemp("base")
    spec = written(folder, variant(per_seed=True))
    sweep.sweep(spec, folder / "out", tile=256, quiet=True)
    return spec, folder / "out"


@pytest.fixture
def copied(base, tmp_path) -> tuple[Path, Path]:
    """The base sweep, to be damaged."""
    shutil.copytree(base[1], tmp_path / "out")
    return base[0], tmp_path / "out"


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """Numbers of the tiles that are run."""
    numbers: list[int] = []
    true = tally.run_tile

    def counting(plan, number, *rest):
        numbers.append(number)
        return true(plan, number, *rest)

    monkeypatch.setattr(tally, "run_tile", counting)
    return numbers


# --- the numbers ---------------------------------------------------------------------------


@pytest.mark.smoke
def test_statistics_are_those_of_simulate(base):
    spec, folder = base
    table, where = load(spec)
    found = sweep.load(folder).load()
    for index in (0, 7, POINTS - 1):
        point = grid.points(table, where)[index]
        rounds = found["round"].to_numpy()
        rounds = rounds[rounds <= point.horizon].tolist()
        truth = simulate(
            point.problem, point.environment, point.policy, point.horizon, 150, rounds, seed=5
        )
        here = found.isel(point=index).sel(round=rounds)
        for name in ("reward", "cost", "violation", "regret", "regret_fixed_set", "gap"):
            runs = truth[name].to_numpy()
            np.testing.assert_allclose(here[name], runs, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(here[f"{name}_mean"], runs.mean(0), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(
                here[f"{name}_variance"], runs.var(0, ddof=1), rtol=1e-9, atol=1e-9
            )
            cuts = np.quantile(runs, [0.1, 0.5, 0.9], axis=0).T
            np.testing.assert_allclose(here[f"{name}_quantile"], cuts, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(here["pulls"], truth["pulls"])
        np.testing.assert_array_equal(here["count"], truth["count"])
        np.testing.assert_allclose(here["pulls_mean"], truth["pulls"].mean("seed"), rtol=1e-12)
        np.testing.assert_array_equal(here["worst_gap"], truth["gap"].max("seed"))
        np.testing.assert_array_equal(here["fallback_total"], truth["fallback"].sum("seed"))
        np.testing.assert_allclose(here["optimum"], truth.attrs["optimum"])


def test_results_are_labelled(base):
    found = xr.open_zarr(base[1] / "results.zarr").load()
    assert found.sizes == {"point": 24, "seed": 150, "round": 9, "quantile": 3, "arm": 4}
    assert found["regret_mean"].dims == ("point", "round")
    assert found["regret_quantile"].dims == ("point", "round", "quantile")
    assert found["pulls"].dims == ("point", "seed", "round", "arm")
    assert found["arm"].to_numpy().tolist() == ["arm 0", "arm 1", "arm 2", "arm 3"]
    assert set(found["budget"].to_numpy()) == {0.5, 0.7, 0.9}
    assert set(found["delta"].to_numpy()) == {"0.05", "1/T"}
    assert all("units" in found[name].attrs for name in found.data_vars)
    assert json.loads(found.attrs["sweep"])["num_seeds"] == 150
    assert found.attrs["jax"] == jax.__version__
    short = found.isel(point=found["horizon"].to_numpy() == 40)
    assert np.isfinite(short["regret_mean"].sel(round=slice(None, 40))).all()
    assert np.isnan(short["regret_mean"].sel(round=100)).all()
    assert (short["pulls"].sel(round=100) == -1).all()


def test_points_unfold_along_coordinates(base):
    found = sweep.load(base[1]).load()
    unfolded = sweep.unstack(found, "budget", "alpha_cost", "delta", "horizon")
    assert unfolded["regret_mean"].sizes["budget"] == 3
    one = dict(budget=0.7, alpha_cost=1.0, delta="1/T", horizon=100)
    chosen = np.logical_and.reduce([found[k].to_numpy() == v for k, v in one.items()])
    expected = found["regret_mean"].isel(point=int(np.flatnonzero(chosen)[0]))
    np.testing.assert_array_equal(unfolded["regret_mean"].sel(one), expected)
    with pytest.raises(ProblemError, match="do not tell"):
        sweep.unstack(found, "budget")


def test_arms_of_several_sizes(tmp_path):
    spec = variant(num_seeds=3, environment=[{"kind": "random", "num_arms": [4, 3], "instance": 7}])
    spec["problem"].update(horizon=100, budget=0.9)
    spec["policy"] = [{"name": "always-cheapest"}]
    sweep.sweep(written(tmp_path, spec), tmp_path / "out", quiet=True)
    found = sweep.load(tmp_path / "out").load()
    last = found.isel(round=-1)
    assert found["num_arms"].to_numpy().tolist() == [4, 3]
    np.testing.assert_array_equal(last["pulls_mean"].sum("arm"), [200, 200])
    assert np.isnan(last["mean_cost"].to_numpy()[1, 3])
    assert found["arm_name"].to_numpy()[1].tolist() == ["arm 0", "arm 1", "arm 2", ""]


# --- how the work is cut and spread ----------------------------------------------------------


@pytest.mark.parametrize("tile", [64, 1024])
def test_tile_size_changes_no_byte(base, tmp_path, tile):
    spec, folder = base
    sweep.sweep(spec, tmp_path / "out", tile=tile, quiet=True)
    assert contents(tmp_path / "out") == contents(folder)


def test_order_of_points_changes_no_bit(base, tmp_path):
    spec = variant(per_seed=True, problem__budget=[0.9, 0.5, 0.7], problem__horizon=[100, 40])
    spec["policy"][0].update(delta=["1/T", 0.05], alphas=[[1.0, 1.0], [0.3, 0.05]])
    sweep.sweep(written(tmp_path, spec), tmp_path / "out", tile=192, quiet=True)
    names = ["budget", "horizon", "delta", "alpha_cost"]
    one, other = (sweep.load(f).load().drop_attrs() for f in (base[1], tmp_path / "out"))
    assert not np.array_equal(one["budget"], other["budget"])
    one, other = (
        x.set_index(point=names).sortby("point").reset_index("point") for x in (one, other)
    )
    xr.testing.assert_identical(one, other)


def test_other_seeds_change_no_bit(base, tmp_path):
    """Negative control of the comparisons too: another root seed changes nearly everything."""
    few = variant(per_seed=True, num_seeds=30, first_seed=100)
    sweep.sweep(written(tmp_path, few), tmp_path / "few", quiet=True)
    sweep.sweep(written(tmp_path, {**few, "seed": 6}), tmp_path / "other", quiet=True)
    one, two = sweep.load(base[1]).load(), sweep.load(tmp_path / "few").load()
    other = sweep.load(tmp_path / "other").load()
    for name in ("reward", "cost", "regret", "pulls"):
        np.testing.assert_array_equal(one[name].sel(seed=two["seed"]), two[name])
        assert not np.array_equal(two[name], other[name])


def test_one_compilation_for_a_large_grid(tmp_path):
    spec = variant(num_seeds=2, problem__num_selected=3)  # not yet compiled in this process
    spec["problem"].update(horizon=[40, 70, 100], budget=[0.6, 0.75, 0.8, 0.9])
    spec["environment"][0]["mean_reward"] = [[0.9, 0.7, 0.5, 0.3], [0.8, 0.8, 0.4, 0.1]]
    spec["environment"][0]["mean_cost"] = [[0.6, 0.3, 0.2, 0.1], [0.5, 0.4, 0.0, 0.3]]
    spec["policy"][0].update(delta=[0.05, 0.2, "1/T"])
    before = program.compilations()
    _, plan = run.read(written(tmp_path, spec))
    assert len(plan.points) == 3 * 4 * 2 * 2 * 2 * 3 >= 200
    assert len(plan.programs) == 1
    sweep.sweep(tmp_path / "spec.toml", tmp_path / "out", quiet=True)
    assert program.compilations() == before + 1
    assert np.unique(sweep.load(tmp_path / "out")["regret_mean"].isel(round=-1)).size > 30
    spec["problem"]["num_selected"] = [2, 3]  # N shapes the program
    assert len(run.read(written(tmp_path, spec))[1].programs) == 2


def test_whole_numbers_and_floats_are_one_program(tmp_path):
    spec = variant()
    spec["policy"][0]["alphas"] = [[1, 1.0], [0.5, 2]]
    spec["environment"][0]["mean_cost"] = [1, 0, 0.5, 0.5]
    assert len(run.read(written(tmp_path, spec))[1].programs) == 1


def test_out_of_memory_narrows_the_calls(base, tmp_path, monkeypatch, capsys):
    spec, folder = base
    true = program.run_block

    def small(point, observer, root, seeds, record_at):
        if seeds.size > 32:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return true(point, observer, root, seeds, record_at)

    monkeypatch.setattr(program, "run_block", small)
    sweep.sweep(spec, tmp_path / "out", tile=256)
    assert "64 lanes a call; going on with 32" in capsys.readouterr().err
    assert contents(tmp_path / "out") == contents(folder)


def test_out_of_memory_for_good_is_one_line(base, tmp_path, monkeypatch):
    def none(*call):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    monkeypatch.setattr(program, "run_block", none)
    with pytest.raises(ProblemError, match="record fewer rounds"):
        sweep.sweep(base[0], tmp_path / "out", quiet=True)


# --- stopping and going on -------------------------------------------------------------------


def test_interrupted_and_resumed(base, tmp_path, monkeypatch, runs):
    spec, folder = base
    true = store.Folder.write_tile
    stored: list[int] = []

    def three(self, number, arrays):
        if len(stored) == 3:
            raise KeyboardInterrupt
        true(self, number, arrays)
        stored.append(number)

    monkeypatch.setattr(runner, "workers", lambda: 1)  # a second thread would store a fourth
    monkeypatch.setattr(store.Folder, "write_tile", three)
    with pytest.raises(sweep.Interrupted, match="of 16 tiles are stored; go on with --resume"):
        sweep.sweep(spec, tmp_path / "out", tile=256, quiet=True)
    assert not (tmp_path / "out" / "results.zarr").exists()
    monkeypatch.setattr(store.Folder, "write_tile", true)
    there = {int(p.stem) for p in (tmp_path / "out" / "tiles").glob("*.npz")}
    runs.clear()
    sweep.sweep(spec, tmp_path / "out", tile=256, resume=True, quiet=True)
    assert sorted(runs) == sorted(set(range(16)) - there) and len(there) == 3
    assert contents(tmp_path / "out") == contents(folder)


def test_a_tile_that_comes_after_the_interrupt_is_not_stored(base, tmp_path, monkeypatch):
    true, late, ended = tally.run_tile, threading.Event(), threading.Event()
    outcome: list[BaseException | None] = []

    def slow(plan, number, *rest):
        if number == 0:
            late.wait(60)
        elif number == 1:
            raise KeyboardInterrupt
        return true(plan, number, *rest)

    store_tile = store.Folder.write_tile

    def watched(self, number, arrays):
        try:
            store_tile(self, number, arrays)
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)
        if number == 0:
            ended.set()

    monkeypatch.setattr(tally, "run_tile", slow)
    monkeypatch.setattr(runner, "workers", lambda: 2)
    monkeypatch.setattr(store.Folder, "write_tile", watched)
    with pytest.raises(sweep.Interrupted, match="0 of 16 tiles are stored"):
        sweep.sweep(base[0], tmp_path / "out", tile=256, quiet=True)
    late.set()
    assert ended.wait(60)
    assert [type(error) for error in outcome] == [store.Left]
    assert list((tmp_path / "out" / "tiles").iterdir()) == []


def test_finished_sweep_has_nothing_to_do(copied, runs, capsys):
    spec, folder = copied
    sweep.sweep(spec, folder, tile=256, resume=True)
    assert runs == [] and "nothing to do" in capsys.readouterr().err


def test_another_sweep_is_refused(copied, tmp_path):
    _, folder = copied
    before = contents(folder)
    other = written(tmp_path, variant(per_seed=True, problem__budget=[0.5, 0.7, 0.8]))
    with pytest.raises(ProblemError, match=r"spec.problem.budget: .* has \[0.5, 0.7, 0.9\], this"):
        sweep.sweep(other, folder, tile=256, resume=True, quiet=True)
    same = written(tmp_path, variant(per_seed=True))
    with pytest.raises(ProblemError, match=r"holds a sweep already; add --resume"):
        sweep.sweep(same, folder, tile=256, quiet=True)
    with pytest.raises(ProblemError, match=r"tile: the sweep in .* has 256, this one 512"):
        sweep.sweep(same, folder, tile=512, resume=True, quiet=True)
    assert contents(folder) == before


def test_folder_of_something_else_is_left_alone(base, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ProblemError, match="not empty and no sweep"):
            sweep.sweep(base[0], tmp_path, resume=resume, quiet=True)


def test_two_sweeps_in_one_folder_are_kept_apart(copied):
    spec, folder = copied
    with open(folder / "lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ProblemError, match=r"a sweep is running there .process"):
            sweep.sweep(spec, folder, tile=256, resume=True, quiet=True)
    sweep.sweep(spec, folder, tile=256, resume=True, quiet=True)  # a stale file is no lock


# --- damage ----------------------------------------------------------------------------------


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def one_bit_flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncated, one_bit_flipped, emptied, Path.unlink])
def test_damaged_pieces_are_found_named_and_made_again(base, copied, runs, capsys, damage):
    spec, folder = copied
    chunk = folder / "results.zarr" / "regret_mean" / "c" / "0" / "0"
    for file in (folder / "tiles" / "000003.npz", folder / "tiles" / "000015.npz", chunk):
        damage(file)
    if damage is one_bit_flipped:
        with pytest.raises(store.Damaged):
            store.Folder(folder, json.loads((folder / "sweep.json").read_text())).read_tile(3)
    sweep.sweep(spec, folder, tile=256, resume=True)
    said = capsys.readouterr().err
    assert sorted(runs) == [3, 15]
    assert "results.zarr/regret_mean/c/0/0: " in said
    if damage is not Path.unlink:
        assert "tiles/000003.npz: damaged" in said and "tiles/000015.npz: damaged" in said
    assert contents(folder) == contents(base[1])


def test_tile_in_the_wrong_place_is_damage(base, copied, runs):
    spec, folder = copied
    shutil.copy(folder / "tiles" / "000001.npz", folder / "tiles" / "000002.npz")
    sweep.sweep(spec, folder, tile=256, resume=True, quiet=True)
    assert runs == [2]
    assert contents(folder) == contents(base[1])


@pytest.mark.parametrize("name", ["sweep.json", "results.json"])
@pytest.mark.parametrize("damage", [truncated, Path.unlink])
def test_damaged_lists_are_made_again_without_running(base, copied, runs, capsys, name, damage):
    spec, folder = copied
    damage(folder / name)
    sweep.sweep(spec, folder, tile=256, resume=True)
    said = capsys.readouterr().err
    assert runs == [] and (f"{name}: damaged" in said or f"{name}: missing" in said)
    assert contents(folder) == contents(base[1])


def test_foreign_files_in_the_results_are_found(copied):
    spec, folder = copied
    (folder / "results.zarr" / "regret_mean" / "c" / "0" / "1").write_bytes(b"x")
    with pytest.raises(ProblemError, match=r"regret_mean/c/0/1' is no part of the sweep"):
        sweep.sweep(spec, folder, tile=256, resume=True)
    with pytest.raises(ProblemError, match="'c/0/1': not part of the results"):
        sweep.load(folder)
    assert (folder / "results.zarr" / "regret_mean" / "c" / "0" / "1").read_bytes() == b"x"


def test_full_disk_is_one_line_and_resumable(base, tmp_path, monkeypatch, capsys):
    spec, folder = base
    true, written_tiles = files.write, []

    def full(file, content, *rest, **options):
        if file.suffix == ".npz":
            if len(written_tiles) >= 5:
                raise OSError(28, "No space left on device", str(file))
            written_tiles.append(file)
        true(file, content, *rest, **options)

    monkeypatch.setattr(files, "write", full)
    out = str(tmp_path / "out")
    assert run_command(["sweep", str(spec), "--out", out, "--tile", "256"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if line.startswith("c2mabv: error")]) == 1
    assert "No space left on device; free some space" in said[-1] and "--resume" in said[-1]
    monkeypatch.setattr(files, "write", true)
    assert run_command(["sweep", str(spec), "--out", out, "--tile", "256", "--resume"]) == 0
    assert contents(tmp_path / "out") == contents(folder)


def test_folder_that_cannot_be_written_is_one_line(base, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in ("/proc/c2mabv", str(tmp_path / "file"), str(tmp_path / "file" / "out")):
        assert run_command(["sweep", str(base[0]), "--out", out]) == 2
        said = capsys.readouterr().err.strip()
        assert said.startswith("c2mabv: error: out = ") and "\n" not in said


# --- the command -----------------------------------------------------------------------------


def test_dry_run_says_what_it_takes_and_writes_nothing(base, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(["sweep", str(base[0]), "--dry-run", "--tile", "64"]) == 0
    said = capsys.readouterr().out
    lines = dict(line.split(maxsplit=1) for line in said.strip().splitlines())
    assert lines["points"] == "24" and lines["compilations"] == "1"
    assert lines["tiles"] == str(2 * -(-12 * 150 // 64))
    assert lines["runs"] == f"3600 ({12 * 150 * 140:.3g} rounds)"
    assert {"memory", "disk", "time"} <= set(lines)
    assert list(tmp_path.iterdir()) == []


def test_forecast_of_disk_is_near_the_truth(base, tmp_path):
    forecast = sweep.dry_run(base[0], tile=256)
    stored = sum(p.stat().st_size for p in base[1].rglob("*") if p.is_file())
    assert stored / 3 < forecast.disk < 3 * stored
    assert forecast.memory > 1e8 and forecast.run_seconds > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--out: missing"),
        (["--out", "x", "--tile", "100"], "tile = 100: give a multiple of 64"),
        (["--out", "x", "--coordinator", "here:1"], "--num-processes: missing"),
        (
            ["--out", "x", "--coordinator", "here", "--num-processes", "2", "--process-id", "0"],
            "give HOST:PORT",
        ),
        (
            ["--out", "x", "--coordinator", "h:1", "--num-processes", "2", "--process-id", "2"],
            "give 0 to 1",
        ),
    ],
)
def test_options_that_cannot_be(base, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert run_command(["sweep", str(base[0]), *options]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []
