"""What C2MAB-V should measure, to leading order: violation, Lagrangian regret, gaps, noise floor.

Bounds are loose by a factor of 5 to 15; these are not bounds but asymptotic values, so a
measured / predicted ratio is a sharp two-sided check. SUC, semi-bandit feedback, radius
alpha sqrt(ell_t / (2 n)). Derived for this project. Assumptions are at each function; "refined"
values keep, for finite T, what the leading order drops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory.equilibrium import equilibrium, played_until
from c2mabv_jax.theory.optimum import Optimum
from c2mabv_jax.theory.widths import log_term, plain

_BISECTIONS = 100


def violation_leading(
    horizon: ArrayLike,
    num_arms: int,
    delta: ArrayLike,
    marginals: ArrayLike,
    alpha_cost: float = 1.0,
) -> Any:
    """T V(T) ~ alpha_c (sum_k sqrt(z*_k)) sqrt(2 ell_T T): overspending when the budget binds.

    The relaxed problem spends the budget exactly at the lower cost bounds, so the true cost
    exceeds it by sum_k z_k alpha_c sqrt(ell_t / (2 n_k)) a round, with n_k ~ z*_k t.

    Assumes a binding budget and unique z*; alpha_c > 0. In scaled cost, signed, expectation.

    Args:
      horizon: T. num_arms: K. delta: of the radius. marginals: z* `[K]`.
    """
    t = np.asarray(horizon, float)
    ell = np.asarray(log_term(t, num_arms, delta))
    roots = np.sqrt(np.maximum(np.asarray(marginals, float), 0)).sum()
    return plain(alpha_cost * roots * np.sqrt(2 * ell * t))


def violation_refined(
    horizon: ArrayLike,
    num_arms: int,
    delta: float,
    best: Optimum,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    alpha_reward: float = 1.0,
    alpha_cost: float = 1.0,
) -> Any:
    """T V(T) at finite T, keeping what `violation_leading` drops.

    The logarithm of each round instead of the last one's; lower cost bounds that stop at 0;
    exploration of arms outside z*; counts that differ from z* T. See `equilibrium`.

    Args:
      best: the SUC optimum at the true means, in scaled cost.
      mean_reward, mean_cost: `[K]`, cost scaled to [0, 1]. Others as in `violation_leading`.

    Raises:
      ProblemError: the budget is slack, or the optimum has no duals.
    """
    if not best.binding:
        raise ProblemError("best: its budget is slack, so optimistic costs do not overspend")
    settled = equilibrium(
        horizon, num_arms, delta, best, mean_reward, mean_cost, alpha_reward, alpha_cost
    )
    return plain(settled.overspent)


def exploration_counts(
    horizon: ArrayLike,
    num_arms: int,
    delta: ArrayLike,
    best: Optimum,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    alpha_reward: float = 1.0,
    alpha_cost: float = 1.0,
) -> np.ndarray:
    """How often each arm outside z* is played by round T, to leading order, `[K, ...]`.

    Arm k is played while its optimistic reduced reward is positive, so its width w solves

        min(1, mu_k + alpha_mu w) - lambda* max(0, c_k - alpha_c w) = nu*,  n_k = ell_T / (2 w^2).

    Without the clips n_k = (alpha_mu + lambda* alpha_c)^2 ell_T / (2 reduced_k^2); but a cost
    bound cannot fall below 0, and where c_k < alpha_c w the clipped solution, a smaller count, is
    the right leading term. Arms that z* always plays (z = 1) are not displaced to leading
    order, so only arms of negative reduced reward appear; the others are 0 here.

    Assumes SUC, a unique z* and unique multipliers. `equilibrium` has the finite-T counts.
    """
    if best.reduced is None or best.basic is None:
        raise ProblemError("best: needs the duals of a feasible SUC optimum")
    t = np.asarray(horizon, float)
    ell = np.asarray(log_term(t, num_arms, delta))
    mu, c = np.asarray(mean_reward, float), np.asarray(mean_cost, float)
    lam, nu = best.multiplier, best.cardinality_multiplier
    counts = np.zeros((num_arms, *ell.shape))
    for k in np.flatnonzero((best.reduced < 0) & ~best.basic):
        counts[k] = played_until(nu, lam, mu[k], c[k], t, ell, alpha_reward, alpha_cost)
    return counts


def lagrangian_regret(
    horizon: ArrayLike,
    num_arms: int,
    delta: float,
    best: Optimum,
    mean_reward: ArrayLike,
    mean_cost: ArrayLike,
    alpha_reward: float = 1.0,
    alpha_cost: float = 1.0,
    *,
    refined: bool = False,
) -> Any:
    """R(T) + lambda* T V(T) ~ sum over arms outside z* of |reduced_k| n_k(T): grows like ln T.

    Leading order: sum (alpha_mu + lambda* alpha_c)^2 ell_T / (2 |reduced_k|) unless a cost bound
    is clipped, see `exploration_counts`; with a slack budget it is `gap_regret_leading`.
    Refined: the counts of `equilibrium`, which at T = 1e4 are far smaller.
    """
    args = (horizon, num_arms, delta, best, mean_reward, mean_cost, alpha_reward, alpha_cost)
    if refined:
        return plain(equilibrium(*args).lagrangian)
    counts = exploration_counts(*args)
    return plain(np.tensordot(np.abs(np.asarray(best.reduced)), counts, axes=1))


def noise_floor(
    horizon: ArrayLike, best: Optimum, mean_cost: ArrayLike, budget: float, variance: Any = None
) -> Any:
    """E V(T) of the oracle that plays z* from the start: violation that no one can avoid.

    By the central limit theorem mean cost - budget is normal with mean m = c.z* - budget and
    variance sigma^2 / T, sigma^2 = sum z_k var_k + Var c(S): E V = s phi(m/s) + m Phi(m/s) with
    s = sigma / sqrt(T); sigma / sqrt(2 pi T) when the budget is spent exactly.

    Args:
      horizon: T.
      best: the optimum.
      mean_cost: `[K]`. budget: in the same unit.
      variance: of each arm's cost `[K]`; c (1 - c), Bernoulli, by default. Costs are taken to
        be independent across arms.
    """
    c = np.asarray(mean_cost, float)
    variance = c * (1 - c) if variance is None else np.asarray(variance, float)
    totals = np.array([c[s].sum() for s in best.sets])
    sigma2 = best.marginals @ variance + best.mix @ totals**2 - (best.mix @ totals) ** 2
    s = np.sqrt(max(sigma2, 0.0) / np.asarray(horizon, float))
    m = float(best.mix @ totals) - budget
    m = 0.0 if abs(m) <= 1e-12 * budget else m
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(
            s > 0,
            s * np.exp(-((m / s) ** 2) / 2) / math.sqrt(2 * math.pi) + m * ndtr(m / s),
            max(m, 0.0),
        )
    return plain(value)


def gap_regret_leading(
    horizon: ArrayLike,
    num_selected: int,
    delta: ArrayLike,
    mean_reward: ArrayLike,
    alpha_reward: float = 1.0,
) -> Any:
    """R(T) ~ sum_k alpha_mu^2 ell_T / (2 gap_k) without a budget, gap_k = mu_(N) - mu_k.

    Arms k outside the top N with a positive gap; each displaces the N-th best arm.
    """
    mean = np.sort(np.asarray(mean_reward, float))[::-1]
    gaps = mean[num_selected - 1] - mean[num_selected:]
    ell = np.asarray(log_term(horizon, mean.size, delta))
    return plain(alpha_reward**2 * ell / 2 * np.sum(1 / gaps[gaps > 0]))


def gap_regret_refined(
    horizon: ArrayLike,
    num_selected: int,
    delta: ArrayLike,
    mean_reward: ArrayLike,
    alpha_reward: float = 1.0,
) -> Any:
    """R(T) at finite T without a budget, by levelling the upper bounds.

    At round T all arms that are still in play have the same upper bound u, so
    n_k = min(T, alpha_mu^2 ell_T / (2 (u - mu_k)^2)) with u such that the counts add up to N T.
    Covers small gaps, where the leading order diverges: it is right from the flat start (all
    arms alike) through the worst gap to the logarithmic regime. Ignores the noise of the
    averages and the clip of the upper bounds at 1.
    """
    mean = np.asarray(mean_reward, float)
    t = np.asarray(horizon, float)
    ell = np.asarray(log_term(t, mean.size, delta))
    t, ell = np.broadcast_arrays(t, ell)
    shape = (-1,) + (1,) * t.ndim
    arms = mean.reshape(shape)
    top = np.sort(mean)[-num_selected:]

    def counts(level: np.ndarray) -> np.ndarray:
        above = np.maximum(level - arms, 0)
        with np.errstate(divide="ignore"):
            return np.minimum(t, alpha_reward**2 * ell / (2 * above**2))

    low = np.full(t.shape, mean.min())
    high = mean.max() + alpha_reward * np.sqrt(ell * mean.size / (2 * num_selected * t))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        many = counts(middle).sum(0) > num_selected * t
        low, high = np.where(many, middle, low), np.where(many, high, middle)
    played = counts(high)
    played = played * (num_selected * t / played.sum(0))
    return plain(t * top.sum() - (arms * played).sum(0))


def worst_gap(
    horizon: ArrayLike,
    num_arms: int,
    num_selected: int,
    delta: ArrayLike,
    alpha_reward: float = 1.0,
) -> Any:
    """Gap at which regret without a budget is largest at T: alpha sqrt(ell_T K / (2 N T)).

    N equal arms above K - N equal ones. A smaller gap costs less per mistake, a larger one is
    found out sooner. A scale, not an exact maximiser (`gap_regret_refined` can be maximised).
    """
    t = np.asarray(horizon, float)
    ell = np.asarray(log_term(t, num_arms, delta))
    return plain(alpha_reward * np.sqrt(ell * num_arms / (2 * num_selected * t)))


def plain_regret(lagrangian: ArrayLike, multiplier: float, overspent: ArrayLike) -> Any:
    """R(T) = Lagrangian regret - lambda* T V(T): negative when the budget binds."""
    return plain(np.asarray(lagrangian, float) - multiplier * np.asarray(overspent, float))


def rate(horizon: ArrayLike, num_arms: int, delta: ArrayLike) -> Any:
    """sqrt(T ell_T), the order of regret bounds and of T V(T)."""
    t = np.asarray(horizon, float)
    return plain(np.sqrt(t * np.asarray(log_term(t, num_arms, delta))))


def violation_constant(marginals: ArrayLike, alpha_cost: float = 1.0) -> float:
    """T V(T) / sqrt(T ell_T) in the limit: sqrt(2) alpha_c sum_k sqrt(z*_k)."""
    roots = np.sqrt(np.maximum(np.asarray(marginals, float), 0)).sum()
    return float(math.sqrt(2) * alpha_cost * roots)
