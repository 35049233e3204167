"""A purse: policies that count their money, and stop when it is spent."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import sums
from c2mabv_jax.array.arms import total
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.base import Decision, Feedback
from c2mabv_jax.policies.learning import Learned, cheapest, learn, start
from c2mabv_jax.problem import Problem

SMALLEST_COST = 1e-6  # costs are raised to this before they divide


class Purse(NamedTuple):
    """State of a policy that learns means and counts its money.

    Attributes:
      learned: round, estimates, warm starts.
      spent: billed cost so far, compensated sum `[...]`.
    """

    learned: Learned
    spent: sums.Sum


def full_purse(problem: Problem, lp: bool, estimates: Any = None) -> Purse:
    """State before the first round: nothing spent."""
    return Purse(start(problem, lp, estimates), sums.zero(()))


def pay(purse: Purse, decision: Decision, feedback: Feedback) -> Purse:
    """The purse after one more round."""
    spent = sums.add(purse.spent, billed_cost(feedback))
    return Purse(learn(purse.learned, decision, feedback), spent)


def billed_cost(feedback: Feedback) -> Array:
    """Y(S_t), what the round cost, `[...]`."""
    billed = feedback.observed if feedback.billed is None else feedback.billed
    return total(jnp.where(billed, feedback.cost, 0))


def stop_when_spent(
    problem: Problem, purse: Purse, horizon: Any, costs: Array, decision: Decision
) -> Decision:
    """The decision, or the cheapest set once one more round could overdraw rho T.

    Knapsack bandits stop there; a round that must be served is served as cheaply as it can
    be. Without a horizon (None) nothing stops.
    """
    if horizon is None:
        return decision
    broke = purse.spent.high > problem.budget * horizon - problem.num_selected
    learned = purse.learned
    ties = () if learned.order is None else (-learned.estimates.means()[1], learned.order)
    last = cheapest(problem, costs, ties)
    return decision._replace(
        selected=jnp.where(broke, last, decision.selected),
        marginals=jnp.where(broke, last, decision.marginals),
    )


def told(horizon: Any) -> Any:
    """The horizon; raises where none was told."""
    if horizon is None:
        raise ProblemError("horizon: not given; call policy.at_horizon(T) first")
    return horizon
