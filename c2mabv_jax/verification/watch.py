"""Runs watched at every round: what holds on every path, and the worst moment of each path.

A claim about every round ("exists t <= T", "never more than N arms") needs more than a tally:
this observer keeps running extremes and counts of broken promises. It looks at the state's
`estimates.count`, as C2MAB-V keeps it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import sums
from c2mabv_jax.array.arms import lift, reduce_arms, total
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.engine.observer import Observer, Round
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE
from c2mabv_jax.rewards import reward_model


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


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Watcher(Observer):
    """Keeps a `Watch`, and knows what the policy does not; scalars or `[B]`.

    Attributes:
      value: reward per round that regret is measured against.
      price: lambda*, the dual price of the budget at the true means.
    """

    value: Any
    price: Any

    def begin(self, problem: Problem) -> Watch:
        arms, none = (problem.num_arms,), jnp.int32(0)
        return Watch(
            regret=sums.zero(()),
            overspend=sums.zero(()),
            overspend_realised=sums.zero(()),
            peak_regret=jnp.full((), -jnp.inf),
            peak_overspend=jnp.full((), -jnp.inf),
            weak_duality=jnp.full((), jnp.inf),
            wrong_size=none,
            infeasibility=jnp.zeros(()),
            fallbacks=none,
            miscounted=none,
            uncovered_reward=none,
            uncovered_cost=none,
            observed=jnp.zeros(arms, jnp.int32),
            pulls=jnp.zeros(arms, jnp.int32),
            surprise=sums.zero(arms),
        )

    def afresh(self, seen: Watch) -> Watch:
        lowest = jnp.full_like(seen.peak_regret, -jnp.inf)
        return seen._replace(peak_regret=lowest, peak_overspend=lowest)

    def see(self, seen: Watch, now: Round) -> Watch:
        problem, selected, feedback = now.problem, now.decision.selected, now.feedback
        certificate, bounds, _ = now.decision.evidence
        assert certificate is not None and bounds is not None
        mean_reward, mean_cost = (
            lift(x, selected.ndim) for x in (now.truth.mean_reward, now.truth.mean_cost)
        )
        shortfall = self.value - reward_model(problem).of_set(mean_reward, selected)
        excess = total(jnp.where(selected, mean_cost, 0)) - problem.budget
        regret = sums.add(seen.regret, shortfall)
        realised = sums.add(seen.overspend_realised, now.cost - problem.budget)

        size = total(selected.astype(jnp.int32))
        wrong = size > problem.num_selected if problem.at_most else size != problem.num_selected
        infeasible = certificate.status == INFEASIBLE
        residual = jnp.where(infeasible, 0, certificate.feasibility)
        observed = seen.observed + feedback.observed
        surprise = jnp.where(feedback.observed, feedback.reward - mean_reward, 0)
        some = lambda mask: reduce_arms(jnp.logical_or, mask)  # noqa: E731
        return Watch(
            regret=regret,
            overspend=sums.add(seen.overspend, excess),
            overspend_realised=realised,
            peak_regret=jnp.maximum(seen.peak_regret, regret.high),
            peak_overspend=jnp.maximum(seen.peak_overspend, realised.high),
            weak_duality=jnp.minimum(seen.weak_duality, shortfall + self.price * excess),
            wrong_size=seen.wrong_size + wrong,
            infeasibility=jnp.maximum(seen.infeasibility, residual),
            fallbacks=seen.fallbacks + infeasible,
            miscounted=seen.miscounted + some(now.state.estimates.count != observed),
            uncovered_reward=seen.uncovered_reward + some(bounds.reward_ucb < mean_reward),
            uncovered_cost=seen.uncovered_cost + some(bounds.cost_lcb > mean_cost),
            observed=observed,
            pulls=seen.pulls + selected,
            surprise=sums.add(seen.surprise, surprise),
        )
