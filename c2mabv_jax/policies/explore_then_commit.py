"""Explore, then commit: every arm m times in turn, then the LP at the means for good.

Textbook (Lattimore and Szepesvari 2020, chapter 6); the form for sets and the budget in the
committed step are this project's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array.arms import arm_index
from c2mabv_jax.errors import ProblemError, check_number
from c2mabv_jax.policies.base import Decision, Feedback, register
from c2mabv_jax.policies.learning import Learned, Learning, by_lp, learn, means
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import OPTIMAL
from c2mabv_jax.rewards import asking_order


@register
@dataclasses.dataclass(frozen=True)
class ExploreThenCommit(Learning):
    """Round-robin exploration, then one relaxed solution, rounded afresh every round.

    Round t of the exploration plays the arms (t - 1) N, ..., t N - 1 modulo K, N arms with
    `at_most` too; it ends after the first round by which every arm was played m times. A
    cascade asks the least observed first while exploring, so that none is left out; an arm
    never observed all the same counts as reward 1 and cost 0.

    Attributes:
      plays: m, plays of every arm; None for (T / K)^(2/3), which `at_horizon` allows.
      horizon: T, told by `at_horizon`.
    """

    plays: Any = None
    horizon: Any = None

    solves_lp = True

    def __post_init__(self) -> None:
        check_number("plays", self.plays)
        check_number("horizon", self.horizon, 1)

    def at_horizon(self, horizon: Any) -> ExploreThenCommit:
        """The policy told how many rounds it will play."""
        return dataclasses.replace(self, horizon=horizon) if self.plays is None else self

    def exploring_rounds(self, problem: Problem) -> Array:
        """Rounds of exploration, ceil(m K / N), int32 `[...]`."""
        plays = self.plays
        if plays is None:
            if self.horizon is None:
                raise ProblemError("plays: not given; call policy.at_horizon(T) first")
            dtype = jnp.result_type(float)
            plays = (jnp.asarray(self.horizon, dtype) / problem.num_arms) ** (2 / 3)
        plays = jnp.ceil(jnp.asarray(plays)).astype(jnp.int32)
        return -(-plays * problem.num_arms // problem.num_selected)

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The next arms in turn, or the committed solution."""
        num_arms, num_selected = problem.num_arms, problem.num_selected
        count = state.estimates.count
        arms = arm_index(count)
        first = (state.round - 1) % num_arms * num_selected % num_arms
        turn = jnp.broadcast_to((arms - first) % num_arms < num_selected, count.shape)
        exploring = state.round <= self.exploring_rounds(problem)
        commit = by_lp(problem, key, means(state.estimates), state, available)
        priority = commit.priority
        if problem.cascading:
            usual = asking_order(priority, count)
            priority = jnp.where(exploring, count.astype(commit.marginals.dtype), usual)
        certificate = commit.evidence.certificate
        assert certificate is not None
        unused = jnp.where(exploring, OPTIMAL, certificate.status)  # not a fallback yet
        return commit._replace(
            evidence=commit.evidence._replace(certificate=certificate._replace(status=unused)),
            selected=jnp.where(exploring, turn, commit.selected),
            marginals=jnp.where(exploring, turn, commit.marginals),
            priority=priority,
        )

    def update(
        self, problem: Problem, state: Learned, decision: Decision, feedback: Feedback
    ) -> Learned:
        """Learn while exploring; afterwards only the round number moves."""
        exploring = state.round <= self.exploring_rounds(problem)
        billed = feedback.observed if feedback.billed is None else feedback.billed
        heard = feedback._replace(observed=feedback.observed & exploring, billed=billed & exploring)
        return learn(state, decision, heard)
