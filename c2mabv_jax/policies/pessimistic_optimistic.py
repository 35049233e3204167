"""Pessimistic-optimistic queue: optimistic bounds, and a queue that asks for a little more.

After Liu, Li, Shi, Ying 2021 (arXiv 2102.05295): Q_{t+1} = max(0, Q_t + Y(S_t) - rho + eps_t)
with eps_t ~ 1/sqrt(t), S_t = top-N of V_t U_k - Q_t L_k with V_t ~ sqrt(t). Their abstract
promises zero violation after a burn-in; the constants here are reconstructed. On every path
T (mean cost - rho) <= Q_{T+1} - (eps_1 + ... + eps_T).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.errors import check_number
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.policies.learning import learn, start
from c2mabv_jax.policies.lyapunov import QueueState, drift_plus_penalty
from c2mabv_jax.policies.purse import billed_cost
from c2mabv_jax.problem import Problem


@register
@dataclasses.dataclass(frozen=True)
class PessimisticOptimistic(Policy):
    """Virtual queue with a tightened budget; AIC and `at_most` as in `LyapunovQueue`.

    Overspending settles near V_t x (price of the budget), and the tightening saves about
    2 tightness sqrt(t): a burn-in ends where the second exceeds the first. `tightness` has to
    exceed half of `weight` times that price (reward per unit of cost), and is at most lost
    reward where it is larger.

    Attributes:
      tightness: eps_t = tightness / sqrt(t); 0 gives the plain queue.
      weight: V_t = weight x sqrt(t).
      alpha_reward, alpha_cost: factors on the radii of C2MAB-V.
      delta: confidence parameter in (0, 1).
    """

    tightness: Any = 1.0
    weight: Any = 1.0
    alpha_reward: Any = 1.0
    alpha_cost: Any = 1.0
    delta: Any = 0.05

    def __post_init__(self) -> None:
        for field in ("tightness", "weight", "alpha_reward", "alpha_cost"):
            check_number(field, getattr(self, field))
        check_number("delta", self.delta, 1e-300, 1)

    def init(self, problem: Problem) -> QueueState:
        """State before the first round."""
        return QueueState(start(problem, lp=False), jnp.zeros(()))

    def select(
        self, problem: Problem, state: QueueState, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The N largest V_t U_k - Q_t L_k."""
        weight = self.weight * jnp.sqrt(state.learned.round.astype(state.queue.dtype))
        return drift_plus_penalty(problem, self, state, key, weight, available)

    def update(
        self, problem: Problem, state: QueueState, decision: Decision, feedback: Feedback
    ) -> QueueState:
        """Learn, and let the queue grow by what was spent above the tightened budget."""
        epsilon = self.tightness / jnp.sqrt(state.learned.round.astype(state.queue.dtype))
        over = billed_cost(feedback) - problem.budget + epsilon
        queue = jnp.maximum(0, state.queue + over)
        return QueueState(learn(state.learned, decision, feedback), queue)
