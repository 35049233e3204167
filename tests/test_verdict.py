"""The verdict on a log: truth by pandas, NumPy and HiGHS; intervals by logs of a known law."""

import csv
import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from opened_report import opens_alone
from scipy import stats
from scipy.optimize import linprog

from c2mabv_jax import ProblemError, advice, environments
from c2mabv_jax.advice import aim, formats, pictures, play, resample, spoken, verdict
from c2mabv_jax.cli import run_command

FALSE_ALARM = 1e-6


def scores(quality, rows, rng, shared=0.6):
    """0/1 scores whose models fail together, with these probabilities."""
    latent = np.sqrt(shared) * rng.normal(size=(rows, 1))
    latent = latent + np.sqrt(1 - shared) * rng.normal(size=(rows, len(quality)))
    return (latent < stats.norm.ppf(quality)).astype(float)


def exactly(quality, rows, rng):
    """The same with exactly these means, as far as `rows` has them."""
    latent = rng.normal(size=(rows, 1)) + 0.8 * rng.normal(size=(rows, len(quality)))
    place = latent.argsort(axis=0).argsort(axis=0)
    return (place < np.round(np.asarray(quality) * rows)).astype(float)


def write(path, names, score, cost):
    head = [f"score|{n}" for n in names] + [f"cost_usd|{n}" for n in names]
    frame = pd.DataFrame(np.concatenate([score, cost], axis=1), columns=head)
    frame.insert(0, "query_id", np.arange(len(score)))
    frame.to_csv(path, index=False)
    return path


def priced(mean, rows, rng):
    """Costs that vary, with exactly these means."""
    cost = rng.uniform(0.5, 1.5, (rows, len(mean)))
    return cost / cost.mean(axis=0) * np.asarray(mean)


def judged(log, model="SUC", size=1, billing="selected", **asked):
    problem = advice.pose(log, model, size, billing=billing)
    known = advice.known_sets(log, problem)
    wanted = aim.aim_of(known.front, **asked)
    resampled = resample.resample(log, problem, known)
    most = float(size) if model == "SUC" else 1.0
    return known, verdict.judge(known, resampled, wanted, most)


def best_mix(quality, cost, money):
    """The LP over means, by HiGHS."""
    ones = [np.ones_like(quality)]
    found = linprog(-quality, A_ub=[cost], b_ub=[money], A_eq=ones, b_eq=[1])
    return -found.fun if found.status == 0 else np.nan


# --- the LP, the bend --------------------------------------------------------------------


def test_best_mix_is_that_of_the_lp():
    rng = np.random.default_rng(0)
    value, cost = rng.uniform(size=(2, 200, 7))
    value[:40] = np.round(value[:40], 1)  # ties
    cost[20:60] = np.round(cost[20:60], 1)
    limit = rng.uniform(0, 1.1, 200)
    got = resample.best_mix(value, cost, limit)
    truth = [best_mix(v, c, b) for v, c, b in zip(value, cost, limit, strict=True)]
    np.testing.assert_allclose(got, truth, atol=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_the_bend_is_farthest_from_the_chord(seed):
    rng = np.random.default_rng(seed)
    cost, quality = rng.uniform(size=(2, 30))
    corners = advice.known.upper_envelope(cost, quality)
    front = cost[corners], quality[corners]
    got = aim.bend(front)
    if len(corners) < 3:
        assert got.kind in ("straight", "bend")
        return
    ends = np.array([(cost[i], quality[i]) for i in corners[[0, -1]]])
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    fine = np.union1d(np.linspace(*ends[:, 0], 2001), front[0])
    from_start = np.stack([fine, np.interp(fine, *front)]) - ends[0][:, None]
    distance = np.abs(along[0] * from_start[1] - along[1] * from_start[0])
    assert got.budget == pytest.approx(fine[distance.argmax()])
    # The unit of money, and of quality, moves nothing.
    scaled = aim.bend((front[0] * 1e-4, front[1] * 100))
    assert scaled.budget == pytest.approx(got.budget * 1e-4)


def test_what_is_asked_for_must_be_possible():
    front = np.array([0.1, 0.2, 0.9]), np.array([0.3, 0.6, 0.7])
    assert aim.aim_of(front, target=0.65).budget == pytest.approx(0.55)
    assert aim.aim_of(front, max_cost=0.4).budget == 0.4
    for bad in ({"target": 0.71}, {"target": 0.0}, {"max_cost": 0.05}, {"max_cost": np.nan}):
        with pytest.raises(ProblemError, match="--"):
            aim.aim_of(front, **bad)
    with pytest.raises(ProblemError, match="give one of them"):
        aim.aim_of(front, target=0.5, max_cost=0.4)


# --- verdicts ----------------------------------------------------------------------------

TWELVE = {
    "small": (0.904, 0.000597), "large": (0.908, 0.00182), "a": (0.60, 0.00004),
    "b": (0.70, 0.0001), "c": (0.78, 0.0002), "d": (0.70, 0.0004), "e": (0.85, 0.0008),
    "f": (0.80, 0.001), "g": (0.89, 0.0025), "h": (0.88, 0.004), "i": (0.90, 0.006),
    "j": (0.86, 0.01),
}  # fmt: skip


@pytest.fixture(scope="module")
def dominated(tmp_path_factory):
    rng = np.random.default_rng(1)
    quality, cost = np.array(list(TWELVE.values())).T
    path = tmp_path_factory.mktemp("log") / "dominated.csv"
    return write(path, TWELVE, exactly(quality, 2160, rng), priced(cost, 2160, rng))


def test_one_cheap_model_is_named(dominated, tmp_path, capsys):
    """2,160 queries, 12 models: .904 for .000597 is as good as .908 for .00182."""
    out = tmp_path / "out"
    options = ["--horizon", "400", "--seeds", "4", "--out", str(out)]
    assert run_command(["advise", "--log", str(dominated), *options]) == 0
    said = capsys.readouterr().out
    assert "always ask small." in said and "window" in said
    assert "It is as good as the best choice whatever it costs, large" in said
    kept = json.loads((out / "summary.json").read_text())
    found = kept["verdict"]
    assert found["kind"] == "fixed" and found["fixed"]["name"] == "small"
    assert found["fixed"]["quality"] == pytest.approx(0.904, abs=3e-4)
    assert found["fixed"]["cost"] == pytest.approx(0.000597, rel=1e-5)
    assert kept["recommended"]["budget"] == pytest.approx(0.000597, rel=1e-5)
    # The paired interval of large above small, by pandas.
    frame = pd.read_csv(dominated)
    ahead = frame["score|large"] - frame["score|small"]
    value, low, high = found["best_above_fixed"]
    assert value == pytest.approx(ahead.mean(), abs=1e-6)
    half = stats.norm.isf(0.025) * ahead.sem()
    assert low == 0 and high == pytest.approx(value + half, rel=0.25)  # others contend too
    for text in (said, (out / "advice.md").read_text().replace("**", "")):
        assert found["words"] in text
    assert "always ask small." in opens_alone(out / "report.html")


def test_a_mix_pays_what_the_lp_says(tmp_path):
    """No bend: halfway between a cheap and a dear model a mix is better than either decoy."""
    rng = np.random.default_rng(2)
    names, quality, cost = ("cheap", "dear", "decoy"), (0.5, 0.9, 0.55), (0.001, 0.009, 0.004)
    path = write(tmp_path / "mix.csv", names, scores(quality, 1500, rng), priced(cost, 1500, rng))
    frame = pd.read_csv(path)
    q = frame[[f"score|{n}" for n in names]].mean().to_numpy()
    c = frame[[f"cost_usd|{n}" for n in names]].mean().to_numpy()
    known, found = judged(environments.replay(path))
    middle = (c[0] + c[1]) / 2
    assert found.kind == "mix" and found.money == pytest.approx(middle)
    truth = best_mix(q, c, middle) - q[c <= middle].max()
    assert found.gain.value == pytest.approx(truth, abs=1e-6)
    assert 0 < found.gain.low < truth < found.gain.high < 0.5
    # At equal quality: the cheapest model as good is the dear one.
    assert formats.set_name(known.sets[found.rival], names) == "dear"
    assert found.saving.value == pytest.approx(1 - middle / c[1], abs=1e-5)
    # The interval of a gain where one rival is best beyond doubt: the delta method.
    price = (q[1] - q[0]) / (c[1] - c[0])
    share = (middle - c[0]) / (c[1] - c[0])
    row = [frame[f"score|{n}"] - price * frame[f"cost_usd|{n}"] for n in names[:2]]
    influence = (1 - share) * row[0] + share * row[1] - frame["score|decoy"]
    half = stats.norm.isf(0.025) * influence.sem()
    assert (found.gain.high - found.gain.low) / 2 == pytest.approx(half, rel=0.2)


@pytest.mark.parametrize("billing", ["selected", "queried"])
def test_asking_several_is_a_mix_too(tmp_path, billing):
    """Any win: sets of two against one model, by pandas."""
    rng = np.random.default_rng(3)
    names, quality = ("a", "b", "c"), (0.6, 0.65, 0.8)
    score = scores(quality, 900, rng, shared=0.1)
    path = write(tmp_path / "any.csv", names, score, priced((0.001, 0.0012, 0.01), 900, rng))
    frame = pd.read_csv(path)
    known, found = judged(environments.replay(path), "AWC", 2, billing)
    a, b = frame["score|a"], frame["score|b"]
    both = np.maximum(a, b).mean()
    costs = [frame["cost_usd|a"], frame["cost_usd|b"]]
    pair = costs[0] + costs[1]
    if billing == "queried":
        pair = np.minimum(
            (costs[0] + (1 - a) * costs[1]).mean(), (costs[1] + (1 - b) * costs[0]).mean()
        )
    assert found.kind == "mix" and found.money == pytest.approx(np.mean(pair), rel=1e-5)
    assert found.gain.value == pytest.approx(both - max(a.mean(), b.mean()), abs=1e-6)
    assert not known.sets[found.fixed].sum() > 1  # compared with one model


def test_a_tiny_log_tells_nothing(tmp_path, capsys):
    rng = np.random.default_rng(4)
    names, quality, cost = ("a", "b", "c"), (0.6, 0.7, 0.75), (0.001, 0.002, 0.01)
    path = write(tmp_path / "tiny.csv", names, exactly(quality, 40, rng), priced(cost, 40, rng))
    out = tmp_path / "out"
    options = ["--horizon", "200", "--seeds", "4", "--out", str(out)]
    assert run_command(["advise", "--log", str(path), *options]) == 0
    said = capsys.readouterr().out
    assert "The log is too small to tell. Its 40 queries leave open" in said
    assert "queries would tell" in said
    assert json.loads((out / "summary.json").read_text())["verdict"]["kind"] == "unclear"
    with open(out / "advice.csv") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "c2mabv"]
    # 40 rows leave at least the error of 40 rows, however many runs.
    least = 1.5 * np.sqrt(0.75 * 0.25 / 40)
    assert all(float(row["quality_high"]) - float(row["quality_low"]) > least for row in rows)


def test_more_rows_tell(tmp_path):
    """A hundred times as many rows of a law: an interval a tenth as wide, and a verdict."""
    rng = np.random.default_rng(4)
    names, quality, cost = ("a", "c"), (0.6, 0.75), (0.001, 0.01)
    found = []
    for rows in (40, 4000):
        score = exactly(quality, rows, rng)
        log = environments.replay(
            write(tmp_path / f"{rows}.csv", names, score, priced(cost, rows, rng))
        )
        found.append(judged(log)[1])
    few, many = (one.gain.high - one.gain.value for one in found)
    assert few / many == pytest.approx(10, rel=0.35)
    assert [one.kind for one in found] == ["unclear", "mix"]


# --- intervals ---------------------------------------------------------------------------

LAWS = {
    "one best": ((0.5, 0.7, 0.8, 0.9), (0.01, 0.05, 0.2, 0.6), 0.4),
    "four alike": ((0.5, 0.7, 0.7, 0.7, 0.7, 0.9), (0.01, 0.05, 0.06, 0.07, 0.08, 0.6), 0.3),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_paired_interval_holds_the_truth_as_often_as_it_says(tmp_path, monkeypatch, law):
    """300 logs: at least 95 % hold it, but for what chance allows with probability 1e-6."""
    monkeypatch.setattr(resample, "RESAMPLES", 300)
    quality, cost, money = (np.asarray(x) for x in LAWS[law])
    names = [f"m{k}" for k in range(len(quality))]
    ones = np.ones((3, len(names)))
    base = environments.replay(write(tmp_path / "a.csv", names, ones, ones), cost_scale=1)
    truth = best_mix(quality, cost, money) - quality[cost <= money].max()
    number, held = 300, 0
    for seed in range(number):
        rng = np.random.default_rng(seed)
        score = scores(quality, 300, rng)
        paid = cost * rng.uniform(0.5, 1.5, score.shape)
        log = dataclasses.replace(
            base, score=jnp.asarray(score.T, jnp.float32),
            scaled_cost=jnp.asarray(paid.T, jnp.float32), mean_reward=score.mean(axis=0),
            mean_cost=paid.mean(axis=0),
        )  # fmt: skip
        _, found = judged(log, max_cost=float(money))
        held += found.gain.low <= truth <= found.gain.high
    assert held >= stats.binom.ppf(FALSE_ALARM, number, resample.LEVEL)


def test_the_promise_holds_the_error_of_the_log(tmp_path):
    """60 logs of 100 queries against what C2MAB-V has on 20,000 queries of the same law.

    95 % of the promises hold it, but for chance of 1e-6; of the intervals over runs alone,
    which know nothing of the log's error, far fewer do.
    """
    rng = np.random.default_rng(5)
    names, quality, cost = ("a", "b"), (0.55, 0.8), (0.2, 0.5)
    ones = np.ones((3, 2))
    base = environments.replay(write(tmp_path / "a.csv", names, ones, ones), cost_scale=1)

    def had(rows):
        score = scores(quality, rows, rng)
        paid = np.tile(cost, (rows, 1))
        log = dataclasses.replace(
            base, score=jnp.asarray(score.T, jnp.float32),
            scaled_cost=jnp.asarray(paid.T, jnp.float32), mean_reward=score.mean(axis=0),
            mean_cost=paid.mean(axis=0),
        )  # fmt: skip
        done = advice.study(
            log, budgets=[0.5], max_cost=0.5, horizon=400, num_seeds=64, pairs=[(0.3, 0.05)]
        )
        return done.runs[-1]

    truth = had(20_000).quality[-1]
    runs = [had(100) for _ in range(60)]
    held = sum(run.quality_promise[0] <= truth <= run.quality_promise[1] for run in runs)
    alone = sum(np.abs(run.quality_interval[-1] - truth).sum() <= np.ptp(run.quality_interval[-1])
                + 1e-12 for run in runs)  # fmt: skip
    assert held >= stats.binom.ppf(FALSE_ALARM, 60, 0.95)
    assert alone < 40


def test_rows_that_all_agree_are_not_certain():
    low, high = resample.with_log(1.0, 0.0, np.ones(1000), rows=2, most=1.0)
    assert low < 0.4 and high == 1
    low, high = resample.with_log(1.0, 0.0, np.ones(1000), rows=3000, most=1.0)
    assert 0.997 < low < 1 and high == 1
    # Many rows and no such luck: the usual interval, by hand.
    rng = np.random.default_rng(0)
    values = rng.normal(0.7, 0.01, 5000)
    low, high = resample.with_log(0.7, 0.005, values, rows=2000, most=1.0)
    assert (high - low) / 2 == pytest.approx(np.hypot(0.005, 1.96 * values.std()), rel=0.05)


def test_rows_in_groups_vary_as_rows_do(tmp_path, monkeypatch):
    rng = np.random.default_rng(6)
    score = scores((0.6, 0.8), 4000, rng)
    path = write(tmp_path / "a.csv", ("a", "b"), score, priced((0.001, 0.01), 4000, rng))
    log = environments.replay(path)
    spreads = []
    for most in (4096, 400):
        monkeypatch.setattr(resample, "MOST_GROUPS", most)
        problem = advice.pose(log, "SUC", 1)
        spreads.append(resample.resample(log, problem, advice.known_sets(log, problem)))
    for one in spreads:
        np.testing.assert_allclose(one.quality[0], score.mean(axis=0), atol=1e-6)
        truth = score.std(axis=0) / np.sqrt(4000)
        np.testing.assert_allclose(one.quality[1:].std(axis=0), truth, rtol=0.15)


def test_answers_drawn_from_means_are_reweighted_by_model(tmp_path):
    """A log in which every query went to one model: errors are those of its own answers."""
    rng = np.random.default_rng(7)
    path, counts = tmp_path / "spend.csv", {"a": 400, "b": 100}
    lines = ["query_id,model,score,cost_usd"]
    for name, count in counts.items():
        lines += [f"{name}{i},{name},{int(rng.random() < 0.7)},0.00{len(lines) % 3 + 1}"
                  for i in range(count)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    log = environments.replay(path, from_means=True)
    problem = advice.pose(log, "AIC", 2)
    known = advice.known_sets(log, problem)
    got = resample.resample(log, problem, known)
    frame = pd.read_csv(path).groupby("model").score
    mean, error = frame.mean(), frame.sem()
    assert got.quality[0] == pytest.approx([mean["a"] * mean["b"]], abs=1e-6)
    spread = np.hypot(mean["a"] * error["b"], mean["b"] * error["a"])
    assert got.quality[1:, 0].std() == pytest.approx(spread, rel=0.15)


# --- figure, progress --------------------------------------------------------------------


def test_names_stay_inside_the_axes(tmp_path):
    rng = np.random.default_rng(8)
    names = [f"a-vendor-with-a-long-name/model-number-{k}-{'x' * 40}" for k in range(10)]
    quality = np.array([0.3, 0.31, 0.32, 0.6, 0.9, 0.9, 0.9, 0.3, 0.5, 0.89])
    cost = [0.0001, 0.0001, 0.00011, 0.001, 0.01, 0.0099, 0.0098, 0.01, 0.0002, 0.01]
    path = write(tmp_path / "a.csv", names, scores(quality, 300, rng), priced(cost, 300, rng))
    done = advice.study(
        environments.replay(path), "SUC", "0.0005:0.01:3", horizon=100, num_seeds=2,
        pairs=[(0.3, 0.05)],
    )  # fmt: skip
    drawing = pictures.quality_against_cost(done, advice.recommend(done))
    drawing.draw_without_rendering()
    ax = drawing.axes[0]
    frame = ax.get_window_extent()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == len(names)
    for box in boxes:
        assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= box.y0 and box.y1 <= frame.y1 + 1


def test_how_long_is_said_before(dominated, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(play, "WORTH_SAYING", 0.0)
    options = ["--horizon", "300", "--seeds", "16", "--out", str(tmp_path / "out")]
    assert run_command(["advise", "--log", str(dominated), *options]) == 0
    assert "budgets: about" in capsys.readouterr().err


def test_every_verdict_can_be_said(dominated):
    """Every kind of aim and verdict has its words."""
    done = advice.study(
        environments.replay(dominated), horizon=200, num_seeds=2, pairs=[(0.3, 0.05)]
    )
    for kind in ("bend", "straight", "edge", "target", "max-cost"):
        for found in ("fixed", "mix", "unclear"):
            other = dataclasses.replace(
                done,
                aim=done.aim._replace(kind=kind, asked=0.9 if "-" in kind or "t" in kind else None),
                verdict=dataclasses.replace(done.verdict, kind=found),
            )
            text = "\n".join(spoken.spoken(other, advice.recommend(other)))
            assert "nan" not in text and "None" not in text and "budget of" in text
