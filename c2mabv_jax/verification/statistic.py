"""Statistics of independent runs, each with a confidence interval at any error level."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy import stats

from c2mabv_jax.theory.statistics import binomial_interval, mean_interval

RESAMPLES = 1000


class Statistic(Protocol):
    """An estimate from `runs` independent runs.

    Attributes:
      exact: whether it carries no sampling error (its interval is then a point).
    """

    @property
    def estimate(self) -> float: ...

    @property
    def runs(self) -> int: ...

    @property
    def exact(self) -> bool: ...

    def interval(self, error: float) -> tuple[float, float]:
        """Two-sided interval that misses the quantity with probability at most `error`."""
        ...


@dataclasses.dataclass(frozen=True)
class Exact:
    """A value without sampling error: the worst over all rounds of all runs."""

    estimate: float
    runs: int
    exact: bool = True

    def interval(self, error: float) -> tuple[float, float]:
        del error
        return self.estimate, self.estimate


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over runs, with Student's t interval (30 runs or more)."""

    samples: np.ndarray
    exact: bool = False

    @property
    def estimate(self) -> float:
        return float(np.mean(self.samples))

    @property
    def runs(self) -> int:
        return len(self.samples)

    def interval(self, error: float) -> tuple[float, float]:
        _, low, high = mean_interval(self.samples, error)
        return low, high


@dataclasses.dataclass(frozen=True)
class Share:
    """The share of runs in which an event happened (Clopper and Pearson 1934)."""

    events: int
    runs: int
    exact: bool = False

    @property
    def estimate(self) -> float:
        return self.events / self.runs

    def interval(self, error: float) -> tuple[float, float]:
        _, low, high = binomial_interval(self.events, self.runs, error)
        return low, high


@dataclasses.dataclass(frozen=True)
class OfMeans:
    """A smooth function of means over runs, such as a log-log slope.

    The standard error is bootstrapped over whole runs, never over rounds: the points of one
    run are dependent. Each group of runs is resampled by itself. A percentile of resampled
    values would need millions of them at the error levels of a whole report; the interval is
    a t interval with the bootstrapped standard error.

    Attributes:
      function: from the group means, each `[...]`, to the statistic.
      groups: samples, each `[runs, ...]`.
      seed: of the resampling.
    """

    function: Callable[..., float]
    groups: tuple[np.ndarray, ...]
    seed: int = 0
    exact: bool = False

    @property
    def estimate(self) -> float:
        return float(self.function(*(group.mean(axis=0) for group in self.groups)))

    @property
    def runs(self) -> int:
        return min(len(group) for group in self.groups)

    def interval(self, error: float) -> tuple[float, float]:
        rng = np.random.default_rng(self.seed)
        means = []
        for group in self.groups:
            n = len(group)
            weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
            means.append(np.tensordot(weights, group, axes=(1, 0)))
        values = np.array([self.function(*(m[b] for m in means)) for b in range(RESAMPLES)])
        if not np.isfinite(values).all() or not np.isfinite(self.estimate):
            return -np.inf, np.inf  # a slope of something that is not positive
        half = float(stats.t.isf(error / 2, self.runs - 1)) * float(values.std(ddof=1))
        return self.estimate - half, self.estimate + half


def loglog_slope(first: float, second: float) -> Callable[[np.ndarray], float]:
    """The slope of ln(mean) over ln t between two rounds, as a function of two means."""

    def slope(means: np.ndarray) -> float:
        if not (np.asarray(means) > 0).all():
            return float("nan")
        return float(np.log(means[1] / means[0]) / np.log(second / first))

    return slope
