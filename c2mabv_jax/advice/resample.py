"""The log's own error: the same questions put to logs that could as well have been collected.

A log is a sample of queries. Its rows are weighed anew with exponential weights (the Bayesian
bootstrap, Rubin 1981, Annals of Statistics 9), each row with all its answers, so what is said
of two choices is said of the same queries. Everything that was chosen on the log, the best
fixed choice and the best mix, is chosen again on every reweighted log.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import stats

from c2mabv_jax.advice.known import Known
from c2mabv_jax.environments.base import going_on
from c2mabv_jax.environments.replay import OwnAnswers, Replay
from c2mabv_jax.problem import Problem

LEVEL = 0.95
Z = float(stats.norm.isf((1 - LEVEL) / 2))
RESAMPLES = 1000
MOST_GROUPS = 4096  # rows are weighed one by one up to here, in groups of rows beyond
MOST_SETS = 128  # sets that are followed through the resamples: the nearest to the front
_BEHIND = 3.0  # standard errors behind the best that still contend
_MOST_CONTENDERS = 12
_CHUNK = 1 << 22  # numbers worked out at a time
_ROUNDING = 1e-6  # of costs of single rows, which are kept in float32


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Resampled:
    """Fixed choices and sets on the log (index 0) and on reweighted logs (1 to B).

    Attributes:
      index: the sets that are followed, into `Known.sets`, int `[M]`.
      fixed: which of them a fixed choice may be: single LLMs, or all where an LLM alone is not
        legal; bool `[M]`.
      quality, cost: means over rows, money, float64 `[1 + B, M]`.
      rows: of the log; of the model with the fewest answers where there are no common rows.
    """

    index: np.ndarray
    fixed: np.ndarray
    quality: np.ndarray
    cost: np.ndarray
    rows: int

    def mix(self, money: float | np.ndarray) -> np.ndarray:
        """Best quality of a mix of sets for this money, `[1 + B]`; NaN below the cheapest.

        Where the money is enough on the log, and on a reweighted log just not, the cheapest set
        is had all the same.
        """
        cheapest = self.cost.min(axis=1)
        money = np.broadcast_to(np.asarray(money, np.float64), len(cheapest))
        enough = money[0] >= cheapest[0] * (1 - _ROUNDING)
        return best_mix(self.quality, self.cost, np.maximum(money, cheapest) if enough else money)

    def price_of(self, quality: float | np.ndarray) -> np.ndarray:
        """Money of the cheapest mix of at least this quality, or of the best, `[1 + B]`."""
        quality = np.minimum(quality, self.quality.max(axis=1))
        return -best_mix(-self.cost, -self.quality, -quality)


def resample(log: Replay, problem: Problem, known: Known, seed: int = 0) -> Resampled:
    """Follow the sets that may matter through `RESAMPLES` reweighted logs.

    Args:
      log: what `known` was made of.
      problem: its reward model, size and billing.
      known: of `log` and `problem`.
      seed: of the weights.
    """
    behind = np.interp(known.cost, known.cost[known.corners], known.quality[known.corners])
    alone = known.sets.sum(axis=1) == 1
    behind = behind - known.quality
    behind[known.corners], behind[alone] = -2, -1
    index = np.sort(np.argsort(behind, kind="stable")[: max(MOST_SETS, log.num_arms)])
    sets = known.sets[index]
    orders = None if known.orders is None else known.orders[index]
    rng = np.random.default_rng(seed)
    score, cost = (np.asarray(x, np.float64).T for x in (log.score, log.scaled_cost))
    if isinstance(log, OwnAnswers):
        means = [
            np.stack([_reweighted(x[:rows, k], w) for x in (score, cost)])
            for k, rows in enumerate(log.num_answers)
            for w in [_weights(rng, int(rows))]
        ]
        worth = worth_of(problem, sets, orders, *np.stack(means, axis=-1))
    else:
        parts = _grouped(problem, sets, orders, score, cost, rng)
        worth = _of_groups(parts, _weights(rng, len(parts[0])))
    fixed = sets.sum(axis=1) == 1
    return Resampled(
        index=index,
        fixed=fixed if fixed.any() else np.ones(len(index), bool),
        quality=worth[0],
        cost=worth[1] * log.cost_scale,
        rows=int(np.min(log.num_answers)),
    )


def worth_of(
    problem: Problem,
    sets: np.ndarray,
    orders: np.ndarray | None,
    score: np.ndarray,
    cost: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Quality and bill of sets: of single rows, or of means of LLMs that answer independently.

    Args:
      problem: reward model and billing.
      sets: bool `[M, K]`.
      orders: positions in which a cascade asks, `[M, K]`; None where all of a set is billed.
      score, cost: `[..., K]`.

    Returns:
      Two arrays `[..., M]`.
    """
    quality, bill = np.zeros((2, *score.shape[:-1], len(sets)))
    for m, chosen in enumerate(sets):
        members = np.flatnonzero(chosen)
        if orders is not None:
            members = members[np.argsort(orders[m, members], kind="stable")]
        if problem.reward_model == "SUC":
            quality[..., m] = score[..., members].sum(axis=-1)
        elif problem.reward_model == "AIC":
            quality[..., m] = score[..., members].prod(axis=-1)
        else:
            quality[..., m] = 1 - (1 - score[..., members]).prod(axis=-1)
        reached = np.ones(score.shape[:-1])
        for k in members:
            bill[..., m] += reached * cost[..., k]
            if orders is not None:
                reached = reached * going_on(problem, score[..., k])
    return quality, bill


def best_mix(value: np.ndarray, cost: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
    """max x.value subject to x.cost <= limit, x a mix (x >= 0, sum x = 1): by rows `[B, M]`.

    Two points hold the limit between them and are moved to the point farthest above their
    line until none is: exact, in as many steps as the envelope has corners at most.

    Returns:
      `[B]`; NaN where no point keeps the limit.
    """
    rows = np.arange(len(value))
    limit = np.broadcast_to(np.asarray(limit, np.float64), len(value))
    # Of equal costs the best value, of equal values the least cost.
    left = np.lexsort((-value, cost), axis=1)[:, 0]
    right = np.lexsort((cost, -value), axis=1)[:, 0]
    at = lambda x, which: x[rows, which]  # noqa: E731
    for _ in range(value.shape[1]):
        run = at(cost, right) - at(cost, left)
        slope = (at(value, right) - at(value, left)) / np.where(run > 0, run, 1)
        above = value - slope[:, None] * cost
        top = above.argmax(axis=1)
        better = at(above, top) - at(above, left)
        moves = (run > 0) & (better > 1e-12 * (1 + np.abs(at(above, left))))
        if not moves.any():
            break
        keeps = at(cost, top) <= limit
        left = np.where(moves & keeps, top, left)
        right = np.where(moves & ~keeps, top, right)
    low, high = at(cost, left), at(cost, right)
    share = np.clip((limit - low) / np.where(high > low, high - low, 1), 0, 1)
    share = np.where(high > low, share, 0)
    best = at(value, left) + share * (at(value, right) - at(value, left))
    # The right end may be dearer and no better, or cheap enough to be had whole.
    best = np.where(high <= limit, at(value, right), best)
    return np.where(limit < low - _ROUNDING * np.abs(low), np.nan, best)


def interval(values: np.ndarray, least: float = -np.inf) -> Interval:
    """The 95 % interval of an estimate that is itself a maximum, or a difference of two.

    Such an estimate is biased upward, and how much depends on how near the second best is. So
    the interval holds both the middle of the resamples and its mirror image at the estimate,
    which errs to the other side.

    Args:
      values: of the log, then of the reweighted logs, `[1 + B]`.
      least: what the truth cannot be below (0 where a mix may be the choice it is compared to).
    """
    value = max(float(values[0]), least)
    low, high = np.nanquantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = min(low, 2 * value - high, value), max(high, 2 * value - low, value)
    return Interval(value, float(max(low, least)), float(high))


def ahead(best: np.ndarray, rest: np.ndarray) -> Interval:
    """How far the best of some is ahead of the best of others, whichever those truly are.

    max best - max rest. Several may be as good as the one that looks best, and the one that
    looks best is lucky; no resampling of the maximum alone undoes that. So the limits hold for
    all contenders at once: c is the 95 % quantile of the largest error of any pair, in units of
    that pair's own standard error, and the limits are those of max min (estimate -/+ c errors).

    Args:
      best, rest: `[1 + B, M]` and `[1 + B, F]`; the same rows of the log, reweighted alike. The
        best is among the best of `best`, so the truth is 0 or more.
    """
    best, rest = _contenders(best), _contenders(rest)
    pairs = best[:, :, None] - rest[:, None, :]
    shift = pairs[1:] - pairs[0]
    error = np.sqrt(np.mean(shift**2, axis=0))
    units = np.abs(shift) / np.where(error > 0, error, 1)
    factor = np.quantile(units.max(axis=(1, 2)), LEVEL)
    value, low, high = (
        float(max((pairs[0] + sign * factor * error).min(axis=1).max(), 0)) for sign in (0, -1, 1)
    )
    return Interval(value, low, high)


def _contenders(values: np.ndarray) -> np.ndarray:
    """The columns that may be the best: within `_BEHIND` standard errors of the one that is."""
    first = values[0].argmax()
    behind = values[:, [first]] - values
    near = behind[0] <= _BEHIND * behind.std(axis=0)
    order = np.argsort(behind[0], kind="stable")
    return values[:, order[near[order]][:_MOST_CONTENDERS]]


def with_log(
    value: float, half: float, resamples: np.ndarray, rows: int, most: float
) -> tuple[float, float]:
    """The 95 % interval of a mean over runs that also holds the error of the log.

    Args:
      value: mean over runs. half: half width of its own 95 % interval.
      resamples: of the oracle's value at the same budget, which moves with the log as the
        value does, `[B]`.
      rows: of the log.
      most: the largest value there is. Four made-up rows, two of the worst and two of the best
        (Agresti and Coull 1998), keep few rows from looking certain when all of them agree.
    """
    spread = np.nanvar(resamples) * rows
    centre = (rows * value + 2 * most) / (rows + 4)
    made_up = 2 * centre**2 + 2 * (most - centre) ** 2
    variance = (rows * (spread + (value - centre) ** 2) + made_up) / (rows + 4) ** 2
    whole = np.hypot(half, Z * np.sqrt(variance))
    return (
        float(np.clip(min(centre, value) - whole, 0, most)),
        float(np.clip(max(centre, value) + whole, 0, most)),
    )


def _weights(rng: np.random.Generator, number: int) -> np.ndarray:
    """Weights of rows, `[1 + B, number]`: even, then exponential."""
    return np.concatenate([np.ones((1, number)), rng.exponential(size=(RESAMPLES, number))])


def _reweighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ values / weights.sum(axis=1)


def _grouped(
    problem: Problem,
    sets: np.ndarray,
    orders: np.ndarray | None,
    score: np.ndarray,
    cost: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of quality and bill `[G, M]` and numbers of rows `[G]`, of groups of rows at random."""
    groups = min(len(score), MOST_GROUPS)
    group = np.arange(len(score)) % groups
    if groups < len(score):
        group = rng.permutation(group)
    sums = np.zeros((2, groups, len(sets)))
    step = max(1, _CHUNK // len(sets))
    for start in range(0, len(score), step):
        part = slice(start, start + step)
        for total, each in zip(
            sums, worth_of(problem, sets, orders, score[part], cost[part]), strict=True
        ):
            np.add.at(total, group[part], each)
    return sums[0], sums[1], np.bincount(group, minlength=groups)


def _of_groups(
    parts: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    quality, bill, rows = parts
    weight = (weights @ rows)[:, None]
    return weights @ quality / weight, weights @ bill / weight
