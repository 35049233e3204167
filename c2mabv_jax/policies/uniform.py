"""Uniformly random sets: what knowing nothing and never learning is worth.

E[regret] = T (OPT - N mean(mu)) for SUC and E[cost] = N mean(c), exactly.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import top_n


@register
@dataclasses.dataclass(frozen=True)
class UniformRandom(Policy):
    """Every N-set alike, N arms with `at_most` too; the budget is ignored."""

    def init(self, problem: Problem) -> Array:
        """State before the first round: the round alone."""
        del problem
        return jnp.int32(1)

    def select(
        self, problem: Problem, state: Array, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The N largest of K uniform numbers. A cascade asks lower indices first."""
        del state, available
        uniform = streams.uniforms(key, problem.num_arms, jnp.result_type(float))
        share = problem.num_selected / problem.num_arms
        return Decision(top_n(uniform, problem.num_selected), jnp.full_like(uniform, share))

    def update(
        self, problem: Problem, state: Array, decision: Decision, feedback: Feedback
    ) -> Array:
        """Nothing is learned."""
        del problem, decision, feedback
        return state + 1
