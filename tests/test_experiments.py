"""The study's command: sweeps agree with `simulate`, figures and tables come out."""

import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from c2mabv_jax import simulate, theory
from c2mabv_jax.policies import catalogue
from c2mabv_jax.sweep.run import read

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "experiments"
SPECS = sorted(FOLDER.glob("specs/**/*.toml"))
FALSE_ALARM = 1e-6
LARGEST_FIGURE = 150_000  # bytes; figures are committed

pytestmark = pytest.mark.skipif(not SPECS, reason=f"no experiments beside the tests in {ROOT}")


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("C2MABV_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    main = importlib.import_module("experiments.__main__")
    yield main
    for name in [name for name in sys.modules if name.split(".")[0] == "experiments"]:
        del sys.modules[name]


def numbers(path: Path) -> list[dict[str, float]]:
    with open(path, newline="") as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def test_a_sweep_gives_what_simulate_gives(command, tmp_path):
    assert command.main(["alphas", "--quick", "--out", "study"]) == 0
    rows = numbers(tmp_path / "study/tables/alphas.csv")
    spec, plan = read(FOLDER / "specs/quick/alphas.toml")
    point = plan.points[5]
    result = simulate(
        point.problem, point.environment, point.policy, point.horizon, spec.num_seeds, 2
    ).isel(round=-1)
    chosen = [float(point.policy.alpha_reward), float(point.policy.alpha_cost)]
    (row,) = [r for r in rows if [r["alpha_reward"], r["alpha_cost"]] == chosen]
    assert row["reward"] == pytest.approx(float(result["reward"].mean()), rel=1e-12)
    assert row["Lagrangian regret"] == pytest.approx(
        float(result["lagrangian_regret"].mean()), rel=1e-9
    )
    figure = tmp_path / "study/figures/alphas.png"
    assert 0 < figure.stat().st_size < LARGEST_FIGURE
    assert not figure.with_suffix(".pdf").exists()
    assert "python -m experiments alphas --quick" in figure.parent.parent.joinpath(
        "tables/alphas.md"
    ).read_text(encoding="utf-8")


def test_coverage_agrees_with_the_dynamic_programme(command, tmp_path):
    assert command.main(["coverage", "--quick", "--out", "study"]) == 0
    rows = numbers(tmp_path / "study/tables/coverage.csv")
    for row in rows:
        test = stats.binomtest(round(row["simulated"] * 512), 512, row["exact"])
        assert test.pvalue > FALSE_ALARM / len(rows)


def test_bad_input_is_one_line(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["alpha"])
    assert stop.value.code == 2
    Path("file").write_text("")
    assert command.main(["coverage", "--quick", "--out", "file"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("experiments: error: ")


def test_every_experiment_is_there(command):
    for name in command.EXPERIMENTS:
        assert callable(importlib.import_module(f"experiments.{name}").run)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: "/".join(path.parts[-2:]))
def test_specs_are_sound(path):
    _, plan = read(path)
    assert plan.points
    assert all(np.isfinite(float(point.problem.budget)) for point in plan.points)


def test_committed_results_are_small_and_name_their_command(command):
    for name in command.EXPERIMENTS:
        if name == "gpu":  # there is nothing to commit until it ran on a device
            continue
        for figure in (FOLDER / "figures").glob(f"{name}*.png"):
            assert figure.stat().st_size < LARGEST_FIGURE, figure.name
        made = [path for path in FOLDER.glob(f"*/{name}*") if path.parent.name != "__pycache__"]
        assert made, f"{name}: nothing committed; run python -m experiments {name}"
        for table in (FOLDER / "tables").glob(f"{name}*.md"):
            assert f"Made by `python -m experiments {name}`." in table.read_text(encoding="utf-8")


def test_the_live_service_has_the_means_of_simulate():
    """A day of 100,000 queries; both within 4 standard errors fails by chance once in 8,000."""
    with open(FOLDER / "tables/service.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["quantity"] for row in rows] == ["mean reward", "mean cost"]
    for row in rows:
        apart = abs(float(row["selector"]) - float(row["simulate"]))
        assert apart <= 4 * float(row["standard error"])


def test_log_axis_that_spans_little_is_numbered(command):
    from c2mabv_jax.plotting import style

    setting = importlib.import_module("experiments.setting")
    _, axes = style.figure()
    axes[0, 0].plot([1, 2], [3, 40])
    setting.log_axis(axes[0, 0])
    assert {5, 10, 20} <= set(np.round(axes[0, 0].yaxis.get_majorticklocs(), 9))


@pytest.mark.parametrize("model", ["awc", "suc", "aic"])
def test_policies_are_compared_where_the_budget_matters(model):
    _, plan = read(FOLDER / f"specs/comparison-{model}.toml")
    world, problem = plan.points[0].environment, plan.points[0].problem
    cost = np.asarray(world.mean_cost, float) * world.cost_scale
    assert theory.optimum(problem, world.mean_reward, cost).binding
    known = {entry.name for entry in catalogue.POLICIES} - {"two-tier", "fixed-set"}
    assert {point.coordinates["policy"] for point in plan.points} == known
