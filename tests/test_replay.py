"""Replay of logs: whole rows, exact truth, and one clear line for every malformed file."""

import csv
import itertools
import json
import math
import random
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from c2mabv_jax import environments
from c2mabv_jax.array import streams
from c2mabv_jax.environments.logs import LogError, read_log

REAL = Path(__file__).parent.parent.parent / "shared/data/routerbench_sub/routerbench_sub.csv"
MODELS = ("gpt", "llama|7b", "qwen")
FALSE_ALARM = 1e-6


@pytest.fixture(scope="module")
def real():
    if not REAL.exists():
        pytest.skip(f"the real log is not at {REAL}")
    return environments.replay(REAL)


def table(num_rows: int = 40, seed: int = 0):
    """Rows (query, group, scores, costs) of a small log."""
    rng = np.random.default_rng(seed)
    score = rng.choice([0, 0.25, 1], (num_rows, 3))
    cost = rng.uniform(0, 0.01, (num_rows, 3)) * [1, 0.1, 0.5]
    return [(f"q{i}", "ab"[i % 2], score[i].tolist(), cost[i].tolist()) for i in range(num_rows)]


def as_wide(rows, unit: str = "_usd") -> list[list]:
    header = ["query_id", "group", *(f"score|{m}" for m in MODELS)]
    header += [f"cost{unit}|{m}" for m in MODELS]
    return [header, *([q, g, *s, *c] for q, g, s, c in rows)]


def as_long(rows, unit: str = "_usd") -> list[list]:
    lines = [["prompt_id", "Model", "score", f"cost{unit}", "task"]]
    for q, g, s, c in rows:
        lines += [[q, m, s[k], c[k], g] for k, m in enumerate(MODELS)]
    return lines


def write(path: Path, lines) -> Path:
    if path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        columns = zip(*lines[1:], strict=True)
        pq.write_table(pa.table(dict(zip(lines[0], map(list, columns), strict=True))), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(lines)
    return path


def make_keys(num: int) -> jax.Array:
    return streams.run_keys(jax.random.key(3), jnp.arange(num))


def message(call) -> str:
    with pytest.raises(LogError) as caught:
        call()
    text = str(caught.value)
    assert text and "\n" not in text and "\r" not in text
    return text


# Replaying


def test_every_form_of_a_log_is_the_same_environment(tmp_path):
    rows = table()
    made = [
        environments.replay(write(tmp_path / name, form(rows)))
        for name, form in itertools.product(("log.csv", "log.parquet"), (as_wide, as_long))
    ]
    first = made[0]
    assert first.names == MODELS and first.cost_unit == "USD/query"
    np.testing.assert_allclose(first.score.T, [r[2] for r in rows])
    money = np.asarray(first.scaled_cost).T * first.cost_scale
    np.testing.assert_allclose(money, [r[3] for r in rows], rtol=1e-6)  # float32
    np.testing.assert_allclose(first.mean_reward, np.mean([r[2] for r in rows], axis=0))
    money = first.mean_cost * first.cost_scale
    np.testing.assert_allclose(money, np.mean([r[3] for r in rows], axis=0))
    for other in made[1:]:
        for name in ("score", "scaled_cost", "mean_reward", "mean_cost"):
            np.testing.assert_array_equal(getattr(other, name), getattr(first, name))
        assert other.names == first.names and other.cost_unit == first.cost_unit
        assert other.log_report.groups == (("a", 20), ("b", 20))
        assert other.log_report.rows_kept == 40


@pytest.mark.parametrize("order", ["shuffled", "permuted", "logged"])
def test_whole_rows_are_replayed(tmp_path, order):
    environment = environments.replay(write(tmp_path / "log.csv", as_wide(table())), order=order)
    score, cost = np.asarray(environment.score), np.asarray(environment.scaled_cost)
    logged = {(tuple(s), tuple(c)) for s, c in zip(score.T, cost.T, strict=True)}
    keys = make_keys(200)
    for t in (1, 2, 41):
        outcome = environment.sample(keys, t)
        assert outcome.reward.shape == outcome.cost.shape == (3, 200)
        drawn = zip(np.asarray(outcome.reward).T, np.asarray(outcome.cost).T, strict=True)
        assert {(tuple(s), tuple(c)) for s, c in drawn} <= logged
        if order != "shuffled":
            np.testing.assert_array_equal(outcome.reward[:, 7], score[:, (t - 1) % 40])
    one = environment.sample(keys[5], 41)
    np.testing.assert_array_equal(one.reward, outcome.reward[:, 5])
    np.testing.assert_array_equal(one.cost, outcome.cost[:, 5])


def test_permutation_keeps_rows_and_follows_its_seed(tmp_path):
    path = write(tmp_path / "log.csv", as_wide(table()))
    logged = environments.replay(path, order="logged")
    first, again, other = (
        np.asarray(environments.replay(path, order="permuted", seed=s).scaled_cost)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.sort(first, axis=1), np.sort(logged.scaled_cost, axis=1))


def test_shuffled_rows_are_uniform(tmp_path):
    environment = environments.replay(write(tmp_path / "log.csv", as_wide(table())))
    row = np.asarray(environment.row(make_keys(100_000), 1))
    assert row.min() >= 0 and row.max() <= 39
    assert stats.chisquare(np.bincount(row, minlength=40)).pvalue > FALSE_ALARM


def test_largest_uniform_stays_in_range():
    """(1 - 2^-23) R in float32 never reaches beyond the last row, for any R up to 2^23."""
    largest = np.float32(1) - np.float32(2**-23)
    for rows in (1, 2, 3, 3164, 2**20 - 1, 2**22 + 1, 2**23 - 1, 2**23):
        assert min(int(largest * np.float32(rows)), rows - 1) == rows - 1


def test_graded_and_binary_scores(tmp_path):
    graded = environments.replay(write(tmp_path / "log.csv", as_wide(table())))
    assert not graded.binary_reward
    rows = [(q, g, [float(x == 1) for x in s], c) for q, g, s, c in table()]
    assert environments.replay(write(tmp_path / "log.csv", as_wide(rows))).binary_reward


@pytest.mark.parametrize("model", ["AWC", "AIC", "SUC"])
def test_set_rewards_by_brute_force(tmp_path, model):
    rows = table()
    environment = environments.replay(write(tmp_path / "log.csv", as_wide(rows)))
    assert environment.dependent
    truth = environment.set_reward_table(model)
    score = np.array([r[2] for r in rows])
    for code in range(8):
        chosen = score[:, [k for k in range(3) if code >> k & 1]]
        value = {
            "AWC": 1 - np.prod(1 - chosen, axis=1),
            "AIC": np.prod(chosen, axis=1),
            "SUC": chosen.sum(axis=1),
        }[model]
        assert truth[code] == pytest.approx(value.mean(), abs=1e-12)


def test_models_and_groups(tmp_path):
    path = write(tmp_path / "log.csv", as_wide(table()))
    part = environments.replay(path, models=["qwen", "gpt"], group="b")
    assert part.names == ("qwen", "gpt") and part.num_rows == 20
    report = part.log_report
    assert report.other_models == ("llama|7b",) and report.rows_other_group == 20
    full = environments.replay(path)
    np.testing.assert_array_equal(part.score[1], full.score[0, 1::2])
    assert environments.replay(path, group=["a", "b"]).num_rows == 40
    assert environments.replay(path, cost_scale=1.0).cost_scale == 1.0


@pytest.mark.parametrize("form", [as_wide, as_long])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_missing_cells(tmp_path, form, suffix):
    rows = table()
    rows[4][2][1] = None  # a score
    rows[9][3][0] = None  # a cost
    rows[9][2][0] = None
    path = write(tmp_path / f"log{suffix}", form(rows))
    environment = environments.replay(path)
    report = environment.log_report
    assert (report.rows_read, report.rows_kept, report.rows_missing) == (40, 38, 2)
    assert report.missing_cells == 3
    assert environments.replay(path, models=["qwen"]).num_rows == 40
    assert "'q4'" in message(lambda: environments.replay(path, on_missing="error"))


def test_long_log_without_some_lines(tmp_path):
    lines = as_long(table())
    del lines[5]
    report = environments.replay(write(tmp_path / "log.csv", lines)).log_report
    assert report.rows_missing == 1 and report.missing_cells == 2


def test_repeated_lines(tmp_path):
    lines = as_long(table())
    same = environments.replay(write(tmp_path / "log.csv", [*lines, lines[1]]))
    assert same.log_report.duplicate_cells == 1 and same.num_rows == 40
    other = [*lines[1][:2], 1 - lines[1][2], *lines[1][3:]]
    text = message(lambda: environments.replay(write(tmp_path / "log.csv", [*lines, other])))
    assert "line 122" in text and "occur twice" in text


def test_units(tmp_path):
    for unit, expected in (("", "cost/query"), ("_usd", "USD/query"), ("_cny", "CNY/query")):
        for form in (as_wide, as_long):
            path = write(tmp_path / "log.csv", form(table(), unit))
            assert environments.replay(path).cost_unit == expected
    assert environments.replay(path, cost_unit="EUR/query").cost_unit == "EUR/query"


def test_free_models(tmp_path):
    rows = [(q, g, s, [0.0] * 3) for q, g, s, _ in table()]
    environment = environments.replay(write(tmp_path / "log.csv", as_wide(rows)))
    assert environment.cost_scale == 1.0 and not np.any(environment.scaled_cost)


def test_describe_is_json(tmp_path):
    environment = environments.replay(write(tmp_path / "log.csv", as_wide(table())))
    described = environment.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["log"]["rows_kept"] == 40
    hash(jax.tree.structure(environment))  # static fields serve as a compilation key


# The real log


def test_real_log(real):
    report = real.log_report
    assert (report.rows_read, report.rows_kept, real.num_arms) == (3164, 3164, 11)
    assert dict(report.groups) == {"arc-challenge": 1470, "winogrande": 1267, "mbpp": 427}
    data = np.load(REAL.with_suffix(".npz"), allow_pickle=False)
    assert real.names == tuple(data["models"]) and real.binary_reward
    np.testing.assert_array_equal(np.asarray(real.score).T, data["score"])
    np.testing.assert_allclose(real.mean_cost * real.cost_scale, data["cost"].mean(axis=0))
    wins, fails = real.set_reward_table("AIC"), 1 - real.set_reward_table("AWC")
    score = data["score"].astype(float)
    rng = np.random.default_rng(0)
    for code in rng.integers(1, 2**11, 50):
        chosen = score[:, [k for k in range(11) if code >> k & 1]]
        assert wins[code] == pytest.approx(chosen.min(axis=1).mean(), abs=1e-12)
        assert fails[code] == pytest.approx(1 - chosen.max(axis=1).mean(), abs=1e-12)


def test_real_log_is_not_independent(real):
    """Drawing models independently would overstate any-win and understate all-in."""
    every = 2**11 - 1
    assert real.set_reward_table("AWC")[every] < 1 - np.prod(1 - real.mean_reward)
    assert real.set_reward_table("AIC")[every] > np.prod(real.mean_reward)


def test_real_log_sampled_means(real):
    outcome = jax.jit(lambda e, k: e.sample(k, 1))(real, make_keys(1 << 16))
    limit = stats.norm.isf(FALSE_ALARM / 44)
    for sample, mean in ((outcome.reward, real.mean_reward), (outcome.cost, real.mean_cost)):
        sample = np.asarray(sample, np.float64)
        error = sample.std(axis=1) / math.sqrt(sample.shape[1])
        np.testing.assert_array_less(np.abs(sample.mean(axis=1) - mean), limit * error + 1e-7)


# Malformed files

WIDE = "query_id,group,score|a,score|b,cost|a,cost|b\n"
LONG = "query,model,score,cost\n"
MALFORMED = {
    "empty": ("", "empty file"),
    "blank lines": ("\n\n", "empty file"),
    "header only": (WIDE, "no rows"),
    "long header only": (LONG, "no rows"),
    "no columns": ("x,y\n1,2\n", "no column 'query'"),
    "no cost": ("score|a,score|b,cost|a\n1,1,1\n", "model 'b' has a score but no cost"),
    "no score": ("score|a,cost|a,cost|b\n1,1,1\n", "model 'b' has a cost but no score"),
    "twice in header": (WIDE.replace("score|b", "score|a") + "q,g,1,1,1,1\n", "twice"),
    "two units": ("score|a,score|b,cost_usd|a,cost_cny|b\n1,1,1,1\n", "several units"),
    "no number of its own": (WIDE + "q,g,1,nan,1,1\n", "no row is complete"),
    "infinite cost": (WIDE + "q,g,1,1,inf,1\n", "line 2, column 'cost|a'"),
    "negative cost": (WIDE + "q,g,1,1,-1,1\n", "0 or more"),
    "score above 1": (WIDE + "q,g,1,85,1,1\n", "[0, 1]"),
    "score below 0": (WIDE + "q,g,1,-0.1,1,1\n", "[0, 1]"),
    "words": (WIDE + "q,g,1,yes,1,1\n", "'yes' is not a number"),
    "underscore": (WIDE + "q,g,1,1,1_0,1\n", "'1_0' is not a number"),
    "few fields": (WIDE + "q,g,1,1,1\n", "5 fields"),
    "many fields": (WIDE + "q,g,1,1,1,1,1\n", "7 fields"),
    "open quote": (WIDE + 'q,"g,1,1,1,1\n', "CSV"),
    "stray quote": (WIDE + '"q"x,g,1,1,1,1\n', "CSV"),
    "all missing": (WIDE + "q,g,1,,1,1\n", "no row is complete"),
    "nameless model": (LONG + "q,,1,1\n", "column 'model'"),
    "nameless query": (LONG + ",a,1,1\n", "column 'query'"),
    "ids that begin anew": (
        "query,model,score,cost,group\nq,a,1,1,g\nq,b,1,1,h\n",
        "2 have 1 of 2",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_text(tmp_path, case):
    content, words = MALFORMED[case]
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    text = message(lambda: environments.replay(path))
    assert words in text and "bad.csv" in text and len(text) < 500


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"PAR1junkPAR1", b"\x00" * 9, b"\x80,\n"])
def test_binary_junk(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    assert "bad" in message(lambda: environments.replay(path))


def test_latin_1_deep_in_a_file(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes((WIDE + "q,g,1,1,1,1\n" * 3).encode() + "é,g,1,1,1,1\n".encode("latin-1"))
    assert "UTF-8" in message(lambda: environments.replay(path))


def test_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(WIDE + "q,g,1,1,1,1\n", encoding="utf-8-sig")
    assert environments.replay(path).names == ("a", "b")


def test_bad_paths_and_options(tmp_path):
    path = write(tmp_path / "log.csv", as_wide(table()))
    replay = environments.replay
    assert "No such file" in message(lambda: replay(tmp_path / "absent.csv"))
    assert "absent" in message(lambda: replay(tmp_path / "absent.parquet"))
    message(lambda: replay(tmp_path))
    message(lambda: replay("log\0.csv"))
    message(lambda: replay(None))
    assert "did you mean 'qwen'" in message(lambda: replay(path, models=["qwne"]))
    assert "it has" in message(lambda: replay(path, models=["zzz"]))
    assert "twice" in message(lambda: replay(path, models=["qwen", "qwen"]))
    assert "none chosen" in message(lambda: replay(path, models=[]))
    assert "it has 'a', 'b'" in message(lambda: replay(path, group="zzz"))
    assert "order" in message(lambda: replay(path, order="random"))
    assert "on_missing" in message(lambda: replay(path, on_missing="zero"))
    for scale in (0, -1, math.nan, math.inf, 1e-9, "x"):
        assert "cost_scale" in message(lambda scale=scale: replay(path, cost_scale=scale))
    no_group = [[*line[:1], *line[2:]] for line in as_wide(table())]
    path = write(tmp_path / "plain.csv", no_group)
    assert "no column 'group'" in message(lambda: replay(path, group="a"))


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "log.parquet", as_wide(table()))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert "pip install c2mabv_jax[logs]" in message(lambda: environments.replay(path))


def parses_or_fails_clearly(path: Path) -> None:
    try:
        log = read_log(path)
    except LogError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert np.isfinite(log.score).all() and np.isfinite(log.cost).all()
    assert ((log.score >= 0) & (log.score <= 1)).all()
    # Far dearer answers may lie above the scale; they stay finite.
    assert np.isfinite(log.cost).all() and log.report.cost_scale > 0


quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
cells = st.sampled_from(
    [
        "",
        "0",
        "1",
        "0.5",
        "nan",
        "-1",
        "1e999",
        "1e-320",
        "2",
        '"',
        "\0",
        "\r",
        "\n",
        "é",
        "a",
        " 1",
    ]
)


@quick
@given(
    header=st.sampled_from([WIDE, LONG, WIDE.upper(), "\n" + LONG, "score|,cost|\n", "a\n"]),
    rows=st.lists(st.lists(cells, max_size=7), max_size=4),
    tail=st.binary(max_size=8),
)
def test_fuzzed_tables(tmp_path, header, rows, tail):
    path = tmp_path / "fuzz.csv"
    path.write_bytes((header + "\n".join(map(",".join, rows))).encode() + tail)
    parses_or_fails_clearly(path)


@quick
@given(
    seed=st.integers(0, 2**32), changes=st.integers(1, 6), name=st.sampled_from(["csv", "parquet"])
)
def test_fuzzed_bytes(tmp_path, seed, changes, name):
    """A good file with some bytes changed, or cut short."""
    good = tmp_path / f"good.{name}"
    if not good.exists():
        write(good, as_wide(table(6)))
    rng = random.Random(seed)
    content = bytearray(good.read_bytes())
    for _ in range(changes):
        content[rng.randrange(len(content))] = rng.randrange(256)
    if rng.random() < 0.3:
        content = content[: rng.randrange(len(content))]
    path = tmp_path / f"fuzz.{name}"
    path.write_bytes(content)
    parses_or_fails_clearly(path)


def test_costs_of_extreme_size(tmp_path):
    for cost in ("1e308", "1e-320"):
        path = tmp_path / "log.csv"
        path.write_text(WIDE + f"q,g,1,1,{cost},0\n")
        environment = environments.replay(path)
        json.dumps(environment.describe(), allow_nan=False)
        np.testing.assert_array_equal(environment.scaled_cost, [[1], [0]])
