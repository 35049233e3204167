"""Confidence radii and bounds of the local server.

Every radius takes counts of observations made *before* round t, whole or discounted. Arrays
are arm first, `[K, ...]`, with any trailing batch axes; `t`, `delta` and the alphas broadcast
against them. An arm never observed has an infinite radius: its bounds are 1 for reward and
0 for cost.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Radius = Literal["hoeffding", "anytime", "ucb1", "bernstein", "kl"]
RADII: tuple[str, ...] = get_args(Radius)


class Bounds(NamedTuple):
    """Optimistic reward and optimistic cost of every arm, each `[K, ...]` in [0, 1]."""

    reward_ucb: Array
    cost_lcb: Array


def _log(value: ArrayLike) -> Array:
    return jnp.log(jnp.asarray(value, jnp.result_type(float)))


def _float(value: ArrayLike) -> Array:
    return jnp.asarray(value).astype(jnp.result_type(float))


def _shrink(log_term: ArrayLike, count: ArrayLike) -> Array:
    """sqrt(log_term / count), infinite where nothing was observed.

    A forgotten arm has a discounted count below 1, and a radius that goes on growing.
    """
    n = _float(count)
    return jnp.where(n > 0, jnp.sqrt(log_term / jnp.where(n > 0, n, 1)), jnp.inf)


def log_term(t: ArrayLike, num_arms: int, delta: ArrayLike) -> Array:
    """ell_t = ln(2 pi^2 K t^3 / (3 delta)), the logarithm inside the C2MAB-V radius."""
    return math.log(2 * math.pi**2 * num_arms / 3) + 3 * _log(t) - _log(delta)


def hoeffding_radius(t: ArrayLike, count: ArrayLike, num_arms: int, delta: ArrayLike) -> Array:
    """sqrt(ell_t / (2 n)): the radius of C2MAB-V (constants reconstructed).

    Args:
      t: round, 1 for the first one.
      count: observations of each arm before round t, `[K, ...]`.
      num_arms: K.
      delta: confidence parameter in (0, 1).

    Returns:
      `[K, ...]`, infinite where `count` is 0. With alpha = 1 all bounds of all arms hold in
      all rounds with probability at least 1 - delta.
    """
    return _shrink(log_term(t, num_arms, delta) / 2, count)


def anytime_radius(count: ArrayLike, num_arms: int, delta: ArrayLike) -> Array:
    """sqrt(ln(2 pi^2 K n^2 / (3 delta)) / (2 n)): the same guarantee, smaller.

    A union bound over n instead of over n and t.
    """
    n = jnp.maximum(_float(count), 1)
    log = math.log(2 * math.pi**2 * num_arms / 3) + 2 * jnp.log(n) - _log(delta)
    return _shrink(log / 2, count)


def ucb1_radius(t: ArrayLike, count: ArrayLike) -> Array:
    """sqrt(1.5 ln t / n): CUCB (Chen et al. 2013), CombUCB1, CascadeUCB1 (Kveton et al. 2015)."""
    return _shrink(1.5 * _log(t), count)


def bernstein_radius(
    count: ArrayLike, variance: ArrayLike, num_arms: int, delta: ArrayLike
) -> Array:
    """Empirical Bernstein, anytime over 2K streams at total level delta.

    sqrt(2 V x / n) + 3 x / n with x = ln(pi^2 K n^2 / delta) and V the biased empirical
    variance (Audibert, Munos, Szepesvari 2009).
    """
    n = jnp.maximum(_float(count), 1)
    x = math.log(math.pi**2 * num_arms) + 2 * jnp.log(n) - _log(delta)
    radius = jnp.sqrt(2 * jnp.maximum(variance, 0) * x / n) + 3 * x / n
    return jnp.where(_float(count) > 0, radius, jnp.inf)


def bernoulli_kl(p: ArrayLike, q: ArrayLike) -> Array:
    """Kullback-Leibler divergence of two Bernoulli laws, finite for q inside (0, 1)."""
    eps = jnp.finfo(jnp.result_type(float)).eps
    q = jnp.clip(q, eps, 1 - eps)
    p = _float(p)
    left = jax.scipy.special.xlogy(p, p / q)
    return left + jax.scipy.special.xlogy(1 - p, (1 - p) / (1 - q))


def kl_bound(mean: ArrayLike, count: ArrayLike, level: ArrayLike, upper: bool) -> Array:
    """The largest (`upper`) or smallest q with n kl(mean, q) <= level, by 30 bisections.

    Garivier and Cappe 2011. `mean`, `count`: `[K, ...]`; `level` broadcasts. Where nothing
    was observed the bound is 1 (upper) or 0 (lower).
    """
    mean = _float(mean)
    n = _float(count)
    inner = mean
    outer = jnp.ones_like(mean) if upper else jnp.zeros_like(mean)

    def step(_, ends):
        inner, outer = ends
        middle = (inner + outer) / 2
        inside = n * bernoulli_kl(mean, middle) <= level
        return jnp.where(inside, middle, inner), jnp.where(inside, outer, middle)

    _, bound = jax.lax.fori_loop(0, 30, step, tuple(jnp.broadcast_arrays(inner, outer)))
    return jnp.where(n > 0, bound, 1.0 if upper else 0.0)


def kl_level(count: ArrayLike, num_arms: int, delta: ArrayLike) -> Array:
    """x_n = ln(2 pi^2 K n^2 / (3 delta)): anytime level of the KL bounds (union over n)."""
    n = jnp.maximum(_float(count), 1)
    return math.log(2 * math.pi**2 * num_arms / 3) + 2 * jnp.log(n) - _log(delta)


def optimistic(mean_reward: Array, reward_width: Array, mean_cost: Array, cost_width: Array):
    """Bounds from means and widths: U = min(1, mean + width), L = max(0, mean - width)."""
    return Bounds(
        jnp.minimum(1.0, mean_reward + reward_width), jnp.maximum(0.0, mean_cost - cost_width)
    )
