"""Every round of some runs, written down: what a verifier can check without the package.

`watch` keeps extremes of millions of rounds; a transcript keeps all of a few thousand, so that
the host can recompute bounds, optima, orders and bills from the outcomes alone (`ledger`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.engine.block import Point
from c2mabv_jax.engine.observer import Observer, Round
from c2mabv_jax.engine.runner import Runs
from c2mabv_jax.problem import Problem


class Transcript(NamedTuple):
    """Rounds of runs; on the host `[runs, T, K]` or `[runs, T]`.

    Attributes:
      reward_ucb, cost_lcb: U_t and L_t, the bounds decided on.
      marginals: z_t. selected: S_t.
      observed, billed: arms whose reward was seen, and whose cost was.
      reward, cost: X and Y; to be read where observed and billed.
      spent: the cost that the round was charged.
      expected: r(S_t; mu) as the system under test accounts for it.
    """

    reward_ucb: Any
    cost_lcb: Any
    marginals: Any
    selected: Any
    observed: Any
    billed: Any
    reward: Any
    cost: Any
    spent: Any
    expected: Any


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Scribe(Observer):
    """Keeps the last round as a `Transcript`: to be recorded at every round.

    Attributes:
      expected: how the system accounts for r(S_t; mu): `(problem, environment, decision,
        feedback) -> [runs]`.
    """

    expected: Callable[..., Array] = dataclasses.field(metadata={"static": True})

    def begin(self, problem: Problem) -> Transcript:
        numbers, yes = jnp.zeros(problem.num_arms), jnp.zeros(problem.num_arms, bool)
        zero = jnp.zeros(())
        return Transcript(numbers, numbers, numbers, yes, yes, yes, numbers, numbers, zero, zero)

    def see(self, seen: Transcript, now: Round) -> Transcript:
        del seen
        decision, feedback = now.decision, now.feedback
        assert decision.evidence.bounds is not None
        return Transcript(
            decision.evidence.bounds.reward_ucb,
            decision.evidence.bounds.cost_lcb,
            decision.marginals,
            decision.selected,
            feedback.observed,
            feedback.billed,
            feedback.reward,
            feedback.cost,
            now.cost,
            self.expected(now.problem, now.truth, decision, feedback),
        )


def write_down(
    point: Point, seed: int, runs: int, horizon: int, expected: Callable[..., Array]
) -> Transcript:
    """Every round of runs 0 .. runs - 1, on the host: float64 and bool, runs first."""
    every = Runs([point], [Scribe(expected)], np.arange(1, horizon + 1))
    seen = every.play(np.zeros(runs, int), np.arange(runs), seed)
    plain = (np.moveaxis(x, -1, 0) for x in seen)
    return Transcript(*(x if x.dtype == bool else x.astype(float) for x in plain))
