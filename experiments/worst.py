"""The instances that come nearest to the bounds on regret and violation.

A cross-entropy search over (mu, c, rho), thousands of instances in one compiled program; the
worst one is played again with fresh random numbers, and only those runs are reported.
"""

from __future__ import annotations

import numpy as np

from c2mabv_jax.plotting import style
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.presets import PRESETS, Search
from c2mabv_jax.verification.search import NUM_ARMS, NUM_SELECTED, search
from experiments.setting import Setting


def run(setting: Setting) -> None:
    """The search's progress, and the worst instances."""
    sizes = setting.pick(
        Search(population=64, generations=2, seeds=2, horizon=200, confirm=64),
        Search(population=1024, generations=10, seeds=4, horizon=2000, confirm=512),
    )
    laboratory = Laboratory(PRESETS["quick"])
    drawing, axes = style.figure(width=style.COLUMN, height=2.5)
    ax = axes[0, 0]
    rows = []
    for objective, tint, marker in (("regret", "vermilion", "o"), ("violation", "blue", "s")):
        found = search(laboratory, sizes, objective)
        generations = np.arange(1, len(found.history) + 1)
        colour = style.PALETTE[tint]
        ax.plot(generations, found.history, color=colour, marker=marker, markersize=3.2,
                linewidth=1.1, label=f"{objective}: best of each generation")  # fmt: skip
        half = 1.96 * found.ratio.std(ddof=1) / np.sqrt(len(found.ratio))
        mean, most = float(found.ratio.mean()), float(found.ratio.max())
        ax.errorbar(generations[-1] + 0.5, mean, yerr=half, color=colour, marker="*", capsize=2,
                    markersize=6, linestyle="", label="the worst of all, fresh runs")  # fmt: skip
        rows.append([
            objective, found.tried, mean, float(half), most,
            _listed(found.mean_reward), _listed(found.mean_cost), found.budget,
        ])  # fmt: skip
    ax.set_ylim(bottom=0)
    style.label(ax, "generation", "measured / bound")
    ax.set_xticks(generations)
    style.legend(drawing, ncols=1, title=style.BARS)
    setting.figure(drawing)
    head = ("objective", "instances tried", "mean of measured / bound", "±", "largest run",
            "mean reward", "mean cost", "budget")  # fmt: skip
    says = (
        f"C2MAB-V with alpha = 1, SUC, K = {NUM_ARMS}, N = {NUM_SELECTED}, T = {sizes.horizon:,}; "
        f"expected bounds; {len(found.ratio)} fresh runs of the worst instance, ± their 95 % "
        "interval. Violation in scaled cost."
    )
    setting.table(head, rows, says)


def _listed(values: np.ndarray) -> str:
    return " ".join(f"{value:.3f}" for value in values)
