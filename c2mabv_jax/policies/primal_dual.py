"""Primal-dual bandits with knapsacks: most optimistic reward per optimistic weighted cost.

Badanidiyuru, Kleinberg, Slivkins 2013/2018 ("Bandits with knapsacks"): play the arm with the
largest U_k / sum_i v_i L_{k,i}; then v_i <- v_i (1 + e)^{L_i}, e = sqrt(ln d / B), d resources
of budget B each. Sets of N arms, and money and time in one budget, are this project's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import sums
from c2mabv_jax.array.arms import total
from c2mabv_jax.errors import check_number
from c2mabv_jax.policies.base import Decision, Feedback, Policy, register
from c2mabv_jax.policies.learning import by_index, c2mabv_bounds
from c2mabv_jax.policies.purse import SMALLEST_COST, Purse, full_purse, pay, stop_when_spent, told
from c2mabv_jax.problem import Problem


class PrimalDualState(NamedTuple):
    """What the policy remembers.

    Attributes:
      purse: round, estimates and money spent.
      excess: sum of L_t(S_t) - rho, compensated `[...]`; the weights are a function of it.
    """

    purse: Purse
    excess: sums.Sum


@register
@dataclasses.dataclass(frozen=True)
class PrimalDualBwK(Policy):
    """Primal-dual BwK with two resources, money and time.

    A round costs L(S)/N of money and rho/N of time, so that both have the budget
    B = rho T / N. With the weights summing to 1, that of money is
    1 / (1 + (1 + e)^(-sum_t (L_t(S_t) - rho)/N)); the index of an arm is
    U_k / (v_money L_k + v_time rho / N). All indices are positive: N arms with `at_most` too.
    AIC takes U as it is, not its logarithm. When the money is gone: see `stop_when_spent`.

    Attributes:
      horizon: T, told by `at_horizon`.
      alpha_reward, alpha_cost: factors on the radii of C2MAB-V.
      delta: confidence parameter in (0, 1).
      stop: whether to stop when the budget of all rounds is spent.
    """

    horizon: Any = None
    alpha_reward: Any = 1.0
    alpha_cost: Any = 1.0
    delta: Any = 0.05
    stop: bool = dataclasses.field(default=True, metadata={"static": True})

    def __post_init__(self) -> None:
        for field, low in (("horizon", 1), ("alpha_reward", 0), ("alpha_cost", 0)):
            check_number(field, getattr(self, field), low)
        check_number("delta", self.delta, 1e-300, 1)

    def at_horizon(self, horizon: Any) -> PrimalDualBwK:
        """The policy told how many rounds it will play."""
        return dataclasses.replace(self, horizon=horizon)

    def init(self, problem: Problem) -> PrimalDualState:
        """State before the first round: equal weights."""
        return PrimalDualState(full_purse(problem, lp=False), sums.zero(()))

    def money_weight(self, problem: Problem, excess: Array) -> Array:
        """v_money / (v_money + v_time), `[...]`."""
        budget = problem.budget * told(self.horizon) / problem.num_selected
        step = jnp.log1p(jnp.sqrt(np.log(2) / jnp.maximum(budget, SMALLEST_COST)))
        return jax.nn.sigmoid(step * excess / problem.num_selected)

    def select(
        self,
        problem: Problem,
        state: PrimalDualState,
        key: Array,
        *,
        available: Array | None = None,
    ) -> Decision:
        """The N arms with most optimistic reward per weighted optimistic cost."""
        bounds = c2mabv_bounds(problem, state.purse.learned, self)
        money = self.money_weight(problem, state.excess.high)
        time = problem.budget / problem.num_selected
        price = money * bounds.cost_lcb + (1 - money) * time
        index = bounds.reward_ucb / jnp.maximum(price, SMALLEST_COST)
        decision = by_index(problem, key, index, state.purse.learned, bounds, available)
        last = self.horizon if self.stop else None
        return stop_when_spent(problem, state.purse, last, bounds.cost_lcb, decision)

    def update(
        self, problem: Problem, state: PrimalDualState, decision: Decision, feedback: Feedback
    ) -> PrimalDualState:
        """Learn, pay, and move the weights by the optimistic cost of the set."""
        bounds = decision.evidence.bounds
        assert bounds is not None
        over = total(jnp.where(decision.selected, bounds.cost_lcb, 0)) - problem.budget
        excess = sums.add(state.excess, over)
        return PrimalDualState(pay(state.purse, decision, feedback), excess)
