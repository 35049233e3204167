"""One verdict on a log: a fixed choice is as good, a mix pays, or the log is too small to tell.

Two comparisons at the budget that is aimed at, each with its paired interval (`resample`):

- at equal money: the best mix for that money against the best fixed choice for no more money;
- at equal quality: that mix against the cheapest fixed choice that is at least as good.

A fixed choice is one LLM, the same for every query; where the rules demand several LLMs, a fixed
set of them. A mix changes between sets, so that the average keeps the budget, and may ask several
LLMs where the reward model lets it.

A difference *counts* where its interval is above 0 and it is at least `WORTH`; it is *none* where
it does not count and its interval ends below `AS_GOOD`; otherwise the log cannot tell.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from c2mabv_jax.advice.aim import Aim
from c2mabv_jax.advice.known import Known, upper_envelope
from c2mabv_jax.advice.resample import Interval, Resampled, ahead, interval

WORTH = 0.005  # quality of one answer: half a point
AS_GOOD = 0.03  # three points
Judged = Literal["counts", "none", "open"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the log says, at one budget.

    Attributes:
      kind: "fixed", "mix" or "unclear".
      money: at which mix and fixed choice are compared.
      mix: quality of the best mix for that money.
      fixed: the best fixed choice for no more, index into `Known.sets`; None where none is so
        cheap.
      alone: its quality.
      gain: of the mix at equal money.
      rival: the cheapest fixed choice at least as good as the mix; None where none is.
      saving: share of the rival's cost that a mix as good saves; None without one, or where it
        is free.
      further: quality of the best set, whatever it costs, above the fixed choice.
      further_is: whether that counts.
      halfway: half way in money from the fixed choice to the best set, and there the gain of a
        mix at equal money; None where there is nothing between.
      without: quality of the best mix for that money without the LLMs of the fixed choice; NaN
        where none is so cheap.
      rows: of the log.
    """

    kind: Literal["fixed", "mix", "unclear"]
    money: float
    mix: Interval
    fixed: int | None
    alone: Interval | None
    gain: Interval
    rival: int | None
    saving: Interval | None
    further: Interval
    further_is: Judged
    halfway: tuple[float, Interval] | None
    without: float
    rows: int


def judge(known: Known, resampled: Resampled, aim: Aim, most: float = 1.0) -> Verdict:
    """The verdict.

    Args:
      known: the log's sets. resampled: the same on reweighted logs.
      aim: the budget.
      most: the largest quality there is (the number of LLMs where scores add up), in whose
        units a point is counted.
    """
    index, candidates = resampled.index, np.flatnonzero(resampled.fixed)
    quality, cost = resampled.quality[:, candidates], resampled.cost[:, candidates]
    rows = np.arange(len(quality))
    mix = against = resampled.mix(aim.budget)
    affordable = np.flatnonzero(cost[0] <= aim.budget * (1 + 1e-6))
    fixed, alone = None, np.zeros((len(rows), 1))
    if affordable.size:
        alone = quality[:, affordable]
        best = affordable[alone[0].argmax()]
        fixed = int(index[candidates[best]])
        # On a reweighted log the choice may cost a little more than the budget; a mix may then
        # spend as much.
        against = resampled.mix(np.maximum(aim.budget, cost[:, best]))
    gain = ahead(against[:, None], alone)
    rival, saving = None, None
    as_good = quality[0] >= mix[0] - 1e-9
    if as_good.any():
        cheapest = np.where(as_good, cost, np.inf).argmin(axis=1)
        rival = int(index[candidates[cheapest[0]]])
        if cost[0, cheapest[0]] > 0:
            needed = np.minimum(mix[0], quality[rows, cheapest])
            saving = interval(1 - resampled.price_of(needed) / cost[rows, cheapest], 0)
    further = ahead(resampled.quality, alone)
    further_is = judged(further, most)
    halfway = None
    if fixed is not None and known.dearest_useful > known.cost[fixed] * (1 + 1e-6):
        middle = float(known.cost[fixed] + known.dearest_useful) / 2
        cheap = cost[0] <= middle
        halfway = middle, ahead(resampled.mix(middle)[:, None], quality[:, cheap])
    kind: Literal["fixed", "mix", "unclear"]
    kind = {"counts": "mix", "none": "fixed", "open": "unclear"}[judged(gain, most)]  # type: ignore[assignment]
    if kind == "fixed" and (fixed is None or (aim.asked is None and further_is == "open")):
        kind = "unclear"  # the budget itself rests on whether more money buys more
    return Verdict(
        kind=kind,
        money=aim.budget,
        mix=interval(mix),
        fixed=fixed,
        alone=None if fixed is None else interval(quality[:, best]),
        gain=gain,
        rival=rival,
        saving=saving,
        further=further,
        further_is=further_is,
        halfway=halfway,
        without=_without(known, fixed, aim.budget),
        rows=resampled.rows,
    )


def judged(difference: Interval, most: float = 1.0) -> Judged:
    """Whether a difference in quality counts; see the module."""
    if difference.low > 0 and difference.value >= WORTH * most:
        return "counts"
    return "none" if difference.high <= AS_GOOD * most else "open"


def _without(known: Known, fixed: int | None, money: float) -> float:
    """Best quality for this money of sets that hold none of the LLMs of a fixed choice."""
    if fixed is None:
        return np.nan
    left = ~(known.sets & known.sets[fixed]).any(axis=1)
    if not left.any() or known.cost[left].min() > money * (1 + 1e-9):
        return np.nan
    corners = upper_envelope(known.cost[left], known.quality[left])
    return float(np.interp(money, known.cost[left][corners], known.quality[left][corners]))
