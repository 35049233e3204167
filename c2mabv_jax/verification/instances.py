"""The instances that claims are tested on, by name.

Small on purpose: the bounds hold for every instance, so they are tested where they are
closest to failing (see also `search`), and leading constants where the asymptotic regime
starts early (well separated reduced costs).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from c2mabv_jax.environments.changing import Changing
from c2mabv_jax.environments.synthetic import Synthetic, synthetic
from c2mabv_jax.environments.typed import Mixture
from c2mabv_jax.problem import Problem, RewardModel
from c2mabv_jax.theory.optimum import Optimum, optimum


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """A problem, its world, and what they are for.

    Attributes:
      name: for people and commands.
      problem, environment: the problem; cost unit 1, so budgets are in scaled cost.
      note: one line.
      value: reward per round that regret is measured against, where it is not the mixed
        optimum (alpha-regret, best fixed set).
    """

    name: str
    problem: Problem
    environment: Synthetic | Changing | Mixture
    note: str
    value: float | None = None

    @functools.cached_property
    def best(self) -> Optimum:
        """Optimum at the true means."""
        return optimum(self.problem, self.environment.mean_reward, self.environment.mean_cost)

    @property
    def benchmark(self) -> float:
        """Reward per round that regret is measured against."""
        return float(self.best.relaxed if self.value is None else self.value)


def _instance(
    name: str,
    note: str,
    mean_reward: Any,
    mean_cost: Any,
    budget: float,
    num_selected: int,
    *,
    reward: str = "bernoulli",
    cost: str = "bernoulli",
    value: float | None = None,
    reward_model: RewardModel = "SUC",
) -> Instance:
    problem = Problem(
        num_arms=len(mean_reward),
        num_selected=num_selected,
        budget=budget,
        reward_model=reward_model,
    )
    environment = synthetic(mean_reward, mean_cost, reward=reward, cost=cost)
    return Instance(name, problem, environment, note, value)


def gap(name: str = "gap-6", spread: float = 0.3) -> Instance:
    """K = 6, N = 2, no budget: two arms at .7, four at .7 - spread."""
    mean = np.where(np.arange(6) < 2, 0.7, 0.7 - spread)
    return _instance(name, f"no budget, gap {spread:g}", mean, np.full(6, 0.5), 2.0, 2)


def worst_gap(factor: float, horizon: int) -> Instance:
    """K = 6, N = 2, no budget: gap = factor sqrt(K / (N T)) around 1/2, chosen for T."""
    spread = min(factor * np.sqrt(6 / (2 * horizon)), 1.0)
    mean = np.where(np.arange(6) < 2, 0.5 + spread / 2, 0.5 - spread / 2)
    note = f"gap {factor:g} sqrt(K/(N T)), T = {horizon:,}"
    return _instance(f"gap {factor:g} at T = {horizon:,}", note, mean, np.full(6, 0.5), 2.0, 2)


def binding_6() -> Instance:
    """K = 6, N = 2: the budget binds; nonbasic arms have reduced costs of .4 and more."""
    return _instance(
        "binding-6",
        "the budget binds: z* = (.4, 1, .6, 0, 0, 0)",
        [0.9, 0.7, 0.55, 0.3, 0.25, 0.2],
        [0.7, 0.35, 0.2, 0.5, 0.4, 0.3],
        0.75,
        2,
    )


def binding_5() -> Instance:
    """K = 5, N = 2: a second instance with a binding budget."""
    return _instance(
        "binding-5",
        "the budget binds: z* = (.5, 1, .5, 0, 0)",
        [0.9, 0.8, 0.5, 0.2, 0.1],
        [0.8, 0.3, 0.1, 0.3, 0.2],
        0.75,
        2,
    )


def wide() -> Instance:
    """K = 6, N = 2, no budget: a gap so wide that the worst set loses 1.45 a round."""
    mean = [0.9, 0.8, 0.2, 0.15, 0.1, 0.1]
    return _instance("wide-6", "no budget, wide gap", mean, np.full(6, 0.5), 2.0, 2)


def dear() -> Instance:
    """K = 6, N = 2, binding budget: two arms are worthless and dear, so a bad policy shows."""
    return _instance(
        "dear-6",
        "the budget binds: z* = (0, .78, 1, .22, 0, 0)",
        [0.95, 0.9, 0.6, 0.5, 0.05, 0.05],
        [0.9, 0.6, 0.1, 0.15, 0.9, 0.95],
        0.6,
        2,
    )


def swap() -> Instance:
    """K = 2, N = 1, both arms basic: regret is exactly minus the priced overspending."""
    return _instance("swap-2", "both arms basic", [0.95, 0.05], [0.9, 0.1], 0.4, 1)


def steady() -> Instance:
    """K = 2, N = 1, constant rewards: no two upper bounds ever tie after the first round.

    Where bounds tie, a relaxed problem has many solutions and any of them is right; here it
    has one, so that runs can be compared with exact values.
    """
    return _instance(
        "steady-2", "constant rewards", [0.5, 0.3], [0.8, 0.2], 0.5, 1, reward="constant"
    )


def cascade() -> Instance:
    """Any win, K = 4, N = 2, no budget: cascading feedback, where alpha = 1 is attainable.

    Without a budget the relaxed solution is the top-N set at the upper bounds, which also
    maximises the any-win reward, so the regret bound holds with alpha = 1.
    """
    return _instance(
        "cascade-4",
        "any win, cascading feedback, no budget",
        [0.8, 0.7, 0.3, 0.2],
        [0.5, 0.4, 0.3, 0.2],
        2.0,
        2,
        reward_model="AWC",
    )


def any_win() -> Instance:
    """Any win with a binding budget: alpha = 1 - 1/e against the mixed optimum."""
    instance = _instance(
        "any-win-3",
        "any win, cascading feedback, binding budget, alpha = 1 - 1/e",
        [0.9, 0.7, 0.4],
        [0.9, 0.35, 0.1],
        0.6,
        2,
        reward_model="AWC",
    )
    return dataclasses.replace(instance, value=(1 - np.exp(-1)) * instance.best.relaxed)


def all_in() -> Instance:
    """All in with a binding budget: alpha = 1 against the best fixed set."""
    instance = _instance(
        "all-in-4",
        "all in, binding budget, against the best fixed set",
        [0.95, 0.9, 0.85, 0.1],
        [0.9, 0.3, 0.3, 0.9],
        0.7,
        2,
        reward_model="AIC",
    )
    value = instance.best.fixed_value
    assert value is not None
    return dataclasses.replace(instance, value=float(value))


def tiny(reward_model: RewardModel) -> Instance:
    """K = 3, N = 2, Bernoulli rewards, constant costs: small enough to be computed exactly."""
    name = {"AWC": "cascade-3", "AIC": "all-in-3"}[reward_model]
    note = "computed exactly: counts and successes of three arms"
    means, costs = [0.6, 0.4, 0.9], [0.1, 0.3, 0.85]
    return _instance(name, note, means, costs, 0.7, 2, cost="constant", reward_model=reward_model)


def everyone() -> Instance:
    """K = N = 5: every arm is observed in every round, so K inside the logarithm shows."""
    return _instance(
        "everyone-5",
        "all five arms in every round",
        [0.2, 0.35, 0.5, 0.65, 0.8],
        [0.3, 0.4, 0.5, 0.6, 0.7],
        5.0,
        5,
    )


def single(mean: float = 0.37) -> Instance:
    """One arm, always played: Bernoulli reward, Bernoulli cost of mean .3."""
    return _instance("single", f"one Bernoulli({mean:g}) arm", [mean], [0.3], 1.0, 1)


CATALOGUE: dict[str, Instance] = {
    instance.name: instance
    for instance in (
        gap(),
        binding_6(),
        binding_5(),
        wide(),
        dear(),
        swap(),
        steady(),
        cascade(),
        any_win(),
        all_in(),
        tiny("AWC"),
        tiny("AIC"),
        everyone(),
        single(),
    )
}
