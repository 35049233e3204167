"""`with jax.enable_x64(True)` holds wherever rounds are played, whatever thread plays them.

JAX keeps the setting for each thread, and float32 results are easily recorded as float64: every
test looks at numbers that float32 cannot have.
"""

import jax
import numpy as np
import pytest

import c2mabv_jax as c2
from c2mabv_jax import sweep
from c2mabv_jax.bench.case import Case
from c2mabv_jax.bench.package import package
from c2mabv_jax.engine import block, runner
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.presets import PRESETS

HORIZON = 40


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """Double precision, and two threads on any machine."""
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 2)
    with jax.enable_x64(True):
        yield


def is_double(values) -> bool:
    """Whether some number is none of float32."""
    values = np.asarray(values)
    return values.dtype == np.float64 and bool((values.astype(np.float32) != values).any())


def test_is_double_can_say_no():
    assert not is_double(np.float32([0.1, 0.2]).astype(np.float64))


def test_threads_compute_as_their_caller_does():
    assert runner.all_done(lambda item: jax.numpy.ones(1).dtype.name, range(3)) == ["float64"] * 3
    with jax.enable_x64(False):
        names = runner.all_done(lambda item: jax.numpy.ones(1).dtype.name, range(3))
    assert names == ["float32"] * 3


def test_sweep(tmp_path):
    (tmp_path / "spec.toml").write_text(
        f"""
num_seeds = 128
record_at = [{HORIZON}]
per_seed = true
[problem]
num_selected = 2
reward_model = "SUC"
horizon = {HORIZON}
budget = 0.7
[[environment]]
kind = "synthetic"
mean_reward = [0.9, 0.7, 0.5, 0.2]
mean_cost = [0.7, 0.3, 0.2, 0.1]
cost = "beta"
[[policy]]
name = "c2mabv"
""",
        encoding="utf-8",
    )
    sweep.sweep(tmp_path / "spec.toml", tmp_path / "out", quiet=True)
    found = sweep.load(tmp_path / "out")
    assert found.attrs["float"] == "float64"
    problem = c2.Problem(num_arms=4, num_selected=2, budget=0.7, reward_model="SUC")
    world = c2.environments.synthetic([0.9, 0.7, 0.5, 0.2], [0.7, 0.3, 0.2, 0.1], cost="beta")
    alone = c2.simulate(problem, world, C2MABV(), HORIZON, 128, [HORIZON])
    assert is_double(HORIZON * alone["cost"])
    np.testing.assert_array_equal(found["cost"].isel(point=0), alone["cost"])


def test_verification():
    instance, policy = CATALOGUE["steady-2"], C2MABV(alpha_reward=0.15, alpha_cost=0.2)
    laboratory = Laboratory(PRESETS["tiny"], seed=9)
    runs = block.lanes() + 6  # two blocks
    paths = laboratory.paths(instance, policy, [HORIZON], runs).watch
    data = c2.simulate(
        instance.problem, instance.environment, policy, HORIZON, runs, [HORIZON], seed=9
    )
    np.testing.assert_allclose(paths.regret, data["regret"], atol=1e-11)
    made: list = []
    laboratory.together(
        [lambda: made.append(laboratory.transcript(instance, policy, HORIZON, 4))] * 2
    )
    assert is_double(made[0].reward_ucb)


def test_benchmark():
    outcome = package(Case(horizon=HORIZON)).play(256, 5)
    assert outcome.gap.dtype == np.float64 and outcome.gap.max() < 1e-12
