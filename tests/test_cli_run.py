"""`c2mabv run`, `plot`, `policies`: what is printed is what is stored; errors are one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from opened_report import opens_alone
from scipy import stats

from c2mabv_jax import files
from c2mabv_jax.cli import COMMANDS, cache, folder, run_command
from c2mabv_jax.errors import ProblemError

SMALL = ["run", "--seeds", "64", "--horizon", "200"]
REAL_LOG = Path(__file__).parents[2] / "shared/data/routerbench_sub/routerbench_sub.csv"


@pytest.fixture(scope="module", autouse=True)
def no_cache():
    """Tests leave no compiled programs in anybody's home."""
    before = os.environ.get(cache.VARIABLE)
    os.environ[cache.VARIABLE] = "off"
    yield
    os.environ.pop(cache.VARIABLE)
    if before is not None:
        os.environ[cache.VARIABLE] = before


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One small default run: its folder and what it printed."""
    out = tmp_path_factory.mktemp("run") / "first"
    printed = _captured([*SMALL, "--out", str(out)])
    return out, printed


def _captured(arguments):
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert run_command(arguments) == 0
    return text.getvalue()


def _cells(printed, policy):
    line = next(line for line in printed.splitlines() if line.startswith(policy + " "))
    return re.split(r"\s{2,}", line.strip())


def _number(text):
    return float(text.replace(",", ""))


@pytest.mark.smoke
def test_table_is_what_results_hold(done):
    """Every number of the table, computed again from results.zarr by other means."""
    out, printed = done
    results = xr.open_zarr(out / "results.zarr")
    last = results.isel(round=-1)
    assert int(last["round"]) == 200
    assert results.sizes["seed"] == 64
    names = list(results["policy"].to_numpy())
    assert names == ["c2mabv", "always-dearest", "always-cheapest", "uniform", "oracle"]
    quantile = stats.t.ppf(0.975, 63)
    for name in names:
        cells = _cells(printed, name)
        one = last.sel(policy=name)
        budget = results.attrs["budget"]
        assert _number(cells[3].rstrip(" %")) == pytest.approx(
            100 * float(one.cost.mean()) / budget, abs=0.051
        )
        columns = (("reward", 1), ("cost", 2), ("violation", 4), ("regret", 5))
        for variable, column in columns:
            values = one[variable].to_numpy()
            if variable == "violation" and not values.any():
                assert cells[column] == "0"
                assert cells[6] == "no violation"
                continue
            mean, half = cells[column].split(" ±")
            assert _number(mean) == pytest.approx(values.mean(), rel=6e-4)
            assert _number(half) == pytest.approx(
                quantile * values.std(ddof=1) / 8, rel=0.06, abs=1e-9 * abs(values.mean())
            )
        if cells[6] != "no violation":
            ratio = one.reward.to_numpy().mean() / one.violation.to_numpy().mean()
            assert _number(cells[6].split(" ±")[0]) == pytest.approx(ratio, rel=6e-4)
    # The default budget tells the two ends apart: one keeps it in every run, one in none.
    assert _cells(printed, "always-cheapest")[6] == "no violation"
    assert _cells(printed, "always-dearest")[6] != "no violation"


def test_summary_agrees_and_is_strict_json(done):
    out, _ = done

    def refuse(text):
        raise ValueError(text)

    summary = json.loads((out / folder.MARK).read_text("utf-8"), parse_constant=refuse)
    last = xr.open_zarr(out / "results.zarr").isel(round=-1)
    assert summary["cost_unit"] == "USD/query"
    assert summary["configuration"]["problem"]["budget"] == pytest.approx(summary["budget"])
    assert set(summary["configuration"]["policy"]) == set(summary["policies"])
    for name, row in summary["policies"].items():
        one = last.sel(policy=name)
        low, high = np.quantile(one.cost, [0.025, 0.975])
        assert row["cost"]["mean"] == pytest.approx(float(one.cost.mean()), rel=1e-12)
        assert (row["cost"]["low"], row["cost"]["high"]) == pytest.approx((low, high), rel=1e-12)
        assert row["seeds_without_violation"] == int((one.violation == 0).sum())
        assert sum(row["picked"].values()) * 200 == pytest.approx(
            float(one.pulls.sum("arm").mean()), rel=1e-12
        )


def test_figures_are_drawn(done):
    """Six figures, PNG and PDF; each picture shows many colours, so curves and not a frame."""
    from matplotlib.image import imread

    out, _ = done
    names = {path.name for path in (out / "figures").iterdir()}
    stems = ("overview", "reward", "cost", "regret", "violation", "picks")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")}
    for stem in stems:
        picture = imread(out / "figures" / f"{stem}.png")[..., :3]
        assert picture.shape[1] in (680, 1400)  # 3.4 and 7 inches at 200 dots
        colours = np.unique((picture * 15).astype(int) @ [256, 16, 1])
        assert len(colours) > 25
        assert (out / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")


def test_says_where_and_what_next(done):
    out, printed = done
    assert f"Written to {out}" in printed
    assert "c2mabv plot" in printed
    assert "no --budget given" in printed
    assert sorted(path.name for path in out.parent.iterdir()) == ["first"]  # no leftovers


def test_report_opens_alone_and_says_what_was_printed(done):
    out, printed = done
    shown = opens_alone(out / "report.html")
    assert shown.count("<svg") == 1
    text = (out / "report.md").read_text()
    for policy in ("c2mabv", "oracle"):
        cells = _cells(printed, policy)
        assert f"| {' | '.join(cells)} |" in text
        assert all(f">{cell}</td>" in shown for cell in cells)
    assert "no --budget given" in text
    assert {"report.html", "report.md"} <= files.read_marker(out).made.keys()


def test_plot_draws_the_same_figures(done, tmp_path, capsys):
    """Figures do not depend on the time: drawn again from the store, the same bytes."""
    out, _ = done
    assert run_command(["plot", str(out), "--out", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12
    for name in ("overview.png", "picks.png", "regret.pdf"):
        assert (tmp_path / name).read_bytes() == (out / "figures" / name).read_bytes()
    assert run_command(["plot", str(out), "--policies", "oracel"]) == 2
    assert "c2mabv, always-dearest" in _one_line(capsys)


def test_damaged_results_are_refused(done, tmp_path, capsys):
    import shutil

    out, _ = done
    broken = tmp_path / "broken"
    shutil.copytree(out, broken)
    chunk = next(path for path in (broken / "results.zarr/regret").iterdir() if path.name[0] != ".")
    chunk.write_bytes(b"damaged" + chunk.read_bytes()[20:])
    assert run_command(["plot", str(broken), "--out", str(tmp_path / "none")]) == 2
    assert _one_line(capsys).startswith("c2mabv: error: DIR = ")
    assert not (tmp_path / "none").exists()


def _one_line(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


BAD = {
    "--sedes 3": "--sedes",
    "--seeds x": "--seeds",
    "--seeds 0": "num_seeds = 0",
    "--horizon 0": "horizon = 0",
    "--seed -1": "--seed = -1",
    "--budget nan": "budget = nan",
    "--budget -1": "budget = -1",
    "--budget 1e-5 --reward-model SUC": "--budget = 1e-05",
    "--reward-model OR": "reward_model = 'OR'",
    "--num-selected 10": "num_selected = 10",
    "--alpha-cost -1": "alpha_cost = -1",
    "--delta 2": "delta = 2",
    "--delta few": "--delta = 'few'",
    "--solver magic": "solver = 'magic'",
    "--policies c2mabv,oracel": "oracel",
    "--policies c2mabv,c2mabv": "--policies",
    "--policies ,": "--policies",
    "--scenario ten-llms": "scenario = 'ten-llms'",
    "--prices no-such-file.toml": "no-such-file.toml",
    "--group arc": "--group = 'arc'",
    "--log no-such-file.csv": "no-such-file.csv",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(["run", *arguments.split(), "--out", "results/out"]) == 2
    assert BAD[arguments] in _one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_smallest_feasible_budget_is_named_and_suffices(tmp_path, capsys, monkeypatch):
    """The number in the message is accepted when given back (and a little less is not)."""
    from c2mabv_jax import environments
    from c2mabv_jax.cli import jobs

    environment = environments.scenario("nine-llms")

    def prepare(budget):
        return jobs.prepare(environment, "SUC", 4, budget, ("c2mabv",), {}, 10, 1, 0)

    with pytest.raises(ProblemError) as caught:
        prepare(1e-5)
    named = float(re.search(r"cost ([0-9.e-]+) USD/query", str(caught.value)).group(1))
    prepare(named)
    with pytest.raises(ProblemError):
        prepare(0.99 * named)
    assert any("never binds" in remark for remark in prepare(100 * named).remarks)


@pytest.mark.parametrize(("arms", "asked"), [(2, 1), (3, 1), (5, 2), (7, 3), (8, 4), (11, 4)])
def test_default_number_of_llms_leaves_a_choice(arms, asked, tmp_path):
    names = "abcdefghijk"[:arms]
    lines = [f"q{q},{m},{(q + i) % 2},{0.1 * (i + 1):.1f}\n" for q in range(6)
             for i, m in enumerate(names)]  # fmt: skip
    (tmp_path / "log.csv").write_text("query,model,score,cost_usd\n" + "".join(lines))
    printed = _captured(
        ["run", "--log", str(tmp_path / "log.csv"), "--reward-model", "SUC", "--horizon", "20",
         "--seeds", "4", "--policies", "c2mabv", "--out", str(tmp_path / "out"),
         "--min-rows", "6"]
    )  # fmt: skip
    assert f"{arms} LLMs, exactly {asked} asked per query" in printed
    assert "nothing to choose" not in printed


def test_remarks_on_problems_that_are_legal_but_odd(tmp_path):
    def said(*options):
        return _captured([*SMALL, "--out", str(tmp_path / "out"), "--force", *options])

    assert "the budget is less than the cheapest LLM costs" in said("--budget", "1e-6")
    everyone = said("--reward-model", "SUC", "--num-selected", "9")
    assert "there is nothing to choose: all 9 LLMs are asked every time" in everyone
    usual = said("--reward-model", "SUC")
    assert "nothing to choose" not in usual and "less than the cheapest" not in usual


def test_unreadable_logs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = {
        "nan.csv": ("query,model,score,cost\na,x,nan,1\n", "no row is complete"),
        "percent.csv": ("query,model,score,cost\na,x,85,1\n", "score"),
        "short.csv": ("query,model,score,cost\na,x,0\n", "3 fields"),
        "no_cost.csv": ("query,model,score\na,x,0\n", "no column 'cost'"),
        "empty.csv": ("", "empty.csv"),
    }
    for name, (text, named) in cases.items():
        Path(name).write_text(text)
        assert run_command(["run", "--log", name, "--out", "out"]) == 2
        assert named in _one_line(capsys)
        Path(name).unlink()
    assert list(tmp_path.iterdir()) == []


def test_folders(tmp_path, capsys):
    """Unwritable, occupied and former result folders."""
    occupied = tmp_path / "mine"
    occupied.mkdir()
    (occupied / "thesis.tex").write_text("years of work")
    file = tmp_path / "file"
    file.write_text("")
    for arguments in (
        [str(occupied)],
        [str(occupied), "--force"],
        [str(file)],
        [str(file / "below")],
    ):
        assert run_command([*SMALL, "--out", *arguments]) == 2
        assert "--out = " in _one_line(capsys)
    assert (occupied / "thesis.tex").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


def test_a_result_is_whole_or_absent(tmp_path):
    """A failure while writing leaves nothing; a former result stays until the new is whole."""
    out = tmp_path / "deep/out"
    with pytest.raises(RuntimeError), folder.reserved(folder.Place(out), "run"):
        assert list((tmp_path / "deep").iterdir()) != []
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in (b"old", b"new"):
        with folder.reserved(folder.choose(out, "unused", force=True), "run") as publish:
            assert publish({folder.MARK: text}) == out
    assert (out / folder.MARK).read_text() == "new"
    with pytest.raises(RuntimeError), folder.reserved(folder.check(out, True), "run"):
        raise RuntimeError
    assert (out / folder.MARK).read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_default_folder_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder.choose(None, "results/run", False).out == Path("results/run")
    Path("results/run").mkdir(parents=True)
    Path("results/run-2").mkdir()
    assert folder.choose(None, "results/run", False).out == Path("results/run-3")
    with pytest.raises(ProblemError):
        folder.choose(Path("results"), "results/run", False)


def test_same_command_same_bytes(done, tmp_path):
    out, _ = done
    again = tmp_path / "again"
    _captured([*SMALL, "--out", str(again)])
    assert (again / folder.MARK).read_bytes() == (out / folder.MARK).read_bytes()
    first, second = (xr.open_zarr(path / "results.zarr").load() for path in (out, again))
    assert first.identical(second)


def test_help_and_policies_without_jax():
    """Help is instant: nothing heavy is imported, and every command has its help."""
    code = (
        "import sys; from c2mabv_jax.cli import run_command\n"
        "status = [run_command(a) for a in ([], ['--help'], ['run', '--help'], ['plot', '-h'],"
        " ['rnu'], ['run', '--sedes', '1'])]\n"
        "assert status == [0, 0, 0, 0, 2, 2], status\n"
        "print(sorted({'jax', 'numpy', 'xarray', 'matplotlib'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"
    assert all(name in ended.stdout for name in COMMANDS)
    assert ended.stderr.count("\n") == 2


def test_policies_are_listed(capsys):
    from c2mabv_jax.policies.catalogue import POLICIES, TYPED

    assert run_command(["policies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [entry.name for entry in (*POLICIES, *TYPED)]
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in lines)


def test_every_policy_has_a_look_of_its_own():
    """Colour and dashes together tell any two policies of the catalogue apart."""
    from c2mabv_jax.plotting.style import look
    from c2mabv_jax.policies.catalogue import POLICIES

    looks = [look(entry.name) for entry in POLICIES]
    assert len({(one.colour, str(one.line)) for one in looks}) == len(looks)
    assert len({one.label for one in looks}) == len(looks)


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "off")
    assert cache.folder() is None
    assert cache.enable() is None
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "here"))
    assert cache.folder().parent == tmp_path / "here"
    monkeypatch.setenv(cache.VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder().parent == tmp_path / "xdg/c2mabv_jax"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file/below"))
    assert cache.enable() is None  # cannot be written: harmless


@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the real log is not at {REAL_LOG}")
def test_real_log_keeps_its_money(tmp_path, monkeypatch):
    """Costs are in USD per query: a fixed set costs what the log says, within sampling error.

    Means over 64 x 200 replayed queries against the log's own means; 5 standard errors, so
    the two comparisons raise a false alarm with probability below 2e-6.
    """
    import csv

    from c2mabv_jax.plotting import curves

    monkeypatch.setattr(curves, "figures", lambda results: {"picks": curves.picks(results)})
    with REAL_LOG.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["group"] == "arc-challenge"]
    costs = np.array([[float(v) for k, v in r.items() if k.startswith("cost_usd|")] for r in rows])
    printed = _captured(
        [
            *SMALL, "--log", str(REAL_LOG), "--group", "arc-challenge", "--reward-model", "SUC",
            "--budget", "0.002", "--policies", "always-dearest,always-cheapest",
            "--out", str(tmp_path / "out"),
        ]
    )  # fmt: skip
    assert f"{len(rows):,} queries" in printed
    assert "cost (USD/query)" in printed
    last = xr.open_zarr(tmp_path / "out/results.zarr").isel(round=-1)
    order = np.argsort(costs.mean(0))
    for policy, arms in (("always-dearest", order[-4:]), ("always-cheapest", order[:4])):
        per_query = costs[:, arms].sum(1)
        error = per_query.std() / np.sqrt(64 * 200)
        found = float(last.sel(policy=policy).cost.mean())
        assert abs(found - per_query.mean()) < 5 * error
