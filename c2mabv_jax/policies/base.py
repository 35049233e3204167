"""The one protocol every policy obeys: `init`, `select`, `update`.

All three are pure and rank polymorphic: arrays are arm first, `[K, ...]`, and whatever batch
axes trail the arm axis (none for a single service, one for a tile of runs) pass through. A
policy is a frozen dataclass registered as a pytree: numbers (alpha, delta, ...) are traced
leaves, choices (solver, radius, ...) are static.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jax import Array

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import Certificate

State = Any


class Feedback(NamedTuple):
    """What a round showed.

    Attributes:
      reward: X, `[K, ...]` in [0, 1]; read only where `observed`.
      cost: Y, `[K, ...]` scaled to [0, 1]; read only where `billed`.
      observed: O_t, bool `[K, ...]`.
      billed: arms whose cost was seen, bool `[K, ...]`; None means `observed`.
    """

    reward: Array
    cost: Array
    observed: Array
    billed: Array | None = None


class Decision(NamedTuple):
    """What a policy decided for one round.

    Attributes:
      selected: S_t, bool `[K, ...]`.
      marginals: z_t, `[K, ...]`; the set itself (0 and 1) for policies that do not round.
      priority: a cascade asks selected arms by ascending priority, `[K, ...]`; None for
        lower index first.
      certificate: evidence of the relaxed solution, entries `[...]`; None without one.
      bounds: the confidence bounds used, entries `[K, ...]`; None without any.
      warm: where the relaxed solution lay, for the next round's solve; None without one.
      sent: messages the local server sent to the cloud, int32 `[...]`; None means none.
    """

    selected: Array
    marginals: Array
    priority: Array | None = None
    certificate: Certificate | None = None
    bounds: Bounds | None = None
    warm: Any = None
    sent: Array | int | None = None


@runtime_checkable
class Policy(Protocol):
    """A policy: pure functions of (problem, state) and a key."""

    def init(self, problem: Problem) -> State:
        """State before the first round, for one run (entries `[K]` or scalar)."""
        ...

    def select(self, problem: Problem, state: State, key: Array) -> Decision:
        """Choose a super arm; `key` has one key per run, `[...]`."""
        ...

    def update(
        self, problem: Problem, state: State, decision: Decision, feedback: Feedback
    ) -> State:
        """State after the round."""
        ...


def register(cls: type) -> type:
    """Register a frozen policy dataclass as a pytree; fields marked static stay static."""
    return register_dataclass(cls)
