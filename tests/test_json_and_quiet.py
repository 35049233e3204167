"""`--json`: one document on standard output; `--quiet`: nothing on standard error."""

import json

import numpy as np
import pytest
from small_log import write_small_log

from c2mabv_jax.advice import report as advice_report
from c2mabv_jax.advice import typed_report
from c2mabv_jax.bench import run as bench_run
from c2mabv_jax.bench import table as bench_table
from c2mabv_jax.cli import run_command
from c2mabv_jax.cli.output import plain
from c2mabv_jax.plotting import curves
from c2mabv_jax.policies.catalogue import POLICIES, TYPED

RUN = ["run", "--seeds", "2", "--horizon", "20", "--policies", "c2mabv,always-cheapest"]
ADVISE = ["advise", "--horizon", "100", "--seeds", "2", "--budgets", "0.001:0.004:2", "--log"]


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """Figures have tests of their own, and take most of a small command's time."""
    monkeypatch.setattr(advice_report, "pictures", lambda *_: {}, raising=False)
    monkeypatch.setattr(typed_report.style, "rendered", lambda *_: {})
    monkeypatch.setattr(curves, "figures", lambda *_: {})


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.csv"
    return write_small_log(path, (5e-4, 2e-3, 6e-3), 0.2, spread=(0.5, 1.5))


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def document(captured):
    """Standard output as one JSON document without NaN, and what is beside it."""
    return json.loads(captured.out, parse_constant=refuse)


def test_run(tmp_path, capfd):
    assert run_command([*RUN, "--json", "--out", str(tmp_path / "out")]) == 0
    captured = capfd.readouterr()
    found = document(captured)
    assert found["written"] == str(tmp_path / "out")
    rows = found["policies"]
    assert list(rows) == ["c2mabv", "always-cheapest"]
    assert isinstance(rows["c2mabv"]["reward"]["mean"], float)
    assert rows["always-cheapest"]["reward_per_violation"] is None
    assert "no --budget given" in captured.err and "Written to" in captured.err
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert stored == {key: value for key, value in found.items() if key != "written"}


def test_run_of_one_seed_has_no_interval(tmp_path, capfd):
    alone = ["--seeds", "1", "--json", "--quiet", "--out", str(tmp_path / "out")]
    assert run_command([*RUN, *alone]) == 0
    captured = capfd.readouterr()
    assert document(captured)["policies"]["c2mabv"]["reward"]["half"] is None
    assert captured.err == ""


def test_quiet_run_shows_the_table_alone(tmp_path, capfd):
    assert run_command([*RUN, "--quiet", "--out", str(tmp_path / "out")]) == 0
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out.startswith("policy ")
    assert "Written" not in captured.out and (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("types", [[], ["--types", "group"]])
def test_advise(types, log, tmp_path, capfd):
    command = [*ADVISE, str(log), *types, "--out", str(tmp_path / "out")]
    assert run_command([*command, "--json", "--quiet"]) == 0
    captured = capfd.readouterr()
    found = document(captured)
    assert captured.err == "" and found["written"] == str(tmp_path / "out")
    quality = [row["quality"] for row in found["rows"]]
    assert len(quality) >= 2 and all(isinstance(value, float) for value in quality)
    lines = (tmp_path / "out" / "advice.csv").read_text().splitlines()
    assert len(lines) == 1 + len(quality)
    assert run_command([*command, "--force", "--quiet"]) == 0
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out and "Written" not in captured.out


def test_policies(capfd):
    assert run_command(["policies", "--json"]) == 0
    found = document(capfd.readouterr())
    assert [entry["name"] for entry in found] == [entry.name for entry in (*POLICIES, *TYPED)]
    assert sum(entry["sees_types"] for entry in found) == len(TYPED)


def test_bench(tmp_path, capfd, monkeypatch):
    """The measurement takes minutes and is tested elsewhere; here it is who hears of it."""
    monkeypatch.setattr(bench_run, "measure", lambda full, progress: {"rate": np.float64("nan")})
    monkeypatch.setattr(bench_run, "write", lambda results, out: out / "m.json")
    monkeypatch.setattr(bench_table, "section", lambda results: "a table")
    command = ["bench", "--out", str(tmp_path)]
    assert run_command([*command, "--json"]) == 0
    captured = capfd.readouterr()
    assert document(captured) == {"rate": None} and "Written to" in captured.err
    assert run_command([*command, "--quiet"]) == 0
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("a table\n", "")


def test_quiet_verify(tmp_path, capfd):
    claim = ["--preset", "tiny", "--only", "rounding-law"]
    assert run_command(["verify", *claim, "--quiet", "--out", str(tmp_path / "out")]) == 0
    captured = capfd.readouterr()
    assert captured.err == "" and "holds" in captured.out and "Written" not in captured.out


def test_errors_are_heard_and_nothing_else_is_printed(capfd):
    assert run_command([*RUN, "--json", "--quiet", "--budget", "-1"]) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1


def test_plain():
    values = {"a": np.array([1.0, np.nan]), 2: (np.inf, None, True, "x"), "n": np.int64(3)}
    assert plain(values) == {"a": [1.0, None], "2": [None, None, True, "x"], "n": 3}
