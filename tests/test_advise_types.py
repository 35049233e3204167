"""Do types pay? Gains on rows not seen, verdicts on logs made for them, the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from opened_report import opens_alone
from scipy import stats

from c2mabv_jax import environments, simulate
from c2mabv_jax.advice import typed, typed_report
from c2mabv_jax.cli import run_command
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import C2MABV, TypedC2MABV
from c2mabv_jax.problem import Problem

REAL = Path(__file__).parent.parent.parent / "shared/data/routerbench_sub/routerbench_sub.csv"
ONE = ((0.3, 0.01),)


def write_log(path: Path, quality: np.ndarray, rows: int, seed: int = 0) -> Path:
    """0/1 scores with means `quality` [G, K]; dearer LLMs come later."""
    rng = np.random.default_rng(seed)
    names = range(quality.shape[1])
    lines = ["query_id,group," + ",".join([f"score|m{k},cost_usd|m{k}" for k in names])]
    for i in range(rows * len(quality)):
        g = i % len(quality)
        cells = [f"{int(rng.random() < quality[g, k])},{0.001 * 3.0**k:.4f}" for k in names]
        lines.append(",".join([str(i), f"type{g}", *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_twenty_types_of_thirty_rows_do_not_pay(tmp_path):
    """All types are alike: who knows the log by heart gains, on rows not seen nobody does."""
    path = write_log(tmp_path / "few.csv", np.tile([0.5, 0.6, 0.7, 0.8], (20, 1)), 30)
    log = environments.replay(path, types="group")
    done = typed.typed_study(log, "0.006", horizon=400, num_seeds=4, pairs=ONE)
    assert done.apparent > 0.03 and done.mean_unseen.value < 0.01
    assert not done.pays
    said = typed_report.verdict(done)
    assert said.startswith("Types do not pay") and "20 types of 30 rows" in said
    assert f"{100 * done.apparent:.1f} points" in said and str(done.rows_needed) in said
    # The interval of a difference: mean of p (1 - p) + q (1 - q) over pairs of LLMs, about 0.42.
    assert done.rows_needed == pytest.approx(1.96**2 * 0.42 / 0.05**2, rel=0.05)
    assert "over and over" in typed_report.printed(done)


def test_types_that_differ_pay(tmp_path):
    quality = np.array([[0.9, 0.3, 0.9], [0.2, 0.9, 0.9]])
    path = write_log(tmp_path / "clear.csv", quality, 300)
    log = environments.replay(path, types="group")
    done = typed.typed_study(log, "0.003:0.004:2", horizon=3000, num_seeds=8, pairs=ONE)
    assert done.pays and typed_report.verdict(done).startswith("Types pay")
    # With so many rows what is known of the log holds on rows not seen.
    assert done.mean_unseen.low < done.apparent < done.mean_unseen.high + 0.05
    for gain in (done.mean_gain, done.mean_unseen, *done.gain, *done.unseen):
        assert gain.low <= gain.value <= gain.high
    chosen = typed_report.allocation(done, 1)
    np.testing.assert_allclose(chosen.asked.sum(axis=1), 1, atol=0.05)
    assert chosen.money.sum() == pytest.approx(1) and chosen.queries.sum() == pytest.approx(1)
    assert chosen.asked[0, 0] > 0.6 and chosen.asked[1, 1] > 0.6


def test_too_short_to_learn(tmp_path):
    """Types are worth something, but not within so few queries."""
    quality = np.array([[0.9, 0.3, 0.9], [0.2, 0.9, 0.9]])
    log = environments.replay(write_log(tmp_path / "a.csv", quality, 300), types="group")
    done = typed.typed_study(log, "0.003", horizon=100, num_seeds=4, pairs=((5.0, 0.01),))
    assert done.mean_unseen.low > 0 and not done.pays
    assert "do not pay within 100 queries" in typed_report.verdict(done)


@pytest.mark.skipif(not REAL.exists(), reason="the real log is not beside the project")
def test_types_learn_three_points_on_the_real_log():
    """10,000 queries at 0.002 USD, learning included: 3 points more for no more money.

    Plain C2MAB-V has the best pair of alphas of those that the advice tries for it. Same
    queries, so the intervals (99 %) are of paired differences.
    """
    log = environments.replay(REAL, types="group")
    problem = Problem(num_arms=11, num_selected=1, budget=0.002, reward_model="SUC")
    done = [
        simulate(problem, log, policy, 10_000, 256, record_at=[10_000]).isel(round=0)
        for policy in (C2MABV(0.3, 0.01), TypedC2MABV(3, None, 0.2, 0.0))
    ]
    sure = stats.t.ppf(0.99, 255) / np.sqrt(256)
    quality = (done[1].reward - done[0].reward).to_numpy()
    cost = (done[1].cost - done[0].cost).to_numpy()
    assert quality.mean() - sure * quality.std(ddof=1) > 0.03
    assert cost.mean() + sure * cost.std(ddof=1) < 0


def test_the_command_writes_advice(tmp_path, capsys):
    quality = np.array([[0.9, 0.3, 0.9], [0.2, 0.9, 0.9]])
    log = str(write_log(tmp_path / "log.csv", quality, 60))
    out = tmp_path / "out"
    arguments = ["advise", "--log", log, "--types", "group", "--budgets", "0.003:0.005:2"]
    small = ["--horizon", "500", "--seeds", "4", "--out", str(out)]
    assert run_command([*arguments, *small]) == 0
    said = capsys.readouterr().out
    assert "Types pay" in said and "type0: 50 % of queries" in said
    text = (out / "advice.md").read_text()
    for part in ("Types pay", "rows not seen", "## Who asks what", "types.png", "type1"):
        assert part in text
    shown = opens_alone(out / "report.html")
    assert shown.count("<svg") == 1 and "Who asks what" in shown
    with open(out / "advice.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 and {row["policy"] for row in rows} == {"c2mabv", "c2mabv-types"}
    assert float(rows[-1]["gain_low"]) <= float(rows[-1]["gain"]) <= float(rows[-1]["gain_high"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"]["kind"] == "types" and summary["verdict"]["words"] in said
    assert summary["types_pay"] is True and summary["rows_of_type"] == [60, 60]
    assert (out / "types.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--types", "task"], "types = 'task'"),
        (["--types", "group", "--reward-model", "AWC", "--num-selected", "2"], "common scale"),
        (["--types", "group", "--budgets", "0.0001"], "cheapest legal set"),
        (["--types", "group", "--horizon", "10"], "horizon = 10"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, options, match):
    log = str(write_log(tmp_path / "log.csv", np.full((2, 2), 0.5), 20))
    assert run_command(["advise", "--log", log, *options, "--out", str(tmp_path / "out")]) == 2
    assert match in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_run_by_types(tmp_path, capsys):
    quality = np.array([[0.9, 0.3, 0.9], [0.2, 0.9, 0.9]])
    log = str(write_log(tmp_path / "log.csv", quality, 60))
    arguments = ["run", "--log", log, "--types", "group", "--budget", "0.003", "--seeds", "4"]
    small = ["--horizon", "200", "--policies", "c2mabv-types,oracle-types"]
    assert run_command([*arguments, *small, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "c2mabv-types" in said and "type0" in said
    assert (tmp_path / "out/figures/types.png").exists()
    assert run_command(["run", "--types", "group", "--out", str(tmp_path / "no")]) == 2
    assert "only a --log has it" in capsys.readouterr().err
    with pytest.raises(ProblemError, match="type of a query"):
        simulate(Problem(num_arms=2, num_selected=1, budget=0.5), environments.synthetic(
            [0.5, 0.6], [0.5, 0.6]), TypedC2MABV(2), 10, 1)  # fmt: skip
