"""The benchmark: peers do the same thing, a broken one is caught, tables say what was measured."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from c2mabv_jax.bench import peer_numba, table, targets
from c2mabv_jax.bench.agreement import (
    FALSE_ALARM,
    DisagreementError,
    assert_agrees,
    certificate,
    pooled,
)
from c2mabv_jax.bench.case import Case, Contestant, Outcome
from c2mabv_jax.bench.peer_highs import numpy_highs
from c2mabv_jax.bench.peer_numpy import numpy_batch
from c2mabv_jax.cli import run_command
from c2mabv_jax.errors import ProblemError

CASE = Case(horizon=100)
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def reference():
    from c2mabv_jax.bench.package import package

    return package(CASE).play(1024, 5)


def test_a_peer_that_agrees(reference):
    """Two comparisons a peer, five standard errors: false alarm 6e-7 each."""
    assert FALSE_ALARM < 1e-6
    for contestant, seeds in ((numpy_batch(CASE), 1024), (numpy_highs(CASE), 4)):
        outcome = contestant.play(seeds, 1)
        assert_agrees(contestant.name, outcome, reference)
        assert outcome.gap.max() < 1e-5
        assert outcome.feasibility.max() < 1e-5


@pytest.mark.skipif(not peer_numba.available(), reason="numba is not installed (extra `bench`)")
def test_the_numba_loop_agrees_and_its_certificate_holds(reference):
    outcome = peer_numba.numba_loop(CASE).play(2048, 1)
    assert_agrees("numba", outcome, reference)
    assert outcome.gap.max() < 1e-5
    assert outcome.feasibility.max() < 1e-5
    bare = peer_numba.numba_loop(CASE, certificate=False).play(2048, 1)
    np.testing.assert_array_equal(bare.reward, outcome.reward)
    assert bare.gap is None


def test_a_broken_peer_is_caught(reference):
    """Controls: a peer with 10 % more budget, and one that forgets a cost now and then."""
    generous = numpy_batch(_Generous(horizon=CASE.horizon)).play(4096, 1)
    with pytest.raises(DisagreementError, match="standard errors off"):
        assert_agrees("generous", generous, reference)
    honest = numpy_batch(CASE).play(1024, 1)
    forgetful = honest._replace(cost=honest.cost * 0.97)
    with pytest.raises(DisagreementError, match="forgetful"):
        assert_agrees("forgetful", forgetful, reference)


@dataclasses.dataclass(frozen=True)
class _Generous(Case):
    @property
    def rho(self):
        return super().rho * 1.1


@pytest.mark.smoke
def test_not_a_number_disagrees():
    good = Outcome(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    with pytest.raises(DisagreementError):
        assert_agrees("nan", good._replace(cost=np.full(3, np.nan)), good)


def _results(numba: float) -> dict:
    speed = lambda median: {"median": median, "q1": median * 0.9, "q3": median * 1.1}  # noqa: E731
    case = dataclasses.asdict(CASE) | {"solver": "exact", "cores": 2, "compile_s": 1.0}
    return {
        "machine": {"processor": "Some CPU", "cores": 2, "backend": "cpu", "device": "cpu"},
        "versions": dict.fromkeys(("jax", "numpy", "scipy", "numba"), "1.0"),
        "date": "2000-01-01T00:00:00+00:00",
        "entries": [
            case | {"name": "this package", "rounds_per_s": speed(6e6)},
            case | {"name": "numba loop", "rounds_per_s": speed(numba)},
        ],
        "horizons": [],
        "seeds": [],
        "start": {"cold_s": 20.0, "cached_s": 5.0},
        "notes": [],
    }


@pytest.mark.smoke
def test_targets_and_table_come_from_the_results():
    results = _results(numba=3e6)
    results["targets"] = targets.targets(results)
    met = {target["what"].split()[0]: target["met"] for target in results["targets"]}
    first, *_, start, second = results["targets"]
    assert first["measured"] == 2 and first["met"] is True
    assert start["measured"] == 20 and start["met"] is False and second["met"] is True
    assert met["AWC,"] is None  # nothing measured, nothing claimed
    assert targets.targets(_results(numba=5e6))[0]["met"] is False
    text = table.section(results)
    assert "| numba loop | SUC | 9 | binding | exact | 2 | 3 (2.7–3.3) | 2× | 1.0 |" in text
    assert "| 20 | <= 15 | not met |" in text


def test_insertion_needs_both_markers():
    text = f"a\n{table.BEGIN}\nold\n{table.END}\nb"
    assert table.inserted(text, "new") == f"a\n{table.BEGIN}\nnew\n{table.END}\nb"
    for broken in ("none", table.END + table.BEGIN, text + table.END):
        with pytest.raises(ProblemError, match="markers"):
            table.inserted(broken, "new")


def test_the_readme_shows_the_stored_results():
    readme = ROOT / "experiments" / "README.md"
    if not (readme.exists() and (ROOT / "experiments/benchmarks/results").is_dir()):
        pytest.skip("away from the checkout")
    stored = table.read(ROOT / "experiments/benchmarks/results")
    for results in stored:  # targets are what the entries say, not what somebody wrote
        assert json.loads(json.dumps(targets.targets(results))) == results["targets"]
    text = readme.read_text()
    assert table.inserted(text, table.markdown(stored)) == text, (
        "run: python -m experiments.benchmarks.table --write README.md"
    )


def test_turns_are_counted_and_timed():
    from c2mabv_jax.bench.timing import take_turns

    roots = []

    def play(num_seeds, root):
        roots.append(root)
        return Outcome(np.arange(num_seeds, dtype=float), np.ones(num_seeds))

    steps = []
    entries = take_turns([Contestant("sham", CASE, play, 2, 1)], 3, 1e-9, steps.append)
    result = entries[0].result()
    assert roots == [1, 2, 10, 11, 12] and len(steps) == 4
    assert result["turns"] == 3 and result["seeds_per_turn"] == 2
    assert result["rounds_per_s"]["q1"] <= result["rounds_per_s"]["median"]


def test_the_command_refuses_a_file_as_folder(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("")
    assert run_command(["bench", "--out", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run_command(["bench", "--ful"]) == 2


def test_the_worst_certificate_is_reported():
    runs = np.ones(3)
    one = Outcome(runs, runs, np.array([0.0, 2e-6, 1e-6]), np.zeros(3))
    two = one._replace(feasibility=np.array([0.0, 0.0, 3e-6]))
    assert certificate(pooled([one, two])) == {"gap": 2e-6, "feasibility": 3e-6}
    assert certificate(Outcome(runs, runs)) == {}
