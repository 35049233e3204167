"""What every environment offers: outcomes of a round, and the truth behind them.

Arrays are arm first, `[K, ...]`, with the batch on the trailing axes. Rewards and costs
are in [0, 1]; one unit of scaled cost is `cost_scale` in the environment's own money.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.errors import ProblemError

TABLE_LIMIT = 16  # a table over subsets has 2^K entries
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
    """

    mean_reward: Any
    mean_cost: Any
    names: tuple[str, ...]
    cost_scale: float
    cost_unit: str

    @abc.abstractmethod
    def sample(self, key: Array, t: Array | int) -> Outcome:
        """Outcomes of round `t` (1, 2, ...) for a batch of keys `[...]`; pure."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """What this environment is, in plain JSON types."""

    @property
    def num_arms(self) -> int:
        """K."""
        return len(self.names)

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
        return not self.dependent or self.num_arms <= TABLE_LIMIT

    def set_reward_table(self, reward_model: str) -> np.ndarray | None:
        """Expected reward of every subset, float64 `[2^K]`, indexed by sum_k selected_k << k.

        None where arms are independent (the formulas of `rewards.REWARD_MODELS` apply) or
        where there are more than 16 (`expected_reward_known` is then False).
        """
        del reward_model
        return None


def lift(values: Any, ndim: int) -> Array:
    """Values `[K]` or `[K, B]` with trailing axes up to rank `ndim`, in the default float."""
    values = jnp.asarray(values, jnp.result_type(float))
    return values.reshape(values.shape + (1,) * max(ndim - values.ndim, 0))


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
