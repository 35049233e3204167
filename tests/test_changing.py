"""Worlds that change, and memories that follow them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from policy_loop import keys

from c2mabv_jax import Problem, ProblemError, environments, simulate
from c2mabv_jax.policies import C2MABV, FixedSet
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.policies.forgetting import BLOCKS, Discounted, Windowed
from c2mabv_jax.theory.dynamic import dynamic_optimum

MU, COST = np.array([0.8, 0.6, 0.5, 0.3]), np.array([0.6, 0.4, 0.3, 0.1])
BASE = environments.synthetic(MU, COST)
WORLD = environments.changing(
    BASE,
    quality={0: (0.2, 50), "arm 3": (0.9, 20, 39)},
    price={1: (2.0, 30)},
    joins={2: 10},
    leaves={2: 70},
)
PROBLEM = Problem(num_arms=4, num_selected=2, budget=0.7, reward_model="SUC")


def truth(t):
    """Means of round t, by hand; costs in money."""
    mu, cost = MU.copy(), COST.copy()
    mu[0] = 0.2 if t >= 50 else 0.8
    mu[3] = 0.3 + 0.6 * np.clip((t - 19) / 20, 0, 1)
    cost[1] = 0.8 if t >= 30 else 0.4
    return mu, cost, np.array([True, True, 10 <= t < 70, True])


@pytest.mark.parametrize("t", [1, 9, 10, 19, 25, 30, 39, 49, 50, 69, 70, 100])
def test_outcomes_have_the_means_of_their_round(t):
    mu, cost, here = truth(t)
    now, lanes = WORLD.at(t), 20_000
    np.testing.assert_array_equal(WORLD.available(t), here)
    np.testing.assert_allclose(now.mean_reward, np.where(here, mu, 0), atol=1e-6)
    np.testing.assert_allclose(np.asarray(now.mean_cost)[here] * WORLD.cost_scale, cost[here],
                               atol=1e-6)  # fmt: skip
    outcome = WORLD.sample(keys(lanes, t), t)
    for got, want, scale in ((outcome.reward, mu, 1), (outcome.cost, cost, WORLD.cost_scale)):
        got, want = np.asarray(got, np.float64) * scale, np.where(here, want, 0)
        error = 5 * got.std(1) / np.sqrt(lanes)  # false alarm below 1e-6 each
        assert (np.abs(got.mean(1) - want) <= error + 1e-6).all()
    assert np.isin(outcome.reward, (0, 1)).all()
    assert (np.asarray(outcome.cost) <= 1).all()


def test_moving_optimum_is_that_of_every_round():
    rounds = np.array([5, 30, 100])
    values = []
    for t in range(1, 101):
        mu, cost, here = truth(t)
        mu, cost = np.where(here, mu, 0), np.where(here, cost, 2)
        answer = scipy.optimize.linprog(
            -mu, A_ub=[cost], b_ub=[0.7], A_eq=[np.ones(4)], b_eq=[2], bounds=(0, 1)
        )
        values.append(-answer.fun)
    want = np.cumsum(values)[rounds - 1]
    np.testing.assert_allclose(dynamic_optimum(PROBLEM, WORLD, rounds), want, rtol=1e-6)


def test_absent_llms_are_neither_selected_nor_charged():
    policy = C2MABV(alpha_reward=0.3, alpha_cost=0.3)
    seen = simulate(PROBLEM, WORLD, policy, 100, 64, [9, 69, 100])
    pulls = seen["pulls"].values[:, :, 2]
    assert (pulls[:, 0] == 0).all() and (pulls[:, 1] > 0).all()
    assert (pulls[:, 2] == pulls[:, 1]).all()
    assert (seen["pulls"].sum("arm").values == [18, 138, 200]).all()  # two others are found
    # A policy that insists gets no answer from it and pays nothing for it.
    stubborn = FixedSet(np.array([True, False, True, False]))
    seen = simulate(PROBLEM, WORLD, stubborn, 100, 64, [9, 69, 100])
    assert (seen["pulls"].values[:, :, 2] == [0, 60, 60]).all()
    assert (seen["count"].values[:, :, 2] == [0, 60, 60]).all()
    ideal = dynamic_optimum(PROBLEM, WORLD, np.array([100]))[0]
    earned = 49 * 0.8 + 51 * 0.2 + 60 * 0.5
    np.testing.assert_allclose(seen["regret"].values[:, -1], ideal - earned, rtol=1e-4)


def test_a_memory_that_fades_follows_a_jump():
    """Gain of discount and window after the best LLM has become the worst; control: before."""
    world = environments.changing(BASE, quality={0: (0.1, 1001)})
    posed = PROBLEM.replace(budget=2.0)
    # A memory longer than the run remembers all, in the same compiled program.
    for short, long in (({"discount": 0.99}, {"discount": 1 - 1e-6}),
                        ({"window": 200}, {"window": 1_000_000})):  # fmt: skip
        earned = []
        for memory in (short, long):
            policy = C2MABV(alpha_reward=0.3, alpha_cost=0.0, **memory)
            run = simulate(posed, world, policy, 2000, 64, [1000, 2000])
            earned.append(run["expected_reward"].values * [1000, 2000])
        before, after = np.array(earned)[:, :, 0], np.diff(earned, axis=2)[..., 0]
        gain = after[0] - after[1]
        assert gain.mean() > 5 * gain.std(ddof=1) / np.sqrt(64)
        assert before[0].mean() <= before[1].mean() + 5  # control: no gain where nothing changes


def feedback(rng, lanes=3):
    draw = lambda: jnp.asarray(rng.integers(0, 5, (4, lanes)) / 4, jnp.float32)  # noqa: E731
    mask = lambda: jnp.asarray(rng.random((4, lanes)) < 0.6)  # noqa: E731
    return Feedback(draw(), draw(), mask(), mask())


def expected_sums(past, weights):
    """Weighted counts and sums of a past, in float64."""
    total = np.zeros((4, 4, 3))
    for one, w in zip(past, weights, strict=True):
        seen, billed = np.asarray(one.observed), np.asarray(one.billed)
        total += w * np.stack([seen, billed, seen * one.reward, billed * one.cost])
    return total


def test_discounted_sums():
    rng, problem = np.random.default_rng(0), PROBLEM
    memory = jax.tree.map(lambda x: jnp.zeros((4, 3)), Discounted.empty(problem))
    past = [feedback(rng) for _ in range(30)]
    for one in past:
        memory = memory.observe(one, 0.9)
    want = expected_sums(past, 0.9 ** np.arange(29, -1, -1))
    np.testing.assert_allclose(np.stack(memory.remembered()), want, rtol=1e-5)
    means = memory.remembered().means()
    np.testing.assert_allclose(means[0], want[2] / want[0], rtol=1e-5)


def test_window_holds_its_last_rounds_and_no_more():
    rng, window = np.random.default_rng(1), 2 * BLOCKS
    empty = Windowed.empty(PROBLEM)
    memory = Windowed(
        jnp.zeros(3, jnp.int32), jax.tree.map(lambda x: jnp.zeros((*x.shape, 3)), empty.blocks)
    )
    past, observe = [], jax.jit(Windowed.observe)
    for t in range(1, 3 * window + 1):
        past.append(feedback(rng))
        memory = observe(memory, past[-1], window)
        # Blocks of two rounds: the current one may hold one round only.
        held = min(t, window - t % 2)
        got = np.stack(memory.remembered())
        np.testing.assert_array_equal(got, expected_sums(past[-held:], np.ones(held)))


@pytest.mark.parametrize("window", [1, 2, 5, 15, 16, 17, 31, 47, 63, 100, 1000])
def test_every_window_holds_at_least_fifteen_sixteenths_of_it(window):
    rounds = np.arange(1, 3 * window + 20)

    @jax.jit
    def run(window):
        def step(memory, t):  # the reward of round t is t, so that the sum tells which are held
            reward, seen = jnp.full(4, t, jnp.float32), jnp.ones(4, bool)
            memory = memory.observe(Feedback(reward, reward, seen), window)
            held = memory.remembered()
            return memory, (held.count[0], held.reward[0])

        return jax.lax.scan(step, Windowed.empty(PROBLEM), jnp.asarray(rounds))[1]

    count, total = (np.asarray(x) for x in run(jnp.int32(window)))
    full = rounds >= window
    np.testing.assert_array_equal(count[~full], rounds[~full])
    assert (count[full] >= 15 / 16 * window).all() and (count[full] <= window).all()
    assert (count == window).any()
    last = [rounds[max(0, t - int(n)) : t].sum() for t, n in zip(rounds, count, strict=True)]
    np.testing.assert_array_equal(total, last)


@pytest.mark.parametrize("memory", [{"discount": 0.9}, {"window": 10}])
@pytest.mark.parametrize("radius", ["hoeffding", "ucb1"])
def test_the_logarithm_is_that_of_the_memory(memory, radius):
    """ln t grows to the effective memory, here 10 rounds, and no further."""
    policy = C2MABV(alpha_reward=0.3, alpha_cost=0.2, radius=radius, **memory)
    state = policy.init(PROBLEM)
    seen = jnp.asarray([True, True, True, False])
    for _ in range(40):
        half = jnp.full(4, 0.5)
        decision = policy.select(PROBLEM, state, jax.random.key(0))
        state = policy.update(PROBLEM, state, decision, Feedback(half, half, seen))
    n = (1 - 0.9**40) / (1 - 0.9) if "discount" in memory else 10
    log = math.log(2 * math.pi**2 * 4 * 10**3 / (3 * 0.05)) / 2
    width = math.sqrt((log if radius == "hoeffding" else 1.5 * math.log(10)) / n)
    bounds = policy.bounds(PROBLEM, state)
    reward, cost = min(1, 0.5 + 0.3 * width), max(0, 0.5 - 0.2 * width)
    np.testing.assert_allclose(bounds.reward_ucb, [reward] * 3 + [1], rtol=1e-5)
    np.testing.assert_allclose(bounds.cost_lcb, [cost] * 3 + [0], rtol=1e-5)


def test_a_forgotten_arm_is_tried_again():
    """Arm 1 becomes the better one at t = 501; its discounted count has long been below 1."""
    world = environments.changing(
        environments.synthetic([0.6, 0.2], [0.5, 0.5]), quality={1: (0.9, 501)}
    )
    posed = Problem(num_arms=2, num_selected=1, budget=1.0, reward_model="SUC")
    policy = C2MABV(alpha_reward=0.1, discount=0.98)
    run = simulate(posed, world, policy, 4000, 64, [1000, 4000])
    late = np.diff(run["pulls"].values, axis=1)[:, 0] / 3000
    assert late[:, 1].mean() >= 0.9  # it was .04 when the width stopped growing at n = 1


@pytest.mark.parametrize("window", [0, -3, 2.5, math.nan, math.inf, 2**31])
def test_a_window_is_a_whole_number_of_rounds(window):
    with pytest.raises(ProblemError, match="give a whole number of rounds"):
        C2MABV(window=window)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quality": {"gpt": (0.5, 3)}}, "no LLM 'gpt'"),
        ({"quality": {0: (1.5, 3)}}, "quality = 1.5: give a number from 0 to 1"),
        ({"quality": {0: 0.5}}, "give \\(new level, round\\)"),
        ({"price": {0: (0.5, 9, 3)}}, "last round comes before"),
        ({"joins": {0: 0}}, "joins = 0: give a round"),
    ],
)
def test_bad_changes_name_the_fix(changes, message):
    with pytest.raises(ProblemError, match=message):
        environments.changing(BASE, **changes)
