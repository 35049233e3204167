"""No command removes, truncates or overwrites what it did not make itself."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import xarray as xr
from sweep_spec import variant, written

from c2mabv_jax import advice, cli, environments, files, sweep, verification
from c2mabv_jax.advice import report as advice_report
from c2mabv_jax.bench import run as bench_run
from c2mabv_jax.bench import table as bench_table
from c2mabv_jax.cli import cache, folder, jobs, report, run_command
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.plotting import style
from c2mabv_jax.results import stored
from c2mabv_jax.sweep import results as sweep_results
from c2mabv_jax.sweep import run as sweep_run
from c2mabv_jax.sweep import store, tally
from c2mabv_jax.verification import presets
from c2mabv_jax.verification import report as verification_report

FOLDERS = 520
RESULT = {"summary.json": b"{}", "results.zarr/.zgroup": b"{}", "figures/a.png": b"png"}


@pytest.fixture(scope="module")
def small_answer(tmp_path_factory):
    """In the place of `assemble`: results of a few files, which is what takes the time here."""
    store_of = tmp_path_factory.mktemp("small") / "store"
    small = xr.Dataset({"regret_mean": ("point", [1.0])}, {"policy": ("point", [1])})
    small.to_zarr(store_of, zarr_format=2)

    def assemble(plan, folder, *rest):
        partial = folder.stage()
        shutil.copytree(store_of, partial)
        return folder.publish(partial)

    return assemble


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_answer) -> tuple[Path, Path]:
    """A small sweep file and the folder of its finished sweep."""
    place = tmp_path_factory.mktemp("finished")
    spec = written(
        place,
        variant(
            num_seeds=128, record_at=2, quantiles=[], problem__horizon=20, problem__budget=0.7,
            policy__alphas=[[0.3, 0.05]], policy__delta=0.05,
        ) | {"policy": [{"name": "c2mabv"}]},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_results, "assemble", small_answer)
        sweep.sweep(spec, place / "out", tile=64, quiet=True)
    return spec, place / "out"


@pytest.fixture
def fast(finished, small_answer, monkeypatch):
    """Every command with its work done already: what is left is what it does to folders."""
    spec, out = finished
    plan = sweep_run.read(spec, 64)
    whole = store.Folder(out, json.loads((out / "sweep.json").read_text()), len(plan[1].tiles))
    tiles = [whole.read_tile(number) for number in range(whole.tiles)]
    monkeypatch.setenv(cache.VARIABLE, "off")
    monkeypatch.setattr(sweep_run, "read", lambda path, tile: plan)
    monkeypatch.setattr(sweep_results, "assemble", small_answer)
    monkeypatch.setattr(tally, "run_tile", lambda plan, number, *rest: tiles[number])
    done = SimpleNamespace(
        problem=SimpleNamespace(num_selected=1, billing="selected"),
        run=SimpleNamespace(budget=1.0),
        policies={}, remarks=(), status=0, verdicts=[], controls=[],
    )  # fmt: skip
    for module, name, value in (
        (jobs, "prepare", done),
        (jobs, "simulate_all", None),
        (report, "shown", ""),
        (report, "summary", {}),
        (report, "contents", RESULT),
        (environments, "replay", None),
        (advice, "study", done),
        (advice, "recommend", done),
        (advice_report, "contents", {"advice.md": b"new", "summary.json": b"{}"}),
        (advice_report, "printed", ""),
        (advice_report, "rows", []),
        (verification, "verify", done),
        (presets.Spec, "resolve", None),
        (verification_report, "contents", {"report.json": b"new", "report.md": b"new"}),
        (bench_run, "measure", {"machine": bench_run.machine()}),
        (bench_table, "section", ""),
    ):
        monkeypatch.setattr(module, name, lambda *_, value=value, **__: value)
    from c2mabv_jax.cli import advise as advise_cli
    from c2mabv_jax.cli import plot as plot_cli
    from c2mabv_jax.cli import run as run_cli
    from c2mabv_jax.cli import verify as verify_cli
    from c2mabv_jax.verification import run as verification_run
    from c2mabv_jax.verification import work

    monkeypatch.setattr(cli, "command", functools.cache(cli.command))
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the slowest step by far
    monkeypatch.setattr(plot_cli, "opened", verified)
    monkeypatch.setattr(plot_cli, "run_figures", lambda results: {"a": None})
    monkeypatch.setattr(plot_cli, "sweep_figures", lambda results, axes: {"overview": None})
    monkeypatch.setattr(style, "rendered", lambda _, n: {f"{n}.png": b"png", f"{n}.pdf": b"pdf"})
    monkeypatch.setattr(advise_cli, "told", lambda *_: None)
    monkeypatch.setattr(run_cli, "announcement", lambda job: [])
    monkeypatch.setattr(run_cli, "next_step", lambda *_: "")
    monkeypatch.setattr(verify_cli, "summary", lambda found: "")
    monkeypatch.setattr(verification_run, "claims_of", lambda sizes: [])
    monkeypatch.setattr(work, "planned", lambda sizes, names: 0)
    return spec


def verified(where: Path) -> xr.Dataset:
    """Stored results, without a look at what they hold."""
    stored.verify(where)
    return xr.Dataset(coords={"point": [0]})


def commands(spec: Path, out: Path) -> list[list[str]]:
    """Every command that writes, as bold as it can be."""
    name = str(out)
    return [
        ["run", "--out", name, "--force"],
        ["advise", "--log", "log.csv", "--out", name, "--force"],
        ["verify", "--preset", "tiny", "--quiet", "--out", name, "--force"],
        ["bench", "--quiet", "--out", name],
        ["sweep", str(spec), "--tile", "64", "--quiet", "--out", name],
        ["sweep", str(spec), "--tile", "64", "--quiet", "--out", name, "--resume"],
        ["plot", name],
    ]


def held(root: Path) -> dict[str, object]:
    """Everything below a folder: bytes of files, targets of links, None for folders."""
    found: dict[str, object] = {}
    for above, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(above, name)
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = "-> " + os.readlink(path)
            elif path.is_dir():
                found[key] = None
            elif path.is_file():
                found[key] = path.read_bytes()
            else:
                found[key] = "special"
    return found


OURS = [
    "summary.json", "report.json", "advice.md", "sweep.json", "lock", "results.json", "tiles",
    "results.zarr", "results.zarr.partial", "sweep.json.partial", "c2mabv.json", "aside",
    "figures", "tiles/000000.npz", "tiles/000000.npz.partial", "results.zarr/zarr.json",
    "results.zarr/regret_mean", "figures/overview.png", ".git", "thesis.tex", "tiles/notes",
    "results.zarr/A/sweep.json",
]  # fmt: skip


def plant(chance: random.Random, root: Path, outside: Path) -> None:
    """One foreign thing somewhere: a file, a link, a folder, a pipe; maybe where ours belong."""
    name = chance.choice([*OURS, f"mine{chance.randrange(99)}/deep/x", f"mine{chance.random()}"])
    path = root / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            if path.is_dir() and not path.is_symlink():
                (path / f"mine{chance.randrange(9)}").write_bytes(chance.randbytes(9))
                return
            path.unlink()
        kind = chance.randrange(5)
        if kind <= 1:
            path.write_bytes(chance.choice([b"", b"{}", b"process 1 on me", chance.randbytes(40)]))
        elif kind == 2:
            path.symlink_to(chance.choice([outside, outside / "precious", Path("nowhere")]))
        elif kind == 3:
            (path / "a" / "b").mkdir(parents=True)
            (path / "a" / "kept").write_bytes(chance.randbytes(20))
        else:
            os.mkfifo(path)
    except (FileExistsError, NotADirectoryError):
        pass


def test_nothing_foreign_is_ever_touched(fast, finished, tmp_path, capsys):
    """520 folders of every make, filled with foreign things, against every command."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"years of work")
    (outside / "tiles").mkdir()
    (outside / "tiles" / "000000.npz").write_bytes(b"not yours")
    before_outside = held(outside)
    refused = gone_on = 0
    for number in range(FOLDERS):
        chance = random.Random(number)
        place = tmp_path / str(number)
        out = place / "out"
        place.mkdir()
        make = number % 4
        if make == 0:
            out.mkdir()
        elif make == 1:
            with folder.reserved(folder.Place(out), "run") as publish:
                publish(RESULT)
        else:
            shutil.copytree(finished[1], out)
            if make == 3:
                shutil.rmtree(out / "results.zarr")
                (out / "results.json").unlink()
                shutil.rmtree(out / "tiles")
        made = held(out)
        for _ in range(chance.randrange(1, 5)):
            plant(chance, out, outside)
        foreign = {n: v for n, v in held(out).items() if n not in made or made[n] != v}
        for arguments in chance.sample(commands(fast, out), 7):
            status = run_command(arguments)
            assert status in (0, 1, 2), arguments
            refused += status == 2
            gone_on += status == 0
            now = held(out)
            for name, value in foreign.items():
                if value is None or (name in now and now[name] == value):
                    continue
                # Only where one of ours belongs may a sweep move it, bytes and all.
                kept = [v for n, v in now.items() if n.startswith("aside") and n not in foreign]
                assert value in kept, (number, arguments, name)
        assert held(outside) == before_outside, number
        shutil.rmtree(place)
    capsys.readouterr()
    assert refused > FOLDERS and gone_on > FOLDERS / 4  # both happen, and often


# --- ownership -----------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["report.json", "summary.json", "advice.md"])
def test_a_file_name_proves_nothing(fast, tmp_path, capsys, mark):
    out = tmp_path / "d"
    (out / ".git").mkdir(parents=True)
    (out / mark).write_text("{}")
    (out / "thesis.tex").write_text("x")
    before = held(out)
    for arguments in commands(fast, out)[:3]:
        assert run_command(arguments) == 2
        assert "'.git'" in capsys.readouterr().err
    assert held(tmp_path) == {"d": None} | {f"d/{name}": value for name, value in before.items()}


def test_a_folder_called_tiles_is_no_sweep(fast, tmp_path, capsys):
    (tmp_path / "tiles").mkdir()
    for name in ("sweep.json", "tiles/000000.npz", "tiles/x.partial"):
        (tmp_path / name).write_text("mine")
    before = held(tmp_path)
    assert run_command(["sweep", str(fast), "--out", str(tmp_path), "--resume"]) == 2
    assert "not empty and no sweep" in capsys.readouterr().err
    assert held(tmp_path) == before


def test_a_refused_sweep_touches_nothing(fast, tmp_path, capsys, monkeypatch):
    """No lock is left or truncated, in folders and in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lock").write_text("my lock")
    before = held(tmp_path)
    for out in (".", str(tmp_path)):
        for options in ([], ["--resume"]):
            assert run_command(["sweep", str(fast), "--out", out, *options]) == 2
    assert held(tmp_path) == before
    assert "'lock'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lock", "sweep.json.partial", "results.json.partial"])
def test_links_lead_no_write_elsewhere(fast, finished, tmp_path, capsys, name):
    (tmp_path / "target").write_text("mine")
    out = tmp_path / "out"
    shutil.copytree(finished[1], out)
    for piece in ("results.json", name):
        (out / piece).unlink(missing_ok=True)
    (out / name).symlink_to(tmp_path / "target")
    run_command(["sweep", str(fast), "--tile", "64", "--out", str(out), "--resume"])
    assert (tmp_path / "target").read_text() == "mine" and name in capsys.readouterr().err
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / name).symlink_to(tmp_path / "target")
    assert run_command(["sweep", str(fast), "--out", str(fresh)]) == 2
    assert (tmp_path / "target").read_text() == "mine"


def test_a_changed_file_is_no_longer_ours(fast, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_command(commands(fast, out)[0]) == 0
    (out / "summary.json").write_text("my notes")
    assert run_command(commands(fast, out)[0]) == 2
    assert "'summary.json'" in capsys.readouterr().err
    assert (out / "summary.json").read_text() == "my notes"


def test_a_sweep_below_a_result_is_foreign_to_it(fast, finished, tmp_path, capsys):
    out = tmp_path / "A"
    assert run_command(commands(fast, out)[0]) == 0
    shutil.copytree(finished[1], out / "results.zarr" / "B")
    assert run_command(commands(fast, out)[0]) == 2
    assert "'results.zarr/B'" in capsys.readouterr().err
    assert held(out / "results.zarr" / "B") == held(finished[1])


def test_a_former_result_gives_way_whole(fast, tmp_path, capsys):
    out = tmp_path / "out"
    for arguments in (commands(fast, out)[1], commands(fast, out)[0]):
        assert run_command(arguments) == 0
    assert set(os.listdir(out)) == {"c2mabv.json", "summary.json", "results.zarr", "figures"}
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_stays_a_link(fast, tmp_path):
    link, real = tmp_path / "link", tmp_path / "real"
    link.symlink_to(real)
    for _ in range(2):
        assert run_command(commands(fast, link)[0]) == 0
        assert link.is_symlink() and (real / "summary.json").read_bytes() == b"{}"
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_figures_and_measurements_replace_their_own_only(finished, fast, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(finished[1], out)
    for _ in range(2):
        assert run_command(["plot", str(out)]) == 0
    assert run_command(["sweep", str(fast), "--tile", "64", "--out", str(out), "--resume"]) == 0
    figure = next((out / "figures").iterdir())
    figure.write_text("mine")
    assert run_command(["plot", str(out)]) == 2
    assert figure.name in capsys.readouterr().err and figure.read_text() == "mine"
    assert run_command(["bench", "--out", str(tmp_path / "b")]) == 0
    measured = tmp_path / "b" / bench_run.file_name(bench_run.machine())
    assert run_command(["bench", "--out", str(tmp_path / "b")]) == 0
    measured.write_text("mine")
    assert run_command(["bench", "--out", str(tmp_path / "b")]) == 2
    assert measured.read_text() == "mine"


# --- two at once, and killed ---------------------------------------------------------------


def test_two_at_once_both_survive(tmp_path, monkeypatch, capsys):
    """As two processes do it: both choose, then both work, then both publish."""
    monkeypatch.chdir(tmp_path)
    meet, places = threading.Barrier(2), []

    def work(name: bytes) -> None:
        place = folder.choose(None, "results/run", False)
        with folder.reserved(place, "run") as publish:
            meet.wait(30)
            places.append((publish({"summary.json": name}), name))

    both = [threading.Thread(target=work, args=(name,)) for name in (b"a", b"b")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(30)
    assert sorted(str(place) for place, _ in places) == ["results/run", "results/run-2"]
    assert all((place / "summary.json").read_bytes() == name for place, name in places)
    assert sorted(os.listdir("results")) == ["run", "run-2"]


def test_what_appears_meanwhile_is_kept(tmp_path, capsys):
    out = tmp_path / "out"
    with folder.reserved(folder.choose(out, "", False), "run") as publish:
        out.mkdir()
        (out / "thesis.tex").write_text("x")
        assert publish(RESULT) == tmp_path / "out-2"
    assert os.listdir(out) == ["thesis.tex"] and "meanwhile" in capsys.readouterr().err
    place = folder.choose(tmp_path / "out-2", "", True)
    with folder.reserved(place, "run") as publish:
        (tmp_path / "out-2" / "notes").write_text("x")  # added to the result that is to give way
        assert publish(RESULT) == tmp_path / "out-2-2"
    assert (tmp_path / "out-2" / "notes").read_text() == "x"


# For step 1, 2, ...: a result in STEP/out, and a process that replaces it and dies at its
# STEP-th call of the system; ends with the first that gets through.
KILLED = """
import itertools, os, sys
from pathlib import Path
from c2mabv_jax.cli import folder
def replace(out, step):
    calls = itertools.count(1)
    def counted(true):
        def step_of(*rest, **options):
            if next(calls) == step:
                os._exit(9)
            return true(*rest, **options)
        return step_of
    for name in ("open", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "fsync"):
        setattr(os, name, counted(getattr(os, name)))
    with folder.reserved(folder.choose(out, "", True), "run") as publish:
        publish({"summary.json": b"new", "figures/a.png": b"a" * 99})
for step in itertools.count(1):
    out = Path(sys.argv[1], str(step), "out")
    with folder.reserved(folder.Place(out), "run") as publish:
        publish({"summary.json": b"old", "b": b"b"})
    child = os.fork()
    if child == 0:
        replace(out, step)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_killed_at_any_step(tmp_path, capsys):
    """The result is the old or the new one; what is left over goes at the next command."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=120, check=True)
    steps = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    left = 0
    for place in steps:
        out = place / "out"
        left += any(name != "out" for name in os.listdir(place))
        with folder.reserved(folder.choose(out, "", True), "run") as publish:
            assert (out / "summary.json").read_bytes() in (b"old", b"new"), place
            publish({"summary.json": b"last"})
        there = [name for name in os.listdir(place) if name != "out"]
        # Where not even the marker is whole, nobody can tell whose it is.
        assert all(len(os.listdir(place / name)) <= 1 for name in there), place
        assert [name for name in there if (place / name / files.MARKER).exists()] == [], place
        assert held(out).keys() == {files.MARKER, "summary.json"}
    assert len(steps) > 20 and left > 5


def test_a_leftover_with_foreign_things_stays(tmp_path, capsys):
    out = tmp_path / "out"
    token = files.new_token()
    stage = tmp_path / f".out.{token}"
    stage.mkdir()
    files.write_marker(stage, files.Marker("run", token, {"a": [files.digest(b"a")]}))
    (stage / "a").write_bytes(b"a")
    (stage / "mine").write_bytes(b"mine")
    with folder.reserved(folder.choose(out, "", False), "run"):
        assert (stage / "mine").read_bytes() == b"mine" and (stage / "a").exists()
    assert "'mine'" in capsys.readouterr().err
    (stage / "mine").unlink()
    hold = folder.lock(stage)
    with folder.reserved(folder.choose(out, "", False), "run"):
        assert stage.exists()  # somebody is at work there
    os.close(hold)
    with folder.reserved(folder.choose(out, "", False), "run"):
        assert not stage.exists()
    assert "removed" in capsys.readouterr().err


# --- another kind of thing -----------------------------------------------------------------


def as_folder(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_text("mine")


def as_file(path: Path) -> None:
    path.write_text("mine")


def as_link(path: Path) -> None:
    path.symlink_to(path.parents[1] / "elsewhere")


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("tiles/000000.npz", as_folder),
        ("tiles/000000.npz", as_link),
        ("tiles", as_file),
        ("tiles", as_link),
        ("results.zarr", as_link),
        ("results.zarr", as_file),
        ("results.json", as_folder),
        ("results.json", as_link),
        ("sweep.json", as_folder),
        ("sweep.json", as_file),
        ("lock", as_folder),
        ("lock", as_file),
        ("lock", as_link),
        ("c2mabv.json", as_folder),
        ("c2mabv.json", as_file),
    ],
)
def test_resume_moves_aside_what_lies_in_its_way(fast, finished, tmp_path, capsys, name, put):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    shutil.copytree(finished[1], out)
    elsewhere.mkdir()
    (elsewhere / "000000.npz").write_text("mine")
    path = out / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    put(path)
    before = held(path) if path.is_dir() and not path.is_symlink() else None
    assert run_command(["sweep", str(fast), "--tile", "64", "--out", str(out), "--resume"]) == 0
    said = capsys.readouterr().err
    assert f"{name}: " in said and "kept " in said and "free some space" not in said
    assert held(out / "results.zarr") == held(finished[1] / "results.zarr")
    aside = next(p for p in out.iterdir() if p.name.startswith("aside"))
    kept = next(aside.iterdir())
    if put is as_link:
        assert kept.is_symlink()
    else:
        assert held(kept) == before if before is not None else kept.read_text() == "mine"
    assert held(elsewhere) == {"000000.npz": b"mine"}
    run_command(["sweep", str(fast), "--tile", "64", "--out", str(out), "--resume"])
    assert "nothing to do" in capsys.readouterr().err  # and what is aside is in nobody's way


def test_save_state_replaces_states_only(tmp_path):
    from c2mabv_jax.policies import load_state, save_state

    path = tmp_path / "state.npz"
    for number in (1.0, 2.0):
        save_state(path, {"a": number})
        assert load_state(path, {"a": 0.0})["a"] == number
    path.write_text("thesis")
    with pytest.raises(ProblemError, match="no saved state"):
        save_state(path, {"a": 1.0})
    assert path.read_text() == "thesis"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ProblemError, match="no saved state"):
        save_state(tmp_path / "link", {"a": 1.0})
    with pytest.raises(ProblemError, match="cannot be written"):
        save_state("\0", {"a": 1.0})
    assert sorted(os.listdir(tmp_path)) == ["link", "state.npz"]
