"""What typed C2MAB-V is compared with: Thompson sampling by type, and who knows the truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.policies.base import Decision, Evidence, Feedback, Policy, register
from c2mabv_jax.policies.learning import own_key
from c2mabv_jax.policies.oracle import one_of_two
from c2mabv_jax.policies.thompson import ThompsonSampling, binary
from c2mabv_jax.policies.typed import (
    TypedPolicy,
    TypedState,
    by_type,
    check_types,
    frequencies,
    of_type,
    one_price,
    told,
)
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation.typed import check_additive


@register
@dataclasses.dataclass(frozen=True)
class TypedThompson(TypedPolicy):
    """Thompson sampling with Beta posteriors per type and LLM, in the typed relaxed problem.

    Attributes:
      num_types: G.
      frequencies: as in `TypedC2MABV`.
    """

    num_types: int = dataclasses.field(metadata={"static": True})
    frequencies: Any = None

    def __post_init__(self) -> None:
        check_types(self.num_types, self.frequencies)

    def select(
        self,
        problem: Problem,
        state: TypedState,
        key: Array,
        *,
        available: Array | None = None,
        context: Array | None = None,
    ) -> Decision:
        """Draw the means of all types and act as if they were true."""
        context = told(context, available)
        drawn = ThompsonSampling().draw(state.estimates, own_key(key, 0))
        share = frequencies(self.frequencies, state, context)
        reward, cost = (by_type(x, self.num_types) for x in drawn)
        solution = one_price(problem, reward, cost, share, context, state.edge)
        decision = self.decide(problem, key, solution, context, Evidence(solution.certificate))
        coins = streams.uniforms(own_key(key, 1), 2 * problem.num_arms)
        return decision._replace(memo=(decision.memo, coins))

    def update(
        self, problem: Problem, state: TypedState, decision: Decision, feedback: Feedback
    ) -> TypedState:
        """Count the outcomes, made binary by the coins of the round."""
        memo, coins = decision.memo
        decision = decision._replace(memo=memo)
        return super().update(problem, state, decision, binary(feedback, coins))


@register
@dataclasses.dataclass(frozen=True)
class TypedOracle(Policy):
    """Knows the truth: plays the sets of `first` with probability `share`, else of `second`.

    Attributes:
      first, second: a set for every type, bool `[G, K]` (or `[G, K, B]`).
      share: scalar (or `[B]`).
    """

    first: Any
    second: Any
    share: Any = 1.0

    typed = True

    @property
    def num_types(self) -> int:  # type: ignore[override]
        """G."""
        return len(self.first)

    def init(self, problem: Problem) -> Array:
        """State before the first round: the round alone."""
        check_additive(problem)
        return jnp.int32(1)

    def select(
        self,
        problem: Problem,
        state: Array,
        key: Array,
        *,
        available: Array | None = None,
        context: Array | None = None,
    ) -> Decision:
        """One of the two sets of this type."""
        del problem
        context = told(context, available)
        first, second = (
            of_type(_spread(jnp.asarray(sets, bool), state), context)
            for sets in (self.first, self.second)
        )
        return one_of_two(first, second, self.share, state, key)[0]

    def update(
        self, problem: Problem, state: Array, decision: Decision, feedback: Feedback
    ) -> Array:
        """Nothing is learned."""
        del problem, decision, feedback
        return state + 1


def _spread(sets: Array, state: Array) -> Array:
    """Sets `[G, K]` or `[G, K, B]` as `[G, K, ...]` beside a scalar of the state `[...]`."""
    sets = sets.reshape(sets.shape + (1,) * (state.ndim + 2 - sets.ndim))
    return jnp.broadcast_to(sets, (*sets.shape[:2], *state.shape))
