"""Every kind of damage to every file of a finished sweep and run is named, or harms nobody.

What is damaged is put back afterwards, and what takes long (decoding, simulating, assembling) is
done once: a reader must refuse exactly where a byte of the results differs.
C2MABV_EVERY_FILE=1 resumes after damage to every file, else to a part of the chunks.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from sweep_spec import variant, written

from c2mabv_jax import sweep
from c2mabv_jax.cli import cache, plot, run_command
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.plotting import curves
from c2mabv_jax.results import stored
from c2mabv_jax.sweep import results as sweep_results
from c2mabv_jax.sweep import run as sweep_run
from c2mabv_jax.sweep import store, tally

Damage = Callable[[Path, Path], None]
EVERY_FILE = bool(os.environ.get("C2MABV_EVERY_FILE"))


def rewritten(file: Path, content: bytes) -> None:
    file.unlink()  # not in place: copies are hard links
    file.write_bytes(content)


def truncated(file: Path, other: Path) -> None:
    content = file.read_bytes()
    rewritten(file, content[: len(content) // 2])


def one_bit_flipped(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    place = np.random.default_rng(len(file.name)).integers(8 * len(content))
    content[place // 8] ^= 1 << (place % 8)
    rewritten(file, bytes(content))


def deleted(file: Path, other: Path) -> None:
    file.unlink()


def emptied(file: Path, other: Path) -> None:
    rewritten(file, b"")


def swapped(file: Path, other: Path) -> None:
    rewritten(file, other.read_bytes())


def a_folder(file: Path, other: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "mine").write_text("mine")


def a_link(file: Path, other: Path) -> None:
    file.unlink()
    file.symlink_to(other)


def a_pipe(file: Path, other: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES = [truncated, one_bit_flipped, deleted, emptied, swapped, a_folder, a_link, a_pipe]


class Finished(NamedTuple):
    """A finished sweep or run, and another of the same shape with other numbers."""

    out: Path
    other: Path
    names: list[str]
    truth: xr.Dataset
    spec: Path | None = None

    def unchanged(self, name: str, damage: Damage) -> bool:
        """Whether the damage leaves what was there."""
        return (
            damage is swapped and (self.other / name).read_bytes() == (self.out / name).read_bytes()
        )


def files_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def tiles_of(folder: Path) -> list[str]:
    return [f"tiles/{name}" for name in sorted(os.listdir(folder / "tiles"))]


def finished(out: Path, other: Path, spec: Path | None = None) -> Finished:
    names = [name for name in files_of(out) if (other / name).is_file()]
    assert sum(name.startswith("results.zarr/") for name in names) > 30
    return Finished(out, other, names, sweep.load(out).load(), spec)


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory) -> Finished:
    place = tmp_path_factory.mktemp("sweeps")
    small = {
        "num_seeds": 128, "record_at": 2, "quantiles": [], "policy": [{"name": "c2mabv"}],
        "problem__horizon": 20, "per_seed": True,
    }  # fmt: skip
    spec = written(place, variant(problem__budget=0.7, **small), "spec.toml")
    other = written(place, variant(problem__budget=0.5, seed=8, **small), "other.toml")
    with pytest.MonkeyPatch.context() as patch:
        few = ("regret", "gap", "feasibility")
        all_of_them = sweep_results.UNITS
        patch.setattr(sweep_results, "UNITS", {name: all_of_them[name] for name in few})
        sweep.sweep(spec, place / "out", tile=64, quiet=True)
        sweep.sweep(other, place / "other", tile=64, quiet=True)
    return finished(place / "out", place / "other", spec)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Finished:
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, "off")
        patch.setattr(curves, "figures", lambda results: {})  # nobody reads them
        for name, seed in (("out", "0"), ("other", "1")):
            options = ["--seeds", "3", "--horizon", "20", "--policies", "uniform,oracle"]
            assert run_command(["run", *options, "--seed", seed, "--out", str(place / name)]) == 0
    return finished(place / "out", place / "other")


def put_back(whole: Path, copy: Path, name: str) -> None:
    path = copy / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    os.link(whole / name, path)


def copied(whole: Path, copy: Path) -> Path:
    """The folder anew, as hard links: nobody writes into a file that is there."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy, copy_function=os.link)
    return copy


def named(name: str, said: str) -> bool:
    """Whether a message names a file; of results.zarr it is the array that is named."""
    inner = name.removeprefix("results.zarr/")
    if name == "c2mabv.json" and name not in said:
        return "results" in said  # with the marker of another, these do not fit
    return inner.partition("/")[0] in said


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("made", ["sweeps", "runs"])
def test_readers_name_it_or_read_the_truth(request, tmp_path, monkeypatch, made, damage):
    those: Finished = request.getfixturevalue(made)
    copy = copied(those.out, tmp_path / "copy")
    refused: set[str] = set()
    with monkeypatch.context() as patch:
        patch.setattr(stored.xr, "open_zarr", lambda path: those.truth)
        for number, name in enumerate(those.names):
            damage(copy / name, those.other / name)
            answers = []
            # What `plot` adds to `load` is the same for every file.
            for read in (sweep.load, plot.opened) if number % 5 == 0 else (sweep.load,):
                try:
                    read(copy)
                    answers.append("read")
                except ProblemError as error:
                    said = str(error)
                    assert "\n" not in said and str(copy) in said and named(name, said), said
                    assert "--resume" in said or "again" in said or "resume it" in said
                    answers.append("refused")
            assert len(set(answers)) == 1
            if answers[0] == "refused":
                refused.add(name)
            put_back(those.out, copy, name)
    for name in those.names:
        if name.startswith("results.zarr/"):
            assert (name in refused) != those.unchanged(name, damage), name
    harmless = "lock" if made == "sweeps" else "summary.json"
    damage(copy / harmless, those.other / harmless)
    assert sweep.load(copy).load().identical(those.truth)


@pytest.fixture
def quick(sweeps, monkeypatch) -> list[int]:
    """Resuming without simulating; lists the tiles that were computed."""
    spec, plan = sweep_run.read(sweeps.spec, 64)
    identity = json.loads((sweeps.out / "sweep.json").read_text())
    whole = store.Folder(sweeps.out, identity, len(plan.tiles))
    tiles = [whole.read_tile(number) for number in range(whole.tiles)]
    computed: list[int] = []

    def run_tile(plan, number, *rest):
        computed.append(number)
        return tiles[number]

    def assemble(plan, folder, *rest):
        for number in range(folder.tiles):
            folder.read_tile(number)
        partial = folder.stage()
        shutil.copytree(sweeps.out / "results.zarr", partial, copy_function=os.link)
        return folder.publish(partial)

    monkeypatch.setattr(sweep_run, "read", lambda path, tile: (spec, plan))
    monkeypatch.setattr(sweep_results, "assemble", assemble)
    monkeypatch.setattr(tally, "run_tile", run_tile)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setenv(cache.VARIABLE, "off")
    return computed


@pytest.mark.parametrize("number", range(len(DAMAGES)), ids=[d.__name__ for d in DAMAGES])
def test_resume_names_it_and_mends_it(sweeps, quick, tmp_path, monkeypatch, capsys, number):
    damage = DAMAGES[number]
    monkeypatch.setattr(stored.xr, "open_zarr", lambda path: sweeps.truth)
    chunks = [name for name in sweeps.names if name.startswith("results.zarr/")]
    some = set(chunks if EVERY_FILE else chunks[number :: 3 * len(DAMAGES)])
    copy = copied(sweeps.out, tmp_path / "copy")
    for name in sweeps.names:
        if name in chunks and name not in some:
            continue
        damage(copy / name, sweeps.other / name)
        quick.clear()
        arguments = ["sweep", str(sweeps.spec), "--tile", "64", "--out", str(copy), "--resume"]
        status = run_command(arguments)
        said = capsys.readouterr().err
        if status == 0:
            fine = sweeps.unchanged(name, damage) or name == "lock"
            assert fine or named(name, said), (name, said)
            tile = name.startswith("tiles/") and not fine
            assert quick == ([int(name[-10:-4])] if tile else []), name
            stored.verify(copy)
            for each in ("sweep.json", "results.json", *tiles_of(sweeps.out)):
                assert (copy / each).read_bytes() == (sweeps.out / each).read_bytes(), (name, each)
            kept = [p for p in copy.rglob("*") if "aside" in str(p.relative_to(copy))]
            # What was found is still there to be looked at.
            assert fine or kept or damage is deleted, (name, said)
            for path in kept:
                if path.parent == copy:
                    shutil.rmtree(path)
        else:  # a sweep file of another sweep cannot be told from the wrong folder
            assert name == "sweep.json" and damage in (swapped, one_bit_flipped), (name, said)
            assert "make them equal" in said and status == 2
            put_back(sweeps.out, copy, name)


def test_one_tile_that_is_damaged_is_computed_again(tmp_path, capsys):
    small = {"num_seeds": 64, "record_at": 2, "quantiles": [], "problem__horizon": 20}
    spec = variant(**small, problem__budget=0.7, policy=[{"name": "c2mabv"}])
    path, out = written(tmp_path, spec), tmp_path / "out"
    sweep.sweep(path, out, tile=64, quiet=True)
    before = {name: (out / name).read_bytes() for name in files_of(out)}
    assert [name for name in before if name.startswith("tiles")] == ["tiles/000000.npz"]
    truncated(out / "tiles" / "000000.npz", out)
    sweep.sweep(path, out, tile=64, resume=True)
    said = capsys.readouterr().err
    assert "tiles/000000.npz: damaged" in said and "computed again" in said
    (out / "tiles" / "000000.npz").unlink()
    (out / "results.zarr" / "regret_mean" / "zarr.json").unlink()
    sweep.sweep(path, out, tile=64, resume=True)
    said = capsys.readouterr().err
    assert "tiles/000000.npz: missing; computed again" in said and "regret_mean" in said
    for name, content in before.items():
        assert name in ("lock", "c2mabv.json") or (out / name).read_bytes() == content, name


def test_missing_tiles_are_named(sweeps, quick, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(sweeps.out, copy)
    (copy / "tiles" / "000001.npz").unlink()
    sweep.sweep(sweeps.spec, copy, tile=64, resume=True)
    assert "tiles/000001.npz: missing; computed again" in capsys.readouterr().err
    assert quick == [1]


def test_anybody_opens_the_results(sweeps, runs):
    for those in (sweeps, runs):
        assert xr.open_zarr(those.out / "results.zarr").load().identical(those.truth)
