"""Experiments behind the claims, against the truth; controls; the command.

Small structures (K = 1 and 2) wherever possible: compiling dominates.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from opened_report import opens_alone
from reference import loop as reference
from reference.dynamic import expectations
from scipy.optimize import linprog

from c2mabv_jax import files
from c2mabv_jax.cli import run_command
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.simulation import simulate
from c2mabv_jax.verification import PRESETS, Outcome, Spec, verify
from c2mabv_jax.verification import controls as broken
from c2mabv_jax.verification import search as searching
from c2mabv_jax.verification.claim import judge
from c2mabv_jax.verification.claims import CLAIMS, exact_values
from c2mabv_jax.verification.exact_run import World, exact_run
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import Laboratory, System
from c2mabv_jax.verification.run import face, hastily

TINY = PRESETS["tiny"]
ERROR = 1e-4  # per comparison; about 40 comparisons here: false alarm 4e-3 at the very most


def test_exact_run_against_all_histories():
    """Every sequence of arms and costs of four rounds, enumerated without merging states."""
    mu, c, budget, horizon, alphas, delta = (0.5, 0.3), (0.8, 0.2), 0.5, 4, (0.15, 0.2), 0.05

    def bounds(history, k, t):
        costs = [paid for arm, paid in history if arm == k]
        if not costs:
            return 1.0, 0.0
        width = math.sqrt(math.log(4 * math.pi**2 * t**3 / (3 * delta)) / (2 * len(costs)))
        mean = sum(costs) / len(costs)
        return min(1, mu[k] + alphas[0] * width), max(0, mean - alphas[1] * width)

    def first(history):
        (u0, l0), (u1, l1) = (bounds(history, k, len(history) + 1) for k in (0, 1))
        result = linprog([-u0, -u1], [[l0, l1]], [budget], [[1, 1]], [1], bounds=(0, 1))
        if result.status == 2:  # infeasible: the cheapest, ties to arm 0
            return float(l0 <= l1)
        return 1.0 if u0 == u1 and l0 <= budget else float(result.x[0])

    regret = violation = 0.0
    optimum = 0.5 * (mu[0] + mu[1])  # half and half costs .5
    for arms in itertools.product((0, 1), repeat=horizon):
        for paid in itertools.product((0, 1), repeat=horizon):
            history, chance = [], 1.0
            for k, y in zip(arms, paid, strict=True):
                z = first(history) if chance > 0 else 0.0
                chance *= (z if k == 0 else 1 - z) * (c[k] if y else 1 - c[k])
                history.append((k, y))
            regret += chance * sum(optimum - mu[k] for k in arms)
            violation += chance * max(0.0, sum(paid) / horizon - budget)
    exact = exact_run(World(mu, c, budget, 1, constant_rewards=True), horizon, *alphas, delta)
    assert horizon * optimum - exact.reward == pytest.approx(regret, abs=1e-9)
    assert exact.violation == pytest.approx(violation, abs=1e-9)


@pytest.mark.parametrize("name", ["cascade-3", "all-in-3"])
def test_exact_run_against_the_reference(name):
    """Two programmes written apart from each other, the whole law of five rounds."""
    instance, means = CATALOGUE[name], exact_values.world(CATALOGUE[name])
    cascading = instance.problem.cascading
    spec = reference.Spec(
        num_selected=2,
        budget=means.budget,
        mean_reward=means.mean_reward,
        mean_cost=means.mean_cost,
        reward_model=means.reward_model,
        at_most=cascading,
        cascading=cascading,
        reward_law="bernoulli",
        cost_law="constant",
        alpha_reward=0.4,
        alpha_cost=0.1,
        delta=0.05,
    )
    truth, exact = expectations(spec, 5), exact_run(means, 5, 0.4, 0.1, 0.05)
    assert exact.cost == pytest.approx(truth.cost, abs=1e-9)
    assert exact.violation == pytest.approx(truth.violation, abs=1e-9)
    regret = 5 * float(instance.best.relaxed) - exact.reward
    assert regret == pytest.approx(truth.regret, abs=1e-9)


def test_watched_rounds_are_the_simulator_s_rounds():
    """The watch plays the same runs as `simulate`: pulls to the last one, sums to rounding."""
    instance, policy = CATALOGUE["steady-2"], C2MABV(alpha_reward=0.15, alpha_cost=0.2)
    paths = Laboratory(TINY, seed=9).paths(instance, policy, [7, 40], 70)
    data = simulate(instance.problem, instance.environment, policy, 40, 70, [7, 40], seed=9)
    np.testing.assert_array_equal(paths.watch.pulls, data.pulls.to_numpy())
    spent = data.signed_violation.to_numpy() * data["round"].to_numpy()
    np.testing.assert_allclose(paths.watch.overspend_realised, spent, atol=1e-4)
    np.testing.assert_allclose(paths.watch.regret, data.regret.to_numpy(), atol=1e-4)
    # The running maximum is at least the value at the end of its stretch.
    assert (paths.watch.peak_regret >= paths.watch.regret - 1e-5).all()
    assert (paths.watch.peak_regret[:, 1] > paths.watch.regret[:, 1] + 1e-3).any()


def test_lanes_may_hold_different_instances():
    """A run of its own instance is the same whether or not its neighbours have others."""
    laboratory = Laboratory(TINY)
    near = CATALOGUE["swap-2"]
    other = near.environment.replace(mean_reward=[0.2, 0.6], mean_cost=[0.3, 0.7])
    far = dataclasses.replace(near, name="other", environment=other)
    mixed = laboratory.paths_of([near, far] * 20, C2MABV(), [64]).watch
    alone = laboratory.paths_of([far] * 40, C2MABV(), [64]).watch
    np.testing.assert_array_equal(mixed.pulls[1::2], alone.pulls[1::2])


@pytest.mark.smoke
def test_claims_of_small_structure_hold():
    laboratory = Laboratory(TINY, seed=1, only=("swap-2", "single", "steady-2"))
    for name in ("weak-duality", "swap-identity", "counts", "coverage-exact", "exact-values"):
        verdict = judge(CLAIMS[name], CLAIMS[name].measure(laboratory), ERROR, 0.0, "")
        assert verdict.outcome != Outcome.CONTRADICTED, (name, verdict.decisive)
        assert verdict.outcome == Outcome.HOLDS or name == "exact-values"


@pytest.mark.parametrize("control", broken.CONTROLS, ids=lambda control: control.name)
def test_control_is_caught(control):
    """Each at the error level of a whole report, by the first claim it faces."""
    first = control._replace(faces=control.faces[:1])
    with hastily():
        caught = face(first, PRESETS["quick"], Spec(), ERROR)
    assert caught.caught, [verdict.decisive for verdict in caught.verdicts]


def test_sound_system_as_control_fails_the_report():
    """A control that nothing contradicts must turn the exit status to 1."""
    sound = broken.Control("sound", "nothing", System(), ("rounding-law",), ())
    spec = Spec(preset="tiny", changes={"claims": ("rounding-law",), "controls": True})
    report = verify(spec, controls=(sound,))
    assert [v.outcome for v in report.verdicts] == [Outcome.HOLDS]
    assert not report.controls[0].caught and report.status == 1
    assert dataclasses.replace(report, controls=()).status == 0


def test_search_values_against_highs():
    rng = np.random.default_rng(3)
    instances = searching.decode(2 * rng.standard_normal((40, 13)))
    values, prices = searching.lp_values(instances, 2)
    for mu, c, budget, value, price in zip(*instances, values, prices, strict=True):
        truth = linprog(-mu, [c], [budget], [np.ones(6)], [2], bounds=(0, 1))
        assert value == pytest.approx(-truth.fun, abs=1e-9)
        top = np.sort(mu - price * c)[-2:].sum() + price * budget
        assert top == pytest.approx(value, abs=1e-9)  # the price is an optimal dual


def test_search_climbs(monkeypatch):
    """On a known objective (no simulation) the search nears the optimum it is given."""

    def play(laboratory, instances, runs, horizon, seed):
        distance = np.abs(instances.mean_reward - 0.8).mean(1) + np.abs(
            instances.mean_cost - 0.3
        ).mean(1)
        return {"regret": np.repeat(1 - distance[:, None], runs, axis=1)}

    monkeypatch.setattr(searching, "play", play)
    sizes = PRESETS["quick"].search.model_copy(update={"population": 200, "generations": 12})
    found = searching.search(Laboratory(TINY), sizes, "regret")
    assert found.history[-1] > found.history[0] + 0.15
    assert found.ratio.mean() > 0.9 and found.tried == 2400


def run_verify(*arguments):
    return run_command(["verify", "--quiet", *map(str, arguments)])


def test_command_writes_a_report(tmp_path, capsys):
    spec = tmp_path / "spec.toml"
    spec.write_text("coverage_runs = 4096\n", encoding="utf-8")
    out = tmp_path / "report"
    only = "rounding-law,coverage-exact"
    assert run_verify(spec, "--preset", "tiny", "--seed", 5, "--only", only, "--out", out) == 0
    assert "2 of 2 claims hold" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == 0 and report["seed"] == 5
    assert report["verdicts"] == {"rounding-law": "holds", "coverage-exact": "holds"}
    count = sum(finding["error"] > 0 for claim in report["claims"] for finding in claim["findings"])
    assert report["comparisons"] == count
    assert report["error_per_comparison"] == pytest.approx(report["level"] / count)
    assert {"claim", "verdict", "figure", "n", "error_level", "command"} <= set(report["claims"][0])
    text = (out / "report.md").read_text()
    assert "| [coverage-exact](#coverage-exact) | holds |" in text
    assert (out / "figures" / "coverage.png").stat().st_size > 5000
    assert "(figures/coverage.png)" in text
    shown = opens_alone(out / "report.html")
    assert shown.count("<svg") == 1 and "2 of 2 claims hold" in shown
    assert "report.html" in files.read_marker(out).made
    # A former report gives way only when asked, and nothing else is left beside it.
    assert run_verify("--preset", "tiny", "--only", "rounding-law", "--out", out) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "spec.toml"]


FULL_BUT_SMALL = """
horizon = 256
runs = 64
long_rounds = [10000, 20000, 40000]
long_runs = 64
coverage_horizon = 20
coverage_runs = 512
rounding_draws = 4096
minimax_horizon = 1024
minimax_runs = 32
search = {population = 16, generations = 2, seeds = 1, horizon = 64, confirm = 32}
controls = false
"""


def test_full_with_small_sizes_ends_in_its_report(tmp_path, capsys):
    """Every claim and every figure of the longest preset; the controls have tests above."""
    spec, out = tmp_path / "spec.toml", tmp_path / "report"
    spec.write_text(FULL_BUT_SMALL, encoding="utf-8")
    assert run_verify(spec, "--preset", "full", "--out", out) == 0, capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert list(report["verdicts"]) == list(CLAIMS)
    drawn = {path.stem for path in (out / "figures").glob("*.png")}
    assert drawn == {"scaling", "ratio_to_bound", "coverage", "constants", "search"}
    assert len(report["worst_instances"]) == 2


def test_contradiction_gives_status_one(tmp_path, monkeypatch, capsys):
    """The package's rounding replaced by a broken one: the command must say so."""
    monkeypatch.setattr(
        "c2mabv_jax.verification.run.Laboratory",
        lambda preset, seed, **options: Laboratory(
            preset, seed, System(round=broken.coins), **options
        ),
    )
    out = tmp_path / "report"
    assert run_verify("--preset", "tiny", "--only", "rounding-law", "--out", out) == 1
    assert "contradicted" in capsys.readouterr().out
    assert json.loads((out / "report.json").read_text())["status"] == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--preset", "huge"), "preset"),
        (("--only", "coverage-exct"), "coverage-exct"),
        (("--level", "0"), "level"),
        (("missing.toml",), "missing.toml"),
        (("--preset", "tiny", "--only", "leading-regret"), "leading-regret"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert run_verify(*arguments) == 2
    message = capsys.readouterr().err
    assert named in message and message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_refused_before_any_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(
        "c2mabv_jax.verification.verify", lambda *a, **options: pytest.fail("ran too early")
    )
    assert run_verify("--preset", "tiny", "--out", tmp_path / "file" / "report") == 2
    assert "--out" in capsys.readouterr().err
