"""Two tiers: the plain loop at b = 1, d = 0; messages; feedback that arrives late."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_loop import MEAN_COST, MEAN_REWARD, begin, keys, one_round

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.policies import C2MABV, TwoTier
from c2mabv_jax.policies.two_tier import message_bytes

HORIZON, LANES, ROOM = 60, 8, 7
PROBLEM = Problem(num_arms=4, num_selected=2, budget=0.9, reward_model="AWC")
LOCAL = C2MABV(alpha_reward=0.3, alpha_cost=0.3)


def test_every_round_and_no_delay_is_the_plain_loop_bit_for_bit():
    world = environments.synthetic(MEAN_REWARD[:4], MEAN_COST[:4])
    runs = [
        simulate(PROBLEM, world, policy, 300, 64, 20, marginals=True)
        for policy in (LOCAL, TwoTier(LOCAL))
    ]
    assert runs[0].attrs["policy"] != runs[1].attrs["policy"]
    for name in runs[0].data_vars:
        np.testing.assert_array_equal(runs[0][name].values, runs[1][name].values, err_msg=name)
    to_cloud, back = message_bytes(PROBLEM)
    assert (to_cloud, back) == (4 * 4 + 4, 1)  # z and the asking order; a mask of 4 bits
    last = runs[1].isel(round=-1)
    assert (last["messages"] == 300).all()
    assert (last["message_traffic"] == 300 * (to_cloud + back)).all()


@pytest.fixture(scope="module")
def play():
    """A compiled run with room for late feedback, and how often it was traced."""
    traces = []

    @jax.jit
    def run(policy, key):
        traces.append(policy)

        def body(state, t):
            after, decision, feedback = one_round(PROBLEM, policy, state, key, t)
            return after, (state, decision, feedback)

        return jax.lax.scan(body, begin(PROBLEM, policy, (LANES,)), jnp.arange(1, HORIZON + 1))

    return run, traces


@pytest.mark.parametrize(("every", "delay"), [(1, 0), (1, 3), (4, 0), (7, 6), (100, 1)])
def test_solving_rarely_and_hearing_late(play, every, delay):
    run, traces = play
    policy = TwoTier(LOCAL, resolve_every=every, delay=delay, max_delay=ROOM)
    final, (states, decisions, feedback) = run(policy, keys(LANES))
    due = np.arange(HORIZON) % every == 0
    sent = np.broadcast_to(
        np.asarray(decisions.evidence.sent).reshape(HORIZON, -1), (HORIZON, LANES)
    )
    assert (sent == due[:, None]).all()
    z = np.asarray(decisions.marginals)
    assert (z[1:][~due[1:]] == z[:-1][~due[1:]]).all()  # the cloud holds what it was sent
    # What the local server knows before round t is the feedback of rounds up to t - 1 - d.
    seen = np.cumsum(np.asarray(feedback.observed, np.int64), axis=0)
    reward = np.cumsum(np.where(feedback.observed, feedback.reward, 0), axis=0, dtype=float)
    count = np.asarray(states.local.estimates.count)
    total = np.asarray(states.local.estimates.reward.high)
    assert (count[: delay + 1] == 0).all()
    known = slice(0, HORIZON - 1 - delay)
    np.testing.assert_array_equal(count[delay + 1 :], seen[known])
    np.testing.assert_array_equal(total[delay + 1 :], reward[known])
    np.testing.assert_array_equal(final.local.estimates.count, seen[HORIZON - 1 - delay])
    assert len(traces) == 1  # b and d are numbers of one program


def test_room_for_late_feedback_is_what_the_delay_needs():
    assert TwoTier().init(PROBLEM).late is None
    assert TwoTier(delay=5).init(PROBLEM).late.reward.shape == (6, 4)
