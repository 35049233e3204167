"""Every baseline obeys the protocol: pure, batchable bit for bit, legal, compiled once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_loop import begin, keys, one_round

from c2mabv_jax.policies.base import Policy
from c2mabv_jax.policies.catalogue import POLICIES
from c2mabv_jax.problem import Problem

ROUNDS, LANES = 25, 8
NAMES = [entry.name for entry in POLICIES]
PROBLEMS = {
    "SUC": Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="SUC"),
    "AWC": Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="AWC"),
    "AIC": Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="AIC"),
}


def make(name: str, problem: Problem) -> Policy:
    entry = next(entry for entry in POLICIES if entry.name == name)
    policy = entry.build(problem, None)
    assert type(policy) is entry.policy
    return policy.at_horizon(ROUNDS) if hasattr(policy, "at_horizon") else policy


class Play:
    """A compiled round that counts how often it was traced."""

    def __init__(self) -> None:
        self.traces = 0
        self.step = jax.jit(self._round)

    def _round(self, problem, policy, state, key, t):
        self.traces += 1
        return one_round(problem, policy, state, key, t)


@functools.cache
def trajectory(name: str, model: str, lane: int | None):
    """States and decisions of all rounds: a batch of lanes (None), or one lane alone."""
    problem = PROBLEMS[model]
    policy = make(name, problem)
    play = Play()
    key = keys(LANES) if lane is None else keys(LANES)[lane]
    state = begin(problem, policy, (LANES,) if lane is None else ())
    states, decisions = [state], []
    for t in range(1, ROUNDS + 1):
        state, decision, _ = play.step(problem, policy, state, key, jnp.int32(t))
        states.append(state)
        decisions.append(decision)
    return states, decisions, play


def describe(tree):
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]


def assert_same(one, other) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def assert_same_decision(one, other) -> None:
    """The set to the bit; the evidence beside it up to fused multiply-adds."""
    assert_same(one.selected, other.selected)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)
    assert all(entry.description and entry.name == entry.name.lower() for entry in POLICIES)


@pytest.mark.parametrize("model", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_decisions_are_legal(name, model):
    problem = PROBLEMS[model]
    states, decisions, _ = trajectory(name, model, None)
    assert isinstance(make(name, problem), Policy)
    for decision in decisions:
        size = np.asarray(decision.selected).sum(axis=0)
        assert (size <= 2).all() if problem.at_most else (size == 2).all()
        z = np.asarray(decision.marginals)
        assert ((z >= 0) & (z <= 1)).all()
        slack = 1e-5  # float32 sums of marginals
        assert (z.sum(axis=0) <= 2 + slack).all()
        if not problem.at_most:
            assert (z.sum(axis=0) >= 2 - slack).all()
    for state in states:
        for leaf in jax.tree.leaves(state):
            assert np.isfinite(np.asarray(leaf)).all()


@pytest.mark.parametrize("name", NAMES)
def test_state_keeps_its_structure(name):
    for model in PROBLEMS:
        states, _, _ = trajectory(name, model, None)
        for state in states[1:]:
            assert describe(state) == describe(states[0])


@pytest.mark.parametrize("model", ["SUC", "AWC"])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_column_is_a_single_run(name, model):
    lane = 3
    batch_states, batch_decisions, _ = trajectory(name, model, None)
    states, decisions, _ = trajectory(name, model, lane)
    take = functools.partial(jax.tree.map, lambda x: x[..., lane])
    for t in range(ROUNDS):
        assert_same_decision(take(batch_decisions[t]), decisions[t])
        assert_same(take(batch_states[t + 1]), states[t + 1])


@pytest.mark.parametrize("name", NAMES)
def test_select_and_update_work_under_vmap(name):
    problem = PROBLEMS["SUC"]
    states, decisions, _ = trajectory(name, "SUC", None)
    policy = make(name, problem)
    t = ROUNDS // 2
    mapped = jax.jit(
        jax.vmap(
            lambda state, key: one_round(problem, policy, state, key, jnp.int32(t + 1)),
            in_axes=(-1, 0),
            out_axes=-1,
        )
    )
    state, decision, _ = mapped(states[t], keys(LANES))
    assert_same_decision(decision, decisions[t])
    assert_same(state, states[t + 1])


@pytest.mark.parametrize("name", NAMES)
def test_pure_and_compiled_once(name):
    problem = PROBLEMS["SUC"]
    states, decisions, play = trajectory(name, "SUC", None)
    policy, t = make(name, problem), ROUNDS - 1
    again = play.step(problem, policy, states[t], keys(LANES), jnp.int32(t + 1))
    assert_same(again[0], states[t + 1])
    assert_same(again[1], decisions[t])
    other = jax.tree.map(lambda x: x * 0.9 if isinstance(x, float) else x, policy)
    tighter = problem.replace(budget=0.7)
    play.step(tighter, other, states[t], keys(LANES), jnp.int32(t + 1))
    assert play.traces == 1
