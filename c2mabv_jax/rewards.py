"""The three reward models in one table: AWC (any win), SUC (sum up), AIC (all in).

Arrays are arm first, `[K, ...]`. A set is a bool mask `selected`; a relaxed set is a vector
of marginals in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.arms import arm_index, product, reduce_arms, total
from c2mabv_jax.problem import Problem

SMALLEST_UCB = 1e-6  # rewards are clipped here before a logarithm
_TINY = np.finfo(float).tiny


class RewardModel(NamedTuple):
    """What distinguishes one reward model from another.

    Attributes:
      name: "AWC", "SUC" or "AIC".
      task: one line for people.
      of_set: r(S; x), from values `[K, ...]` and a mask `[K, ...]` to `[...]`.
      of_sets: the same on the host, float64: from sets, bool `[M, K]`, and values `[K]` to
        `[M]`.
      additive: weights, on the host, whose sum over a set orders sets as r does, `[K]`.
      relaxed: the multilinear or linear extension at marginals `[K, ...]`, to `[...]`.
      gradient: its gradient in the marginals, `[K, ...]`.
      lp_weights: the linear objectives whose optimum is a candidate; a tuple of functions
        from reward bounds `[K, ...]` to weights `[K, ...]`.
      stops_at: the outcome that ends a cascade (1 first success, 0 first failure), or None.
      linear: whether r is linear in the mask.
    """

    name: str
    task: str
    of_set: Callable[[Array, Array], Array]
    of_sets: Callable[[np.ndarray, np.ndarray], np.ndarray]
    additive: Callable[[np.ndarray], np.ndarray]
    relaxed: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    lp_weights: tuple[Callable[[Array], Array], ...]
    stops_at: int | None
    linear: bool


def product_of_others(factors: Array) -> Array:
    """prod over j != k of factors_j, `[K, ...]`, without dividing (zeros are allowed)."""
    ones = jnp.ones_like(factors[:1])
    before = jnp.cumprod(jnp.concatenate([ones, factors[:-1]]), axis=0)
    after = jnp.cumprod(jnp.concatenate([ones, factors[:0:-1]]), axis=0)[::-1]
    return before * after


def _any_win(values: Array, selected: Array) -> Array:
    return 1 - product(jnp.where(selected, 1 - values, 1))


def _any_win_relaxed(values: Array, marginals: Array) -> Array:
    return 1 - product(1 - values * marginals)


def _any_win_gradient(values: Array, marginals: Array) -> Array:
    return values * product_of_others(1 - values * marginals)


def _sum_up(values: Array, selected: Array) -> Array:
    return total(jnp.where(selected, values, 0))


def _all_in(values: Array, selected: Array) -> Array:
    return product(jnp.where(selected, values, 1))


def _all_in_relaxed(values: Array, marginals: Array) -> Array:
    """exp(sum z ln x): a lower bound of E r(S) for every marginal-preserving rounding."""
    return jnp.exp(total(marginals * log_success(values)))


def log_success(values: Array) -> Array:
    """ln max(x, 1e-6): additive weights of all-in."""
    return jnp.log(jnp.maximum(values, SMALLEST_UCB))


def log_failure(values: Array) -> Array:
    """-ln(1 - min(x, 1 - 1e-6)): additive weights of any-win."""
    return -jnp.log(jnp.maximum(1 - values, SMALLEST_UCB))


def _identity(values: Array) -> Array:
    return values


REWARD_MODELS: dict[str, RewardModel] = {
    model.name: model
    for model in (
        RewardModel(
            name="AWC",
            task="any win: one good answer is enough",
            of_set=_any_win,
            of_sets=lambda sets, values: 1 - np.where(sets, 1 - values, 1).prod(axis=1),
            additive=lambda values: -np.log(np.maximum(1 - values, _TINY)),
            relaxed=_any_win_relaxed,
            gradient=_any_win_gradient,
            lp_weights=(_identity, log_failure),
            stops_at=1,
            linear=False,
        ),
        RewardModel(
            name="SUC",
            task="sum up: independent sub-answers add",
            of_set=_sum_up,
            of_sets=lambda sets, values: sets @ values,
            additive=lambda values: values,
            relaxed=lambda values, marginals: total(values * marginals),
            gradient=lambda values, marginals: jnp.broadcast_to(values, marginals.shape),
            lp_weights=(_identity,),
            stops_at=None,
            linear=True,
        ),
        RewardModel(
            name="AIC",
            task="all in: every part must succeed",
            of_set=_all_in,
            of_sets=lambda sets, values: np.where(sets, values, 1).prod(axis=1),
            additive=lambda values: np.log(np.maximum(values, _TINY)),
            relaxed=_all_in_relaxed,
            gradient=lambda values, marginals: (
                log_success(values) * _all_in_relaxed(values, marginals)
            ),
            lp_weights=(log_success,),
            stops_at=0,
            linear=False,
        ),
    )
}


def reward_model(problem: Problem) -> RewardModel:
    """The entry of the table for this problem."""
    return REWARD_MODELS[problem.reward_model]


def asking_order(priority: Array | None, like: Array) -> Array:
    """A cascade's order as numbers `[K, ...]`, also where it is the given one (None)."""
    if priority is not None:
        return priority
    given = arm_index(like).astype(jnp.result_type(float))
    return jnp.broadcast_to(given, like.shape)


def cascade_prefix(selected: Array, stops: Array, priority: Array) -> Array:
    """The arms of a cascade that are asked: up to and including the first that stops it.

    Args:
      selected: super arm, bool `[K, ...]`.
      stops: whether an arm's outcome ends the cascade, bool `[K, ...]`.
      priority: arms are asked by ascending priority, ties by lower index; `[K, ...]`.

    Returns:
      observed, bool `[K, ...]`, a subset of `selected`.
    """
    index = arm_index(selected)
    ending = selected & stops
    threshold = reduce_arms(jnp.minimum, jnp.where(ending, priority, jnp.inf))
    tied = priority == threshold
    last = reduce_arms(jnp.minimum, jnp.where(ending & tied, index, selected.shape[0]))
    return selected & ((priority < threshold) | (tied & (index <= last)))
