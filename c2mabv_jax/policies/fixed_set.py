"""Always the same set: one given LLM or several, the dearest, the cheapest, the best.

No learning. What a service does that picks its models once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.arms import spread
from c2mabv_jax.errors import ProblemError, is_traced
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.problem import Problem


@register
@dataclasses.dataclass(frozen=True)
class FixedSet(Policy):
    """Plays one set in every round.

    Attributes:
      selected: the set, bool `[K]` (or `[K, B]`): N arms, or at most N with `at_most`.
      order: a cascade asks by ascending order, `[K]` (or `[K, B]`); None for lower index
        first.
    """

    selected: Any
    order: Any = None

    def init(self, problem: Problem) -> Array:
        """State before the first round: the round alone. Raises on an illegal set."""
        if not isinstance(self.selected, np.ndarray | list | tuple) and is_traced(self.selected):
            return jnp.int32(1)
        chosen = np.asarray(self.selected, bool)
        if chosen.shape[:1] != (problem.num_arms,):
            raise ProblemError(f"selected: give one entry per LLM, num_arms = {problem.num_arms}")
        size, allowed = chosen.sum(axis=0), problem.num_selected
        if (size > allowed).any() or (not problem.at_most and (size < allowed).any()):
            rule = "at most" if problem.at_most else "exactly"
            raise ProblemError(
                f"selected: has {size.max()} LLMs; give {rule} num_selected = {allowed}"
            )
        return jnp.int32(1)

    def select(
        self, problem: Problem, state: Array, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The set."""
        del key, available
        selected = spread(jnp.asarray(self.selected, bool), state)
        order = None if self.order is None or not problem.cascading else spread(self.order, state)
        return Decision(selected, selected.astype(jnp.result_type(float)), order)

    def update(
        self, problem: Problem, state: Array, decision: Decision, feedback: Feedback
    ) -> Array:
        """Nothing is learned."""
        del problem, decision, feedback
        return state + 1
