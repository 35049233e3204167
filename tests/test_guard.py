"""What services hand over by mistake: policies learn from the rest and go on, or say what is wrong.

Thousands of feedbacks with no numbers, infinities, negative and huge values in random places
leave every policy in the very state that the clean values alone would have left it in.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_loop import MEAN_COST, MEAN_REWARD, begin, keys

from c2mabv_jax import environments
from c2mabv_jax.array import streams
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import C2MABV, CUCB, POLICIES, Feedback, catalogue
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.policies.forgetting import Discounted, Windowed
from c2mabv_jax.problem import Problem

ROUNDS, LANES = 250, 8
K, N = 4, 2
SUC = Problem(num_arms=K, num_selected=N, budget=0.9, reward_model="SUC")
AWC = Problem(num_arms=K, num_selected=N, budget=0.9, reward_model="AWC")
AT_ONCE = AWC.replace(billing="queried", cardinality="exactly")
WORLD = environments.synthetic(MEAN_REWARD[:K], MEAN_COST[:K])
MEMORIES = (Estimates, Discounted, Windowed)


def spoilt(rng):
    """Rewards and costs `[T, K, B]` of which one in six is no share; and where they are shares."""
    shape = (2, ROUNDS, K, LANES)
    values = rng.random(shape, np.float32)
    wrong = np.array([np.nan, np.inf, -np.inf, -0.5, 5.0, 1e30], np.float32)
    values = np.where(rng.random(shape) < 1 / 6, rng.choice(wrong, shape), values)
    return values, np.isfinite(values)


def play(problem, policy, values, known):
    """State after all rounds, and every selection `[T, K, B]`."""

    def one_round(state, shown):
        (reward, cost), (reward_known, cost_known), key = shown
        decision = policy.select(problem, state, key)
        feedback = Feedback(
            reward, cost, decision.selected & reward_known, decision.selected & cost_known
        )
        return policy.update(problem, state, decision, feedback), decision.selected

    run_keys = keys(LANES)
    by_round = jax.vmap(lambda t: streams.fold_in(run_keys, t))(jnp.arange(ROUNDS))
    swapped = [jnp.swapaxes(jnp.asarray(x), 0, 1) for x in (values, known)]
    state = begin(problem, policy, (LANES,))
    return jax.lax.scan(one_round, state, (*swapped, by_round))


def memories(state):
    is_memory = lambda node: isinstance(node, MEMORIES)  # noqa: E731
    return [x for x in jax.tree.leaves(state, is_leaf=is_memory) if is_memory(x)]


def uncounted(state):
    """The state without the counts of what was refused."""
    is_memory = lambda node: isinstance(node, MEMORIES)  # noqa: E731
    strip = lambda node: node._replace(refused=0) if is_memory(node) else node  # noqa: E731
    return jax.tree.map(strip, state, is_leaf=is_memory)


def check(problem, policy):
    values, finite = spoilt(np.random.default_rng(0))
    run = jax.jit(play, compiler_options={"xla_backend_optimization_level": 0})
    everything = np.ones_like(finite)
    state, selected = run(problem, policy, values, everything)

    mended = np.clip(np.where(finite, values, 0), 0, 1)
    known = finite.copy()
    if problem.same_counts:  # one count for both: a cost without its reward teaches nothing
        known[0] = finite.all(axis=0)
    expected, same = run(problem, policy, mended, known)

    for a, b in zip(*map(jax.tree.leaves, (uncounted(state), uncounted(expected))), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(selected, same)
    size = np.asarray(selected).sum(axis=1)
    assert (size <= N).all() and (problem.at_most or (size == N).all())
    wrong = (np.asarray(selected) & (mended != values).any(axis=0)).sum(axis=0)
    for memory in memories(state):
        np.testing.assert_array_equal(memory.refused, wrong)
    return state


@pytest.mark.parametrize("name", [entry.name for entry in POLICIES])
def test_what_is_no_share_is_not_learned(name):
    problem = SUC.replace(num_selected=N)
    check(problem, catalogue.policy(name, problem, WORLD).at_horizon(ROUNDS))


@pytest.mark.parametrize("problem", [AWC, AT_ONCE], ids=["selected", "queried"])
@pytest.mark.parametrize("memory", [{}, {"discount": 0.9}, {"window": 32}], ids=str)
def test_what_is_no_share_is_not_learned_apart_or_together(problem, memory):
    state = check(problem, C2MABV(alpha_reward=0.3, alpha_cost=0.05, **memory))
    assert memories(state)


@pytest.mark.smoke
def test_one_reward_that_is_no_number_does_not_stop_c2mabv():
    problem = SUC.replace(num_selected=1, budget=0.6)
    policy = C2MABV(alpha_reward=0.3, alpha_cost=0.05)
    select, update = jax.jit(policy.select), jax.jit(policy.update)
    state = policy.init(problem)
    for t in range(60):
        decision = select(problem, state, jax.random.key(t))
        assert np.asarray(decision.selected).sum() == 1
        reward = np.where(t == 10, np.nan, MEAN_REWARD[:K])
        feedback = Feedback(reward, MEAN_COST[:K], decision.selected)
        state = update(problem, state, decision, feedback)
    assert int(state.estimates.count.sum()) == 59 and int(state.estimates.refused.sum()) == 1


def test_star_ratings_are_cut_and_counted():
    policy, stars = CUCB(), np.array([5.0, 2.0, 5.0, 2.0])
    state = policy.init(SUC)
    decision = policy.select(SUC, state, jax.random.key(0))
    state = policy.update(SUC, state, decision, Feedback(stars, MEAN_COST[:K], decision.selected))
    np.testing.assert_array_equal(state.estimates.refused, decision.selected)
    np.testing.assert_array_equal(state.estimates.reward.high, decision.selected)


def test_clean_feedback_passes_bit_for_bit():
    policy, rng = C2MABV(), np.random.default_rng(0)
    state = policy.init(AWC)
    decision = policy.select(AWC, state, jax.random.key(0))
    values = rng.random((2, K), np.float32)
    masks = rng.random((2, K)) < 0.7
    guarded = policy.update(AWC, state, decision, Feedback(*values, *masks))
    trusted = policy.update(AWC, state, decision, Feedback(*values, *masks, refused=0))
    for a, b in zip(jax.tree.leaves(guarded), jax.tree.leaves(trusted), strict=True):
        np.testing.assert_array_equal(a, b)


SHARES = np.full(K, 0.5)
EVERY = np.ones(K, bool)
WRONG = {
    "observed as indices": (dict(observed=np.array([0])), "observed"),
    "observed as numbers": (dict(observed=np.ones(K)), "observed"),
    "observed of another size": (dict(observed=np.ones(K + 1, bool)), "observed"),
    "billed of another size": (dict(billed=np.ones(K - 1, bool)), "billed"),
    "reward of one": (dict(reward=np.array(0.5)), "reward"),
    "reward of another size": (dict(reward=np.full(1, 0.5)), "reward"),
    "complex reward": (dict(reward=np.full(K, 0.5j)), "reward"),
    "cost of another rank": (dict(cost=np.full((K, 2), 0.5)), "cost"),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("changes, field", WRONG.values(), ids=WRONG)
def test_shapes_and_types_that_do_not_fit_are_named(changes, field, compiled):
    policy = CUCB()
    update = jax.jit(policy.update) if compiled else policy.update
    state = policy.init(SUC)
    decision = policy.select(SUC, state, jax.random.key(0))
    feedback = Feedback(SHARES, SHARES, EVERY)._replace(**changes)
    with pytest.raises(ProblemError, match=rf"^{field} = .*per LLM"):
        update(SUC, state, decision, feedback)


def test_rewards_may_be_whole_numbers_or_booleans():
    policy = C2MABV(discount=0.9)
    state = policy.init(SUC)
    decision = policy.select(SUC, state, jax.random.key(0))
    after = [
        policy.update(SUC, state, decision, Feedback(reward, SHARES, EVERY))
        for reward in (np.array([1, 0, 1, 0]), np.array([1, 0, 1, 0], bool), np.eye(2).ravel())
    ]
    np.testing.assert_array_equal(after[0].estimates.sums.reward, [1, 0, 1, 0])
    np.testing.assert_array_equal(after[1].estimates.sums.reward, [1, 0, 1, 0])
    np.testing.assert_array_equal(after[2].estimates.sums.reward, [1, 0, 0, 1])


@pytest.mark.parametrize("name", ["c2mabv", "cucb", "thompson", "lyapunov", "two-tier"])
def test_a_state_of_another_size_or_policy_is_refused(name):
    policy = catalogue.policy(name, SUC).at_horizon(ROUNDS)
    smaller = policy.init(SUC.replace(num_arms=3))
    with pytest.raises(ProblemError, match=r"^state.*\[3\], not \[4\]"):
        policy.select(SUC, smaller, jax.random.key(0))
    state = policy.init(SUC)
    decision = policy.select(SUC, state, jax.random.key(0))
    with pytest.raises(ProblemError, match=r"^state.*\[3\], not \[4\]"):
        policy.update(SUC, smaller, decision, Feedback(SHARES, SHARES, EVERY))
    with pytest.raises(ProblemError, match=r"^state = .*not of this policy"):
        policy.select(SUC, jnp.int32(1), jax.random.key(0))
    with pytest.raises(ProblemError, match=r"^decision.selected = \[3\]"):
        short = decision._replace(selected=decision.selected[:3])
        policy.update(SUC, state, short, Feedback(SHARES[:3], SHARES[:3], EVERY[:3]))
