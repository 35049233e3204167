"""Instance generators: problems whose regret is known to be easy, hard or degenerate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from c2mabv_jax.environments.base import Environment
from c2mabv_jax.environments.synthetic import synthetic
from c2mabv_jax.environments.typed import by_type
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem, RewardModel


class Instance(NamedTuple):
    """A problem with the environment it is played in."""

    problem: Problem
    environment: Environment


def gap_instance(
    num_arms: int,
    num_selected: int,
    gap: float,
    reward_model: RewardModel = "SUC",
    mean_cost: float = 0.5,
) -> Instance:
    """N arms with mean 1/2 + gap/2, the others 1/2 - gap/2; the budget is slack.

    Costs are constant, so that all uncertainty is in the rewards.
    """
    if not 0 <= gap <= 1:
        raise ProblemError(f"gap = {gap!r}: give a number in [0, 1]")
    if not 1 <= num_selected <= num_arms:
        raise ProblemError(f"num_selected = {num_selected!r}: give 1 to num_arms = {num_arms}")
    mean_reward = np.where(np.arange(num_arms) < num_selected, 0.5 + gap / 2, 0.5 - gap / 2)
    problem = Problem(
        num_arms=num_arms,
        num_selected=num_selected,
        budget=float(num_selected),
        reward_model=reward_model,
    )
    return Instance(problem, synthetic(mean_reward, np.full(num_arms, mean_cost), cost="constant"))


def minimax_instance(
    num_arms: int, num_selected: int, horizon: int, factor: float = 1.0
) -> Instance:
    """The gap instance with gap = factor sqrt(K/(N T)), the scale at which regret is worst."""
    if horizon < 1:
        raise ProblemError(f"horizon = {horizon!r}: give at least 1")
    gap = factor * np.sqrt(num_arms / (num_selected * horizon))
    return gap_instance(num_arms, num_selected, float(min(gap, 1.0)))


def random_instance(
    seed: int,
    num_arms: int,
    num_selected: int,
    reward_model: RewardModel = "SUC",
    binding: bool = True,
    tightness: float | None = None,
) -> Instance:
    """Means uniform on [0.05, 0.95]; better LLMs tend to cost more.

    Args:
      seed: of NumPy's generator; the instance is a function of it and the sizes.
      num_arms, num_selected: K and N.
      reward_model: of the problem.
      binding: put the budget strictly between the cost of the N cheapest arms and that of
        the N best, so that it changes the optimum; otherwise it is N. With N = K or equal
        costs nothing can bind, and that is an error.
      tightness: where between the two, 0 the cheapest to 1 the best; drawn from
        [0.2, 0.8] by default.
    """
    if not 1 <= num_selected <= num_arms:
        raise ProblemError(f"num_selected = {num_selected!r}: give 1 to num_arms = {num_arms}")
    if binding and num_selected == num_arms:
        raise ProblemError("binding: with num_selected = num_arms no choice is left; give False")
    if tightness is not None and not 0 <= tightness <= 1:
        raise ProblemError(f"tightness = {tightness!r}: give a number in [0, 1]")
    rng = np.random.default_rng(seed)
    while True:
        mean_reward = rng.uniform(0.05, 0.95, num_arms)
        mean_cost = 0.5 * mean_reward + 0.5 * rng.uniform(0.05, 0.95, num_arms)
        position = rng.uniform(0.2, 0.8) if tightness is None else tightness
        low = np.sort(mean_cost)[:num_selected].sum()
        high = mean_cost[np.argsort(-mean_reward, kind="stable")[:num_selected]].sum()
        # The N best arms may happen to be the N cheapest; draw again.
        if not binding or high - low > 1e-3:
            break
    budget = low + position * (high - low) if binding else float(num_selected)
    problem = Problem(
        num_arms=num_arms,
        num_selected=num_selected,
        budget=float(budget),
        reward_model=reward_model,
    )
    return Instance(problem, synthetic(mean_reward, mean_cost))


def typed_instance(
    seed: int,
    num_types: int,
    num_arms: int,
    num_selected: int,
    reward_model: RewardModel = "SUC",
    tightness: float | None = None,
) -> Instance:
    """Queries of several types, each a `random_instance` of its own, under one budget.

    Frequencies are uniform on the simplex. The budget lies between what the N cheapest and
    what the N best LLMs of every type cost, at `tightness` (0 to 1; by default drawn from
    [0.2, 0.8]).
    """
    if num_types < 1:
        raise ProblemError(f"num_types = {num_types!r}: give at least 1")
    rng = np.random.default_rng(seed)
    seeds = rng.integers(2**32, size=num_types)
    frequencies = rng.dirichlet(np.ones(num_types))
    position = rng.uniform(0.2, 0.8) if tightness is None else tightness
    worlds, low, high = [], 0.0, 0.0
    for share, own in zip(frequencies, seeds, strict=True):
        problem, world = random_instance(int(own), num_arms, num_selected, reward_model)
        mu, c = np.asarray(world.mean_reward), np.asarray(world.mean_cost)
        low += share * np.sort(c)[:num_selected].sum()
        high += share * c[np.argsort(-mu, kind="stable")[:num_selected]].sum()
        worlds.append(world)
    problem = problem.replace(budget=float(low + position * (high - low)))
    return Instance(problem, by_type(worlds, frequencies))


def cascading_instance(num_arms: int, num_selected: int, p: float, gap: float) -> Instance:
    """B_LB(L, K, p, Delta) of Kveton et al. 2015 ("Cascading bandits", arXiv 1502.02763).

    Their L items are arms and their K positions `num_selected`: K items attract with
    probability p, the other L - K with p - Delta. Any win, no budget, cascades in order of
    descending upper bound.
    """
    if not 0 <= p - gap <= p <= 1:
        raise ProblemError(f"gap = {gap!r}: give 0 <= gap <= p <= 1, here p = {p!r}")
    mean_reward = np.where(np.arange(num_arms) < num_selected, p, p - gap)
    problem = Problem(
        num_arms=num_arms,
        num_selected=num_selected,
        budget=0.0,
        reward_model="AWC",
        cascade_order="highest-ucb",
    )
    return Instance(problem, synthetic(mean_reward, np.zeros(num_arms), cost="constant"))


def degenerate_instances() -> dict[str, Instance]:
    """Legal problems that break careless code; K is 5 unless its name says otherwise."""
    reward = np.array([0.9, 0.7, 0.5, 0.3, 0.1])
    cost = np.array([0.8, 0.6, 0.4, 0.3, 0.2])

    def make(
        num_selected: int = 2,
        budget: float = 0.9,
        reward: np.ndarray = reward,
        cost: np.ndarray = cost,
        law: str = "bernoulli",
        reward_model: RewardModel = "SUC",
    ) -> Instance:
        problem = Problem(
            num_arms=len(reward),
            num_selected=num_selected,
            budget=budget,
            reward_model=reward_model,
        )
        return Instance(problem, synthetic(reward, cost, reward=law, cost=law))

    return {
        "zero costs": make(cost=np.zeros(5)),
        "zero costs, zero budget": make(cost=np.zeros(5), budget=0.0),
        "some zero costs": make(cost=np.array([0.8, 0.0, 0.4, 0.0, 0.2])),
        "equal arms": make(reward=np.full(5, 0.5), cost=np.full(5, 0.4)),
        "equal costs": make(cost=np.full(5, 0.4)),
        "equal rewards": make(reward=np.full(5, 0.5)),
        "all selected": make(num_selected=5, budget=2.5),
        "one selected": make(num_selected=1, budget=0.45),
        "one arm": make(1, 0.5, np.array([0.5]), np.array([0.5])),
        "slack budget": make(budget=2.0),
        "cheapest only": make(budget=0.5),
        "infeasible budget": make(budget=0.1),
        "sure success": make(reward=np.array([1.0, 0.7, 0.5, 0.3, 0.0])),
        "no success": make(reward=np.zeros(5)),
        "deterministic": make(law="constant"),
        "any win, sure success": make(
            reward=np.array([1.0, 0.7, 0.5, 0.3, 0.0]), reward_model="AWC"
        ),
        "all in, no success": make(reward=np.zeros(5), reward_model="AIC"),
    }
