"""Sentences of docstrings, each with a test that fails when the line that keeps it is changed."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax import Problem
from c2mabv_jax.advice.study import _summary
from c2mabv_jax.policies import Conservative, ExploreThenCommit, LyapunovQueue
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.rewards import cascade_prefix

AWC = Problem(num_arms=5, num_selected=3, budget=0.9, reward_model="AWC")
KEY = jax.random.key(0)


def after(policy, observed, billed, rounds=1, problem=AWC):
    """State after rounds that showed these arms, all rewards .5 and costs .25."""
    state = policy.init(problem)
    half, quarter = jnp.full(5, 0.5), jnp.full(5, 0.25)
    for _ in range(rounds):
        decision = policy.select(problem, state, KEY)
        feedback = Feedback(half, quarter, jnp.asarray(observed, bool), jnp.asarray(billed, bool))
        state = policy.update(problem, state, decision, feedback)
    return state


def test_explore_then_commit_asks_the_least_observed_first():
    """Every answer satisfies, so a cascade shows its first arm alone: none may be left out."""
    policy = ExploreThenCommit(plays=6)
    state, seen = policy.init(AWC), np.zeros(5, int)
    for _ in range(int(policy.exploring_rounds(AWC))):
        decision = policy.select(AWC, state, KEY)
        observed = cascade_prefix(decision.selected, jnp.ones(5, bool), decision.priority)
        counts = np.where(decision.selected, seen, 99)
        assert seen[np.flatnonzero(observed)] == counts.min()
        seen += np.asarray(observed)
        feedback = Feedback(jnp.ones(5), jnp.full(5, 0.25), observed, decision.selected)
        state = policy.update(AWC, state, decision, feedback)
    assert seen.sum() == 10 and (seen == 2).all()


def test_conservative_explores_by_what_it_has_not_seen():
    """Arm 2 was billed as often as the others, but never answered."""
    policy = Conservative(explore=1.0)
    state = after(policy, [1, 1, 0, 1, 1], [1, 1, 1, 1, 1], rounds=4)
    assert state.estimates.counts[1].tolist() == [4] * 5
    decision = policy.select(AWC, state, KEY)
    assert np.flatnonzero(decision.selected).tolist() == [2]
    assert int(jnp.argmin(decision.priority)) == 2
    seen = after(policy, [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], rounds=4)
    # Control: four looks at t = 5 will do, and the LP mixes.
    assert 0 < float(policy.select(AWC, seen, KEY).marginals.max()) < 1


@pytest.mark.parametrize("billing", ["selected", "queried"])
def test_the_lyapunov_queue_charges_what_is_billed(billing):
    """Of four selected arms two were asked; the queue grows by the bill alone."""
    problem = AWC.replace(billing=billing, budget=0.125)
    observed = [1, 1, 0, 0, 0]
    billed = observed if billing == "queried" else [1, 1, 1, 1, 0]
    state = after(LyapunovQueue(), observed, billed, problem=problem)
    assert float(state.queue) == 0.25 * sum(billed) - 0.125


def test_ahead_after_is_of_the_average_so_far():
    """Ahead in the last window alone is not ahead; the price is what was spent so far."""
    known = SimpleNamespace(
        oracle=lambda budget: 0.9,
        price=lambda budget: 0.0,
        best_single=lambda money: {0.5: 0.6, 0.25: 0.55}[float(money)],
    )
    queries = np.array([10, 20, 40])
    rewards = np.array([[0.2, 0.5, 0.58], [0.2, 0.5, 0.58]])  # since 20: .66 a query

    def ahead(costs):
        run = _summary(queries, rewards, costs, np.ones((3, 2)), known, 0.5, 1.0, 1.0)
        assert run.window_quality[-1] > 0.6
        return run.ahead_after

    assert ahead(np.full((2, 3), 0.5)) is None
    assert ahead(np.full((2, 3), 0.25)) == 40
