"""A whole run computed exactly: K = 2, N = 1, constant rewards, Bernoulli costs.

The state of C2MAB-V is, per arm, (plays, costs incurred); its law after every round is
enumerated in float64. Nothing of the package is used, so that agreement means something.
Rewards are constant so that upper bounds do not tie: where they do, the relaxed problem has
many solutions, and which one is played is the solver's business.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

Arm = tuple[int, int]  # plays, costs incurred


class ExactRun(NamedTuple):
    """Expectations at the horizon.

    Attributes:
      regret: E sum_t OPT - mu(S_t).
      violation: E max(0, mean realised cost - budget).
      cost: E mean cost per round.
      plays: E rounds in which arm 0 was played.
    """

    regret: float
    violation: float
    cost: float
    plays: float


def exact_run(
    mean_reward: tuple[float, float],
    mean_cost: tuple[float, float],
    budget: float,
    horizon: int,
    alpha_reward: float,
    alpha_cost: float,
    delta: float,
) -> ExactRun:
    """Enumerate every history up to its sufficient statistics; about T^3 states."""
    optimum = _value(mean_reward, mean_cost, budget)
    law: dict[tuple[Arm, Arm], float] = {((0, 0), (0, 0)): 1.0}
    regret = plays = 0.0
    for t in range(1, horizon + 1):
        ell = math.log(2 * math.pi**2 * 2 * t**3 / (3 * delta))
        after: dict[tuple[Arm, Arm], float] = defaultdict(float)
        for state, probability in law.items():
            bounds = [
                _bounds(arm, mean, ell, alpha_reward, alpha_cost)
                for arm, mean in zip(state, mean_reward, strict=True)
            ]
            first = _marginal([u for u, _ in bounds], [c for _, c in bounds], budget)
            mean = first * mean_reward[0] + (1 - first) * mean_reward[1]
            regret += probability * (optimum - mean)
            plays += probability * first
            for k, chance in ((0, first), (1, 1 - first)):
                if chance == 0:
                    continue
                n, y = state[k]
                for paid, p_paid in ((1, mean_cost[k]), (0, 1 - mean_cost[k])):
                    new = (n + 1, y + paid)
                    then = (new, state[1]) if k == 0 else (state[0], new)
                    after[then] += probability * chance * p_paid
        law = dict(after)
    total = [(a[1] + b[1], probability) for (a, b), probability in law.items()]
    return ExactRun(
        regret=regret,
        violation=sum(p * max(0.0, paid / horizon - budget) for paid, p in total),
        cost=sum(p * paid / horizon for paid, p in total),
        plays=plays,
    )


def _bounds(
    arm: Arm, reward: float, ell: float, alpha_reward: float, alpha_cost: float
) -> tuple[float, float]:
    """Upper bound of the reward, lower bound of the cost."""
    n, y = arm
    if n == 0:
        return 1.0, 0.0
    width = math.sqrt(ell / (2 * n))
    return min(1.0, reward + alpha_reward * width), max(0.0, y / n - alpha_cost * width)


def _marginal(rewards: list[float], costs: list[float], budget: float) -> float:
    """Probability of arm 0 in the relaxed problem; ties go to arm 0."""
    dear = 0 if rewards[0] >= rewards[1] else 1  # the arm to play if there were no budget
    cheap = 1 - dear
    if costs[dear] <= budget:
        share = 1.0
    elif costs[cheap] > budget:  # infeasible: the cheapest arm
        return 1.0 if costs[0] <= costs[1] else 0.0
    else:
        share = (budget - costs[cheap]) / (costs[dear] - costs[cheap])
    return share if dear == 0 else 1 - share


def _value(rewards: tuple[float, float], costs: tuple[float, float], budget: float) -> float:
    first = _marginal(list(rewards), list(costs), budget)
    return first * rewards[0] + (1 - first) * rewards[1]
