"""Regret and violation against rounds, with bounds and leading-order predictions.

Two instances: one whose budget binds (the Lagrangian regret grows like ln T, the overspending
like sqrt(T ln T)), and one without a budget (the regret grows like ln T).
"""

from __future__ import annotations

import numpy as np

from c2mabv_jax import simulate
from c2mabv_jax.environments.generators import gap_instance, random_instance
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV
from c2mabv_jax.theory import optimum, predictions, regret_bound, violation_bound
from experiments.setting import Setting

DELTA = 0.05


def run(setting: Setting) -> None:
    """Three panels, and the ratios of measured to predicted and to bound."""
    horizon, seeds = setting.pick((2000, 64), (1_000_000, 256))
    drawing, axes = style.figure(1, 3, width=style.DOUBLE, height=3.0)
    rows = []
    problem, world = random_instance(5, 6, 2, tightness=0.5)
    size = (problem.num_arms, problem.num_selected)
    best = optimum(problem, world.mean_reward, world.mean_cost)
    result = simulate(problem, world, C2MABV(delta=DELTA), horizon, seeds)
    t = result["round"].values.astype(float)
    means = (best, world.mean_reward, world.mean_cost)
    free, open_world = gap_instance(6, 2, 0.2)
    unpaid = simulate(free, open_world, C2MABV(delta=DELTA), horizon, seeds)
    for panel, (name, values, leading, refined, bound) in enumerate((
        (
            "overspending, T x violation",
            result["signed_violation"].values * t,
            predictions.violation_leading(t, size[0], DELTA, best.marginals),
            predictions.violation_refined(t, size[0], DELTA, *means),
            violation_bound(t, *size, DELTA, kind="expected", signed=True).value * t,
        ),
        (
            "Lagrangian regret, budget binds",
            result["lagrangian_regret"].values,
            predictions.lagrangian_regret(t, size[0], DELTA, *means),
            predictions.lagrangian_regret(t, size[0], DELTA, *means, refined=True),
            None,
        ),
        (
            "regret, no budget",
            unpaid["regret"].values,
            predictions.gap_regret_leading(t, size[1], DELTA, open_world.mean_reward),
            predictions.gap_regret_refined(t, size[1], DELTA, open_world.mean_reward),
            regret_bound(t, *size, DELTA, kind="expected").value,
        ),
    )):  # fmt: skip
        ax = axes[0, panel]
        mean, low, high = style.interval(values)
        shown = t >= 10
        ax.fill_between(t[shown], np.maximum(low, 1e-3)[shown], high[shown],
                        color=style.look("c2mabv").colour, alpha=0.2, linewidth=0)  # fmt: skip
        ax.plot(t[shown], mean[shown], color=style.look("c2mabv").colour, linewidth=1.5,
                label="C2MAB-V, mean and 95 % of seeds")  # fmt: skip
        lines = [(leading, "0.25", ":", "leading order"), (refined, "0.25", "-.", "refined")]
        if bound is not None:
            lines.append((bound, style.PALETTE["blue"], "--", "bound (expected)"))
        for curve, colour, dashes, label in lines:
            ax.plot(t[shown], np.asarray(curve)[shown], color=colour, linestyle=dashes,
                    linewidth=1, label=label)  # fmt: skip
        style.log_axis(ax)
        style.log_axis(ax, "y")
        ax.set_ylim(bottom=max(0.3, float(mean[shown].min()) / 2))
        style.label(ax, "T, rounds", None, f"({'abc'[panel]}) {name}")
        for at in np.unique(np.searchsorted(t, np.geomspace(horizon / 100, horizon, 3))):
            half = 1.96 * values[:, at].std(ddof=1) / np.sqrt(seeds)
            rows.append([
                name, int(t[at]), float(mean[at]), float(half), float(leading[at]),
                float(mean[at] / leading[at]), float(mean[at] / refined[at]),
                float("nan") if bound is None else float(mean[at] / bound[at]),
            ])  # fmt: skip
    style.label(axes[0, 0], y="scaled cost, reward")
    style.legend(drawing)
    setting.figure(drawing)
    head = ("quantity", "T", "measured", "±", "leading order", "measured / leading",
            "measured / refined", "measured / bound")  # fmt: skip
    says = (
        f"C2MAB-V with alpha = 1, SUC, K = {size[0]}, N = {size[1]}, {seeds} seeds; ± is the 95 % "
        "interval of the mean. Bounds and predictions are derived for this project."
    )
    setting.table(head, rows, says)
