"""A small loop of a policy against Bernoulli rewards, independent of the simulator."""

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax.array import streams
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.rewards import cascade_prefix

MEAN_REWARD = np.array([0.85, 0.75, 0.6, 0.45, 0.2])
MEAN_COST = np.array([0.8, 0.55, 0.5, 0.25, 0.1])


def keys(num: int, seed: int = 0) -> jax.Array:
    return streams.run_keys(jax.random.key(seed), jnp.arange(num))


def column(values, like):
    values = jnp.asarray(values, jnp.result_type(float))
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


def respond(problem, decision, key):
    """Bernoulli rewards; costs uniform on [0, 2 c], cut at 1."""
    num = problem.num_arms
    drawn = streams.uniforms(streams.fold_in(key, 7), 2 * num)
    reward = (drawn[:num] < column(MEAN_REWARD[:num], drawn)).astype(jnp.result_type(float))
    cost = drawn[num:] * column(np.minimum(1, 2 * MEAN_COST[:num]), drawn)
    observed = decision.selected
    if problem.cascading:
        priority = decision.priority
        if priority is None:
            priority = jnp.broadcast_to(column(np.arange(num), drawn[:num]), observed.shape)
        observed = cascade_prefix(observed, reward == (problem.reward_model == "AWC"), priority)
    billed = observed if problem.billing == "queried" else decision.selected
    return Feedback(reward, cost, observed, billed)


def one_round(problem, policy, state, key, t, answer=respond):
    """State after round t, the decision and the feedback."""
    key = streams.fold_in(key, t)
    decision = policy.select(problem, state, streams.fold_in(key, 1))
    feedback = answer(problem, decision, key)
    return policy.update(problem, state, decision, feedback), decision, feedback


def begin(problem, policy, lanes=()):
    spread = lambda x: jnp.broadcast_to(  # noqa: E731
        jnp.asarray(x).reshape(jnp.shape(x) + (1,) * len(lanes)), jnp.shape(x) + lanes
    )
    return jax.tree.map(spread, policy.init(problem))
