"""From a study to one recommended configuration, by rules that can be said in a sentence."""

from __future__ import annotations

import dataclasses

import numpy as np

from c2mabv_jax.advice.study import Run, Study


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One configuration.

    Attributes:
      pair: (alpha_reward, alpha_cost) with the smallest shortfall, averaged over budgets.
      run: C2MAB-V with that pair at the recommended budget.
      reached: whether a budget tried does what was asked for; if not, `run` comes nearest.
      shortfalls: mean shortfall of every pair, over budgets.
      overspends: mean relative overspend of every pair, over budgets.
    """

    pair: tuple[float, float]
    run: Run
    reached: bool
    shortfalls: dict[tuple[float, float], float]
    overspends: dict[tuple[float, float], float]


def recommend(study: Study) -> Recommendation:
    """The best pair of alphas, and with it the budget that does what `study.aim` says."""
    pairs = list(dict.fromkeys((run.alpha_reward, run.alpha_cost) for run in study.runs))
    shortfalls, overspends = {}, {}
    for pair in pairs:
        runs = study.of_pair(pair)
        over = [run.overspend / run.budget for run in runs if run.budget > 0]
        shortfalls[pair] = float(np.mean([run.shortfall for run in runs]))
        overspends[pair] = float(np.mean(over)) if over else np.nan
    runs = study.of_pair(study.pair)
    cost, quality = (
        np.array([getattr(run, name)[-1] for run in runs]) for name in ("cost", "quality")
    )
    index, reached = study.aim.chosen(cost, quality, np.array([run.budget for run in runs]))
    return Recommendation(study.pair, runs[index], reached, shortfalls, overspends)
