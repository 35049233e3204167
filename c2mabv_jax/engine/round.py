"""One round: decide, serve, give feedback, learn. Arm first, `[K, ...]`."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.arms import lift, total
from c2mabv_jax.array.listing import place_of
from c2mabv_jax.array.xla import apart
from c2mabv_jax.engine.observer import Round
from c2mabv_jax.policies.base import Decision, Feedback, Policy, State
from c2mabv_jax.problem import Problem
from c2mabv_jax.rewards import asking_order, cascade_prefix, reward_model


def play(
    problem: Problem, environment: Any, policy: Policy, key: Array, t: Array, state: State
) -> Round:
    """Round t of a batch of runs, from the policy's state before it."""
    truth, available = environment, None
    if environment.changes:
        truth, available = environment.at(t), environment.available(t)
        available = lift(available, key.ndim + 1)
    context, told = None, {}
    if environment.num_types is not None:
        context = environment.type_of(key, t)
        told = {"context": context} if policy.typed else {}
    decision = policy.select(problem, state, key, available=available, **told)
    if available is not None:
        decision = decision._replace(selected=decision.selected & available)
    feedback, reward, cost = serve(problem, environment, decision, key, t)
    state = policy.update(problem, state, decision, feedback)
    return Round(problem, truth, decision, feedback, state, reward, cost, context)


def serve(
    problem: Problem, environment: Any, decision: Decision, key: Array, t: Array
) -> tuple[Feedback, Array, Array]:
    """Ask the super arm: feedback, realised set reward `[...]` and billed cost `[...]`."""
    model = reward_model(problem)
    selected = decision.selected
    outcome = environment.sample(key, t)
    if problem.cascading:
        stops = success(problem, environment, outcome.reward, key) == bool(model.stops_at)
        observed = cascade_prefix(selected, stops, asking_order(decision.priority, selected))
    else:
        observed = selected
    billed = observed if problem.billing == "queried" else selected
    # What was not asked is set to 0 here, once, for all who add up. Laws keep to [0, 1], and of a
    # log's few dear answers all is learned, so nothing is refused:
    only = lambda mask, x: jnp.where(mask, x, 0)  # noqa: E731
    answered = apart(only, selected, outcome.reward)
    charged = apart(only, billed, outcome.cost)
    feedback = Feedback(answered, charged, observed, billed, refused=0)
    return feedback, model.of_set(answered, selected), total(charged)


def success(problem: Problem, environment: Any, reward: Array, key: Array) -> Array:
    """Whether each arm's outcome satisfies the user, bool `[K, ...]`."""
    if environment.binary_reward:
        return reward > 0.5
    if problem.satisfaction == "bernoulli":
        uniform, _ = streams.of_arms(key, reward.shape[0], reward.dtype, streams.SATISFACTION)
        return uniform < reward
    return reward >= problem.satisfaction


def expected_reward(
    problem: Problem, environment: Any, table: Array | None, selected: Array
) -> Array:
    """r(S; environment), `[...]`: by formula, or from a table over the sets of `listing.listed`."""
    if table is None:
        values = lift(environment.mean_reward, selected.ndim)
        return reward_model(problem).of_set(values, selected)
    return table[place_of(selected, problem.num_selected)]
