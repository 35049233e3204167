"""One round: decide, serve, give feedback, learn, account. Arm first, `[K, ...]`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams, sums
from c2mabv_jax.array.arms import arm_index, reduce_arms, total
from c2mabv_jax.array.listing import place_of
from c2mabv_jax.array.xla import apart
from c2mabv_jax.policies.base import Decision, Feedback, Policy, State
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE, NOT_CONVERGED
from c2mabv_jax.rewards import cascade_prefix, reward_model


class TypeTally(NamedTuple):
    """What a run adds up by type of query.

    Attributes:
      rounds: rounds of each type, int32 `[G, ...]`.
      pulls: of those, rounds in which each arm was selected, int32 `[G, K, ...]`.
      cost: billed cost of each type's rounds, compensated `[G, ...]`.
    """

    rounds: Array
    pulls: Array
    cost: sums.Sum


class Tally(NamedTuple):
    """What a run adds up; recorded at chosen rounds, so memory does not grow with T.

    Attributes:
      pulls: rounds in which each arm was selected, int32 `[K, ...]`.
      observed: rounds in which its reward was observed; None where every selected arm is.
      reward, cost: realised set reward and billed cost, compensated sums `[...]`.
      expected: sum of r(S_t; environment); None where counts give it exactly.
      fallbacks: rounds whose relaxed problem had no feasible point, int32 `[...]`.
      unconverged: rounds whose solver met its step limit, int32 `[...]`.
      messages: messages from the local server to the cloud, int32 `[...]`.
      gap, feasibility: worst certificate of the run, `[...]`.
      uncovered: rounds in which some bound was on the wrong side of its mean, int32 `[...]`;
        None unless asked for.
      marginals: sum of z_t, compensated `[K, ...]`; None unless asked for.
      by_type: the same by type of query; None where queries have no type.
    """

    pulls: Array
    observed: Array | None
    reward: sums.Sum
    cost: sums.Sum
    expected: sums.Sum | None
    fallbacks: Array
    unconverged: Array
    messages: Array
    gap: Array
    feasibility: Array
    uncovered: Array | None
    marginals: sums.Sum | None
    by_type: TypeTally | None = None


class Accounting(NamedTuple):
    """Static choices of what is tallied.

    Attributes:
      expected: "counts" (linear reward: exact from pulls), "formula" (independent arms),
        "table" (dependent arms, a table over subsets), or "none".
      coverage, marginals: whether these optional tallies are kept.
      num_types: G, where queries have types; None where they have none.
    """

    expected: str
    coverage: bool = False
    marginals: bool = False
    num_types: int | None = None


def empty_tally(problem: Problem, accounting: Accounting) -> Tally:
    """A tally before the first round, for one run."""
    arms, scalar = (problem.num_arms,), ()
    whole = lambda shape: jnp.zeros(shape, jnp.int32)  # noqa: E731
    return Tally(
        pulls=whole(arms),
        observed=whole(arms) if problem.cascading else None,
        reward=sums.zero(scalar),
        cost=sums.zero(scalar),
        expected=sums.zero(scalar) if accounting.expected in ("formula", "table") else None,
        fallbacks=whole(scalar),
        unconverged=whole(scalar),
        messages=whole(scalar),
        gap=jnp.zeros(scalar),
        feasibility=jnp.zeros(scalar),
        uncovered=whole(scalar) if accounting.coverage else None,
        marginals=sums.zero(arms) if accounting.marginals else None,
        by_type=None if accounting.num_types is None else _no_types(accounting.num_types, arms),
    )


def _no_types(num_types: int, arms: tuple[int, ...]) -> TypeTally:
    whole = lambda shape: jnp.zeros(shape, jnp.int32)  # noqa: E731
    return TypeTally(whole((num_types,)), whole((num_types, *arms)), sums.zero((num_types,)))


def serve(
    problem: Problem, environment: Any, decision: Decision, key: Array, t: Array
) -> tuple[Feedback, Array, Array]:
    """Ask the super arm: feedback, realised set reward `[...]` and billed cost `[...]`."""
    model = reward_model(problem)
    selected = decision.selected
    outcome = environment.sample(key, t)
    if problem.cascading:
        stops = success(problem, environment, outcome.reward, key) == bool(model.stops_at)
        priority = decision.priority
        if priority is None:
            priority = jnp.broadcast_to(arm_index(selected), selected.shape)
            priority = priority.astype(jnp.result_type(float))
        observed = cascade_prefix(selected, stops, priority)
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
    if getattr(environment, "binary_reward", False):
        return reward > 0.5
    if problem.satisfaction == "bernoulli":
        uniform, _ = streams.of_arms(key, reward.shape[0], reward.dtype, streams.SATISFACTION)
        return uniform < reward
    return reward >= problem.satisfaction


def account(
    tally: Tally,
    problem: Problem,
    environment: Any,
    accounting: Accounting,
    table: Array | None,
    decision: Decision,
    feedback: Feedback,
    reward: Array,
    cost: Array,
    context: Array | None = None,
) -> Tally:
    """The tally after one more round; `context` is the query's type, int32 `[...]`."""
    selected, evidence = decision.selected, decision.evidence
    certificate, bounds = evidence.certificate, evidence.bounds
    expected = tally.expected
    if expected is not None:
        expected = sums.add(expected, expected_reward(problem, environment, table, selected))
    changes: dict[str, Any] = {}
    if certificate is not None:
        infeasible = certificate.status == INFEASIBLE
        residual = jnp.where(infeasible, 0, certificate.feasibility)
        changes = {
            "fallbacks": tally.fallbacks + infeasible,
            "unconverged": tally.unconverged + (certificate.status == NOT_CONVERGED),
            "gap": jnp.maximum(tally.gap, certificate.gap),
            "feasibility": jnp.maximum(tally.feasibility, residual),
        }
    if evidence.sent is not None:
        changes["messages"] = tally.messages + evidence.sent
    if tally.uncovered is not None and bounds is not None:
        by_type = bounds.reward_ucb.ndim > selected.ndim
        true = environment.by_type if by_type else environment
        mean_reward, mean_cost = (
            lift(x, bounds.reward_ucb.ndim) for x in (true.mean_reward, true.mean_cost)
        )
        wrong = (bounds.reward_ucb < mean_reward) | (bounds.cost_lcb > mean_cost)
        if by_type:
            wrong = wrong.reshape((-1, *wrong.shape[2:]))
        changes["uncovered"] = tally.uncovered + reduce_arms(jnp.logical_or, wrong)
    if tally.marginals is not None:
        changes["marginals"] = sums.add(tally.marginals, decision.marginals)
    if tally.by_type is not None:
        changes["by_type"] = _one_more(tally.by_type, context, selected, cost)
    return tally._replace(
        pulls=tally.pulls + selected,
        observed=None if tally.observed is None else tally.observed + feedback.observed,
        reward=sums.add(tally.reward, reward),
        cost=sums.add(tally.cost, cost),
        expected=expected,
        **changes,
    )


def _one_more(tally: TypeTally, context: Array | None, selected: Array, cost: Array) -> TypeTally:
    """The tally by type after one more round."""
    here: Array = arm_index(tally.rounds) == jnp.asarray(context)
    return TypeTally(
        tally.rounds + here,
        tally.pulls + (here[:, None] & selected),
        sums.add(tally.cost, jnp.where(here, cost, 0)),
    )


def expected_reward(
    problem: Problem, environment: Any, table: Array | None, selected: Array
) -> Array:
    """r(S; environment), `[...]`: by formula, or from a table over the sets of `listing.listed`."""
    if table is None:
        values = lift(environment.mean_reward, selected.ndim)
        return reward_model(problem).of_set(values, selected)
    return table[place_of(selected, problem.num_selected)]


def lift(values: Array, ndim: int) -> Array:
    """Give `[K]` trailing axes so that it broadcasts with `[K, ...]` of rank `ndim`."""
    values = jnp.asarray(values)
    return values.reshape(values.shape + (1,) * (ndim - values.ndim))


def play(
    problem: Problem,
    environment: Any,
    policy: Policy,
    accounting: Accounting,
    table: Array | None,
    key: Array,
    t: Array,
    state: State,
    tally: Tally,
) -> tuple[State, Tally]:
    """Round t of a batch of runs: state and tally after it."""
    truth, available = environment, None
    changes = environment.changes
    if changes:
        truth, available = environment.at(t), environment.available(t)
        available = lift(available, key.ndim + 1)
    context, told = None, {}
    if accounting.num_types is not None:
        context = environment.type_of(key, t)
        told = {"context": context} if policy.typed else {}
    decision = policy.select(problem, state, key, available=available, **told)
    if available is not None:
        decision = decision._replace(selected=decision.selected & available)
    feedback, reward, cost = serve(problem, environment, decision, key, t)
    state = policy.update(problem, state, decision, feedback)
    tally = account(
        tally, problem, truth, accounting, table, decision, feedback, reward, cost, context
    )
    return state, tally
