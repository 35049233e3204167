"""Lyapunov virtual queue: the overspending so far is the price of cost.

Drift plus penalty (Neely 2010, "Stochastic network optimization") with confidence bounds:
S_t = top-N of V U_k - Q_t L_k and Q_{t+1} = max(0, Q_t + Y(S_t) - rho). On every path
T (mean cost - rho) <= Q_{T+1}, exactly. Combining it with bounds is reconstructed.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.errors import check_number
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.policies.learning import Learned, additive, by_index, c2mabv_bounds, learn, start
from c2mabv_jax.policies.purse import billed_cost
from c2mabv_jax.problem import Problem


class QueueState(NamedTuple):
    """What the policy remembers.

    Attributes:
      learned: round and estimates.
      queue: Q_t, the virtual queue of overspending, `[...]`.
    """

    learned: Learned
    queue: Array


@register
@dataclasses.dataclass(frozen=True)
class LyapunovQueue(Policy):
    """Virtual queue with weight V.

    AIC adds up logarithms of U. With `at_most` (any win) the weights are U itself, and only
    arms with a positive index V U_k - Q L_k are selected.

    Attributes:
      weight: V; None for sqrt(T) where a horizon is told, else sqrt(t).
      alpha_reward, alpha_cost: factors on the radii of C2MAB-V.
      delta: confidence parameter in (0, 1).
    """

    weight: Any = None
    alpha_reward: Any = 1.0
    alpha_cost: Any = 1.0
    delta: Any = 0.05

    def __post_init__(self) -> None:
        for field in ("weight", "alpha_reward", "alpha_cost"):
            check_number(field, getattr(self, field))
        check_number("delta", self.delta, 1e-300, 1)

    def at_horizon(self, horizon: Any) -> LyapunovQueue:
        """The policy with V = sqrt(T), unless V was given."""
        if self.weight is not None:
            return self
        return dataclasses.replace(self, weight=np.sqrt(horizon))

    def init(self, problem: Problem) -> QueueState:
        """State before the first round: nothing overspent."""
        return QueueState(start(problem, lp=False), jnp.zeros(()))

    def select(
        self, problem: Problem, state: QueueState, key: Array, *, available: Array | None = None
    ) -> Decision:
        """The N largest V U_k - Q_t L_k."""
        weight = self.weight
        if weight is None:
            weight = jnp.sqrt(state.learned.round.astype(state.queue.dtype))
        return drift_plus_penalty(problem, self, state, key, weight, available)

    def update(
        self, problem: Problem, state: QueueState, decision: Decision, feedback: Feedback
    ) -> QueueState:
        """Learn, and let the queue grow by what was spent above the budget."""
        queue = jnp.maximum(0, state.queue + (billed_cost(feedback) - problem.budget))
        return QueueState(learn(state.learned, decision, feedback), queue)


def drift_plus_penalty(
    problem: Problem,
    policy: Any,
    state: QueueState,
    key: Array,
    weight: Array,
    available: Array | None,
) -> Decision:
    """The N largest weight x U_k - Q L_k."""
    bounds = c2mabv_bounds(problem, state.learned, policy)
    index = weight * additive(problem, bounds.reward_ucb) - state.queue * bounds.cost_lcb
    return by_index(problem, key, index, state.learned, bounds, available)
