"""Advice from a log: fixed sets and front against enumeration; the command as a user meets it."""

import csv
import dataclasses
import itertools
import json
import math
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from opened_report import opens_alone
from scipy import stats
from scipy.optimize import linprog

from c2mabv_jax import ProblemError, advice, environments, files, simulate
from c2mabv_jax.advice.aim import Aim
from c2mabv_jax.advice.study import _from_where_on, default_size, pose
from c2mabv_jax.cli import run_command
from c2mabv_jax.policies import C2MABV

REAL = Path(__file__).parent.parent.parent / "shared/data/routerbench_sub/routerbench_sub.csv"
MODELS = ("big", "middle", "vendor/small", "free")
FALSE_ALARM = 1e-6


def rows(num: int = 240, seed: int = 3):
    """(query, group, scores, costs) with a difficulty that the models share."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(size=num)
    skill = np.array([0.95, 0.85, 0.6, 0.4])
    noise = rng.uniform(size=(num, 4))
    score = (0.7 * hard[:, None] + 0.3 * noise < skill).astype(int)
    cost = np.array([0.006, 0.002, 0.0004, 0.0]) * rng.uniform(0.5, 1.5, (num, 4))
    return [(f"q{i}", "ab"[i % 3 == 0], score[i], cost[i]) for i in range(num)]


def write_log(path: Path, form: str, table) -> Path:
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        if form == "long":
            writer.writerow(["query", "model", "score", "cost_usd", "group"])
            for query, group, score, cost in table:
                for k, model in enumerate(MODELS):
                    writer.writerow([query, model, score[k], repr(float(cost[k])), group])
        else:
            head = [f"score|{m}" for m in MODELS] + [f"cost_usd|{m}" for m in MODELS]
            writer.writerow(["query_id", "group", *head])
            for query, group, score, cost in table:
                writer.writerow([query, group, *score, *(repr(float(c)) for c in cost)])
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log") / "own.csv", "long", rows())


def enumerate_sets(score, cost, sizes, model, queried=False):
    """{set: (quality, cost)} by plain loops over rows."""
    order = sorted(range(cost.shape[1]), key=lambda k: cost[:, k].mean())
    found = {}
    for size in sizes:
        for chosen in itertools.combinations(range(cost.shape[1]), size):
            quality = money = 0.0
            for x, y in zip(score, cost, strict=True):
                picked = [x[k] for k in chosen]
                if model == "SUC":
                    quality += sum(picked)
                elif model == "AWC":
                    quality += 1 - math.prod(1 - v for v in picked)
                else:
                    quality += math.prod(picked)
                reach = 1.0
                for k in order:
                    if k in chosen:
                        money += reach * y[k]
                        reach *= (1 - x[k]) if queried else 1.0
            found[chosen] = (quality / len(score), money / len(score))
    return found


CASES = [("SUC", 1, "selected"), ("SUC", 2, "selected"), ("AIC", 2, "selected"),
         ("AWC", 3, "selected"), ("AWC", 3, "queried")]  # fmt: skip


@pytest.mark.parametrize(("model", "size", "billing"), CASES)
def test_fixed_sets_and_front_are_those_of_enumeration(log, model, size, billing):
    table = rows()
    score = np.array([r[2] for r in table], float)
    cost = np.array([r[3] for r in table])
    sizes = range(size + 1) if model == "AWC" else [size]
    truth = enumerate_sets(score, cost, sizes, model, billing == "queried")
    known = advice.known_sets(environments.replay(log), pose_of(log, model, size, billing))
    got = {
        tuple(np.flatnonzero(chosen)): (quality, money)
        for chosen, quality, money in zip(known.sets, known.quality, known.cost, strict=True)
    }
    assert got.keys() == truth.keys()
    for chosen, (quality, money) in truth.items():
        np.testing.assert_allclose(got[chosen], (quality, money), rtol=1e-6, atol=1e-12)
    values, costs = np.array(list(truth.values())).T
    for budget in np.quantile(costs, [0.1, 0.3, 0.5, 0.8, 1.0]):
        best = linprog(-values, A_ub=[costs], b_ub=[budget], A_eq=[np.ones_like(values)], b_eq=[1])
        assert known.oracle(budget) == pytest.approx(-best.fun, abs=1e-7)
        slope = -float(best.ineqlin.marginals[0])
        if not np.isclose(budget, known.cost[known.corners]).any():  # there it is not unique
            assert known.price(budget) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def pose_of(log, model, size, billing="selected"):
    return pose(environments.replay(log), model, size, billing=billing)


def test_below_the_cheapest_set_no_oracle(log):
    known = advice.known_sets(environments.replay(log, models=MODELS[:3]), pose3())
    assert np.isnan(known.oracle(known.cheapest / 2))
    assert known.oracle(known.dearest_useful * 9) == known.best_quality
    assert known.price(known.dearest_useful * 9) == 0
    assert np.isnan(known.best_single(0.0))


def pose3():
    from c2mabv_jax import Problem

    return Problem(num_arms=3, num_selected=1, budget=0, reward_model="SUC")


@pytest.mark.parametrize("group", ["arc-challenge", None])
@pytest.mark.parametrize(("model", "size"), [("SUC", 1), ("AWC", 2), ("AIC", 2)])
def test_real_log_agrees_with_its_own_rows(group, model, size):
    if not REAL.exists():
        pytest.skip(f"the real log is not at {REAL}")
    with open(REAL, newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if group in (None, line["group"])]
    names = [column[6:] for column in lines[0] if column.startswith("score|")]
    score = np.array([[float(line[f"score|{m}"]) for m in names] for line in lines])
    cost = np.array([[float(line[f"cost_usd|{m}"]) for m in names] for line in lines])
    log = environments.replay(REAL, group=group)
    known = advice.known_sets(log, pose(log, model, size))
    assert len(known.sets) == sum(
        math.comb(11, n) for n in (range(size + 1) if model == "AWC" else [size])
    )
    for chosen, quality, money in zip(known.sets, known.quality, known.cost, strict=True):
        picked = score[:, chosen]
        per_row = {
            "SUC": picked.sum(1),
            "AWC": 1 - (1 - picked).prod(1),
            "AIC": picked.prod(1),
        }[model]
        assert quality == pytest.approx(per_row.mean(), abs=1e-9)
        assert money == pytest.approx(cost[:, chosen].sum(1).mean(), rel=1e-5, abs=1e-12)


def test_how_long_until_all_is_well():
    queries = np.array([10, 20, 40])
    assert _from_where_on(np.array([True, True, True]), queries) == 10
    assert _from_where_on(np.array([True, False, True]), queries) == 40
    assert _from_where_on(np.array([True, True, False]), queries) is None


def test_budgets(log):
    known = advice.known_sets(environments.replay(log), pose_of(log, "SUC", 1))
    np.testing.assert_allclose(advice.budgets_from("1:100:3", known), [1, 10, 100])
    np.testing.assert_allclose(advice.budgets_from("0:4:3", known), [0, 2, 4])
    np.testing.assert_allclose(advice.budgets_from("0.3", known), [0.3])
    by_default = advice.budgets_from(None, known)
    assert known.cheapest <= by_default[0] and by_default[-1] == pytest.approx(known.dearest_useful)
    for bad in ("1:2", "2:1:3", "a:b:c", "1:2:0", "1:2:3:4", "nan", "-1:2:3", "1:2:1000"):
        with pytest.raises(ProblemError, match=r"budgets"):
            advice.budgets_from(bad, known)


@pytest.mark.parametrize("model", ["SUC", "AWC"])
def test_budgets_of_a_log_where_nothing_is_worth_its_money(tmp_path, model):
    table = [(q, g, np.zeros(4, int), cost) for q, g, _, cost in rows(20)]
    replay = environments.replay(write_log(tmp_path / "zero.csv", "wide", table))
    known = advice.known_sets(replay, advice.pose(replay, model, 1))
    assert known.best_quality == 0
    assert np.isfinite(advice.budgets_from(None, known)).all()
    only = environments.replay(tmp_path / "zero.csv", models=MODELS[:1])
    known = advice.known_sets(only, advice.pose(only, model, 1))
    assert np.isfinite(advice.budgets_from(None, known)).all()


def test_default_number_of_llms(log):
    replay = environments.replay(log)
    assert default_size(replay, "SUC") == 1
    assert default_size(replay, "AIC") == 2
    size = default_size(replay, "AWC")
    score = np.array([r[2] for r in rows()], float)
    best = [
        max(
            (1 - (1 - score[:, chosen]).prod(1)).mean()
            for n in range(1, most + 1)
            for chosen in itertools.combinations(range(4), n)
        )
        for most in (1, 2, 3, 4)
    ]
    gains = [high / low > 1.01 for low, high in itertools.pairwise(best)] + [False]
    assert size == gains.index(False) + 1


@pytest.fixture(scope="module")
def small(log):
    replay = environments.replay(log)
    return advice.study(
        replay,
        budgets=[0.0008, 0.003, 0.02],
        horizon=2000,
        num_seeds=64,
        pairs=[(0.3, 0.05), (1, 1)],
    )


def test_runs_are_those_of_simulate(small):
    """A study packs budgets and seeds side by side; that changes nothing."""
    run = small.of_pair((0.3, 0.05))[1]
    result = simulate(
        small.problem.replace(budget=run.budget),
        small.log,
        C2MABV(alpha_reward=0.3, alpha_cost=0.05),
        small.horizon,
        small.num_seeds,
        run.queries,
    )
    for name, got in (("reward", run.quality), ("cost", run.cost)):
        np.testing.assert_allclose(got, result[name].mean("seed"), rtol=1e-12)
    pulls = result["pulls"].mean("seed").values
    early = pulls[0] / run.queries[0]
    np.testing.assert_allclose(run.share[0], early, rtol=1e-12)


def test_no_run_beats_what_it_paid_for(small):
    """On average no policy lies above the oracle front at the money that it spent."""
    for run in small.runs:
        half = np.ptp(run.quality_interval[-1]) / 2 / stats.t.ppf(0.975, run.num_seeds - 1)
        limit = small.known.oracle(max(run.cost[-1], small.known.cheapest))
        tolerance = stats.norm.isf(FALSE_ALARM / len(small.runs)) * half
        assert run.quality[-1] <= limit + tolerance


def test_a_slack_budget_ends_at_the_best_llm(small):
    run = small.of_pair((0.3, 0.05))[-1]
    assert run.oracle == pytest.approx(small.known.best_quality)
    # Upper bounds that are cut at 1 are tied, and of tied LLMs the cheapest is asked.
    quality, cost = small.known.single_quality, small.known.single_cost
    kept, best = run.share[-1].argmax(), quality.argmax()
    assert kept == best or (quality[kept] > 0.95 and cost[kept] < cost[best])
    assert run.learned_after is not None and run.shortfall < 0.05
    np.testing.assert_allclose(run.share.sum(axis=1), 1)


def test_more_caution_about_costs_overspends_more(small):
    """alpha_cost = 1 takes costs for lower than alpha_cost = 0.05 does."""
    practical, theory = small.of_pair((0.3, 0.05))[0], small.of_pair((1, 1))[0]
    assert theory.overspend > practical.overspend
    assert advice.recommend(small).pair == (0.3, 0.05)


def test_recommended_budget_is_the_smallest_that_reaches_the_target(small):
    runs = small.of_pair((0.3, 0.05))
    for target in (0.5, 0.8, 1.0):
        aimed = dataclasses.replace(small, aim=Aim("target", 0.0, target))
        chosen = advice.recommend(aimed)
        enough = [r for r in runs if r.quality[-1] >= target]
        assert chosen.reached == bool(enough)
        assert chosen.run is (enough[0] if enough else max(runs, key=lambda r: r.quality[-1]))


def test_other_budgets_need_no_other_program(small, log):
    compiled = []
    listen = lambda event, duration, **_: compiled.append(event)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        advice.study(
            small.log, budgets=[0.001, 0.005], horizon=500, num_seeds=64, pairs=[(0.7, 0.2)]
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not [event for event in compiled if event.endswith("backend_compile_duration")]


def test_command_that_is_said_to_come_next_works(log, tmp_path, capsys):
    """Also at the smallest budget that a choice can keep, which rounding may not undercut."""
    options = ["--log", str(log), "--group", "a", "--models", "big,middle", "--horizon", "100"]
    assert run_command(
        ["advise", *options, "--seeds", "4", "--target", "0.01", "--out", str(tmp_path / "advice")]
    ) == 0  # fmt: skip
    said = capsys.readouterr().out
    command = shlex.split(said[said.index("Next: `") + 7 : said.rindex("`")])
    assert command[:2] == ["c2mabv", "run"] and "--group" in command
    short = ["--horizon", "20", "--seeds", "2", "--out", str(tmp_path / "run")]
    assert run_command([*command[1:], *short]) == 0
    assert "2 LLMs, exactly 1 asked per query" in capsys.readouterr().out


@pytest.mark.smoke
def test_command_on_a_long_log(log, tmp_path, capsys):
    out = tmp_path / "advice"
    options = ["--log", str(log), "--budgets", "0.0005:0.006:3", "--horizon", "500", "--seeds", "8"]
    assert run_command(["advise", *options, "--out", str(out)]) == 0
    assert "240 of 240 queries, 4 models" in capsys.readouterr().out
    text = (out / "advice.md").read_text()
    assert "et a budget of" in text and "long format" in text
    names = {path.name for path in out.iterdir()}
    assert {"advice.csv", "quality_cost.png", "learning.png", "usage.png"} <= names
    shown = opens_alone(out / "report.html")
    assert shown.count("<svg") == 3 and "et a budget of" in shown
    assert "report.html" in files.read_marker(out).made
    with open(out / "advice.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert sum(row["kind"] == "c2mabv" for row in found) == (3 + 1) * 4  # and the bend
    score = np.array([r[2] for r in rows()], float)
    single = {row["name"]: float(row["quality"]) for row in found if row["kind"] == "single"}
    assert single == pytest.approx(dict(zip(MODELS, score.mean(axis=0), strict=True)), abs=1e-6)
    chosen = json.loads((out / "summary.json").read_text())["recommended"]
    assert chosen["budget"] in [float(row["budget"]) for row in found if row["kind"] == "c2mabv"]

    assert "with replacement, from the 240 of the log" in text

    before = (out / "advice.md").read_bytes()
    assert run_command(["advise", *options, "--out", str(out)]) == 2
    assert (out / "advice.md").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--budgets", "5:1:3"], "budgets"),
        (["--budgets", "1e-9:1e-8:3", "--num-selected", "3"], "cheapest legal set"),
        (["--reward-model", "ANY"], "reward_model"),
        (["--num-selected", "9"], "num_selected"),
        (["--horizon", "3"], "horizon"),
        (["--seeds", "1"], "seeds"),
        (["--target", "2"], "--target"),
        (["--models", "big,huge"], "models"),
        (["--group", "c"], "group"),
        (["--billing", "never"], "billing"),
        (["--log", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(log, tmp_path, capsys, options, field):
    given = ["--log", str(log), *options] if "--log" not in options else options
    assert run_command(["advise", *given, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and field in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())
