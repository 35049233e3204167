"""Every round of some runs, written down: what a verifier can check without the package.

`watch` keeps extremes of millions of rounds; a transcript keeps all of a few thousand, so that
the host can recompute bounds, optima, orders and bills from the outcomes alone (`ledger`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
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
      reward_ucb, cost_lcb: U_t and L_t, the bounds decided on; `[runs, T, G, K]` with types.
      objective: value of z_t at those bounds, as certified.
      marginals: z_t. selected: S_t.
      observed, billed: arms whose reward was seen, and whose cost was.
      reward, cost: X and Y; to be read where observed and billed.
      spent: the cost that the round was charged.
      expected: r(S_t; mu) as the system under test accounts for it.
      context: type of the query; None where queries have none.
    """

    reward_ucb: Any
    cost_lcb: Any
    objective: Any
    marginals: Any
    selected: Any
    observed: Any
    billed: Any
    reward: Any
    cost: Any
    spent: Any
    expected: Any
    context: Any


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Scribe(Observer):
    """Keeps the last round as a `Transcript`: to be recorded at every round.

    Attributes:
      expected: how the system accounts for r(S_t; mu): `(problem, environment, decision,
        feedback) -> [runs]`.
      num_types: G; None where queries have no type.
    """

    expected: Callable[..., Array] = dataclasses.field(metadata={"static": True})
    num_types: int | None = dataclasses.field(default=None, metadata={"static": True})

    def begin(self, problem: Problem) -> Transcript:
        typed, arms = self.num_types is not None, (problem.num_arms,)
        bound = jnp.zeros((self.num_types, *arms) if typed else arms)
        number, numbers, yes = jnp.zeros(()), jnp.zeros(arms), jnp.zeros(arms, bool)
        return Transcript(
            reward_ucb=bound,
            cost_lcb=bound,
            objective=number,
            marginals=numbers,
            selected=yes,
            observed=yes,
            billed=yes,
            reward=numbers,
            cost=numbers,
            spent=number,
            expected=number,
            context=jnp.int32(0) if typed else None,
        )

    def see(self, seen: Transcript, now: Round) -> Transcript:
        del seen
        decision, feedback = now.decision, now.feedback
        certificate, bounds, _ = decision.evidence
        assert certificate is not None and bounds is not None
        return Transcript(
            reward_ucb=bounds.reward_ucb,
            cost_lcb=bounds.cost_lcb,
            objective=certificate.objective,
            marginals=decision.marginals,
            selected=decision.selected,
            observed=feedback.observed,
            billed=feedback.billed,
            reward=feedback.reward,
            cost=feedback.cost,
            spent=now.cost,
            expected=self.expected(now.problem, now.truth, decision, feedback),
            context=now.context,
        )


def write_down(
    point: Point, seed: int, runs: int, horizon: int, expected: Callable[..., Array]
) -> Transcript:
    """Every round of runs 0 .. runs - 1, on the host: float64 and bool, runs first."""
    scribe = Scribe(expected, point.environment.num_types)
    every = Runs([point], [scribe], np.arange(1, horizon + 1))
    seen = every.play(np.zeros(runs, int), np.arange(runs), seed)

    def plain(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x if x.dtype == bool else x.astype(float), -1, 0)

    return jax.tree.map(plain, seen)
