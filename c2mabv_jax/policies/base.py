"""The one protocol every policy obeys: `init`, `select`, `update`.

All three are pure and rank polymorphic: arrays are arm first, `[K, ...]`, and whatever batch
axes trail the arm axis (none for a single service, one for a tile of runs) pass through. A
policy is a frozen dataclass registered as a pytree: numbers (alpha, delta, ...) are traced
leaves, choices (solver, radius, ...) are static.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from jax import Array

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import guard
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
      refused: arms of which something was no number in [0, 1], bool `[K, ...]`: written by
        `guard`. None means that it has not looked yet; 0 that nothing can be wrong.
    """

    reward: Array
    cost: Array
    observed: Array
    billed: Array | None = None
    refused: Array | int | None = None


class Evidence(NamedTuple):
    """What a decision rests on; for whoever watches, never read by the policy's next round.

    Attributes:
      certificate: of the relaxed solution, entries `[...]`; None without one.
      bounds: the confidence bounds used, entries `[K, ...]`; None without any.
      sent: messages the local server sent to the cloud, int32 `[...]`; None means none.
    """

    certificate: Certificate | None = None
    bounds: Bounds | None = None
    sent: Array | int | None = None


class Decision(NamedTuple):
    """What a policy decided for one round.

    Attributes:
      selected: S_t, bool `[K, ...]`.
      marginals: z_t, `[K, ...]`; the set itself (0 and 1) for policies that do not round.
      priority: a cascade asks selected arms by ascending priority, `[K, ...]`; None for
        lower index first.
      evidence: what the decision rests on, for whoever watches.
      memo: what `update` of the same policy takes on to the next round, such as warm starts;
        None without any.
    """

    selected: Array
    marginals: Array
    priority: Array | None = None
    evidence: Evidence = Evidence()
    memo: Any = None


class Policy(ABC):
    """A policy: pure functions of (problem, state) and a key.

    `select` and `update` of every subclass check what they are given before they begin, and
    `update` sees feedback that `guard` has made clean: live services may call them as they are.
    A policy of your own is a frozen dataclass that derives from this class and is registered:

      >>> @register
      ... @dataclasses.dataclass(frozen=True)
      ... class Mine(Policy):
      ...     prior: Any = 3.0

    Attributes:
      typed: whether `select` also takes `context`, the type of the query to come (int32
        `[...]`, from 0). Such a policy plays only where queries have types.
      num_types: G of a typed policy, static.
      heavy: whether a round draws so much that the CPU's compiler would share it out over
        threads; blocks of such a policy are not made one function.
    """

    typed = False
    num_types: int | None = None
    heavy = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, door in (("select", _select_checked), ("update", _update_clean)):
            if name in vars(cls):
                setattr(cls, name, door(vars(cls)[name]))

    def at_horizon(self, horizon: Any) -> Self:
        """The policy told how many rounds it will play; itself, unless it wants to know."""
        del horizon
        return self

    @abstractmethod
    def init(self, problem: Problem) -> State:
        """State before the first round, for one run (entries `[K]` or scalar)."""

    @abstractmethod
    def select(
        self, problem: Problem, state: State, key: Array, *, available: Array | None = None
    ) -> Decision:
        """Choose a super arm.

        Args:
          problem: its budget in the unit of the costs of `Feedback`.
          state: from `init` or `update`.
          key: one key per run, `[...]`.
          available: which LLMs there are in this round, bool `[K, ...]`; None for all. One
            that is selected all the same is not asked and costs nothing.
        """

    @abstractmethod
    def update(
        self, problem: Problem, state: State, decision: Decision, feedback: Feedback
    ) -> State:
        """State after the round.

        Feedback that is not finite counts as unobserved, what is outside [0, 1] is cut, and
        the estimates count both (`refused`).

        Raises:
          ProblemError: a state of another policy or size, a shape or type that does not fit.
        """


def _select_checked(select: Callable[..., Decision]) -> Callable[..., Decision]:
    @functools.wraps(select)
    def checked(
        self: Policy, problem: Problem, state: State, key: Array, **options: Any
    ) -> Decision:
        guard.check_state(self, problem, state)
        return select(self, problem, state, key, **options)

    return checked


def _update_clean(update: Callable[..., State]) -> Callable[..., State]:
    @functools.wraps(update)
    def clean(
        self: Policy, problem: Problem, state: State, decision: Decision, feedback: Feedback
    ) -> State:
        if feedback.refused is None:
            guard.check_state(self, problem, state)
            feedback = guard.clean(problem, decision.selected, feedback)
        return update(self, problem, state, decision, feedback)

    return clean


def check_policy(policy: Any) -> None:
    """Raise a `ProblemError` unless this is a policy of the protocol."""
    if not isinstance(policy, Policy):
        kind = policy if isinstance(policy, type) else type(policy)
        fix = (
            "give an object, not its class"
            if isinstance(policy, type)
            else (f"write `class {kind.__name__}(c2mabv_jax.policies.Policy)`")
        )
        raise ProblemError(f"policy = {kind.__name__}: is no Policy; {fix}")


def register(cls: type) -> type:
    """Register a frozen policy dataclass as a pytree; fields marked static stay static."""
    return register_dataclass(cls)
