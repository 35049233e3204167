"""The observer behind every result: sums and counts, kept for every run."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import sums
from c2mabv_jax.array.arms import arm_index, lift, reduce_arms
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.engine.observer import Observer, Round
from c2mabv_jax.engine.round import expected_reward
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE, NOT_CONVERGED


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


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Accounting(Observer):
    """What is tallied.

    Attributes:
      expected: "counts" (linear reward: exact from pulls), "formula" (independent arms),
        "table" (dependent arms, a table over subsets), or "none".
      coverage, marginals: whether these optional tallies are kept.
      num_types: G, where queries have types; None where they have none.
      table: expected rewards of the sets of `listing.listed`, `[M]`, for "table".
    """

    expected: str = dataclasses.field(metadata={"static": True})
    coverage: bool = dataclasses.field(default=False, metadata={"static": True})
    marginals: bool = dataclasses.field(default=False, metadata={"static": True})
    num_types: int | None = dataclasses.field(default=None, metadata={"static": True})
    table: Any = dataclasses.field(default=None, metadata={"shared": True})

    def begin(self, problem: Problem) -> Tally:
        arms, scalar = (problem.num_arms,), ()
        return Tally(
            pulls=_zeros(arms),
            observed=_zeros(arms) if problem.cascading else None,
            reward=sums.zero(scalar),
            cost=sums.zero(scalar),
            expected=sums.zero(scalar) if self.expected in ("formula", "table") else None,
            fallbacks=_zeros(scalar),
            unconverged=_zeros(scalar),
            messages=_zeros(scalar),
            gap=jnp.zeros(scalar),
            feasibility=jnp.zeros(scalar),
            uncovered=_zeros(scalar) if self.coverage else None,
            marginals=sums.zero(arms) if self.marginals else None,
            by_type=None if self.num_types is None else _no_types(self.num_types, arms),
        )

    def see(self, seen: Tally, now: Round) -> Tally:
        problem, truth, decision, feedback, _, reward, cost, context = now
        selected, evidence = decision.selected, decision.evidence
        certificate, bounds = evidence.certificate, evidence.bounds
        expected = seen.expected
        if expected is not None:
            expected = sums.add(expected, expected_reward(problem, truth, self.table, selected))
        changes: dict[str, Any] = {}
        if certificate is not None:
            infeasible = certificate.status == INFEASIBLE
            residual = jnp.where(infeasible, 0, certificate.feasibility)
            changes = {
                "fallbacks": seen.fallbacks + infeasible,
                "unconverged": seen.unconverged + (certificate.status == NOT_CONVERGED),
                "gap": jnp.maximum(seen.gap, certificate.gap),
                "feasibility": jnp.maximum(seen.feasibility, residual),
            }
        if evidence.sent is not None:
            changes["messages"] = seen.messages + evidence.sent
        if seen.uncovered is not None and bounds is not None:
            by_type = bounds.reward_ucb.ndim > selected.ndim
            true = truth.by_type if by_type else truth
            mean_reward, mean_cost = (
                lift(x, bounds.reward_ucb.ndim) for x in (true.mean_reward, true.mean_cost)
            )
            wrong = (bounds.reward_ucb < mean_reward) | (bounds.cost_lcb > mean_cost)
            if by_type:
                wrong = wrong.reshape((-1, *wrong.shape[2:]))
            changes["uncovered"] = seen.uncovered + reduce_arms(jnp.logical_or, wrong)
        if seen.marginals is not None:
            changes["marginals"] = sums.add(seen.marginals, decision.marginals)
        if seen.by_type is not None:
            changes["by_type"] = _one_more(seen.by_type, context, selected, cost)
        return seen._replace(
            pulls=seen.pulls + selected,
            observed=None if seen.observed is None else seen.observed + feedback.observed,
            reward=sums.add(seen.reward, reward),
            cost=sums.add(seen.cost, cost),
            expected=expected,
            **changes,
        )


def _zeros(shape: tuple[int, ...]) -> Array:
    return jnp.zeros(shape, jnp.int32)


def _no_types(num_types: int, arms: tuple[int, ...]) -> TypeTally:
    by_type = (num_types,)
    return TypeTally(_zeros(by_type), _zeros((num_types, *arms)), sums.zero(by_type))


def _one_more(tally: TypeTally, context: Array | None, selected: Array, cost: Array) -> TypeTally:
    """The tally by type after one more round."""
    here: Array = arm_index(tally.rounds) == jnp.asarray(context)
    return TypeTally(
        tally.rounds + here,
        tally.pulls + (here[:, None] & selected),
        sums.add(tally.cost, jnp.where(here, cost, 0)),
    )
