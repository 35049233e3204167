"""What most policies share with C2MAB-V: estimates of means, and a choice by index or by LP."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.policies import local_server, scheduling_cloud
from c2mabv_jax.policies.base import Decision, Evidence, Feedback, Policy
from c2mabv_jax.policies.estimates import Estimates, empty, observe
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import top_n
from c2mabv_jax.rewards import reward_model


class Learned(NamedTuple):
    """State of a policy that learns means.

    Attributes:
      round: t, the round to come, int32 `[...]`.
      estimates: counts and sums, `[K, ...]` (or what remembers less, see `forgetting`).
      edges: where the last relaxed solutions lay, bool `[K, ...]` pairs (warm start of the
        LP); None where none is solved.
      order: which of equal indices comes first, `[K, ...]`; None where the LP chooses.
    """

    round: Array
    estimates: Any
    edges: local_server.Edges | None = None
    order: Array | None = None


class Learning(Policy):
    """A policy that learns means: what is left to say is how it selects.

    Attributes:
      solves_lp: whether it plays the relaxed problem (`by_lp`) or indices (`by_index`).
    """

    solves_lp: ClassVar[bool] = False

    def init(self, problem: Problem) -> Any:
        """State before the first round."""
        return start(problem, self.solves_lp)

    def update(self, problem: Problem, state: Any, decision: Decision, feedback: Feedback) -> Any:
        """Learn from the observed arms."""
        del problem
        return learn(state, decision, feedback)


def start(problem: Problem, lp: bool, estimates: Any = None) -> Learned:
    """State before the first round; `lp` when the policy solves the relaxed problem."""
    none = empty(problem) if estimates is None else estimates
    if not lp:
        return Learned(jnp.int32(1), none, order=jnp.zeros(problem.num_arms))
    some = jnp.arange(problem.num_arms) < problem.num_selected  # any set of N will do
    return Learned(jnp.int32(1), none, ((some, some),) * len(reward_model(problem).lp_weights))


def learn(
    state: Learned, decision: Decision, feedback: Feedback, observe: Any = observe
) -> Learned:
    """State after one more round of feedback; what it hands on is kept for the next one."""
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


def cheapest(problem: Problem, costs: Array, ties: tuple[Array, ...] = ()) -> Array:
    """The least costly legal set: the N cheapest arms, or none with `at_most`."""
    if problem.at_most:
        return jnp.zeros(costs.shape, bool)
    return top_n(-costs, problem.num_selected, ties=ties)
