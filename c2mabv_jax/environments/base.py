"""What every environment offers: outcomes of a round, and the truth behind them.

Arrays are arm first, `[K, ...]`, with the batch on the trailing axes. Rewards and costs
are in [0, 1]; one unit of scaled cost is `cost_scale` in the environment's own money.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import arms, listing
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.rewards import REWARD_MODELS

_BLOCK = 1 << 22  # float64 entries held at once while a table is summed


class Outcome(NamedTuple):
    """What all LLMs would answer and charge in one round.

    Attributes:
      reward: quality of each LLM's answer, in [0, 1], `[K, ...]`.
      cost: its cost, in [0, 1] after scaling, `[K, ...]`.
    """

    reward: Array
    cost: Array


class Environment(abc.ABC):
    """Where rewards and costs come from; subclasses are frozen dataclasses and pytrees.

    Numeric leaves may carry a trailing batch axis, so that one compiled program serves a
    sweep in which every run has its own means; fields marked `shared` (field metadata) are
    the same for all runs of a block and never carry one.

    Attributes:
      mean_reward: true mean reward of each arm, `[K]` or `[K, B]`, in [0, 1].
      mean_cost: true mean scaled cost of each arm, `[K]` or `[K, B]`, in [0, 1].
      names: the LLMs, static.
      cost_scale: money per unit of scaled cost, static.
      cost_unit: unit of that money, such as "USD/query", or "1"; static.
      changes: whether the truth moves from round to round; then there are `at` and `available`.
      types: names of the types of query, static; None where queries have no type. With types
        an environment also has what `typed.TypedEnvironment` says.
    """

    changes = False
    mean_reward: Any
    mean_cost: Any
    names: tuple[str, ...]
    cost_scale: float
    cost_unit: str
    types: tuple[str, ...] | None = None

    @abc.abstractmethod
    def sample(self, key: Array, t: Array | int) -> Outcome:
        """Outcomes of round `t` (1, 2, ...) for a batch of keys `[...]`; pure.

        The key is the round's; a world draws from streams of its own purposes.
        """

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """What this environment is, in plain JSON types."""

    @property
    def num_arms(self) -> int:
        """K."""
        return len(self.names)

    @property
    def num_types(self) -> int | None:
        """G; None where queries have no type."""
        return None if self.types is None else len(self.types)

    @property
    def dependent(self) -> bool:
        """Whether the rewards of one round are dependent across arms, given the parameters."""
        return False

    @property
    def binary_reward(self) -> bool:
        """Whether every reward is 0 or 1, so that no draw decides what counts as a success."""
        return False

    @property
    def expected_reward_known(self) -> bool:
        """Whether r(S) has a formula (independent arms) or a table of bearable size."""
        return not self.dependent or self.num_arms <= listing.WORDS

    def set_reward(self, reward_model: str, sets: np.ndarray) -> np.ndarray:
        """Expected rewards of sets, bool `[M, K]`: float64 `[M]` (or `[M, B]`)."""
        mean = np.asarray(self.mean_reward, np.float64)
        return REWARD_MODELS[reward_model].of_sets(sets, mean)

    def set_reward_table(
        self, reward_model: str, num_selected: int | None = None
    ) -> np.ndarray | None:
        """Expected rewards of the sets that `listing.listed` lists, float64 `[M]`.

        Up to 16 arms that is every subset, indexed by sum_k selected_k << k. None where arms
        are independent (the formulas of `rewards.REWARD_MODELS` apply) or where there are
        too many sets of at most `num_selected` arms.
        """
        size = self.num_arms if num_selected is None else num_selected
        if not self.dependent or not listing.listable(self.num_arms, size):
            return None
        return self.set_reward(reward_model, listing.listed(self.num_arms, size))

    def cost_after(self, problem: Problem, before: np.ndarray) -> np.ndarray | None:
        """E[Y_k 1{a cascade goes on after all of P}]: scaled cost, float64 `[M, K]`.

        What asking arm k adds to the bill of a round in which the arms of P, bool
        `[M, K]`, were asked before it, in whatever order. None where it is not known: single
        means are needed, and with a `satisfaction` threshold rewards of 0 and 1.
        """
        mean, cost = (np.asarray(x, np.float64) for x in (self.mean_reward, self.mean_cost))
        graded = problem.satisfaction != "bernoulli" and not self.binary_reward
        if mean.ndim > 1 or cost.ndim > 1 or graded:
            return None
        if self.dependent:  # costs are independent of rewards
            model = "AIC" if problem.reward_model == "AIC" else "AWC"
            reward = self.set_reward(model, before)
            goes_on = reward if model == "AIC" else 1 - reward
        else:
            goes_on = np.where(before, going_on(problem, mean), 1).prod(axis=1)
        return goes_on[:, None] * cost


def lift(values: Any, ndim: int) -> Array:
    """Values `[K]` or `[K, B]` with trailing axes up to rank `ndim`, in the default float."""
    return arms.lift(jnp.asarray(values, jnp.result_type(float)), ndim)


def going_on(problem: Problem, reward: np.ndarray) -> np.ndarray:
    """Probability that a cascade goes on after an answer of this quality, same shape."""
    success = reward
    if problem.satisfaction != "bernoulli":
        success = (reward >= problem.satisfaction).astype(float)
    return success if problem.reward_model == "AIC" else 1 - success


def set_rewards(
    rewards: np.ndarray, weights: np.ndarray, reward_model: str, sets: np.ndarray
) -> np.ndarray:
    """E r(S) of sets, bool `[M, K]`, as `subset_table`: float64 `[M]`."""
    num_arms = rewards.shape[1]
    if num_arms <= listing.WORDS:
        return subset_table(rewards, weights, reward_model)[sets @ (1 << np.arange(num_arms))]
    weights = weights / weights.sum()
    if reward_model == "SUC":
        return sets @ (weights @ rewards)
    factors = rewards if reward_model == "AIC" else 1 - rewards
    total = np.concatenate([part @ weights for part in products(factors, sets)])
    return np.clip(total if reward_model == "AIC" else 1 - total, 0, 1)


def products(factors: np.ndarray, sets: np.ndarray) -> Iterator[np.ndarray]:
    """prod over arms of S of `factors` `[R, K]`: `[some sets, R]` at a time, sets in order."""
    members = np.sort(np.where(sets, np.arange(sets.shape[1]), sets.shape[1]), axis=1)
    members = members[:, : max(1, int(sets.sum(axis=1).max(initial=0)))]
    padded = np.concatenate([factors.T, np.ones((1, len(factors)))])
    block = max(1, _BLOCK // len(factors))
    for start in range(0, len(sets), block):
        chosen = members[start : start + block]
        result = padded[chosen[:, 0]]
        for place in range(1, chosen.shape[1]):
            result *= padded[chosen[:, place]]
        yield result


def subset_table(rewards: np.ndarray, weights: np.ndarray, reward_model: str) -> np.ndarray:
    """E r(S) for every subset S, when rewards are independent given one of M situations.

    A situation is a row of a log, or a node of a quadrature; within it the expectation of
    a product over arms is the product of the expectations.

    Args:
      rewards: expected reward of each arm in each situation, float64 `[M, K]`.
      weights: probability of each situation, float64 `[M]`.
      reward_model: "AWC" (E[1 - prod(1 - X)]), "AIC" (E[prod X]) or "SUC" (sum of means).

    Returns:
      float64 `[2^K]`; entry sum_k selected_k << k.
    """
    if reward_model not in ("AWC", "SUC", "AIC"):
        raise ProblemError(f"reward_model = {reward_model!r}: choose one of AWC, SUC, AIC")
    num_arms = rewards.shape[1]
    weights = weights / weights.sum()
    if reward_model == "SUC":
        table = np.zeros(1)
        for mean in weights @ rewards:
            table = np.concatenate([table, table + mean])
        return table
    # 0/1 logs repeat few distinct rows, whatever their length.
    rewards, index = np.unique(rewards, axis=0, return_inverse=True)
    weights = np.bincount(index.reshape(-1), weights, minlength=len(rewards))
    factors = rewards if reward_model == "AIC" else 1 - rewards
    total = np.zeros(1 << num_arms)
    block = max(1, _BLOCK >> num_arms)
    for start in range(0, len(factors), block):
        rows = factors[start : start + block]
        products = np.ones((1, len(rows)))
        for k in range(num_arms):
            products = np.concatenate([products, products * rows[:, k]])
        total += products @ weights[start : start + block]
    return np.clip(total if reward_model == "AIC" else 1 - total, 0, 1)
