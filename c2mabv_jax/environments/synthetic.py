"""Synthetic LLMs: known means and laws, independent arms or a shared query difficulty."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri

from c2mabv_jax.array import streams
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.base import Environment, Outcome, set_rewards
from c2mabv_jax.environments.laws import (
    Bernoulli,
    Constant,
    Difficulty,
    Law,
    Uniform,
    beta,
    check_means,
    levels,
    plain,
)
from c2mabv_jax.errors import ProblemError

LAWS = ("bernoulli", "constant", "beta", "uniform", "levels")
_HALF_STEP = 2.0**-24  # moves the grid 0, 2^-23, ... off 0, where the normal quantile ends


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Synthetic(Environment):
    """Rewards and costs drawn from stated laws; build it with `synthetic`.

    Attributes:
      reward, cost: the laws of all arms.
      correlation: of the normals behind the arms' rewards in one round, scalar or `[B]`;
        None for independent arms.
      names, cost_scale, cost_unit: see `Environment`.
    """

    reward: Law
    cost: Law
    correlation: Any
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    cost_scale: float = dataclasses.field(default=1.0, metadata={"static": True})
    cost_unit: str = dataclasses.field(default="1", metadata={"static": True})

    @property
    def mean_reward(self) -> Any:  # type: ignore[override]
        return self.reward.mean

    @property
    def mean_cost(self) -> Any:  # type: ignore[override]
        return self.cost.mean

    @property
    def dependent(self) -> bool:
        return self.correlation is not None

    @property
    def binary_reward(self) -> bool:
        return self.reward.binary

    def sample(self, key: Array, t: Array | int) -> Outcome:
        """Outcomes of a round: two numbers of every arm, for its reward and its cost."""
        del t
        dtype = jnp.result_type(float)
        if self.reward.random or self.cost.random:
            for_reward, for_cost = streams.of_arms(key, self.num_arms, dtype)
        else:
            for_reward = for_cost = jnp.zeros((self.num_arms, *streams.words(key)[0].shape), dtype)
        if self.dependent:
            shared = streams.uniforms(key, 1, dtype, streams.DIFFICULTY)[0]
            for_reward = coupled(for_reward, shared, self.correlation)
        return Outcome(self.reward.value(for_reward), self.cost.value(for_cost))

    def set_reward(self, reward_model: str, sets: np.ndarray) -> np.ndarray:
        """Expected set rewards, by quadrature over the difficulty where arms share one.

        The trapezoidal rule converges exponentially on an integrand that is smooth and dies
        out; its step follows the width of the sharpest feature, so that strong correlation
        is as exact as weak (error below 1e-12).
        """
        if not self.dependent:
            return super().set_reward(reward_model, sets)
        correlations = np.asarray(self.correlation, np.float64)
        batched = np.ndim(self.reward.mean) == 2
        if not batched and correlations.ndim == 0:
            return _quadrature(self.reward, float(correlations), reward_model, sets)
        size = np.shape(self.reward.mean)[1] if batched else correlations.size
        columns = []
        for b, correlation in enumerate(np.broadcast_to(correlations, (size,))):
            law = jax.tree.map(lambda x, b=b: x[..., b], self.reward) if batched else self.reward
            columns.append(_quadrature(law, correlation, reward_model, sets))
        return np.stack(columns, axis=-1)

    def replace(self, mean_reward: Any = None, mean_cost: Any = None) -> Synthetic:
        """The same environment with other means (Bernoulli, constant and uniform laws)."""
        reward = self.reward if mean_reward is None else self.reward.with_mean(mean_reward)
        cost = self.cost if mean_cost is None else self.cost.with_mean(mean_cost)
        return dataclasses.replace(self, reward=reward, cost=cost)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "synthetic",
            "names": list(self.names),
            "reward": self.reward.describe(),
            "cost": self.cost.describe(),
            "correlation": 0.0 if self.correlation is None else plain(self.correlation),
            "cost_scale": self.cost_scale,
            "cost_unit": self.cost_unit,
        }


def synthetic(
    mean_reward: Any = None,
    mean_cost: Any = None,
    reward: str | Law = "bernoulli",
    cost: str | Law = "bernoulli",
    *,
    names: Sequence[str] | None = None,
    correlation: Any = 0.0,
    concentration: Any = 4.0,
    level_values: Sequence[float] = (0.0, 0.1, 0.5),
    cost_scale: float | None = None,
    cost_unit: str | None = None,
) -> Synthetic:
    """An environment with the stated means.

    Args:
      mean_reward, mean_cost: `[K]`, or `[K, B]` to give each run its own; in [0, 1]. Leave
        out where `reward` or `cost` is a law object, which has its own means.
      reward, cost: "bernoulli", "constant", "beta", "uniform" (mean ± min(mean, 1 - mean)/2)
        or "levels" (largest entropy on `level_values`); or a law made by `laws.beta`,
        `laws.levels` (own probabilities) or `laws.token_cost` (price x random length).
      names: of the LLMs; "arm 0", "arm 1", ... by default.
      correlation: in [0, 1): a shared query difficulty couples the rewards of all arms, as
        a Gaussian copula with this correlation; marginals stay as they are.
      concentration: of "beta": a + b.
      level_values: of "levels".
      cost_scale, cost_unit: money per unit of scaled cost; by default those of the law.

    Raises:
      ProblemError: naming the field and the fix.
    """
    reward_law = _law(reward, mean_reward, "reward", concentration, level_values)
    cost_law = _law(cost, mean_cost, "cost", concentration, level_values)
    num_arms = np.shape(reward_law.mean)[0]
    if np.shape(cost_law.mean)[0] != num_arms:
        raise ProblemError(
            f"mean_cost: {np.shape(cost_law.mean)[0]} LLMs, but mean_reward has {num_arms}; "
            "give one of each per LLM"
        )
    widths = {np.shape(law.mean)[1] for law in (reward_law, cost_law) if np.ndim(law.mean) == 2}
    if len(widths) > 1:
        raise ProblemError(f"mean_cost: batch sizes {sorted(widths)} differ; give one batch size")
    if names is None:
        names = tuple(f"arm {k}" for k in range(num_arms))
    if isinstance(names, str) or len(names) != num_arms:
        raise ProblemError(f"names = {names!r}: give {num_arms} names, one per LLM")
    if len(set(names)) != num_arms:
        raise ProblemError(f"names = {names!r}: give every LLM its own name")
    cost_scale = cost_law.scale if cost_scale is None else cost_scale
    if not (np.isfinite(cost_scale) and cost_scale > 0):
        raise ProblemError(f"cost_scale = {cost_scale!r}: give a finite number above 0")
    return Synthetic(
        reward_law,
        cost_law,
        _check_correlation(correlation, reward_law),
        tuple(str(name) for name in names),
        float(cost_scale),
        cost_law.unit if cost_unit is None else str(cost_unit),
    )


def coupled(uniform: Array, shared: Array, correlation: Any) -> Array:
    """Uniforms `[K, ...]` that move together with one shared uniform `[...]`.

    Each stays uniform: a Gaussian copula with equal correlations.
    """
    share = jnp.asarray(correlation, uniform.dtype)
    common = jnp.sqrt(share) * ndtri(shared + _HALF_STEP)
    normal = common + jnp.sqrt(1 - share) * ndtri(uniform + _HALF_STEP)
    return jnp.clip(ndtr(normal), 0, 1 - _HALF_STEP)


def _quadrature(reward: Law, correlation: float, reward_model: str, sets: np.ndarray) -> np.ndarray:
    num_arms = np.shape(reward.mean)[0]
    # Width of a product of K conditional means and the normal density, as if all Gaussian.
    width = 1 / np.sqrt(1 + num_arms * correlation / (1 - correlation))
    g = np.arange(-9, 9, width / 2)
    density = np.exp(-(g**2) / 2)
    given = reward.conditional_mean(Difficulty(g, correlation))
    return set_rewards(given, density, reward_model, sets)


def _law(
    law: str | Law, mean: Any, field: str, concentration: Any, level_values: Sequence[float]
) -> Law:
    if isinstance(law, Law):
        if mean is not None:
            raise ProblemError(f"mean_{field}: the given law has its own means; leave this out")
        return law
    if law not in LAWS:
        raise ProblemError(
            f"{field} = {law!r}: choose one of {', '.join(LAWS)}, or give a law object"
        )
    if mean is None:
        raise ProblemError(f"mean_{field}: missing; give one number in [0, 1] per LLM")
    high = max(level_values) if law == "levels" else 1.0
    low = min(level_values) if law == "levels" else 0.0
    mean = check_means(mean, f"mean_{field}", low, high)
    if law == "beta":
        return beta(mean, concentration)
    if law == "levels":
        return levels(level_values, mean=mean)
    if law == "uniform":
        return Uniform(mean)
    return Bernoulli(mean) if law == "bernoulli" else Constant(mean)


def _check_correlation(correlation: Any, reward: Law) -> Any:
    if isinstance(correlation, jax.core.Tracer):
        return correlation
    value = np.asarray(correlation, np.float64)
    if value.ndim > 1 or not ((value >= 0) & (value < 1)).all():
        raise ProblemError(f"correlation = {correlation!r}: give a number in [0, 1)")
    if not value.any():
        return None
    if not reward.random:
        raise ProblemError(f"correlation = {correlation!r}: constant rewards do not vary; give 0")
    return value
