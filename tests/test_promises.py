"""Sentences of docstrings, each with a test that fails when the line that keeps it is changed."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax import Problem
from c2mabv_jax.advice.study import _summary
from c2mabv_jax.array import streams
from c2mabv_jax.array.sums import Sum
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.environments.laws import Bernoulli
from c2mabv_jax.policies import (
    Conservative,
    ExploreThenCommit,
    LyapunovQueue,
    ThompsonSampling,
    UCBBwK,
    learning,
    local_server,
)
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.relaxation import solve_lp, words
from c2mabv_jax.relaxation.polytope import Polytope
from c2mabv_jax.rewards import REWARD_MODELS, cascade_prefix

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


# Formulas that one line keeps ------------------------------------------------------------------

SUC = Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="SUC")
ALL = [1, 1, 1, 1, 1]


def test_explore_then_commit_learns_only_while_it_explores():
    policy = ExploreThenCommit(plays=2)
    rounds = int(policy.exploring_rounds(SUC))
    for counts in after(policy, ALL, ALL, rounds=rounds + 3, problem=SUC).estimates.counts:
        assert counts.tolist() == [rounds] * 5


def test_conservative_judges_costs_by_their_upper_bound():
    policy = Conservative(alpha_cost=0.1)
    state = after(policy, ALL, ALL, rounds=6, problem=SUC)
    width = 0.1 * np.sqrt(np.log(2 * np.pi**2 * 5 * 7**3 / (3 * 0.05)) / (2 * 6))
    np.testing.assert_allclose(policy.bounds(SUC, state)[1], 0.25 + width, rtol=1e-5)
    assert (policy.bounds(SUC, policy.init(SUC))[1] == 1).all()


def test_means_of_arms_never_seen_are_the_best_there_are():
    reward, cost = learning.means(learning.start(SUC, lp=True).estimates)
    assert (reward == 1).all() and (cost == 0).all()


def test_ucb_bwk_keeps_a_reserve():
    policy = UCBBwK(gamma=0.01, horizon=1000, stop=False)
    share = 0.01 * 5 / (0.9 * 1000)
    reserve = np.sqrt(share) + np.log(1000) * share
    assert float(policy.reserve(SUC)) == pytest.approx(reserve, rel=1e-5)
    state = policy.init(SUC)
    shown = Feedback(
        jnp.asarray([0.9, 0.5, 0.1, 0.1, 0.1]),
        jnp.asarray([0.9, 0.8, 0.1, 0.1, 0.1]),
        jnp.ones(5, bool),
    )
    decision = policy.select(SUC, state, KEY)
    for _ in range(20):
        state = policy.update(SUC, state, decision, shown)
    decision = policy.select(SUC, state, KEY)
    spent = float(decision.marginals @ decision.evidence.bounds.cost_lcb)
    assert spent == pytest.approx((1 - reserve) * 0.9, rel=1e-4)


def test_thompson_draws_from_the_posterior():
    """Beta(1 + s, 1 + n - s) of s = 3, y = 1 and n = 10; means at 5 standard errors."""
    policy, lanes = ThompsonSampling(), 4000
    state = policy.init(SUC)
    number, one = jnp.full((5, lanes), 10, jnp.int32), jnp.ones((5, lanes))
    past = state.estimates._replace(
        count=number, reward=Sum(3 * one, 0 * one), cost=Sum(one, 0 * one)
    )
    drawn = policy.draw(past, streams.run_keys(jax.random.key(3), jnp.arange(lanes)))
    for got, (a, b) in zip(drawn, ((4, 8), (2, 10)), strict=True):
        mean, variance = a / 12, a * b / (12**2 * 13)
        error = 5 * np.sqrt(variance / (5 * lanes))  # false alarm below 1e-6
        assert abs(float(got.mean()) - mean) < error


def test_an_absent_model_is_the_last_choice():
    bound = Bounds(jnp.full(5, 0.8), jnp.full(5, 0.1))
    here = jnp.asarray([1, 0, 1, 1, 0], bool)
    reward, cost = local_server.of_available(bound, here)
    np.testing.assert_array_equal(reward == 0, ~here)
    np.testing.assert_array_equal(cost == 1, ~here)


def test_of_two_candidates_of_any_win_the_better_is_kept():
    """On 200 random bounds; each objective is the better one on some of them."""
    rng = np.random.default_rng(0)
    upper, lower = jnp.asarray(rng.random((2, 4, 200)), jnp.float32)
    posed = Problem(num_arms=4, num_selected=2, budget=0.4, reward_model="AWC")
    model = REWARD_MODELS["AWC"]
    values = [
        model.relaxed(upper, solve_lp(weigh(upper), lower, 2, 0.4, at_most=True).marginals)
        for weigh in (lambda u: u, lambda u: -jnp.log(jnp.maximum(1 - u, 1e-6)))
    ]
    kept = model.relaxed(upper, local_server.relax(posed, Bounds(upper, lower))[0].marginals)
    np.testing.assert_allclose(kept, np.maximum(*values), atol=1e-6)
    assert (np.abs(kept - values[0]) > 1e-3).any() and (np.abs(kept - values[1]) > 1e-3).any()


def test_the_largest_words_hold_their_sets():
    """What one word holds goes through float32 without loss; more arms stay a mask."""
    for num_arms in (23, words.LARGEST, 30):
        mask = jnp.ones((num_arms, 3), bool).at[1].set(False)
        packed = words.once(words.pack(mask), jnp.ones(3))
        np.testing.assert_array_equal(words.unpack(packed, num_arms), mask)


def test_infeasibility_sees_every_rule():
    z, cost = jnp.asarray([1.0, 0.5, 0.0]), jnp.asarray([0.4, 0.4, 0.1])
    assert float(Polytope(cost, 2, 0.6, True).infeasibility(z)) == 0
    assert float(Polytope(cost, 2, 0.6, False).infeasibility(z)) == pytest.approx(0.5)
    assert float(Polytope(cost, 1, 0.6, True).infeasibility(z)) == pytest.approx(0.5)
    assert float(Polytope(cost, 2, 0.35, True).infeasibility(z)) == pytest.approx(0.25)
    assert float(Polytope(cost, 2, 1, True).infeasibility(z - 0.125)) == pytest.approx(0.125)


def test_sure_failures_and_the_last_number_of_the_grid():
    """Uniforms are 0, 2^-23, ..., 1 - 2^-23: a mean of 0 never succeeds, a mean of 1 always."""
    for mean, expected in ((0.0, 0), (1.0, 1)):
        law = Bernoulli(jnp.asarray([mean]))
        assert (law.value(jnp.asarray([[0.0, 1 - 2.0**-23]])) == expected).all()


def test_world_and_policy_have_numbers_of_their_own():
    key = streams.fold_in(streams.run_keys(KEY, jnp.arange(3)), jnp.int32(4))
    apart = jnp.concatenate(streams.of_arms(key, 4)) != streams.uniforms(key, 8)
    assert apart.all()
