"""Who watches the rounds: what is kept of them, and what is recorded."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from jax import Array

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.policies.base import Decision, Feedback, State
from c2mabv_jax.problem import Problem


class Round(NamedTuple):
    """One round of a batch of runs, when it is over.

    Attributes:
      problem: its budget in scaled cost.
      truth: the environment as it was in this round.
      decision, feedback: of the policy; what was not asked is 0 in the feedback.
      state: of the policy, after the round.
      reward, cost: realised set reward and billed cost, `[...]`.
      context: type of the query, int32 `[...]`; None where queries have none.
    """

    problem: Problem
    truth: Any
    decision: Decision
    feedback: Feedback
    state: State
    reward: Array
    cost: Array
    context: Array | None


class Observer(ABC):
    """Sees every round of a block and keeps what it wants; a pytree, as points are.

    Choices are static. Numbers have one entry per lane, `[..., B]` (see `block.per_lane`),
    or are `shared`. What it keeps must not grow with the rounds.
    """

    @abstractmethod
    def begin(self, problem: Problem) -> Any:
        """What is kept before the first round, for one run: a pytree of arrays."""

    def afresh(self, seen: Any) -> Any:
        """What is kept right after a recorded round, such as maxima since then; all, here."""
        return seen

    @abstractmethod
    def see(self, seen: Any, now: Round) -> Any:
        """What is kept after one more round."""


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Both(Observer):
    """Two observers of the same rounds; what they keep, side by side."""

    first: Observer
    second: Observer

    def begin(self, problem: Problem) -> tuple[Any, Any]:
        return self.first.begin(problem), self.second.begin(problem)

    def afresh(self, seen: tuple[Any, Any]) -> tuple[Any, Any]:
        return self.first.afresh(seen[0]), self.second.afresh(seen[1])

    def see(self, seen: tuple[Any, Any], now: Round) -> tuple[Any, Any]:
        return self.first.see(seen[0], now), self.second.see(seen[1], now)
