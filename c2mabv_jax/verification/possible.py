"""What the worst legal policy could do: a bound within it says nothing.

A bound on regret or violation that no policy can exceed, however bad, cannot be contradicted;
agreement with it is no evidence. With worst possible / bound at `TEETH` or more, a policy
that plays the worst set in every other round, half of the worst possible, is 1.5 times beyond
the bound or more, and is seen (the control `every-other-round-worst` is that policy).
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from c2mabv_jax.verification.instances import Instance

TEETH = 3.0


def legal_sets(num_arms: int, num_selected: int, at_most: bool) -> list[tuple[int, ...]]:
    """Every set that may be played, the empty one included where it is legal."""
    sizes = range(num_selected + 1) if at_most else (num_selected,)
    return [s for size in sizes for s in itertools.combinations(range(num_arms), size)]


def set_reward(reward_model: str, mean_reward: np.ndarray, chosen: tuple[int, ...]) -> float:
    """r(S; mu) by its definition, without the package's reward models."""
    values = [float(mean_reward[k]) for k in chosen]
    if reward_model == "SUC":
        return sum(values)
    if reward_model == "AIC":
        return math.prod(values)
    return 1 - math.prod(1 - x for x in values)


class Worst(NamedTuple):
    """The most that a legal policy can lose per round, in expectation.

    Attributes:
      regret: benchmark - r(S).
      overspend: c(S) - rho.
      lagrangian: regret + lambda* overspend, of one set.
    """

    regret: float
    overspend: float
    lagrangian: float

    def of(self, field: str) -> float:
        """By the name of a watched quantity (`regret`, `peak_overspend`, ...)."""
        return self.regret if field.endswith("regret") else self.overspend


def worst_per_round(instance: Instance) -> Worst:
    """The worst legal set of an instance, by enumeration."""
    problem, world = instance.problem, instance.environment
    mu, c = np.asarray(world.mean_reward, float), np.asarray(world.mean_cost, float)
    price, budget = float(instance.best.multiplier), float(problem.budget)
    losses = []
    for chosen in legal_sets(problem.num_arms, problem.num_selected, problem.at_most):
        regret = instance.benchmark - set_reward(problem.reward_model, mu, chosen)
        beyond = float(c[list(chosen)].sum()) - budget
        losses.append((regret, beyond, regret + price * beyond))
    return Worst(*map(float, np.max(losses, axis=0)))
