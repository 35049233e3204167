"""Statistics of claims: confidence limits, growth exponents, power. Float64, seeds first.

Simulated curves are `[S, R]`: S independent seeds, R recorded rounds. Everything resamples or
averages over seeds, never over rounds of one run, which depend on each other.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory.widths import log_term, plain

Method = Literal["t", "hoeffding"]
Order = Literal["sqrt(T ln T)", "sqrt(T ell)", "ln T", "ell"]


class Interval(NamedTuple):
    """An estimate with its confidence limits; floats or arrays."""

    estimate: Any
    lower: Any
    upper: Any


def mean_upper_limit(
    values: ArrayLike, level: float, method: Method = "t", value_range: ArrayLike | None = None
) -> Any:
    """Upper confidence limit of the mean of `[S, ...]` over seeds, error `level` (one-sided).

    Args:
      values: one number per seed, or an array per seed.
      level: probability that the limit lies below the true mean.
      method: "t", Student's limit, for 30 seeds or more; "hoeffding", the finite-sample
        mean + range sqrt(ln(1/level) / (2 S)), which needs `value_range`.
      value_range: largest minus smallest possible value.

    Raises:
      ProblemError: fewer than two seeds, or no range.
    """
    x = np.asarray(values, float)
    return plain(x.mean(0) + _margin(x, level, method, value_range))


def mean_lower_limit(
    values: ArrayLike, level: float, method: Method = "t", value_range: ArrayLike | None = None
) -> Any:
    """Lower confidence limit of the mean; see `mean_upper_limit`."""
    x = np.asarray(values, float)
    return plain(x.mean(0) - _margin(x, level, method, value_range))


def mean_interval(
    values: ArrayLike, level: float, method: Method = "t", value_range: ArrayLike | None = None
) -> Interval:
    """Two-sided interval of the mean: each side misses with probability level / 2."""
    x = np.asarray(values, float)
    margin = _margin(x, level / 2, method, value_range)
    mean = x.mean(0)
    return Interval(plain(mean), plain(mean - margin), plain(mean + margin))


def _margin(x: np.ndarray, level: float, method: str, value_range: ArrayLike | None) -> Any:
    seeds = x.shape[0] if x.ndim else 0
    if seeds < 2:
        raise ProblemError(f"seeds = {seeds}: give at least 2 for a confidence limit")
    if method == "t":
        quantile = -special.stdtrit(seeds - 1, level)
        return quantile * x.std(0, ddof=1) / math.sqrt(seeds)
    if method != "hoeffding":
        raise ProblemError(f"method = {method!r}: choose one of t, hoeffding")
    if value_range is None:
        raise ProblemError("value_range = None: Hoeffding's limit needs the range of the values")
    return np.asarray(value_range, float) * math.sqrt(math.log(1 / level) / (2 * seeds))


def binomial_upper_limit(failures: ArrayLike, trials: ArrayLike, level: float) -> Any:
    """Clopper-Pearson upper limit of a probability, error `level` (one-sided)."""
    x, n = np.asarray(failures, float), np.asarray(trials, float)
    return plain(np.where(x >= n, 1.0, special.betainccinv(x + 1, np.maximum(n - x, 1e-9), level)))


def binomial_lower_limit(failures: ArrayLike, trials: ArrayLike, level: float) -> Any:
    """Clopper-Pearson lower limit of a probability, error `level` (one-sided)."""
    x, n = np.asarray(failures, float), np.asarray(trials, float)
    return plain(np.where(x <= 0, 0.0, special.betaincinv(np.maximum(x, 1e-9), n - x + 1, level)))


def binomial_interval(failures: ArrayLike, trials: ArrayLike, level: float) -> Interval:
    """Two-sided Clopper-Pearson interval: each side misses with probability level / 2."""
    return Interval(
        plain(np.asarray(failures, float) / np.asarray(trials, float)),
        binomial_lower_limit(failures, trials, level / 2),
        binomial_upper_limit(failures, trials, level / 2),
    )


def trials_without_failure(probability: float, level: float) -> int:
    """Trials that must all succeed to certify P(failure) <= probability at error `level`."""
    return math.ceil(math.log(level) / math.log1p(-probability) - 1e-12)


def bonferroni(level: float, tests: int) -> float:
    """Error level of each of `tests` tests so that together they err with at most `level`."""
    return level / max(1, tests)


def loglog_slope(
    horizons: ArrayLike,
    values: ArrayLike,
    level: float = 0.05,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Growth exponent of the mean curve: least-squares slope of ln mean against ln T.

    The interval is a bootstrap over seeds (whole trajectories), percentile, two-sided.

    Args:
      horizons: `[R]`, at least two; two points give the local slope between them.
      values: `[S, R]`; the mean over seeds must be positive at every horizon.
      level: error of the interval.
      resamples: bootstrap resamples.
      seed: of NumPy's generator, so that the interval repeats.

    Raises:
      ProblemError: a mean that is not positive (with a binding budget regret is negative:
        take the Lagrangian regret), or too few horizons.
    """
    t, x = np.asarray(horizons, float), np.asarray(values, float)
    if t.size < 2:
        raise ProblemError(f"horizons: {t.size} given, a slope needs at least 2")
    if not (x.mean(0) > 0).all():
        raise ProblemError(
            "values: the mean is not positive at every horizon, so it has no logarithm; "
            "with a binding budget take the Lagrangian regret"
        )
    centred = np.log(t) - np.log(t).mean()
    coefficients = centred / (centred**2).sum()
    return _bootstrap(x, lambda means: _log(means) @ coefficients, level, resamples, seed)


class Constancy(NamedTuple):
    """Whether measured / scale is constant. See `ratio_constancy`.

    Attributes:
      ratio: mean over seeds of value / scale at each horizon with its interval, each `[R]`.
      trend: slope of ln ratio against ln T; constant if the interval holds 0.
    """

    ratio: Interval
    trend: Interval


def ratio_constancy(
    horizons: ArrayLike,
    values: ArrayLike,
    scale: ArrayLike,
    level: float = 0.05,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Constancy:
    """Is the mean of `[S, R]` proportional to `scale` `[R]`, such as sqrt(T ell_T)?

    Sharper than a raw slope, which differs from 1/2 by the logarithm. The ratio's limits hold
    at each horizon alone; arguments as in `loglog_slope`.
    """
    ratios = np.asarray(values, float) / np.asarray(scale, float)
    trend = loglog_slope(horizons, ratios, level, resamples=resamples, seed=seed)
    return Constancy(mean_interval(ratios, level), trend)


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values)


def _bootstrap(x: np.ndarray, statistic: Any, level: float, resamples: int, seed: int) -> Interval:
    """Percentile interval of a statistic of the mean curve; resamples whole seeds.

    Weights of a resample are multinomial counts, so no array of resampled curves is built.
    """
    seeds = x.shape[0]
    if seeds < 2:
        raise ProblemError(f"seeds = {seeds}: give at least 2 for a bootstrap")
    generator = np.random.default_rng(seed)
    draws = [
        statistic(generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=block) @ x / seeds)
        for block in _blocks(resamples, max(1, 4_000_000 // seeds))
    ]
    lower, upper = np.nanquantile(np.concatenate(draws), [level / 2, 1 - level / 2])
    return Interval(float(statistic(x.mean(0))), float(lower), float(upper))


def _blocks(total: int, most: int) -> list[int]:
    return [min(most, total - start) for start in range(0, total, most)]


def expected_slope(order: Order, horizon: ArrayLike, num_arms: int, delta: float) -> Any:
    """d ln f / d ln T of the orders of growth: what a local log-log slope should show.

    sqrt(T ln T): 1/2 + 1/(2 ln T); sqrt(T ell_T): 1/2 + 3/(2 ell_T); ln T: 1/ln T;
    ell_T: 3/ell_T. Violation is regret divided by T: one less.
    """
    t = np.asarray(horizon, float)
    ell = np.asarray(log_term(t, num_arms, delta))
    slopes = {
        "sqrt(T ln T)": 0.5 + 0.5 / np.log(t),
        "sqrt(T ell)": 0.5 + 1.5 / ell,
        "ln T": 1 / np.log(t),
        "ell": 3 / ell,
    }
    if order not in slopes:
        raise ProblemError(f"order = {order!r}: choose one of {', '.join(slopes)}")
    return plain(slopes[order])


def slope_standard_error(
    variations: tuple[float, float],
    horizons: tuple[float, float],
    seeds: int,
    correlation: float = 0.0,
) -> float:
    """Standard error of a two-point slope from the coefficients of variation of its ends."""
    first, second = variations
    variance = first**2 + second**2 - 2 * correlation * first * second
    return math.sqrt(variance / seeds) / math.log(horizons[1] / horizons[0])


def seeds_to_detect(
    variation: float, effect: float, level: float = 0.05, power: float = 0.8
) -> int:
    """Seeds that find a mean off by a factor 1 + effect: ((z + z') CV / effect)^2, two-sided."""
    quantiles = special.ndtri(1 - level / 2) + special.ndtri(power)
    return math.ceil((quantiles * variation / effect) ** 2)


def power_mean_below(
    bound: float, mean: float, deviation: float, seeds: int, level: float
) -> float:
    """P(Student's upper limit of the mean falls below `bound`) if the truth is as given.

    Power of the claim "the mean is below the bound", by the noncentral t distribution.
    """
    if deviation == 0:
        return float(mean < bound)
    shift = (bound - mean) * math.sqrt(seeds) / deviation
    if abs(shift) > 30:  # the noncentral t is then certain, and its series slow
        return float(shift > 0)
    critical = -special.stdtrit(seeds - 1, level)
    return float(1 - special.nctdtr(seeds - 1, shift, critical))


def power_probability_above(allowed: float, probability: float, trials: int, level: float) -> float:
    """P(Clopper-Pearson's lower limit exceeds `allowed`) if failures have `probability`.

    Power to contradict the claim "P(failure) <= allowed".
    """
    counts = np.arange(trials + 1)
    contradicts = np.asarray(binomial_lower_limit(counts, trials, level)) > allowed
    if not contradicts.any():
        return 0.0
    return float(special.bdtrc(int(np.argmax(contradicts)) - 1, trials, probability))


def power_probability_below(allowed: float, probability: float, trials: int, level: float) -> float:
    """P(Clopper-Pearson's upper limit is at most `allowed`) if failures have `probability`.

    Power to certify the claim "P(failure) <= allowed".
    """
    counts = np.arange(trials + 1)
    certifies = np.asarray(binomial_upper_limit(counts, trials, level)) <= allowed
    if not certifies.any():
        return 0.0
    return float(special.bdtr(int(np.flatnonzero(certifies)[-1]), trials, probability))
