"""From a file as it was published to an answer or one line, by one command."""

import csv
import json
import random
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from c2mabv_jax import ProblemError, advice, environments, simulate
from c2mabv_jax.advice import report as advice_report
from c2mabv_jax.cli import run_command
from c2mabv_jax.cli.log import listed
from c2mabv_jax.plotting import curves
from c2mabv_jax.policies import C2MABV
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.problem import Problem

MODELS = ["gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat", "claude, instant"]
FEW = ["--horizon", "100", "--seeds", "2", "--budgets", "0.002:0.004:2"]


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """Figures have tests of their own, and take most of a small command's time."""
    monkeypatch.setattr(advice_report, "pictures", lambda *_: {}, raising=False)
    monkeypatch.setattr(curves, "figures", lambda *_: {})


def answers(queries: int = 60) -> pd.DataFrame:
    """One line an answer: query, model, score, cost, group."""
    rng = np.random.default_rng(2)
    rows = [
        (f"test.{q}", m, int(rng.uniform() < skill), round(price * rng.uniform(0.5, 1.5), 7), group)
        for q in range(queries)
        for group in [("arc", "mbpp")[q % 3 == 0]]
        for m, skill, price in zip(MODELS, (0.95, 0.7, 0.5), (0.006, 0.002, 0.0004), strict=True)
    ]
    return pd.DataFrame(rows, columns=["query", "model", "score", "cost", "group"])


def routerbench(path, frame):
    """sample_id, prompt, eval_name, M, M|model_response, M|total_cost, the oracle's choice."""
    made = frame[["query", "group"]].drop_duplicates().set_index("query")
    made.columns = ["eval_name"]
    made.insert(0, "prompt", "['Which?\nA: \"this\", B: that']")
    made.insert(0, "sample_id", made.index)
    for value, pattern in (("score", "M"), (None, "M|model_response"), ("cost", "M|total_cost")):
        for model in MODELS:
            mine = frame[frame["model"] == model].set_index("query")
            cells = "['A']" if value is None else mine[value].astype(float)
            made[pattern.replace("M", model, 1)] = cells
    made["oracle_model_to_route_to"] = MODELS[0]
    made.to_csv(path, index=False)


def optllm(path, frame):
    """An index without a name, query, ref_answer, M_answer, M_cost, M, content."""
    made = frame[["query"]].drop_duplicates().set_index("query", drop=False)
    made["ref_answer"] = "Yes"
    for pattern in ("M_answer", "M_cost", "M"):
        for model in MODELS:
            mine = frame[frame["model"] == model].set_index("query")
            column = {"M_answer": "ref_answer", "M_cost": "cost", "M": "score"}[pattern]
            cells = "No" if column == "ref_answer" else mine[column]
            made[pattern.replace("M", model, 1)] = cells
    made["content"] = "Question: is it overruling?"
    made.reset_index(drop=True).to_csv(path)


def graphrouter(path, frame):
    """task_id (which names the task), query, llm, effect, cost and more."""
    names = {"group": "task_id", "model": "llm", "score": "effect"}
    made = frame.rename(columns=names).assign(metric="f1", response="it is", token_num=12.0)
    made.to_csv(path, index=False)


def requests(path, frame):
    """JSON Lines of requests, usage inside."""
    with path.open("w") as stream:
        for number, row in enumerate(frame.itertuples()):
            record = {
                "request_id": f"req-{number}",
                "prompt_id": row.query,
                "model": row.model,
                "correct": bool(row.score),
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "cost": row.cost},
                "messages": [{"role": "user", "content": "?"}],
            }
            stream.write(json.dumps(record) + "\n")


def spend(path, frame):
    """A bill: every request went to one model."""
    alone = frame.iloc[[3 * q + (q * q + q // 5) % 3 for q in range(len(frame) // 3)]]
    names = {"query": "request_id", "cost": "spend"}
    alone.drop(columns="group").rename(columns=names).to_csv(path, index=False)
    return alone


FORMS = {
    "routerbench.csv": (routerbench, ["--group", "arc"]),
    "optllm.csv": (optllm, []),
    "graphrouter.csv": (graphrouter, ["--group", "arc"]),
    "requests.jsonl": (requests, []),
    "spend.csv": (spend, ["--from-means"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_from_a_published_form_to_advice(tmp_path, capsys, name):
    form, options = FORMS[name]
    frame = answers(200 if form is spend else 60)
    kept = form(tmp_path / name, frame)
    kept = frame if kept is None else kept
    if "--group" in options:
        kept = kept[kept["group"] == "arc"]
    command = ["advise", "--log", str(tmp_path / name), *options, *FEW]
    assert run_command([*command, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"{kept['query'].nunique()} queries" in said
    with open(tmp_path / "out/advice.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "single"]
    found = {row["name"]: (float(row["quality"]), float(row["cost"])) for row in rows}
    means = kept.groupby("model")[["score", "cost"]].mean()
    assert set(found) == set(MODELS)
    for model, (quality, cost) in found.items():
        assert quality == pytest.approx(means.loc[model, "score"], abs=1e-6)
        assert cost == pytest.approx(means.loc[model, "cost"], rel=1e-5)
    if "--from-means" in options:
        summary = (tmp_path / "out/summary.json").read_text()
        assert (
            "independently" in said
            and "independently" in summary + (tmp_path / "out/advice.md").read_text()
        )


def test_commands_that_come_next_keep_the_options_of_the_log(tmp_path, capsys):
    """Names with commas in quotes, prices, scale and billing, from run to advise and back."""
    frame = answers(60)
    frame["prompt_tokens"], frame["completion_tokens"] = 100, 50
    frame.drop(columns="cost").to_csv(tmp_path / "log.csv", index=False)
    prices = {m: {"input_cost_per_token": p, "output_cost_per_token": 2 * p}
              for m, p in zip(MODELS, (3e-5, 1e-5, 2e-6), strict=True)}  # fmt: skip
    (tmp_path / "prices.json").write_text(json.dumps(prices))
    options = [
        "--log", str(tmp_path / "log.csv"), "--prices", str(tmp_path / "prices.json"),
        "--models", f'"{MODELS[2]}",{MODELS[0]}', "--group", "arc", "--cost-scale", "0.01",
        "--min-rows", "40", "--columns", "query=query", "--reward-model", "AWC",
        "--billing", "queried",
    ]  # fmt: skip
    small = ["--horizon", "100", "--seeds", "2", "--out"]
    run = ["--num-selected", "1", "--policies", "c2mabv", *small, str(tmp_path / "a")]
    assert run_command(["run", *options, *run]) == 0
    for place in ("b", "c"):
        said = capsys.readouterr().out
        line = said[said.index("Next: `") + 7 :]
        again = shlex.split(line[: line.index("`")])
        for option, value in zip(options[::2], options[1::2], strict=True):
            assert again[again.index(option) + 1] == value
        assert run_command([*again[1:], *small, str(tmp_path / place)]) == 0


def test_names_with_commas():
    assert listed("--models", 'a, "b, c",d') == ("a", "b, c", "d")
    assert listed("--models", None) is None
    for wrong in ("", "a,,b", "a,", '"a', 'a\n"b"'):
        with pytest.raises(ProblemError, match="--group"):
            listed("--group", wrong)


def test_options_of_a_log_need_a_log(tmp_path, capsys):
    for option in (["--models", "a"], ["--columns", "score=x"], ["--from-means"],
                   ["--cost-scale", "2"]):  # fmt: skip
        assert run_command(["run", *option, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert option[0] in error and "--log" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


# Costs: one dear answer, free models


def shares(log, budget: float, **options) -> float:
    """Money that C2MAB-V spends as a share of the budget, over its first 1,000 queries."""
    world = environments.replay(log, **options)
    problem = Problem(num_arms=3, num_selected=1, budget=budget, reward_model="SUC")
    policy = C2MABV(alpha_reward=0.3, alpha_cost=0.05)
    result = simulate(problem, world, policy, 1000, 64, record_at=[1000])
    return float(result["cost"].mean()) / budget


def test_one_dear_answer_of_240_ruins_nothing(tmp_path):
    """Set as the scale of costs, it would double what is spent and more."""
    frame, path = answers(80), tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    budget = 0.0015
    before = shares(path, budget)
    assert before < 1.25
    for cell in (21, 22, 23):  # an answer of each model
        dear = frame.copy()
        dear.loc[cell, "cost"] *= 100
        dear.to_csv(path, index=False)
        assert abs(shares(path, budget) - before) < 0.3
        if cell == 21:
            assert shares(path, budget, cost_scale=dear["cost"].max()) > 2 * before


def free(frame: pd.DataFrame, models) -> pd.DataFrame:
    return frame.assign(cost=frame["cost"].where(~frame["model"].isin(models), 0))


def test_with_a_free_model_the_default_budget_is_a_share_of_the_best_one(tmp_path, capsys):
    frame = free(answers(), [MODELS[2]])
    frame.to_csv(tmp_path / "log.csv", index=False)
    command = ["run", "--log", str(tmp_path / "log.csv"), "--reward-model", "SUC", "--horizon",
               "50", "--seeds", "2", "--num-selected", "1", "--policies", "c2mabv"]  # fmt: skip
    assert run_command([*command, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    best = frame[frame["model"] == MODELS[0]]["cost"].mean()
    middle = frame[frame["model"] == MODELS[1]]
    low, high = (frame[frame["model"] == MODELS[i]]["score"].mean() for i in (2, 0))
    wanted = low + 0.8 * (high - low)
    share = (wanted - low) / (high - low)
    if middle["score"].mean() > low + (high - low) * middle["cost"].mean() / best:
        share = (wanted - middle["score"].mean()) / (high - middle["score"].mean())
    budget = share * best + (1 - share) * middle["cost"].mean()
    assert f"budget {float(f'{budget:.3g}'):g} " in said
    assert "80 % of the way" in said and f"{low:.4g} for 0)" in said


def test_all_free(tmp_path, capsys):
    frame = free(answers(), MODELS)
    frame.to_csv(tmp_path / "log.csv", index=False)
    log = ["--log", str(tmp_path / "log.csv")]
    assert run_command(["advise", *log, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "every answer is free" in error and f"ask {MODELS[0]!r}" in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()
    run = ["--horizon", "50", "--seeds", "2", "--policies", "c2mabv,oracle"]
    assert run_command(["run", *log, *run, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "nan" not in said.lower() and "budget 0 " in said and "none earns more" in said


# Few rows


def test_few_rows_are_refused_unless_asked(tmp_path, capsys):
    frame = answers()
    rare = frame[(frame["model"] != MODELS[1]) | frame["query"].isin(["test.3", "test.5"])]
    rare.to_csv(tmp_path / "log.csv", index=False)
    command = ["advise", "--log", str(tmp_path / "log.csv"), *FEW, "--out", str(tmp_path / "out")]
    assert run_command(command) == 2
    error = capsys.readouterr().err
    assert "only 2 of 60" in error and "answered 2" in error and not (tmp_path / "out").exists()
    quoted = error[error.index("--models ") :].split(" keeps")[0]
    assert run_command([*command, *shlex.split(quoted)]) == 0
    said = capsys.readouterr().out
    assert "60 queries" in said and "note: 60 queries are few" in said
    command[-1] = str(tmp_path / "asked")
    assert run_command([*command, "--min-rows", "2"]) == 0
    assert "2 of 60 queries have an answer of every model" in capsys.readouterr().out


# Whatever is in the file


def test_fuzz(tmp_path, capsys, monkeypatch):
    """A good file of every form with bytes changed or cut: exit 2, one line, nothing written."""

    def stop(*_, **__):
        raise ProblemError("read")

    monkeypatch.setattr(advice, "study", stop)
    out = tmp_path / "out"
    for name, (form, options) in FORMS.items():
        form(tmp_path / name, answers(6))
        good = (tmp_path / name).read_bytes()
        bad = tmp_path / f"bad-{name}"
        rng = random.Random(name)
        read = 0
        for _ in range(60):
            content = bytearray(good)
            for _ in range(rng.randint(0, 3)):
                at = rng.randrange(len(content))
                content[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
            if rng.random() < 0.3:
                content = content[: rng.randrange(len(content))]
            bad.write_bytes(content)
            command = ["advise", "--log", str(bad), *options, "--min-rows", "1"]
            assert run_command([*command, "--out", str(out)]) == 2
            error = capsys.readouterr().err
            assert error.startswith("c2mabv: error: ") and error.count("\n") == 1
            read += error.strip().endswith("error: read")
            assert not out.exists()
        assert 0 < read < 60  # some are still good, and some are not


def test_a_sweep_reads_logs_alike(tmp_path):
    """The same options in a sweep file: columns, prices, means."""
    from c2mabv_jax.sweep import run

    kept = spend(tmp_path / "log.csv", answers(200).assign(prompt_tokens=7, completion_tokens=2))
    rates = {m: {"input_cost_per_token": 1e-5, "output_cost_per_token": 0} for m in MODELS}
    (tmp_path / "prices.json").write_text(json.dumps(rates))
    (tmp_path / "sweep.toml").write_text(
        """
num_seeds = 2
[problem]
num_selected = 1
reward_model = "SUC"
budget = 1e-4
horizon = 10
[[environment]]
kind = "log"
path = "log.csv"
columns = "score=score"
prices = "prices.json"
from_means = true
[[policy]]
name = "uniform"
"""
    )
    _, plan = run.read(tmp_path / "sweep.toml")
    world = plan.points[0].environment
    assert world.log_report.from_means
    np.testing.assert_allclose(world.mean_cost * world.cost_scale, 7e-5)
    means = kept.groupby("model")["score"].mean()
    np.testing.assert_allclose(world.mean_reward, means[list(world.names)])


@pytest.mark.parametrize(
    "options", [{"radius": "kl"}, {"radius": "kl", "discount": 0.9}, {"radius": "bernstein"}]
)
def test_a_first_answer_above_the_scale_breaks_no_bound(options):
    """Bounds that are defined in [0, 1] meet an empirical mean far above 1."""
    problem = Problem(num_arms=3, num_selected=1, budget=0.5, reward_model="SUC")
    policy = C2MABV(**options)
    state = policy.init(problem)
    for _ in range(4):
        decision = policy.select(problem, state, jax.random.key(0))
        seen = jnp.ones(3, bool)
        # As the engine gives it: only feedback from outside is looked at first.
        everything = Feedback(jnp.full(3, 0.5), jnp.full(3, 40.0), seen, refused=0)
        state = policy.update(problem, state, decision, everything)
    low = np.asarray(policy.bounds(problem, state).cost_lcb)
    assert ((low >= 0) & (low <= 1)).all()
