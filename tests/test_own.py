"""A policy and a statistic of a user's own: one file each, nothing of the package touched."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import c2mabv_jax as c2
from c2mabv_jax.cli import run_command
from c2mabv_jax.policies.own import own_policy

POLICY = '''
from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from c2mabv_jax.policies.base import Decision, Policy, register

@register
@dataclasses.dataclass(frozen=True)
class First(Policy):
    """Always the first N."""

    shift: Any = 0.0

    def init(self, problem):
        return jnp.int32(1)

    def select(self, problem, state, key, *, available=None):
        arms = jnp.arange(problem.num_arms).reshape((-1,) + (1,) * state.ndim)
        chosen = jnp.broadcast_to(arms < problem.num_selected, (problem.num_arms, *state.shape))
        return Decision(chosen, chosen.astype(float))

    def update(self, problem, state, decision, feedback):
        return state + 1

class Nothing:
    pass

class NoDefault(First):
    def __init__(self, more):
        pass
'''
WORLD = c2.environments.synthetic([0.9, 0.8, 0.6, 0.3], [0.7, 0.4, 0.3, 0.1])
PROBLEM = c2.Problem(num_arms=4, num_selected=2, budget=0.7, reward_model="SUC")


def of_readme() -> type:
    """The statistic that the README prints, as it prints it."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(@c2.policies.register.*?)```", text, re.S)
    names = {"c2": c2, "jnp": jnp, "dataclasses": dataclasses}
    exec(code, names)
    return names["Switches"]


def test_a_policy_of_a_file_runs_beside_those_of_the_catalogue(tmp_path, capfd):
    (tmp_path / "mine.py").write_text(POLICY)
    mine = f"{tmp_path / 'mine.py'}:First"
    command = ["run", "--policies", f"uniform,{mine}", "--seeds", "8", "--horizon", "50"]
    command += ["--reward-model", "SUC", "--json", "--quiet", "--out", str(tmp_path / "run")]
    assert run_command(command) == 0
    rows = json.loads(capfd.readouterr().out)["policies"]
    assert set(rows) == {"uniform", "First"}
    scenario = c2.environments.scenario("nine-llms")
    mean = np.asarray(scenario.mean_reward)[:4].sum()  # N = 4, reward is the sum
    reward = rows["First"]["reward"]
    # Each outcome in [0, 1]: 400 means of 4, 6 standard errors are a false alarm of 2e-9.
    assert abs(reward["mean"] - mean) < 6 * np.sqrt(4 / 4 / 400)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("Nothing", "is no Policy"),
        ("Other", "has no 'Other'"),
        ("NoDefault", "give every field a default"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(tmp_path, what, says):
    (tmp_path / "mine.py").write_text(POLICY)
    with pytest.raises(c2.ProblemError, match=says) as error:
        own_policy(f"{tmp_path / 'mine.py'}:{what}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", ["nowhere.py", "no_such_module"])
def test_what_is_not_there(place):
    with pytest.raises(c2.ProblemError, match="cannot be read"):
        own_policy(f"{place}:Mine")


def test_the_statistic_of_the_readme_is_what_it_says():
    uniform = c2.policies.UniformRandom()
    plain = c2.simulate(PROBLEM, WORLD, uniform, 40, 8, record_at=range(1, 41))
    seen = c2.simulate(
        PROBLEM, WORLD, uniform, 40, 8, record_at=range(1, 41), observer=of_readme()()
    )
    assert seen.switches.dims == ("seed", "round") and seen.last_set.dims == plain.pulls.dims
    assert plain.equals(seen.drop_vars(["switches", "last_set"]))  # watching changes no bit
    sets = np.diff(plain.pulls.values, axis=1, prepend=0).astype(bool)
    np.testing.assert_array_equal(seen.last_set, sets)
    before = np.concatenate([np.zeros_like(sets[:, :1]), sets[:, :-1]], axis=1)
    np.testing.assert_array_equal(seen.switches, (sets != before).any(2).cumsum(1))


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"regret": jnp.int32(0)}, "have a 'regret' already"),
        ({"mine": jnp.zeros(3)}, "neither a scalar nor"),
        (jnp.int32(0), "let `begin` give a dict"),
    ],
)
def test_what_cannot_be_a_variable_is_refused(kept, says):
    @c2.policies.register
    @dataclasses.dataclass(frozen=True)
    class Mine(c2.Observer):
        def begin(self, problem):
            return kept

        def see(self, seen, now):
            return seen

    with pytest.raises(c2.ProblemError, match=says):
        c2.simulate(PROBLEM, WORLD, c2.policies.UniformRandom(), 5, 8, observer=Mine())
