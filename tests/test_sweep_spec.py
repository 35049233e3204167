"""Sweep files: what is wrong is said in one line, and nothing is written."""

from __future__ import annotations

import copy
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweep_spec import BASE, POINTS, toml, variant, written

from c2mabv_jax import sweep
from c2mabv_jax.cli import run_command
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import catalogue
from c2mabv_jax.sweep import run
from c2mabv_jax.sweep import spec as tables
from c2mabv_jax.sweep.spec import differences, parse

LOG = "query_id,score|A,score|B,score|C,cost_usd|A,cost_usd|B,cost_usd|C\n" + "".join(
    f"q{i},{i % 2},{(i % 3) / 2:.1f},1,0.0{1 + i % 7},0.02,0.00{1 + i % 5}\n" for i in range(12)
)


class Accepted(Exception):
    """The sweep would have begun."""


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run `c2mabv sweep` on a text; returns (status, lines on standard error).

    Status 0: the file was accepted. A sweep that would begin stops there, before it writes.
    """

    def begin(*_):
        raise Accepted

    monkeypatch.setattr(run, "identity", begin)
    path, out = tmp_path / "spec.toml", tmp_path / "out"

    def call(content: str | bytes) -> tuple[int, list[str]]:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        before = sorted(p.name for p in tmp_path.iterdir())
        try:
            status = run_command(["sweep", str(path), "--out", str(out)])
        except Accepted:
            status = 0
        said = capfd.readouterr()
        assert said.out == "" and sorted(p.name for p in tmp_path.iterdir()) == before
        return status, said.err.strip().splitlines()

    return call


def one_line(lines: list[str]) -> bool:
    return len(lines) == 1 and lines[0].startswith("c2mabv: error: ") and len(lines[0]) < 2000


# --- what is right ---------------------------------------------------------------------------


def test_grid_is_every_combination(tmp_path):
    _, plan = run.read(written(tmp_path, BASE))
    assert len(plan.points) == POINTS
    seen = {tuple(sorted(point.coordinates.items(), key=str)) for point in plan.points}
    assert len(seen) == POINTS
    lanes = [0] * POINTS
    for tile in plan.tiles:
        for lane in range(tile.start, tile.stop):
            lanes[plan.batches[tile.batch].points[lane // plan.num_seeds]] += 1
    assert lanes == [150] * POINTS  # every run once, in one tile
    assert plan.rounds[-1] == 100 and 40 in plan.rounds


def test_points_hold_what_the_file_says(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    spec = variant(problem__budget=None, problem__budget_fraction=[0.5])
    spec["problem"].update(reward_model=["AWC", "AIC"], horizon=10)
    spec["environment"] = [
        {"kind": "log", "path": "log.csv", "models": ["C", "B"], "label": "mine"},
        {"kind": "scenario"},
    ]
    spec["policy"] = [
        {"name": "c2mabv", "delta": "1/T", "label": "ours"},
        {"name": "fixed-set", "models": [["B", "C"]]},
    ]
    with pytest.raises(ProblemError, match=r"\[\[policy\]\] 2: .*models"):
        run.read(written(tmp_path, spec))  # the scenario has no B and no C
    del spec["environment"][1]
    points = run.read(written(tmp_path, spec))[1].points
    assert [p.coordinates["policy"] for p in points] == ["ours", "fixed-set"] * 2
    first = points[0]
    assert first.environment.names == ("C", "B") and first.coordinates["environment"] == "mine"
    assert first.policy.delta == pytest.approx(0.1)
    dearest = float((first.environment.mean_cost * first.environment.cost_scale).sum())
    assert first.problem.budget == pytest.approx(0.5 * dearest)
    assert [p.problem.reward_model for p in points] == ["AWC", "AWC", "AIC", "AIC"]
    assert first.environment is points[1].environment


def test_instance_generators_bring_their_budget(tmp_path):
    spec = variant(problem__budget=None, problem__horizon=100)
    spec["environment"] = [
        {"kind": "random", "num_arms": [5, 9], "instance": [0, 1]},
        {"kind": "gap", "num_arms": 5, "gap": [0.1, 0.2]},
        {"kind": "minimax", "num_arms": 5},
    ]
    spec["policy"] = [{"name": "c2mabv"}]
    _, plan = run.read(written(tmp_path, spec))
    assert [p.problem.num_arms for p in plan.points] == [5, 5, 9, 9, 5, 5, 5]
    assert plan.points[4].problem.budget == 2.0
    assert len(plan.programs) == 3  # K = 5 and 9 with random costs; K = 5 with constant ones


def test_a_program_holds_one_class_of_everything(tmp_path):
    """Policies or laws of equal fields but different classes never share a program."""
    laws = ("bernoulli", "constant", "uniform")
    spec = variant(problem__horizon=100, problem__budget=[0.5, 0.7])
    world = spec["environment"][0]
    spec["environment"] = [{**world, "reward": a, "cost": b} for a in laws for b in laws]
    spec["policy"] = [{"name": entry.name} for entry in catalogue.POLICIES]
    _, plan = run.read(written(tmp_path, spec))
    kinds: dict[int, set[tuple]] = {}
    for batch in plan.batches:
        for index in batch.points:
            point = plan.points[index]
            world = point.environment
            classes = (type(point.policy), type(world.reward), type(world.cost))
            kinds.setdefault(batch.program, set()).add(classes)
    assert all(len(classes) == 1 for classes in kinds.values())
    assert len(kinds) == len(plan.programs) >= 9 * 15


def test_differences_are_named():
    one, other = copy.deepcopy(BASE), copy.deepcopy(BASE)
    other["policy"][0]["delta"] = [0.05]
    other["problem"]["billing"] = "queried"
    found = differences(one, other)
    assert found == [
        ("problem.billing", None, "queried"),
        ("policy 1.delta", [0.05, "1/T"], [0.05]),
    ]
    assert differences(one, copy.deepcopy(BASE)) == []


# --- what is wrong ---------------------------------------------------------------------------

WRONG = [
    ("num_seeds", 0, "num_seeds = 0: should be greater than or equal to 1"),
    ("num_seeds", True, "num_seeds = True: should be a valid integer"),
    ("num_seeds", None, "num_seeds: missing"),
    ("quantiles", [0.5, 1.5], "quantiles[1] = 1.5: should be less than or equal to 1"),
    ("record_at", [0, 5], "record_at = [0, 5]: give"),
    ("problem__horizn", 5, "[problem] horizn = 5: unknown key; did you mean horizon?"),
    ("problem__horizon", 1 << 31, "[problem] horizon[0] = 2147483648: should be less"),
    ("problem__horizon", [9, 9], "9 is given twice"),
    ("problem__budget", -0.5, "[problem] budget[0] = -0.5: should be greater"),
    ("problem__budget", None, "[problem] budget: missing; give budget or budget_fraction"),
    ("problem__budget_fraction", 0.5, "give either budget or budget_fraction, not both"),
    ("problem__reward_model", "SUM", "[problem] reward_model[0] = 'SUM': should be 'AWC', 'SUC'"),
    ("problem__num_selected", 5, "[problem]: num_selected = 5: there are 4 LLMs; give 1 to 4"),
    ("problem__feedback", "cascading", "[problem]: feedback = 'cascading': SUC adds up"),
    ("environment__kind", "synthtic", "[[environment]] 1: kind = 'synthtic': unknown; choose"),
    ("environment__mean_cost", [0.1], "[[environment]] 1: mean_cost: 1 LLMs, but mean_reward"),
    ("environment__mean_cost", [0.1, 2, 0, 0], "mean_cost[0][1] = 2: should be less than"),
    ("environment__reward", "normal", "[[environment]] 1: reward = 'normal': should be"),
    ("policy__name", "c2mab", "[[policy]] 1: policy = 'c2mab': did you mean 'c2mabv'?"),
    ("policy__delta", [0.05, 1.5], "[[policy]] 1: delta = 1.5: give a number in (0, 1)"),
    ("policy__delta", "2/T", "[[policy]] 1: delta = '2/T'"),
    ("policy__alphas", [[0.3]], "[[policy]] 1: alphas = [0.3]: give pairs"),
    ("policy__alpha_reward", 0.3, "[[policy]] 1: alpha_reward: alphas gives it already"),
    ("policy__alpa_cost", 0.3, "alpa_cost = 0.3: c2mabv has no such option; did you mean"),
    ("policy__radius", "hoefding", "[[policy]] 1: radius = 'hoefding'"),
    ("policy__window", "long", "[[policy]] 1: "),
    ("policy__window", True, "[[policy]] 1: window = True: give a number"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_errors_name_table_key_value_and_fix(command, key, value, said):
    status, lines = command(toml(variant(**{key: value})))
    assert status == 2 and one_line(lines)
    assert said in lines[0]


def test_files_that_are_no_sweep_files(command, tmp_path):
    for content, said in [
        (b"", "num_seeds: missing"),
        (b"num_seeds = ", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a = 1\na = 2", "not TOML"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, "nested"),
        (b"#" * (1 << 20) + b"#", "larger than"),
        (toml(BASE).replace("[[policy]]", "[policy]").encode(), "write [[policy]]"),
    ]:
        status, lines = command(content)
        assert status == 2 and one_line(lines) and said in lines[0]
    assert run_command(["sweep", str(tmp_path / "none.toml"), "--out", str(tmp_path / "x")]) == 2
    assert run_command(["sweep", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()


# What no key of that kind may hold.
JUNK: list[Any] = [-3, float("nan"), float("inf"), "", 'x\n\t"y', [], {}, {"a": 1}, [[[1]]], 10**30]
NOT_NUMBER = st.sampled_from([*JUNK, "0.5", True, [True], [0.5, "a"]])
NOT_COUNT = st.sampled_from([*JUNK, 0.5, "3", True, [1, 0.5]])
NOT_WORD = st.sampled_from([*JUNK, 3, True, 0.5, ["SUC", 1]])
NOT_MEANS = st.sampled_from(
    [*JUNK, [0.1, -0.1, 0.2, 0.3], [0.1], [[0.1, 0.2], [0.3]], ["a"] * 4, 2]
)
KINDS = {
    "num_seeds": NOT_COUNT,
    "seed": NOT_COUNT,
    "first_seed": NOT_COUNT,
    "record_at": NOT_COUNT,
    "per_seed": st.sampled_from([*JUNK, 1, "true"]),
    "quantiles": st.sampled_from([v for v in [*JUNK, 0.5, [0.5, 0.5], [2]] if v != []]),
    "problem__num_selected": NOT_COUNT,
    "problem__horizon": NOT_COUNT,
    "problem__reward_model": NOT_WORD,
    "problem__budget": NOT_NUMBER,
    "problem__billing": NOT_WORD,
    "problem__cardinality": NOT_WORD,
    "problem__satisfaction": NOT_WORD.filter(lambda v: v != 0.5 and v is not True),
    "environment__kind": NOT_WORD,
    "environment__mean_reward": NOT_MEANS,
    "environment__mean_cost": NOT_MEANS,
    "environment__correlation": NOT_NUMBER,
    "environment__names": st.sampled_from([*JUNK, ["a"], ["a", "a", "b", "c"], "abcd"]),
    "policy__name": NOT_WORD,
    "policy__alphas": st.sampled_from([*JUNK, 0.3, [0.3], [[0.3, -1]], [["a", "b"]]]),
    "policy__delta": NOT_NUMBER,
    "policy__solver": NOT_WORD,
    "policy__radius": NOT_WORD,
    "policy__discount": NOT_NUMBER,
}


def _many(examples: int):
    fixture = HealthCheck.function_scoped_fixture
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=[fixture]
    )


@st.composite
def wrong_specs(draw) -> dict[str, Any]:
    """The base sweep with something in it that cannot be."""
    spec = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(["value", "value", "value", "unknown", "missing"]))
        if way == "value":
            key = draw(st.sampled_from(sorted(KINDS)))
            value = draw(KINDS[key])
        elif way == "unknown":
            key = draw(st.sampled_from(["", "problem__", "environment__", "policy__"]))
            key += draw(st.text("abcdefghijklmnop", min_size=3, max_size=12)) + "q"
            value = draw(st.sampled_from([1, "a", [1.5], True]))
        else:
            table = draw(st.sampled_from(["", "problem", "environment"]))
            here = spec if not table else spec[table]
            here = here[0] if isinstance(here, list) else here
            needed = {"num_seeds", "num_selected", "horizon", "budget", "kind", "mean_reward"}
            names = sorted(needed & set(here))
            if not names:
                continue
            here.pop(draw(st.sampled_from(names)))
            return spec
        table, name = key.split("__") if "__" in key else ("", key)
        here = spec if not table else spec[table]
        (here[0] if isinstance(here, list) else here)[name] = value
    return spec


def test_fuzzed_sweep_files_are_one_line(command):
    """Malformed for sure: every one is refused in one line, and nothing is written."""
    refused = []

    @_many(220)
    @given(wrong_specs())
    def fuzz(spec):
        status, lines = command(toml(spec))
        assert status == 2 and one_line(lines), (spec, lines)
        refused.append(lines[0])

    fuzz()
    assert len(refused) >= 200 and len(set(refused)) >= 60


def test_mangled_texts_are_accepted_or_one_line(command):
    """Bytes cut, doubled, swapped and overwritten: refused in one line, or still a sweep."""
    text, refused = toml(BASE).encode(), 0
    command(text)  # the whole one is accepted
    dice = random.Random(3)
    for _ in range(150):
        mangled = bytearray(text)
        for _ in range(dice.choice((1, 1, 2, 5))):
            at, length = dice.randrange(len(mangled)), dice.choice((1, 1, 3, 20))
            way = dice.randrange(4)
            if way == 0:
                del mangled[at : at + length]
            elif way == 1:
                mangled[at:at] = mangled[at : at + length]
            elif way == 2:
                mangled[at] = dice.randrange(256)
            else:
                mangled[at:at] = dice.choice((b"[", b"]", b'"', b"\n", b"=", b"-", b"e9", b"{"))
            mangled = mangled or bytearray(b"\n")
        status, lines = command(bytes(mangled))
        assert status == 0 or (status == 2 and one_line(lines)), (bytes(mangled), lines)
        refused += status == 2
    assert refused >= 75


def _log_spec() -> str:
    spec = variant(problem__budget=0.03)
    spec["environment"] = [{"kind": "log", "path": "log.csv"}]
    spec["policy"] = [{"name": "c2mabv"}]
    return toml(spec)


CELLS = [
    "-1",
    "inf",
    "1e999",
    "x",
    "0x1",
    "1,2",
    '"',
    "½",
    "--",
    "1 000",
    "2",
]  # 2 is a cost, but no score


def test_fuzzed_logs_are_one_line(command, tmp_path):
    """A cell that cannot be, a header that cannot be, or mangled bytes."""
    spec, refused = _log_spec(), 0
    (tmp_path / "log.csv").write_text(LOG)
    assert command(spec)[0] == 0
    rows = [line.split(",") for line in LOG.strip().split("\n")]
    dice = random.Random(4)
    for trial in range(120):
        cells = copy.deepcopy(rows)
        if trial % 3:  # malformed for sure: a score or cost that is no number in range
            row, column = dice.randrange(1, len(cells)), dice.randrange(1, 7)
            cells[row][column] = dice.choice(
                CELLS if column <= 3 else [c for c in CELLS if c != "2"]
            )
            content = "\n".join(map(",".join, cells)).encode()
        else:
            content = bytearray(LOG.encode())
            for _ in range(dice.choice((1, 3))):
                content[dice.randrange(len(content))] = dice.randrange(256)
            del content[dice.randrange(1, len(content)) :]
        (tmp_path / "log.csv").write_bytes(bytes(content))
        status, lines = command(spec)
        assert (trial % 3 == 0 and status == 0) or (status == 2 and one_line(lines)), (
            bytes(content),
            lines,
        )
        refused += status == 2
    assert refused >= 80


def test_paths_that_are_no_logs(command, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_text("")
    for path in ("none.csv", "folder", "empty.csv", "a\0b", "x" * 5000):
        spec = variant()
        spec["environment"] = [{"kind": "log", "path": path}]
        status, lines = command(toml(spec))
        assert status == 2 and one_line(lines) and "[[environment]] 1" in lines[0]


@pytest.mark.parametrize("text", ["x = 1979-05-27T07:32:00Z", "title = 'a'\nnum_seeds = 07:32:00"])
def test_dates_are_no_numbers(text):
    with pytest.raises(ProblemError):
        parse(text, "s.toml")


def test_path_of_the_spec_is_relative_to_its_folder(tmp_path, monkeypatch):
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "spec.toml").write_text(_log_spec())
    monkeypatch.chdir(Path("/"))
    assert len(run.read(tmp_path / "spec.toml")[1].points) == 6 // 3


# --- the example -----------------------------------------------------------------------------


def shown(capsys) -> str:
    assert run_command(["sweep", "--example"]) == 0
    return capsys.readouterr().out


def test_example_is_a_sweep_that_can_be_run(tmp_path, capsys):
    (tmp_path / "spec.toml").write_text(shown(capsys))
    spec, plan = run.read(tmp_path / "spec.toml")
    assert len(plan.points) == 24 and run.remarks(plan) == []
    assert spec.title


def test_example_explains_every_key_and_no_other(capsys):
    """Every table of the file, keys that are commented out included, is valid and whole."""
    text = shown(capsys)
    with pytest.raises(ProblemError, match="either budget or budget_fraction"):
        parse(text.replace("## budget_fraction", "budget_fraction"), "example")
    text = text.replace("\nbudget =", "\n# budget =").replace("## ", "")
    everything = tomllib.loads(text)
    assert set(everything) == set(tables.Spec.model_fields)
    assert {*everything["problem"], "budget"} == set(tables.ProblemTable.model_fields)
    kinds = (tables.Scenario, tables.Log, tables.Synthetic, tables.Random, tables.Gap)
    every = {k.model_fields["kind"].annotation.__args__[0]: k for k in
             (*kinds, tables.Minimax, tables.Cascading)}  # fmt: skip
    assert [table["kind"] for table in everything["environment"]] == list(every)
    for table in everything["environment"]:
        keys = set(every[table["kind"]].model_fields)
        assert set(table) | {"label"} == keys, table["kind"]
        every[table["kind"]].model_validate(table)
    assert set(everything["policy"][0]) == {*tables.PolicyTable.model_fields, "delta"}
    parse(text, "example")


@pytest.mark.parametrize("key", ["title", "num_seeds", "kind", "horizon"])
def test_an_example_without_a_key_would_be_noticed(key, capsys, monkeypatch, tmp_path):
    """Control of the test above."""
    from c2mabv_jax.cli import sweep as command

    lines = shown(capsys).splitlines(keepends=True)
    lacking = tmp_path / "example.toml"
    at = next(i for i, line in enumerate(lines) if line.startswith((f"{key} =", f"## {key} =")))
    lacking.write_text("".join(lines[:at] + lines[at + 1 :]))
    monkeypatch.setattr(command, "EXAMPLE", lacking)
    with pytest.raises((AssertionError, KeyError, ProblemError)):
        test_example_explains_every_key_and_no_other(capsys)


# --- budgets that no set can keep ------------------------------------------------------------


def test_budgets_that_no_set_can_keep_are_an_error(command):
    status, lines = command(toml(variant(problem__budget=[0.1, 0.29])))
    assert status == 2 and one_line(lines)
    assert (
        "[problem] budget = 0.1: 2 LLMs of synthetic cost at least 0.3, the budget is 0.1 "
        "(so at 16 of 16 points); give a larger one" in lines[0]
    )
    status, lines = command(toml(variant(problem__budget=None, problem__budget_fraction=0.1)))
    assert status == 2 and "budget_fraction = 0.1: 2 LLMs of synthetic cost" in lines[0]
    status, _ = command(toml(variant(problem__budget=0.3)))
    assert status == 0  # what the two cheapest cost


def test_some_budgets_that_no_set_can_keep_are_a_note(tmp_path, capsys):
    path = written(tmp_path, variant(problem__budget=[0.1, 0.5], problem__horizon=10))
    assert run_command(["sweep", str(path), "--dry-run"]) == 0
    assert "note: [problem] budget = 0.1: 2 LLMs" in capsys.readouterr().out
    assert run_command(["sweep", str(path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "(so at 4 of 8 points); they play the cheapest set, see `feasible`" in said
    assert "Next: `c2mabv plot" in said
    results = sweep.load(tmp_path / "out")
    assert (results["feasible"].values == (results["budget"].values > 0.3)).all()
    assert run_command(["plot", str(tmp_path / "out")]) == 0  # what was said to come next


def test_budgets_of_cascades_are_judged_by_what_can_be_billed(tmp_path):
    few = variant(problem__budget=0.05, problem__reward_model="AWC")
    assert run.remarks(run.read(written(tmp_path, few))[1]) == []  # it may ask nobody
    few["problem"].update(cardinality="exactly", billing="queried", budget=0.15)
    assert run.remarks(run.read(written(tmp_path, few))[1]) == []  # the first may settle it
    few["problem"].update(billing="selected")
    with pytest.raises(ProblemError, match=r"cost at least 0\.3, the budget is 0\.15"):
        run.read(written(tmp_path, few))
