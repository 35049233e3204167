"""Runs watched at every round: what holds on every path, and the worst moment of each path.

`engine.block` keeps sums and records them at chosen rounds. A claim about every
round ("exists t <= T", "never more than N arms") needs more: this loop plays the same
rounds with the same random numbers and keeps running extremes and counts of broken
promises. Lanes are runs; each may have its own instance (trailing lane axis on the leaves).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams, sums
from c2mabv_jax.array.arms import reduce_arms, total
from c2mabv_jax.engine.round import lift, serve
from c2mabv_jax.policies.base import Policy
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE
from c2mabv_jax.rewards import reward_model


class Truth(NamedTuple):
    """What the watcher knows and the policy does not; scalars or `[B]`.

    Attributes:
      value: reward per round that regret is measured against.
      price: lambda*, the dual price of the budget at the true means.
    """

    value: Any
    price: Any


class Watch(NamedTuple):
    """What was seen up to a recorded round, `[...]` per run.

    Attributes:
      regret: sum of value - r(S_t; mu), compensated.
      overspend: sum of c(S_t) - rho, compensated.
      overspend_realised: sum of billed Y - rho, compensated.
      peak_regret: largest regret since the last recorded round.
      peak_overspend: largest overspend_realised since the last recorded round.
      weak_duality: smallest per-round value - r(S_t) + price (c(S_t) - rho) so far.
      wrong_size: rounds in which |S_t| was not what the problem asks.
      infeasibility: worst residual of z_t in the relaxed problem at the bounds.
      fallbacks: rounds without a feasible z_t.
      miscounted: rounds after which the learner's counts were not the observations served.
      uncovered_reward, uncovered_cost: rounds with a bound on the wrong side of its mean.
      observed: observations of each arm, int32 `[K, ...]`.
      pulls: selections of each arm, int32 `[K, ...]`.
      surprise: sum over observations of X - mu, compensated `[K, ...]`.
    """

    regret: sums.Sum
    overspend: sums.Sum
    overspend_realised: sums.Sum
    peak_regret: Array
    peak_overspend: Array
    weak_duality: Array
    wrong_size: Array
    infeasibility: Array
    fallbacks: Array
    miscounted: Array
    uncovered_reward: Array
    uncovered_cost: Array
    observed: Array
    pulls: Array
    surprise: sums.Sum


def _nothing_seen(num_arms: int, lanes: tuple[int, ...]) -> Watch:
    arms = (num_arms, *lanes)
    none = jnp.zeros(lanes, jnp.int32)
    return Watch(
        regret=sums.zero(lanes),
        overspend=sums.zero(lanes),
        overspend_realised=sums.zero(lanes),
        peak_regret=jnp.full(lanes, -jnp.inf),
        peak_overspend=jnp.full(lanes, -jnp.inf),
        weak_duality=jnp.full(lanes, jnp.inf),
        wrong_size=none,
        infeasibility=jnp.zeros(lanes),
        fallbacks=none,
        miscounted=none,
        uncovered_reward=none,
        uncovered_cost=none,
        observed=jnp.zeros(arms, jnp.int32),
        pulls=jnp.zeros(arms, jnp.int32),
        surprise=sums.zero(arms),
    )


def watch(
    problem: Problem,
    environment: Any,
    policy: Policy,
    truth: Truth,
    root: Array,
    seeds: Array,
    record_at: Array,
) -> Watch:
    """Play and watch one tile of runs; not compiled (see `compiled`).

    Args:
      problem, environment, policy, truth: pytrees; numeric leaves may carry a trailing lane
        axis, so that a block of lanes can hold one instance per lane. The policy's state
        must keep `estimates.count`, as C2MAB-V does. Budgets are in scaled cost.
      root: one typed threefry key.
      seeds: seed ids, `[B]`.
      record_at: rounds to record, ascending, int32 `[R]`.

    Returns:
      A `Watch` whose entries are `[R, ..., B]`.
    """
    lanes = seeds.shape
    run_key = streams.run_keys(root, seeds)
    state = jax.tree.map(
        lambda x: jnp.broadcast_to(jnp.asarray(x)[..., None], jnp.shape(x) + lanes),
        policy.init(problem),
    )

    def advance(carry, until):
        def one_round(inner):
            t, state, seen = inner
            key = streams.fold_in(run_key, t)
            decision = policy.select(problem, state, key)
            feedback, _, cost = serve(problem, environment, decision, key, t)
            state = policy.update(problem, state, decision, feedback)
            seen = _look(seen, problem, environment, truth, decision, feedback, state, cost)
            return t + 1, state, seen

        t, state, seen = carry
        seen = seen._replace(
            peak_regret=jnp.full(lanes, -jnp.inf), peak_overspend=jnp.full(lanes, -jnp.inf)
        )
        carry = jax.lax.while_loop(lambda inner: inner[0] <= until, one_round, (t, state, seen))
        return carry, carry[2]

    start = (jnp.int32(1), state, _nothing_seen(problem.num_arms, lanes))
    _, records = jax.lax.scan(advance, start, record_at)
    return records


_programs: dict[Any, Callable[..., Watch]] = {}
_compiling: dict[Any, threading.Lock] = {}  # a lock each: different programs compile side by side


def compiled(*arguments: Any) -> Callable[..., Watch]:
    """`watch` compiled for arguments of this structure; once per structure.

    Compiled ahead of time, under a lock, so that threads which measure side by side do not
    compile the same program twice; such a program also checks the structure of its arguments
    at every call.
    """
    leaves, structure = jax.tree.flatten(arguments)
    key = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    with _compiling.setdefault(key, threading.Lock()):
        if key not in _programs:
            _programs[key] = jax.jit(watch).lower(*arguments).compile()
        return _programs[key]


def _look(seen, problem, environment, truth, decision, feedback, state, cost) -> Watch:
    """What one more round showed."""
    selected = decision.selected
    certificate, bounds, _ = decision.evidence
    mean_reward, mean_cost = (
        lift(x, selected.ndim) for x in (environment.mean_reward, environment.mean_cost)
    )
    shortfall = truth.value - reward_model(problem).of_set(mean_reward, selected)
    excess = total(jnp.where(selected, mean_cost, 0)) - problem.budget
    regret = sums.add(seen.regret, shortfall)
    realised = sums.add(seen.overspend_realised, cost - problem.budget)

    size = total(selected.astype(jnp.int32))
    wrong = size > problem.num_selected if problem.at_most else size != problem.num_selected
    infeasible = certificate.status == INFEASIBLE
    observed = seen.observed + feedback.observed
    some = lambda mask: reduce_arms(jnp.logical_or, mask)  # noqa: E731
    return Watch(
        regret=regret,
        overspend=sums.add(seen.overspend, excess),
        overspend_realised=realised,
        peak_regret=jnp.maximum(seen.peak_regret, regret.high),
        peak_overspend=jnp.maximum(seen.peak_overspend, realised.high),
        weak_duality=jnp.minimum(seen.weak_duality, shortfall + truth.price * excess),
        wrong_size=seen.wrong_size + wrong,
        infeasibility=jnp.maximum(
            seen.infeasibility, jnp.where(infeasible, 0, certificate.feasibility)
        ),
        fallbacks=seen.fallbacks + infeasible,
        miscounted=seen.miscounted + some(state.estimates.count != observed),
        uncovered_reward=seen.uncovered_reward + some(bounds.reward_ucb < mean_reward),
        uncovered_cost=seen.uncovered_cost + some(bounds.cost_lcb > mean_cost),
        observed=observed,
        pulls=seen.pulls + selected,
        surprise=sums.add(
            seen.surprise, jnp.where(feedback.observed, feedback.reward - mean_reward, 0)
        ),
    )
