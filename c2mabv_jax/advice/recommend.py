"""From a study to one recommended configuration, by rules that can be said in a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from c2mabv_jax.advice.study import Run, Study


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One configuration.

    Attributes:
      pair: (alpha_reward, alpha_cost) with the smallest shortfall, averaged over budgets.
      run: C2MAB-V with that pair at the recommended budget.
      target: share of the best set's quality that was asked for.
      reached: whether any budget tried reaches it; if not, `run` is the best there is.
      bend: the run farthest above the straight line from the cheapest run to the dearest one
        (quality against cost): past it money buys less. None with fewer than three budgets.
      shortfalls: mean shortfall of every pair, over budgets.
      overspends: mean relative overspend of every pair, over budgets.
    """

    pair: tuple[float, float]
    run: Run
    target: float
    reached: bool
    bend: Run | None
    shortfalls: dict[tuple[float, float], float]
    overspends: dict[tuple[float, float], float]


def recommend(study: Study, target: float = 0.95) -> Recommendation:
    """The best pair of alphas, and the smallest budget that reaches the target with it.

    Budgets below the cheapest set, which nothing can keep, are left out of both.
    """
    pairs = list(dict.fromkeys((run.alpha_reward, run.alpha_cost) for run in study.runs))
    shortfalls, overspends = {}, {}
    for pair in pairs:
        runs = [run for run in study.of_pair(pair) if np.isfinite(run.oracle)]
        short = [run.shortfall for run in runs]
        over = [run.overspend / run.budget for run in runs if run.budget > 0]
        shortfalls[pair] = float(np.mean(short)) if short else np.nan
        overspends[pair] = float(np.mean(over)) if over else np.nan
    best = min(pairs, key=lambda pair: np.nan_to_num(shortfalls[pair], nan=np.inf))
    goal = target * study.known.best_quality
    candidates = [run for run in study.of_pair(best) if np.isfinite(run.oracle)]
    candidates = candidates or study.of_pair(best)
    enough = [run for run in candidates if run.quality[-1] >= goal]
    chosen = enough[0] if enough else max(candidates, key=lambda run: run.quality[-1])
    return Recommendation(
        best, chosen, target, bool(enough), bend(candidates), shortfalls, overspends
    )


def bend(runs: Sequence[Run]) -> Run | None:
    """Where quality against cost bends; see `Recommendation`."""
    cost = np.array([run.cost[-1] for run in runs])
    quality = np.array([run.quality[-1] for run in runs])
    if len(runs) < 3 or cost.max() <= cost.min():
        return None
    first, last = int(np.argmin(cost)), int(np.argmax(cost))
    slope = (quality[last] - quality[first]) / (cost[last] - cost[first])
    above = quality - quality[first] - slope * (cost - cost[first])
    return runs[int(np.argmax(above))] if above.max() > 0 else None
