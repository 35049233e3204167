"""Cascades and billing by enumeration of all outcomes, sets and orders of four LLMs."""

import itertools
import types

import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax import Problem
from c2mabv_jax.array.sums import Sum
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.engine.round import serve
from c2mabv_jax.environments.base import Outcome
from c2mabv_jax.policies import local_server
from c2mabv_jax.policies.base import Decision
from c2mabv_jax.policies.estimates import Estimates

from policy_loop import keys  # isort: skip

K = 4
OUTCOMES = np.array(list(itertools.product((0.0, 1.0), repeat=K))).T  # [K, 16]
COST = np.array([0.5, 0.25, 0.125, 0.0625])
SETS = [s for n in range(K + 1) for s in itertools.combinations(range(K), n)]


def world(reward, binary=True):
    """An environment whose answers are given, one column a lane."""
    reward = jnp.asarray(reward, jnp.float32)
    cost = jnp.broadcast_to(jnp.asarray(COST, jnp.float32)[:, None], reward.shape)
    return types.SimpleNamespace(sample=lambda key, t: Outcome(reward, cost), binary_reward=binary)


def served(problem, selected, priority, reward, binary=True):
    lanes = reward.shape[1]
    wide = lambda x: jnp.broadcast_to(jnp.asarray(x)[:, None], (K, lanes))  # noqa: E731
    mask = np.isin(np.arange(K), selected)
    decision = Decision(wide(mask), wide(mask * 1.0), None if priority is None else wide(priority))
    return serve(problem, world(reward, binary), decision, keys(lanes), jnp.int32(1))


def asked(selected, order, satisfied, stops_at):
    """Who is asked: one after another until an answer that stops."""
    seen = []
    for k in sorted(selected, key=lambda k: order[k]):
        seen.append(k)
        if satisfied[k] == stops_at:
            break
    return seen


@pytest.mark.parametrize("billing", ["selected", "queried"])
@pytest.mark.parametrize(("model", "stops_at"), [("AWC", 1), ("AIC", 0)])
@pytest.mark.parametrize("order", [None, (3, 1, 2, 0), (1, 0, 1, 0)])
def test_prefix_reward_and_bill(model, stops_at, billing, order):
    problem = Problem(
        num_arms=K,
        num_selected=K,
        budget=1.0,
        reward_model=model,
        feedback="cascading",
        billing=billing,
    )
    for selected in SETS:
        feedback, reward, cost = served(problem, selected, order, OUTCOMES)
        for lane, outcome in enumerate(OUTCOMES.T):
            rank = range(K) if order is None else order
            seen = asked(selected, rank, outcome, stops_at)  # sorted is stable: lower index first
            assert np.flatnonzero(feedback.observed[:, lane]).tolist() == sorted(seen)
            charged = seen if billing == "queried" else list(selected)
            assert np.flatnonzero(feedback.billed[:, lane]).tolist() == sorted(charged)
            assert float(cost[lane]) == COST[charged].sum()
            answers = outcome[list(selected)]
            want = answers.max(initial=0) if model == "AWC" else answers.min(initial=1)
            assert float(reward[lane]) == want


def test_semi_bandit_sees_the_whole_set():
    problem = Problem(num_arms=K, num_selected=2, budget=1.0, reward_model="AIC")
    feedback, _, _ = served(problem, (0, 2), None, OUTCOMES)
    assert (np.asarray(feedback.observed).T == [True, False, True, False]).all()


def test_graded_answers_satisfy_by_threshold_or_by_coin():
    graded = np.array([0.2, 0.6, 0.6, 0.9])
    base = Problem(
        num_arms=K, num_selected=K, budget=1.0, reward_model="AWC", cascade_order="given"
    )
    for threshold, last in ((0.2, 1), (0.5, 2), (0.6, 2), (0.7, 4), (1.0, 4)):
        posed = base.replace(satisfaction=threshold)
        feedback, _, _ = served(posed, range(K), None, graded[:, None], binary=False)
        assert int(feedback.observed.sum()) == last
    lanes = 20_000
    many = np.broadcast_to(graded[:, None], (K, lanes))
    feedback, _, _ = served(base, range(K), None, many, binary=False)
    reached = np.concatenate([[1], np.cumprod(1 - graded[:-1])])
    seen = np.asarray(feedback.observed).mean(1)
    # 4.5 standard errors: false alarm below 1e-5 an arm.
    assert (np.abs(seen - reached) <= 4.5 * np.sqrt(reached * (1 - reached) / lanes)).all()


def test_order_of_asking():
    whole = jnp.full(K, 4, jnp.int32)
    cost = jnp.asarray([2.0, 0.4, 1.2, 0.8])
    past = Estimates(whole, Sum(cost, 0 * cost), Sum(cost, 0 * cost))
    bound = Bounds(jnp.asarray([0.3, 0.9, 0.5, 0.7]), jnp.zeros(K))
    problem = Problem(num_arms=K, num_selected=2, budget=1.0, reward_model="AWC")
    order = lambda name: local_server.cascade_priority(  # noqa: E731
        problem.replace(cascade_order=name), past, bound
    )
    assert np.argsort(order("cheapest")).tolist() == [1, 3, 2, 0]
    assert np.argsort(order("highest-ucb")).tolist() == [1, 3, 2, 0]
    assert order("given") is None
    bound = bound._replace(reward_ucb=bound.reward_ucb[::-1])
    assert np.argsort(order("highest-ucb")).tolist() == [2, 0, 1, 3]
