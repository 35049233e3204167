"""Logs as people have them: every form that was met, against numbers computed by pandas."""

import gzip
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from c2mabv_jax import environments
from c2mabv_jax.environments.logs import LogError, read_log

MODELS = ["gpt-4", "meta/llama-2", "qwen"]


@pytest.fixture
def long() -> pd.DataFrame:
    """60 queries x 3 models, one line an answer."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        [(f"q{i}", "ab"[i % 2], m) for i in range(60) for m in MODELS],
        columns=["query_id", "group", "model"],
    )
    frame["score"] = rng.integers(0, 2, len(frame))
    frame["cost"] = rng.uniform(0.001, 0.01, len(frame)).round(6)
    return frame


def pivoted(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    return frame.pivot(index="query_id", columns="model", values=value)


def means(frame: pd.DataFrame, value: str, names) -> np.ndarray:
    return frame.groupby("model")[value].mean()[list(names)].to_numpy()


def check(path, frame: pd.DataFrame, **options):
    """The log at `path` says what `frame` says."""
    made = environments.replay(path, **options)
    assert set(made.names) == set(frame["model"])
    np.testing.assert_allclose(made.mean_reward, means(frame, "score", made.names))
    money = made.mean_cost * made.cost_scale
    np.testing.assert_allclose(money, means(frame, "cost", made.names))
    return made


def complaint(call, *words: str) -> str:
    with pytest.raises(LogError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 700
    for word in words:
        assert word in text, text
    return text


def csv_of(path, text: str, **how):
    path.write_text(text, **how)
    return path


# Which column means what


def test_ids_come_before_texts(tmp_path):
    rows = "hi,1,a,1,.1\nhi,1,b,1,.2\nhi,2,a,1,.1\nhi,2,b,1,.2\nyo,3,a,0,.1\nyo,3,b,0,.2\n"
    path = csv_of(tmp_path / "log.csv", "query,query_id,model,score,cost\n" + rows)
    made = environments.replay(path)
    assert made.num_rows == 3 and made.log_report.duplicate_cells == 0
    np.testing.assert_allclose(made.mean_reward, [2 / 3, 2 / 3])
    by_text = environments.replay(path, columns="query=query")
    assert by_text.num_rows == 2 and by_text.log_report.duplicate_cells == 2
    assert any("2 lines repeat another one" in note for note in by_text.log_report.notes)
    assert ("query", "query_id") in made.log_report.read_as


@pytest.mark.parametrize(
    ("columns", "cost"),
    [
        (["cost_input", "cost_output"], [0.1, 0.2]),
        (["output_cost", "input_cost"], [0.1, 0.2]),
        (["input_cost_usd", "output_cost_usd"], [0.1, 0.2]),
        (["inputCost", "Output Cost"], [0.1, 0.2]),
        (["prompt_cost", "completion_cost"], [0.1, 0.2]),
        (["cost_prompt", "cost_total"], [0.0, 0.3]),
        (["price", "cost_usd"], [0.0, 0.3]),
        (["cost_ms", "cost_usd"], [0.0, 0.3]),
        (["usd_cost", "latency"], [0.3, 0.0]),
        (["total_cost", "cost_input"], [0.3, 0.0]),
    ],
)
def test_the_cost_is_the_whole_cost(tmp_path, columns, cost):
    """The parts of a cost are added; list prices and milliseconds are not taken for it."""
    used = np.array(cost) > 0
    frame = pd.DataFrame({"query": ["p", "p"], "model": ["a", "b"], "score": [1, 0]})
    for name, use, amount in zip(columns, used, cost, strict=True):
        frame[name] = [amount, 2 * amount] if use else [7.0, 9.0]
    frame.to_csv(tmp_path / "log.csv", index=False)
    made = environments.replay(tmp_path / "log.csv")
    np.testing.assert_allclose(made.mean_cost * made.cost_scale, [0.3, 0.6])


@pytest.mark.parametrize(
    ("header", "names", "option"),
    [
        ("query,model,score,accuracy,cost", ["'score'", "'accuracy'"], "score=score"),
        ("query,model,score,cost,total_cost", ["'cost'", "'total_cost'"], "cost=cost"),
        ("query,model,score,cost_usd,cost_eur", ["'cost_usd'", "'cost_eur'"], "cost=cost_usd"),
        ("query,prompt,model,score,cost", ["'query'", "'prompt'"], "query=query"),
        ("query,model_name,llm,score,cost", ["'model_name'", "'llm'"], "model=model_name"),
        ("query,task,dataset,model,score,cost", ["'task'", "'dataset'"], "group=task"),
    ],
)
def test_two_columns_of_one_meaning_are_named(tmp_path, header, names, option):
    values = {"model": "a", "score": "1", "accuracy": "0"}
    names_in_order = header.split(",")
    row = ",".join(values.get(name, ".5") for name in names_in_order)
    path = csv_of(tmp_path / "log.csv", f"{header}\n{row}\n")
    complaint(lambda: environments.replay(path), *names, f"--columns {option}")
    made = environments.replay(path, columns=option)
    assert (made.num_rows, made.mean_reward.tolist()) == (1, [1])


def test_columns_by_hand(tmp_path, long):
    """Names that mean nothing, a sum, a comma in a name; and what a wrong choice is told."""
    renamed = long.rename(columns={"query_id": "k", "model": "who", "score": "right, or not"})
    renamed["in"], renamed["out"] = long["cost"] / 4, long["cost"] * 3 / 4
    path = tmp_path / "log.csv"
    renamed.drop(columns="cost").to_csv(path, index=False)
    check(path, long, columns='query=k,model=who,"score=right, or not",cost=in+out')
    check(path, long, columns={"query": "k", "model": "who", "score": "right, or not",
                               "cost": "in + out"})  # fmt: skip
    replay = environments.replay
    complaint(lambda: replay(path), "no column 'query'", "--columns query=...", "'who'")
    complaint(lambda: replay(path, columns="query=zz"), "'zz'", "it has 'k'")
    complaint(lambda: replay(path, columns="quality=k"), "meaning", "score")
    complaint(lambda: replay(path, columns="k"), "score=NAME")


def test_words_of_a_wide_log_by_hand(tmp_path):
    text = "id,accuracy|a,f1|a,score|a,cost|a\n1,1,0.5,0,.1\n"
    path = csv_of(tmp_path / "log.csv", text)
    complaint(lambda: environments.replay(path), "'accuracy|a'", "--columns score=accuracy")
    for word, score in (("f1", 0.5), ("accuracy", 1)):
        made = environments.replay(path, columns=f"score={word}")
        assert made.mean_reward.tolist() == [score] and made.names == ("a",)
        assert ("score", f"{word}|MODEL") in made.log_report.read_as


def test_half_of_a_cost_is_not_taken_for_it(tmp_path):
    path = csv_of(tmp_path / "log.csv", "query,model,score,input_cost\np,a,1,.1\n")
    complaint(lambda: environments.replay(path), "'input_cost'", "part", "cost=input_cost")
    assert environments.replay(path, columns="cost=input_cost").num_rows == 1


def test_an_id_that_numbers_the_rows_identifies_no_query(tmp_path, long):
    numbered = long.rename(columns={"query_id": "prompt"})
    numbered.insert(0, "id", range(len(numbered)))
    numbered.to_csv(tmp_path / "log.csv", index=False)
    assert check(tmp_path / "log.csv", long).num_rows == 60


def test_ids_that_begin_anew_in_every_group(tmp_path, long):
    long["query_id"] = long.groupby(["group", "model"]).cumcount()
    long.to_csv(tmp_path / "log.csv", index=False)
    made = check(tmp_path / "log.csv", long)
    assert made.num_rows == 60 and made.log_report.groups == (("a", 30), ("b", 30))


# Wide forms as published


def wide(frame: pd.DataFrame, score: str, cost: str, first=("query_id", "group")) -> pd.DataFrame:
    """A row per query, columns named by patterns of M."""
    made = frame[list(first)].drop_duplicates().reset_index(drop=True)
    for value, pattern in (("score", score), ("cost", cost)):
        table = pivoted(frame, value).loc[made["query_id"]]
        for model in MODELS:
            made[pattern.replace("M", model)] = table[model].to_numpy()
    return made


@pytest.mark.parametrize(
    ("score", "cost"),
    [
        ("score|M", "cost_usd|M"),
        ("Score|M", "total_cost|M"),
        ("score | M", "cost | M"),
        ("M", "M|total_cost"),
        ("M|score", "M|cost"),
        ("M", "M_cost"),
        ("M_score", "M_total_cost"),
        ("score_M", "cost_M"),
        ("accuracy|M", "spend|M"),
    ],
)
def test_wide_forms(tmp_path, long, score, cost):
    made = wide(long, score, cost)
    for model in MODELS:
        made[f"{model}|model_response"] = "score 1, cost 2"
        made[f"{model}_answer"] = "No"
    made["oracle_model_to_route_to"] = MODELS[0]
    made.to_csv(tmp_path / "log.csv", index=False)
    found = check(tmp_path / "log.csv", long)
    assert found.names == tuple(MODELS) and found.log_report.form == "wide"
    assert found.log_report.groups == (("a", 30), ("b", 30))


@pytest.mark.parametrize("score", ["accuracy", "effect", "isCorrect", "reward", "Score"])
@pytest.mark.parametrize("cost", ["spend", "total_cost", "cost_usd", "Cost"])
@pytest.mark.parametrize("query", ["request_id", "doc_id", "sample_id", "prompt", "queryId"])
def test_names_that_are_in_use(tmp_path, long, score, cost, query):
    names = {"score": score, "cost": cost, "query_id": query, "group": "eval_name"}
    long.rename(columns=names).to_csv(tmp_path / "log.csv", index=False)
    assert check(tmp_path / "log.csv", long).num_rows == 60


def test_a_task_may_be_a_group_or_a_query(tmp_path, long):
    """`task_id` under which a model answers many queries is a group of them; else a query."""
    as_group = long.rename(columns={"query_id": "query", "model": "llm", "group": "task_id"})
    as_group.to_csv(tmp_path / "log.csv", index=False)
    made = check(tmp_path / "log.csv", long)
    assert made.num_rows == 60 and made.log_report.groups == (("a", 30), ("b", 30))
    as_query = long.rename(columns={"query_id": "task_id"}).assign(prompt="write a function")
    as_query.to_csv(tmp_path / "log.csv", index=False)
    assert check(tmp_path / "log.csv", long).num_rows == 60


# Values and files


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("True", 1),
        ("false", 0),
        ("85%", 0.85),
        ("1.0000000000000002", 1),
        ("-1e-17", 0),
        ("1e-2", 0.01),
    ],
)
def test_scores(tmp_path, cell, value):
    path = csv_of(tmp_path / "log.csv", f"query,model,score,cost\np,a,{cell},1\n")
    assert environments.replay(path).mean_reward.tolist() == [value]


@pytest.mark.parametrize(
    ("cell", "value", "unit"),
    [("$0.005", 0.005, "USD"), ("€ 2", 2, "EUR"), ("1e-6", 1e-6, "cost"), ("0", 0, "cost")],
)
def test_costs(tmp_path, cell, value, unit):
    path = csv_of(tmp_path / "log.csv", f"query,model,score,cost\np,a,1,{cell}\n")
    made = environments.replay(path)
    assert made.mean_cost[0] * made.cost_scale == pytest.approx(value)
    assert made.cost_unit == f"{unit}/query"


@pytest.mark.parametrize("cell", ["", "NaN", "#N/A", "<NA>", "-", "n/a", "None", "null"])
def test_missing_values(tmp_path, cell):
    text = f"query,model,score,cost\np,a,1,1\np,b,1,1\nr,a,{cell},1\nr,b,1,1\n"
    made = environments.replay(csv_of(tmp_path / "log.csv", text))
    assert (made.num_rows, made.log_report.missing_cells) == (1, 1)


@pytest.mark.parametrize(
    ("score", "cost", "words"),
    [
        ("85", "1", "divide by"),
        ("1", "$1", "currencies"),
        ("1", '"1,5"', "decimal point"),
        ("1", "5%", "not a number"),
        ("1", "-2", "0 or more"),
        ("1", "inf", "finite"),
    ],
)
def test_values_that_are_refused(tmp_path, score, cost, words):
    text = f"query,model,score,cost\np,a,1,€1\nr,a,{score},{cost}\n"
    complaint(lambda: environments.replay(csv_of(tmp_path / "log.csv", text)), words)


def test_a_currency_that_the_column_denies(tmp_path):
    path = csv_of(tmp_path / "log.csv", "query,model,score,cost_eur\np,a,1,$1\n")
    complaint(lambda: environments.replay(path), "USD", "eur")


def test_semicolons_and_decimal_commas(tmp_path, long):
    path = tmp_path / "log.csv"
    long.to_csv(path, index=False, sep=";", decimal=",")
    check(path, long)
    path.write_text("sep=;\n" + path.read_text())
    check(path, long)
    mixed = path.read_text() + "z;a;gpt-4;1;0.5\n"
    complaint(lambda: environments.replay(csv_of(path, mixed)), "mixes decimal")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("packed", [False, True])
def test_text_files(tmp_path, long, encoding, separator, packed):
    content = long.to_csv(index=False, sep=separator).encode(encoding)
    path = tmp_path / ("log.csv.gz" if packed else "log.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    check(path, long)


def test_long_answers_are_no_obstacle(tmp_path, long):
    path = tmp_path / "log.csv"
    long.assign(response="x" * 300_000).head(9).to_csv(path, index=False)
    assert environments.replay(path).num_rows == 3


def test_spreadsheets_leave_empty_rows(tmp_path, long):
    path = csv_of(tmp_path / "log.csv", long.to_csv(index=False) + ",,,,\n,,,,\n")
    check(path, long)


@pytest.mark.parametrize("form", ["lines", "array", "nested", "parquet", "packed"])
def test_json_and_parquet(tmp_path, long, form):
    records = long.to_dict("records")
    if form == "nested":
        records = [{"meta": {"model": r.pop("model"), "usage": {"cost": r.pop("cost")}}, **r}
                   for r in records]  # fmt: skip
    path = tmp_path / "log"
    if form == "array":
        path.write_text(json.dumps(records, indent=1))
    elif form == "parquet":
        pytest.importorskip("pyarrow")
        long.to_parquet(path)
    else:
        text = "".join(json.dumps(record) + "\n" for record in records)
        path.write_bytes(gzip.compress(text.encode()) if form == "packed" else text.encode())
    check(path, long)


def test_a_wide_json_object_per_query(tmp_path, long):
    path = tmp_path / "log.jsonl"
    with path.open("w") as stream:
        for query, some in long.groupby("query_id"):
            some = some.set_index("model")
            record = {"scores": some["score"].to_dict(), "costs": some["cost"].to_dict()}
            stream.write(json.dumps({"query_id": query, **record}) + "\n")
    check(path, long)


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(pickle.dumps(Bomb(str(tmp_path / "made"))))
    complaint(lambda: environments.replay(path), "pickle", "read_pickle", "to_csv")
    assert not (tmp_path / "made").exists()
    path.write_bytes(gzip.compress(path.read_bytes()))
    complaint(lambda: environments.replay(path), "pickle")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04" + b"x" * 99, "Excel"),
        (b"BZh9" + b"x" * 99, "bzip2"),
        (b"\x1f\x8b\x08" + b"x" * 99, "gzip"),
        (gzip.compress(b"query,model,score,cost\n" + b"p,a,1,1\n" * 9999)[:-20], "gzip"),
        ("query,model\n".encode("utf-16-le"), "UTF-16"),
        ("queryé,model\n".encode("latin-1"), "iconv"),
        (b"\x00\x01\x02" * 50, "binary"),
        (b'{"data": [{"query": 1}]}', "one JSON object (keys 'data')"),
        (b'{"a": 1}\n{"a": \n', "line 2"),
        (b'{"a": 1}\n[2]\n', "line 2"),
        (b'[{"a": 1}, 3]', "record 2"),
        (b'{"a": 1, "a": 2}\n{}\n', "'a' occurs twice"),
        (b"[" * 100_000 + b"{", "nested too deeply"),
        (b"a|b|c\n1|2|3\n", "'a|b|c'"),
        (b'[{"query": 1, "model": "a", "score": [1], "cost": 2}]', "not a number"),
        (b"query;model;score\np;a;1\n", "semicolons"),
        (b"query,model,score,prompt_tokens,completion_tokens\np,a,1,2,3\n", "--prices"),
    ],
)
def test_what_a_file_looks_like_is_said(tmp_path, content, words):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    complaint(lambda: environments.replay(path), words, "log.csv")


# Few rows, and queries that one model answered


def test_the_model_that_costs_the_rows_is_named(tmp_path, long):
    rare = long[(long["model"] != "qwen") | long["query_id"].isin(["q3", "q7"])]
    path = tmp_path / "log.csv"
    rare.to_csv(path, index=False)
    text = complaint(lambda: environments.replay(path, min_rows=30), "2 of 60", "'qwen' answered 2")
    assert "--models gpt-4,meta/llama-2 keeps 60" in text and "--min-rows 2" in text
    made = environments.replay(path)
    assert made.num_rows == 2
    assert any("--models gpt-4,meta/llama-2" in note for note in made.log_report.notes)
    assert any("few" in note for note in made.log_report.notes)
    kept = rare[rare["model"] != "qwen"]
    assert check(path, kept, models=MODELS[:2], min_rows=30).num_rows == 60


def test_a_large_whole_log_has_no_notes(tmp_path):
    frame = pd.DataFrame({"score|a": [1, 0] * 150, "cost|a": [1.0, 2.0] * 150})
    frame.to_csv(tmp_path / "log.csv", index=False)
    assert environments.replay(tmp_path / "log.csv", min_rows=30).log_report.notes == ()


@pytest.fixture
def spend(long) -> pd.DataFrame:
    """A model a request, as bills and bandits leave it."""
    alone = long.iloc[[3 * i + (i * i) % 3 for i in range(60)]].reset_index(drop=True)
    return alone.rename(columns={"query_id": "request_id"})


def test_a_log_without_common_queries_says_so(tmp_path, spend):
    path = tmp_path / "log.csv"
    spend.to_csv(path, index=False)
    complaint(
        lambda: environments.replay(path),
        "each query needs an answer of every model", "60 have 1 of", "--from-means",
    )  # fmt: skip


def test_from_means_every_model_has_its_own_answers(tmp_path, spend):
    import jax

    from c2mabv_jax.array import streams

    path = tmp_path / "log.csv"
    spend.to_csv(path, index=False)
    made = check(path, spend, from_means=True)
    report = made.log_report
    assert report.from_means and any("--from-means" in note for note in report.notes)
    assert report.rows_of == tuple(spend["model"].value_counts()[list(made.names)])
    assert not made.dependent and "independently" in made.describe()["kind"]
    json.dumps(made.describe())
    keys = streams.run_keys(jax.random.key(1), np.arange(20_000))
    outcome = made.sample(keys, 1)
    reward, cost = (np.asarray(x, float) for x in outcome)
    cost = cost * made.cost_scale
    for k, model in enumerate(made.names):
        own = spend[spend["model"] == model]
        pairs = set(zip(own["score"], own["cost"], strict=True))  # costs of 6 decimals
        assert {(int(x), round(y, 6)) for x, y in zip(reward[k], cost[k], strict=True)} == pairs
        # Five standard errors of 2 means of 3 models: false alarm below 4e-6.
        for got, name in ((reward[k], "score"), (cost[k], "cost")):
            error = got.std() / np.sqrt(got.size)
            assert abs(got.mean() - own[name].mean()) < 5 * error
    # Independent of each other: correlations of 20,000 pairs, five standard errors.
    assert np.abs(np.corrcoef(reward)[np.triu_indices(len(reward), 1)]).max() < 5 / np.sqrt(20_000)
    one = made.sample(keys[7], 1)
    np.testing.assert_array_equal(one.reward, outcome.reward[:, 7])
    complaint(lambda: environments.replay(path, from_means=True, order="logged"), "order")
    complaint(lambda: environments.replay(path, from_means=True, min_rows=30), "--min-rows")


def test_from_means_every_line_is_an_answer_by_itself(tmp_path, spend):
    """Requests without ids, or one prompt put to one model again and again."""
    path = tmp_path / "log.csv"
    for frame in (spend.drop(columns="request_id"), spend.assign(request_id="hi")):
        frame.to_csv(path, index=False)
        made = check(path, spend, from_means=True)
        assert sum(made.log_report.rows_of) == 60
    wrong = spend.drop(columns="model").rename(columns={"score": "x"})
    wrong.to_csv(path, index=False)
    complaint(lambda: environments.replay(path, from_means=True), "no column 'model'")


# Tokens and prices


@pytest.fixture
def tokens(long) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    counts = pd.DataFrame(
        rng.integers(1, 900, (len(long), 2)), columns=["prompt_tokens", "completion_tokens"]
    )
    rate = {"gpt-4": (3e-5, 6e-5), "meta/llama-2": (1e-6, 2e-6), "qwen": (5e-7, 1e-6)}
    per_token = np.array([rate[m] for m in long["model"]])
    return pd.concat([long.drop(columns="cost"), counts], axis=1).assign(
        cost=(counts.to_numpy() * per_token).sum(axis=1)
    )


LITELLM = {
    "sample_spec": {"max_tokens": "set to max output tokens", "mode": "one of chat, embedding"},
    "gpt-4": {"input_cost_per_token": 3e-05, "output_cost_per_token": 6e-05, "mode": "chat"},
    "groq/llama-2": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
    "qwen": {"input_cost_per_token": 5e-07, "output_cost_per_token": 1e-06},
    "an-embedding": {"input_cost_per_token": 1e-07},
}
SCENARIO = """
title = "mine"
[exchange]
CNY = 2.0
[[model]]
name = "gpt-4"
input_price = { value = 30, source = "list", guess = false }
output_price = 60
[[model]]
name = "meta/llama-2"
input_price = 1
output_price = 2
[[model]]
name = "qwen"
currency = "CNY"
input_price = 1
output_price = 2
"""
PER_THOUSAND = """
per = "1K"
[gpt-4]
input_price = 0.03
output_price = 0.06
["meta/llama-2"]
input_price = 0.001
output_price = 0.002
[qwen]
input_cost_per_token = 5e-7
output_cost_per_token = 1e-6
"""


@pytest.mark.parametrize("prices", [json.dumps(LITELLM), SCENARIO, PER_THOUSAND])
def test_tokens_times_prices(tmp_path, tokens, prices):
    path = tmp_path / "log.csv"
    tokens.drop(columns="cost").to_csv(path, index=False)
    made = check(path, tokens, prices=csv_of(tmp_path / "prices", prices))
    assert made.cost_unit == "USD/query"
    assert ("tokens", "prompt_tokens + completion_tokens") in made.log_report.read_as
    with_cost = tokens.assign(cost=99.0)
    with_cost.to_csv(path, index=False)  # whoever gives prices wants them used
    check(path, tokens, prices=tmp_path / "prices")


def test_tokens_of_a_wide_log(tmp_path, tokens):
    made = tokens[["query_id"]].drop_duplicates().reset_index(drop=True)
    for name in ("score", "prompt_tokens", "completion_tokens"):
        table = pivoted(tokens, name).loc[made["query_id"]]
        for model in MODELS:
            made[f"{model}|{name}"] = table[model].to_numpy()
    made.to_csv(tmp_path / "log.csv", index=False)
    check(tmp_path / "log.csv", tokens, prices=csv_of(tmp_path / "p.toml", SCENARIO))


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (json.dumps({"gpt-4": LITELLM["gpt-4"]}), "'meta/llama-2' has no price"),
        (json.dumps({**LITELLM, "x/llama-2": LITELLM["qwen"]}), "has 2 prices"),
        ("{", "not JSON"),
        ("[[", "not TOML"),
        ("title = 'x'", "no model has a price"),
        (SCENARIO.replace("= 60", "= -60"), "output_price = -60"),
        (SCENARIO.replace("[exchange]\nCNY = 2.0", ""), "currency 'CNY' has no rate"),
        ("per = 'page'\n" + PER_THOUSAND.replace('per = "1K"', ""), "per = 'page'"),
        (SCENARIO + SCENARIO[SCENARIO.index("[[model]]") :], "two models"),
    ],
)
def test_prices_that_are_refused(tmp_path, tokens, prices, words):
    from c2mabv_jax import ProblemError

    tokens.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(ProblemError) as caught:
        environments.replay(tmp_path / "log.csv", prices=csv_of(tmp_path / "p.json", prices))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_prices_without_tokens(tmp_path, long):
    long.to_csv(tmp_path / "log.csv", index=False)
    path = csv_of(tmp_path / "p.toml", SCENARIO)
    complaint(lambda: environments.replay(tmp_path / "log.csv", prices=path), "input_tokens")


# The scale of costs


def test_one_dear_answer_does_not_set_the_scale(tmp_path, long):
    path = tmp_path / "log.csv"
    long.to_csv(path, index=False)
    before = environments.replay(path)
    assert before.cost_scale == long["cost"].max() and before.log_report.dear_cells == 0
    ordinary = long["cost"].drop(40).max()
    long.loc[40, "cost"] *= 100
    long.to_csv(path, index=False)
    made = check(path, long)  # means hold the dear answer in full
    assert made.cost_scale == pytest.approx(max(ordinary, means(long, "cost", MODELS).max()))
    assert made.log_report.dear_cells == (long["cost"] > made.cost_scale).sum() == 1
    assert any("1 answer costs more" in note for note in made.log_report.notes)
    money = np.asarray(made.scaled_cost, float) * made.cost_scale
    np.testing.assert_allclose(money.max(), long["cost"].max(), rtol=1e-6)
    assert (np.asarray(made.mean_cost) <= 1).all()
    whole = check(path, long, cost_scale=1.0)
    assert whole.cost_scale == 1.0 and whole.log_report.dear_cells == 0
    complaint(lambda: environments.replay(path, cost_scale=1e-4), "cost_scale", "on average")


def test_a_scale_is_never_below_a_mean(tmp_path):
    frame = pd.DataFrame({"score|a": [1, 0, 1], "cost|a": [1e-6, 1e-6, 3.0]})
    frame.to_csv(tmp_path / "log.csv", index=False)
    made = environments.replay(tmp_path / "log.csv")
    assert made.cost_scale == pytest.approx(frame["cost|a"].mean())


def test_dear_answers_of_a_log_that_is_mostly_free(tmp_path):
    frame = pd.DataFrame({"score|a": [1] * 300, "cost|a": [0.0] * 299 + [2.0]})
    frame.to_csv(tmp_path / "log.csv", index=False)
    assert environments.replay(tmp_path / "log.csv").cost_scale == 2.0


def test_a_log_is_read_as_quickly_as_it_is_parsed(tmp_path):
    """Reading does not go cell by cell through Python objects more than once."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"query": np.repeat(np.arange(20_000), 5), "model": list("abcde") * 20_000}
    )
    frame["score"], frame["cost"] = rng.integers(0, 2, 100_000), rng.uniform(size=100_000)
    frame.to_csv(tmp_path / "log.csv", index=False)
    log = read_log(tmp_path / "log.csv")
    table = frame.pivot(index="query", columns="model", values="cost")
    np.testing.assert_array_equal(log.cost, table.to_numpy())


# Prices of a scenario


OWN = """
[profile]
input_tokens = 100
output_tokens = 50
output_spread = 0
max_output_tokens = 400
[[model]]
name = "a"
input_price = 1
output_price = 2.0
accuracy = 0.5
[[model]]
name = "b"
input_price = { value = 10 }
output_price = { value = 20, source = "a list", guess = true }
accuracy = 0.9
"""


def test_prices_in_plain_numbers(tmp_path):
    made = environments.scenario(prices=csv_of(tmp_path / "own.toml", OWN))
    assert made.names == ("a", "b") and made.cost_unit == "USD/query"
    money = made.mean_cost * made.cost_scale
    np.testing.assert_allclose(money, [(100 + 2 * 50) * 1e-6, (1000 + 20 * 50) * 1e-6])
    assert np.ptp(np.asarray(made.cost.table), axis=-1).max() == 0  # every answer is as long
    assert sum(figure.guess for figure in made.figures) == 1
    json.dumps(made.describe())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("accuracy = 0.5", 'accuracy = "high"', "model.0.accuracy: give a number"),
        ("accuracy = 0.5", "accuracy = true", "model.0.accuracy: give a number"),
        ("accuracy = 0.5", "accuracy = 1.5", "model.0.accuracy.value"),
        ("[[model]]", "[model]", "model"),
        ("output_spread = 0", "output_spread = -1", "output_spread"),
    ],
)
def test_prices_in_which_something_is_wrong(tmp_path, old, new, words):
    from c2mabv_jax import ProblemError

    text = OWN.replace(old, new, 1) if new != "[model]" else OWN.split("[[model]]")[0] + "model = 3"
    with pytest.raises(ProblemError) as caught:
        environments.scenario(prices=csv_of(tmp_path / "own.toml", text))
    assert words in str(caught.value) and "_" not in str(caught.value).split(": ")[-1]
