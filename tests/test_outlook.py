"""How long a job takes is told before, by the very programs that it then runs."""

import numpy as np
import pytest

from c2mabv_jax import environments
from c2mabv_jax.cli import jobs, outlook, run_command
from c2mabv_jax.engine import program

PRACTICE = {"alpha_reward": 0.3, "alpha_cost": 0.05, "delta": 0.05, "solver": "exact",
            "radius": "hoeffding"}  # fmt: skip


@pytest.mark.parametrize(("horizon", "seeds"), [(70, 3), (300, 100)])
def test_nothing_is_compiled_twice(horizon, seeds):
    world = environments.scenario("nine-llms")
    names = ("c2mabv", "primal-dual", "uniform")  # primal-dual is told its horizon
    job = jobs.prepare(world, "AWC", None, None, names, PRACTICE, horizon, seeds, 0)
    seen = []
    ahead = outlook.outlook(job, seen.append)
    assert tuple(seen) == names == tuple(ahead.seconds)
    assert all(0 < seconds < np.inf for seconds in ahead.seconds.values())
    before = program.compilations()
    results = jobs.simulate_all(job)
    assert program.compilations() == before
    assert results.sizes["policy"] == 3


def test_what_is_said():
    assert outlook.Outlook({"a": 4.0, "b": 5.0}).line() is None
    long = outlook.Outlook({"quick": 20.0, "c2mabv-direct": 160.0}).line()
    assert long.startswith("about 3 min on this machine, 2.67 min of it c2mabv-direct;")
    even = outlook.Outlook({f"p{i}": 50.0 for i in range(8)}).line()
    assert even.startswith("about 6.67 min on this machine; fewer --seeds")


def test_the_command_says_it_before(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(outlook, "WORTH_SAYING", 0.0)
    options = ["--policies", "uniform,oracle", "--horizon", "30", "--seeds", "4"]
    assert run_command(["run", *options, "--out", str(tmp_path / "out")]) == 0
    assert "about" in capsys.readouterr().err
