"""What baselines share: state, choice by index, choice by LP, a purse, checks of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams, sums
from c2mabv_jax.array.arms import total
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import ProblemError, is_traced
from c2mabv_jax.policies import local_server, scheduling_cloud
from c2mabv_jax.policies.base import Decision, Evidence, Feedback
from c2mabv_jax.policies.estimates import Estimates, empty, observe
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import top_n
from c2mabv_jax.rewards import reward_model

SMALLEST_COST = 1e-6  # costs are raised to this before they divide


class Learned(NamedTuple):
    """State of a policy that learns means.

    Attributes:
      round: t, the round to come, int32 `[...]`.
      estimates: counts and sums, `[K, ...]`.
      edges: warm starts of the LP, bool `[K, ...]` pairs; None where none is solved.
      order: which of equal indices comes first, `[K, ...]`; None where the LP chooses.
    """

    round: Array
    estimates: Estimates
    edges: local_server.Edges | None = None
    order: Array | None = None


def start(problem: Problem, lp: bool, squares: bool = False) -> Learned:
    """State before the first round; `lp` when the policy solves the relaxed problem."""
    none = empty(problem, squares)
    if not lp:
        return Learned(jnp.int32(1), none, order=jnp.zeros(problem.num_arms))
    some = jnp.arange(problem.num_arms) < problem.num_selected
    return Learned(jnp.int32(1), none, ((some, some),) * len(reward_model(problem).lp_weights))


def learn(state: Learned, decision: Decision, feedback: Feedback) -> Learned:
    """State after one more round of feedback."""
    state = state._replace(round=state.round + 1, estimates=observe(state.estimates, feedback))
    if decision.memo is None:
        return state
    if state.order is None:
        return state._replace(edges=decision.memo)
    return state._replace(order=decision.memo)


def by_index(
    problem: Problem,
    key: Array,
    index: Array,
    state: Learned,
    bounds: Bounds,
    available: Array | None,
) -> Decision:
    """Play the N largest indices; with `at_most` only positive ones count.

    Of equal indices (all of them are in the first round, and many while bounds are cut at 1)
    the cheaper by its mean cost, 0 where none was seen, comes first; then a random order that
    is drawn once a run, so that no law depends on the order of the columns.
    """
    if available is not None:
        index = jnp.where(available, index, -jnp.inf)
    assert state.order is not None
    drawn = streams.uniforms(own_key(key, 2), problem.num_arms, index.dtype)
    order = jnp.where(state.round == 1, drawn, state.order)
    selected = top_n(
        index,
        problem.num_selected,
        positive=problem.at_most,
        ties=(-state.estimates.means()[1], order),
    )
    return Decision(
        selected=selected,
        marginals=selected.astype(index.dtype),
        priority=local_server.cascade_priority(problem, state.estimates, bounds),
        evidence=Evidence(bounds=bounds),
        memo=order,
    )


def by_lp(
    problem: Problem, key: Array, values: Bounds, state: Learned, available: Array | None
) -> Decision:
    """Solve the relaxed problem as if `values` were true, and round its solution."""
    values = local_server.of_available(values, available)
    solution, edges = local_server.relax(problem, values, state.edges)
    return Decision(
        selected=scheduling_cloud.round_marginals(problem, key, solution.marginals),
        marginals=solution.marginals,
        priority=local_server.cascade_priority(problem, state.estimates, values),
        evidence=Evidence(certificate=solution.certificate),
        memo=edges,
    )


def c2mabv_bounds(problem: Problem, learned: Learned, policy: Any) -> Bounds:
    """The bounds of C2MAB-V at the alphas and delta of a policy, `[K, ...]`."""
    alphas = (policy.alpha_reward, policy.alpha_cost)
    return local_server.bounds(problem, learned.estimates, learned.round, *alphas, policy.delta)


def means(estimates: Estimates) -> Bounds:
    """Empirical means as bounds; an arm never observed counts as reward 1 and cost 0."""
    (reward, cost), (seen, billed) = estimates.means(), estimates.counts
    return Bounds(jnp.where(seen > 0, reward, 1), jnp.where(billed > 0, cost, 0))


def additive(problem: Problem, values: Array) -> Array:
    """Rewards as weights that add up: the first linear objective of the reward model."""
    return reward_model(problem).lp_weights[0](values)


def own_key(key: Array, purpose: int) -> Array:
    """A stream of the policy's own, apart from the numbers that rounding takes from `key`."""
    return streams.fold_in(key, (1 << 16) + purpose)


def billed_cost(feedback: Feedback) -> Array:
    """Y(S_t), what the round cost, `[...]`."""
    billed = feedback.observed if feedback.billed is None else feedback.billed
    return total(jnp.where(billed, feedback.cost, 0))


def asking_order(priority: Array | None, like: Array) -> Array:
    """A cascade's order as numbers `[K, ...]`, also where it is the given one (None)."""
    if priority is not None:
        return priority
    arms = jnp.arange(like.shape[0], dtype=jnp.result_type(float))
    return jnp.broadcast_to(arms.reshape((-1,) + (1,) * (like.ndim - 1)), like.shape)


def cheapest(problem: Problem, costs: Array, ties: tuple[Array, ...] = ()) -> Array:
    """The least costly legal set: the N cheapest arms, or none with `at_most`."""
    if problem.at_most:
        return jnp.zeros(costs.shape, bool)
    return top_n(-costs, problem.num_selected, ties=ties)


class Purse(NamedTuple):
    """State of a policy that learns means and counts its money.

    Attributes:
      learned: round, estimates, warm starts.
      spent: billed cost so far, compensated sum `[...]`.
    """

    learned: Learned
    spent: sums.Sum


def full_purse(problem: Problem, lp: bool, squares: bool = False) -> Purse:
    """State before the first round: nothing spent."""
    return Purse(start(problem, lp, squares), sums.zero(()))


def pay(purse: Purse, decision: Decision, feedback: Feedback) -> Purse:
    """The purse after one more round."""
    spent = sums.add(purse.spent, billed_cost(feedback))
    return Purse(learn(purse.learned, decision, feedback), spent)


def stop_when_spent(
    problem: Problem, purse: Purse, horizon: Any, costs: Array, decision: Decision
) -> Decision:
    """The decision, or the cheapest set once one more round could overdraw rho T.

    Knapsack bandits stop there; a round that must be served is served as cheaply as it can
    be. Without a horizon (None) nothing stops.
    """
    if horizon is None:
        return decision
    broke = purse.spent.high > problem.budget * horizon - problem.num_selected
    learned = purse.learned
    ties = () if learned.order is None else (-learned.estimates.means()[1], learned.order)
    last = cheapest(problem, costs, ties)
    return decision._replace(
        selected=jnp.where(broke, last, decision.selected),
        marginals=jnp.where(broke, last, decision.marginals),
    )


def told(horizon: Any) -> Any:
    """The horizon; raises where none was told."""
    if horizon is None:
        raise ProblemError("horizon: not given; call policy.at_horizon(T) first")
    return horizon


def spread(values: Any, state: Array) -> Array:
    """Values `[K]` or `[K, B]` as `[K, ...]` beside a scalar of the state `[...]`."""
    values = jnp.asarray(values)
    values = values.reshape(values.shape + (1,) * (state.ndim + 1 - values.ndim))
    return jnp.broadcast_to(values, (values.shape[0], *state.shape))


def check(field: str, value: Any, low: float = 0.0, high: float = np.inf) -> None:
    """Raise unless `value` is None, traced, or finite numbers in [low, high]."""
    if isinstance(value, str):
        raise ProblemError(f"{field} = {value!r}: give a number")
    if value is None or is_traced(value):
        return
    numbers = np.asarray(value, np.float64)
    if not (np.isfinite(numbers) & (numbers >= low) & (numbers <= high)).all():
        asked = f"{low:g} or more" if high == np.inf else f"from {low:g} to {high:g}"
        raise ProblemError(f"{field} = {value!r}: give a finite number, {asked}")


def choose_from(field: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the allowed words."""
    if value not in allowed:
        raise ProblemError(f"{field} = {value!r}: choose one of " + ", ".join(allowed))
