"""One run in numbers: what each policy earned, paid and missed, over seeds, at the last round."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

QUANTITIES = ("reward", "cost", "violation", "signed_violation", "regret", "regret_fixed_set")
LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean over seeds.

    Attributes:
      mean: over seeds.
      half: half the width of the 95 % confidence interval of the mean (Student's t); NaN for
        one seed.
      low, high: the interval that holds the middle 95 % of the seeds.
    """

    mean: float
    half: float
    low: float
    high: float


def estimate(values: np.ndarray) -> Estimate:
    """Mean over seeds with its interval, and the spread of the seeds; values `[seeds]`."""
    values = np.asarray(values, np.float64)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    half = np.nan
    if values.size > 1:
        half = _student(values.size) * values.std(ddof=1) / np.sqrt(values.size)
    return Estimate(float(values.mean()), float(half), float(low), float(high))


def ratio(reward: np.ndarray, violation: np.ndarray) -> Estimate | None:
    """Mean reward over mean violation; None where no seed has a violation.

    A ratio per seed would be infinite for every seed that keeps the budget, so it is the
    ratio of the means; its interval comes from the delta method. `low` and `high` are those
    of the confidence interval.
    """
    reward, violation = np.asarray(reward, np.float64), np.asarray(violation, np.float64)
    below = violation.mean()
    if below == 0:
        return None
    value = reward.mean() / below
    half = np.nan
    if reward.size > 1:
        residual = (reward - value * violation) / below
        half = _student(reward.size) * residual.std(ddof=1) / np.sqrt(reward.size)
    return Estimate(float(value), float(half), float(value - half), float(value + half))


def _student(number: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, number - 1))


def summarise(results: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Every policy in numbers at the last recorded round.

    Args:
      results: dims `policy`, `seed`, `round`, `arm`, as `c2mabv run` stores them.

    Returns:
      By policy: an `Estimate` of each of QUANTITIES that is known; `reward_per_violation`
      (None where no seed has a violation); `seeds_without_violation`, a number;
      `budget_used`, mean cost over budget (None for a budget of 0); `picked`, the share of
      rounds in which each LLM was selected; `fallback` and `unconverged`, rounds per run;
      `gap`, the worst certified gap.
    """
    last = results.isel(round=-1)
    horizon, budget = int(last["round"]), float(results.attrs["budget"])
    rows = {}
    for policy in results["policy"].to_numpy():
        one = last.sel(policy=policy)
        row: dict[str, Any] = {}
        for quantity in QUANTITIES:
            if quantity in one and np.isfinite(one[quantity]).all():
                row[quantity] = estimate(one[quantity].to_numpy())
        violation = one["violation"].to_numpy()
        row["reward_per_violation"] = ratio(one["reward"].to_numpy(), violation)
        row["seeds_without_violation"] = int((violation == 0).sum())
        row["budget_used"] = row["cost"].mean / budget if budget > 0 else None
        share = one["pulls"].mean("seed").to_numpy() / horizon
        row["picked"] = {
            str(name): float(x) for name, x in zip(one["arm"].to_numpy(), share, strict=True)
        }
        for count in ("fallback", "unconverged"):
            row[count] = float(one[count].mean())
        row["gap"] = float(one["gap"].max())
        rows[str(policy)] = row
    return rows
