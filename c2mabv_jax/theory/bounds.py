"""Explicit bounds on regret and violation, with the probability that they fail.

Derived for this project from Hoeffding's inequality, optimism and martingale concentration;
the constants are this project's own and not those of arXiv 2405.16587.

Assumptions, all bounds:
  A1 (X_t, Y_t) in [0, 1]^2K i.i.d. over rounds; arms may depend on each other in a round.
  A2 P(k in S_t | past) = z_{t,k}, and the rounding is independent of the round's outcomes.
  A3 every selected arm is observed; or, in a cascade, a prefix in an order fixed by the past,
     with Bernoulli rewards independent across arms.
  A4 the true problem is feasible.
  A5 z_t solves the relaxed problem at the bounds, up to `solver_error` per round.
  A6 the radius alpha sqrt(ell_t / (2 n)), n counted before the round.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory.widths import (
    Form,
    failing_rounds,
    log_term,
    plain,
    side_failure,
    width_sum,
)

Kind = Literal["expected", "pathwise"]
Rounding = Literal["vertex", "any"]


class Bound(NamedTuple):
    """A bound and the probability that it fails; floats, or arrays like the horizon.

    Attributes:
      value: the bound.
      failure_probability: 0 for a bound on an expectation; for a pathwise bound the
        probability of the paths it may miss, at most 1.
    """

    value: Any
    failure_probability: Any

    @property
    def vacuous(self) -> Any:
        """Whether nothing is promised (failure probability 1)."""
        return plain(np.asarray(self.failure_probability) >= 1)


def regret_bound(
    horizon: ArrayLike,
    num_arms: int,
    num_selected: int,
    delta: ArrayLike,
    alpha_reward: float = 1.0,
    alpha_cost: float = 1.0,
    kind: Kind = "expected",
    form: Form = "sum",
    *,
    reward_model: Literal["SUC", "AWC", "AIC"] = "SUC",
    lipschitz: float = 1.0,
    max_reward: float | None = None,
    feedback: Literal["semi-bandit", "cascading"] = "semi-bandit",
    p_star: float | None = None,
    observations: ArrayLike | None = None,
    rounding: Rounding = "vertex",
    realised: bool = False,
    independent_rewards: bool = True,
    confidence: float | None = None,
    anytime: bool = False,
    solver_error: float = 0.0,
) -> Bound:
    """Bound on cumulative regret at round T, against the benchmark of the reward model.

    SUC: sum_t OPT - mu(S_t), OPT the mixed optimum. AWC: sum_t a r* - r(S_t; mu) with
    a = 1 - 1/e and r* the mixed optimum. AIC: a = 1 and r* the best fixed set. With W the
    width sum (`width_sum`), L the Lipschitz constant and M the number of observations:

        expected:  E R(T) <= L W(T, M) + r_max (expected rounds in which a bound fails)
        pathwise:  R(T) <= L W(T, M) + D sqrt(T ln(1/d') / 2)

    the latter except with probability 2 p_side(alpha_reward) + p_side(alpha_cost) + d'.
    A failed bound costs only the rounds in which it fails, so the expected bound adds a
    constant at alpha = 1, not a term linear in T.

    Args:
      horizon: T, scalar or array.
      num_arms: K. num_selected: N.
      delta: parameter of the radius; scalar or array like the horizon ("1/T").
      alpha_reward, alpha_cost: factors on the radii. Below 1/sqrt(3) the union bound diverges:
        a pathwise bound then is vacuous at long horizons (failure probability 1).
      kind: "expected" or "pathwise".
      form: "sum" (exact sums) or "closed" (K + 2 sqrt(2) alpha sqrt(ell_T K M)).
      reward_model: sets the largest reward and what a cascade's bound needs.
      lipschitz: L, with |r(S; mu) - r(S; mu')| <= L sum_S |mu - mu'|; 1/N for averages.
      max_reward: the most one round can lose; L N for SUC, 1 otherwise by default.
      feedback: with "cascading" and AWC or AIC the exact telescoping of the product shows
        that unobserved arms do not matter and no factor 1/p* appears.
      p_star: for a cascade without that identity: the least probability that a selected arm
        is observed (`least_observation_probability`); then the bound carries 1/p*, or
        1/sqrt(p*) where that is smaller (expected bounds).
      observations: M, where fewer than N T are known to be made (a cascade).
      rounding: "vertex" if z_t is a vertex of the relaxed problem, rounded between two sets
        one swap apart (D = L); "any" for other marginals (D = L min(N, K - N)).
      realised: whether realised rewards are compared, not expected ones (pathwise only).
      independent_rewards: whether rewards are independent across arms; used by `realised`.
      confidence: d', failure probability of each martingale term; delta by default.
      anytime: whether the pathwise bound is to hold in all rounds up to the longest horizon
        at once (dyadic peeling of the martingale terms).
      solver_error: the most that the relaxed objective may fall short, per round.

    Returns:
      `Bound`. The value is not capped at the trivial r_max T.

    Raises:
      ProblemError: an unknown option, or a cascade of a linear reward without `p_star`.
    """
    _check(kind=kind, form=form, feedback=feedback, rounding=rounding, reward_model=reward_model)
    t = np.asarray(horizon, float)
    product = reward_model in ("AWC", "AIC")
    cascading = feedback == "cascading"
    if cascading and not product and p_star is None:
        raise ProblemError(
            "p_star = None: with cascading feedback a linear reward needs the least "
            "probability that a selected arm is observed"
        )
    most = (1.0 if product else lipschitz * num_selected) if max_reward is None else max_reward
    seen = num_selected * t if observations is None else np.asarray(observations, float)
    width = lipschitz * np.asarray(width_sum(t, seen, num_arms, delta, alpha_reward, form))
    reached = p_star if cascading and p_star is not None else 1.0

    if kind == "expected":
        if reached < 1:
            route = _square_root_route(t, num_arms, num_selected, delta, alpha_reward, reached)
            width = np.minimum(width / reached, lipschitz * route)
        wrong = 2 * np.asarray(failing_rounds(t, num_arms, delta, alpha_reward))
        wrong = np.minimum(t, wrong + failing_rounds(t, num_arms, delta, alpha_cost))
        return Bound(plain(width + most * wrong + solver_error * t), plain(0.0 * t))

    level = np.asarray(delta if confidence is None else confidence, float)
    deviation = _Deviation(t, level, anytime)
    span = 1.0 if product else lipschitz * _swap_range(rounding, num_arms, num_selected)
    if cascading:
        width = (width + lipschitz * deviation(num_selected**2)) / reached
    value = width + deviation(span**2)
    if realised:
        spread = num_selected if independent_rewards else num_selected**2
        value = value + deviation(1.0 if product else lipschitz**2 * spread)
    t_failure = np.full_like(t, t.max()) if anytime else t
    failure = (
        2 * np.asarray(side_failure(t_failure, num_arms, delta, alpha_reward))
        + side_failure(t_failure, num_arms, delta, alpha_cost)
        + deviation.used * level
    )
    return Bound(plain(value + solver_error * t), plain(np.minimum(1.0, failure) + 0 * t))


def gap_regret_bound(
    horizon: ArrayLike,
    num_selected: int,
    delta: ArrayLike,
    mean_reward: ArrayLike,
    alpha_reward: float = 1.0,
    kind: Kind = "expected",
) -> Bound:
    """Gap-dependent bound for SUC without a budget: (K - N) + sum_k 4 alpha^2 ell_T / gap_k.

    A selected arm k outside the top N displaces an arm i of it with U_k >= U_i >= mu_i; so
    mu_i - mu_k <= 2 alpha w_k, and k is not played after 2 alpha^2 ell_T / gap_k^2
    observations, gap_k = mu_(N) - mu_k. Eight times `predictions.gap_regret_leading` when
    the top arms are equal. An arm that ties with the N-th has no gap; the width sum then bounds the
    regret, and the smaller of the two is returned.

    Args:
      horizon: T, scalar or array. num_selected: N. delta: of the radius.
      mean_reward: `[K]`.
      alpha_reward: factor on the radius.
      kind: "expected" (adds N times the expected rounds in which a bound fails) or "pathwise"
        (expected rewards of the sets played; fails with probability 2 p_side).
    """
    _check(kind=kind)
    t = np.asarray(horizon, float)
    mean = np.sort(np.asarray(mean_reward, float))[::-1]
    num_arms = mean.size
    ell = np.asarray(log_term(t, num_arms, delta))
    gaps = mean[num_selected - 1] - mean[num_selected:]
    with np.errstate(divide="ignore"):
        by_gap = (num_arms - num_selected) + 4 * alpha_reward**2 * ell * np.sum(1 / gaps)
    width = np.asarray(width_sum(t, num_selected * t, num_arms, delta, alpha_reward))
    value = np.minimum(by_gap, width)
    if kind == "expected":
        wrong = np.minimum(t, 2 * np.asarray(failing_rounds(t, num_arms, delta, alpha_reward)))
        return Bound(plain(value + num_selected * wrong), plain(0.0 * t))
    failure = 2 * np.asarray(side_failure(t, num_arms, delta, alpha_reward))
    return Bound(plain(value), plain(np.minimum(1.0, failure) + 0 * t))


def violation_bound(
    horizon: ArrayLike,
    num_arms: int,
    num_selected: int,
    delta: ArrayLike,
    alpha_cost: float = 1.0,
    independent_costs: bool = True,
    kind: Kind = "expected",
    form: Form = "sum",
    *,
    signed: bool = False,
    observed: Literal["selected", "cascade"] = "selected",
    p_star: float | None = None,
    rounding: Rounding = "vertex",
    confidence: float | None = None,
    anytime: bool = False,
) -> Bound:
    """Bound on the violation V(T) = (mean cost per round - budget)^+, in scaled cost.

        pathwise:  V(T) <= [W_c(T, N T) + sqrt(v T ln(1/d') / 2)] / T
                   except with probability 2 p_side(alpha_cost) + d'
        expected:  E V(T) <= [W_c + N (expected rounds in which a bound fails)] / T
                   + sqrt(v / T) / 4;   without the last term for the signed violation

    with v = D^2 + N for costs independent across arms in a round and (D + N)^2 otherwise.
    Costs of all selected arms are charged; multiply by the cost scale for money. The same
    bound holds where only queried arms are charged and seen.

    Args:
      horizon, num_arms, num_selected, delta, form, rounding, confidence, anytime: as in
        `regret_bound`.
      alpha_cost: factor on the cost radius.
      independent_costs: whether costs are independent across arms within a round.
      kind: "expected" or "pathwise".
      signed: bound E[mean cost - budget] instead of the expectation of its positive part.
      observed: "selected" if the cost of every selected arm is seen; "cascade" if only those
        of the observed prefix are, although all are charged: then 1/p* enters.
      p_star: the least probability that a selected arm is observed; needed by "cascade".

    Returns:
      `Bound`.

    Raises:
      ProblemError: an unknown option, or "cascade" without `p_star`.
    """
    _check(kind=kind, form=form, rounding=rounding, observed=observed)
    if observed == "cascade" and p_star is None:
        raise ProblemError("p_star = None: observed = 'cascade' needs it")
    reached = p_star if observed == "cascade" and p_star is not None else 1.0
    t = np.asarray(horizon, float)
    span = _swap_range(rounding, num_arms, num_selected)
    spread = span**2 + num_selected if independent_costs else (span + num_selected) ** 2
    width = np.asarray(width_sum(t, num_selected * t, num_arms, delta, alpha_cost, form))

    if kind == "expected":
        width = width / reached
        wrong = np.minimum(t, 2 * np.asarray(failing_rounds(t, num_arms, delta, alpha_cost)))
        drift = (width + num_selected * wrong) / t
        noise = 0.0 if signed else np.sqrt(spread / t) / 4
        return Bound(plain(drift + noise), plain(0.0 * t))

    level = np.asarray(delta if confidence is None else confidence, float)
    deviation = _Deviation(t, level, anytime)
    if observed == "cascade":
        width = (width + deviation(num_selected**2)) / reached
    value = (width + deviation(spread)) / t
    t_failure = np.full_like(t, t.max()) if anytime else t
    failure = (
        2 * np.asarray(side_failure(t_failure, num_arms, delta, alpha_cost))
        + deviation.used * level
    )
    return Bound(plain(value), plain(np.minimum(1.0, failure) + 0 * t))


def least_observation_probability(
    mean_reward: ArrayLike, num_selected: int, reward_model: Literal["AWC", "AIC"] = "AWC"
) -> float:
    """p*: the least probability that the last arm of a cascade of N arms is reached.

    Any win goes on after failures: the product of the N - 1 smallest (1 - mu); all in goes on
    after successes: of the N - 1 smallest mu.
    """
    mean = np.asarray(mean_reward, float)
    goes_on = 1 - mean if reward_model == "AWC" else mean
    return float(np.sort(goes_on)[: num_selected - 1].prod())


def _square_root_route(
    t: np.ndarray, num_arms: int, num_selected: int, delta: ArrayLike, alpha: float, p_star: float
) -> np.ndarray:
    """sqrt((N T K / p*) (1 + 2 alpha^2 ell_T (1 + ln(N T / K)))): Cauchy-Schwarz, 1/sqrt(p*)."""
    ell = np.asarray(log_term(t, num_arms, delta))
    each = np.maximum(num_selected * t / num_arms, 1.0)
    squares = 1 + 2 * alpha**2 * ell * (1 + np.log(each))
    return np.sqrt(num_selected * t * num_arms / p_star * squares)


class _Deviation:
    """Azuma-Hoeffding terms sqrt(v T ln(1/d) / 2); counts how many were used.

    The maximal form of the inequality covers all rounds up to T with T's value. For a bound
    that moves with t, rounds are cut at powers of two: epoch j = 0, 1, ... ends before
    2^(j+1) and gets the share 6 / (pi^2 (j+1)^2) of d.
    """

    def __init__(self, t: np.ndarray, level: np.ndarray, anytime: bool) -> None:
        self.used = 0
        epoch = np.floor(np.log2(np.maximum(t, 1)))
        self._rounds = np.minimum(2 ** (epoch + 1) - 1, t.max()) if anytime else t
        share = 6 / (math.pi * (epoch + 1)) ** 2 if anytime else 1.0
        self._log = np.log(1 / (level * share))

    def __call__(self, squared_range: float) -> np.ndarray:
        self.used += 1
        return np.sqrt(squared_range * self._rounds * self._log / 2)


def _swap_range(rounding: str, num_arms: int, num_selected: int) -> float:
    """D: by how much the rounded set's total may vary, per unit of the arms' values."""
    return (
        1.0 if rounding == "vertex" else float(max(1, min(num_selected, num_arms - num_selected)))
    )


_OPTIONS = {
    "kind": ("expected", "pathwise"),
    "form": ("sum", "closed"),
    "feedback": ("semi-bandit", "cascading"),
    "rounding": ("vertex", "any"),
    "reward_model": ("SUC", "AWC", "AIC"),
    "observed": ("selected", "cascade"),
}


def _check(**options: str) -> None:
    for field, value in options.items():
        if value not in _OPTIONS[field]:
            raise ProblemError(f"{field} = {value!r}: choose one of {', '.join(_OPTIONS[field])}")
