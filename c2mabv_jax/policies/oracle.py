"""Static oracle: knows the truth and mixes the sets of the optimum, afresh every round.

The best mixed policy within the budget plays one or two sets with fixed probabilities
(`theory.optimum`); its expected regret is 0, and its expected cost is the budget where the
budget binds.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.arms import spread
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.problem import Problem


@register
@dataclasses.dataclass(frozen=True)
class Oracle(Policy):
    """Plays `first` with probability `share`, otherwise `second`.

    Attributes:
      first, second: the two sets of the optimum, bool `[K]` (or `[K, B]`); the same set where
        one is enough.
      share: probability of the first, scalar (or `[B]`).
      order, second_order: a cascade asks the first and the second set by ascending order,
        `[K]` (or `[K, B]`); None for lower index first.
    """

    first: Any
    second: Any
    share: Any = 1.0
    order: Any = None
    second_order: Any = None

    def init(self, problem: Problem) -> Array:
        """State before the first round: the round alone."""
        del problem
        return jnp.int32(1)

    def select(
        self, problem: Problem, state: Array, key: Array, *, available: Array | None = None
    ) -> Decision:
        """One of the two sets; the marginals are z* of the optimum."""
        del available  # the set is the set; who is away does not answer
        first, second = (spread(jnp.asarray(s, bool), state) for s in (self.first, self.second))
        decision, chosen = one_of_two(first, second, self.share, state, key)
        if self.order is None or not problem.cascading:
            return decision
        other = self.order if self.second_order is None else self.second_order
        order = jnp.where(chosen, spread(self.order, state), spread(other, state))
        return decision._replace(priority=order)

    def update(
        self, problem: Problem, state: Array, decision: Decision, feedback: Feedback
    ) -> Array:
        """Nothing is learned."""
        del problem, decision, feedback
        return state + 1


def one_of_two(
    first: Array, second: Array, share: Any, state: Array, key: Array
) -> tuple[Decision, Array]:
    """The set `first` with probability `share`, else `second`, and whether it was the first."""
    dtype = jnp.result_type(float)
    share = jnp.broadcast_to(jnp.asarray(share, dtype), state.shape)
    chosen = streams.uniforms(key, 1, dtype)[0] < share
    marginals = jnp.where(first, share, 0) + jnp.where(second, 1 - share, 0)
    return Decision(jnp.where(chosen, first, second), marginals), chosen
