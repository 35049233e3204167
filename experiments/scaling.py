"""How regret and violation grow with the number of LLMs K and with the number asked, N."""

from __future__ import annotations

import numpy as np

from c2mabv_jax.plotting import style
from experiments.setting import Setting, log_axis, select

PAIRS = ((1.0, 1.0, "vermilion", "o"), (0.3, 0.05, "blue", "s"))


def run(setting: Setting) -> None:
    """Means over random instances, with the range over instances."""
    drawing, axes = style.figure(2, 2, width=style.DOUBLE, height=4.4, sharex="col")
    rows = []
    for column, (name, axis, fixed) in enumerate(
        (("scaling-k", "num_arms", "num_selected"), ("scaling-n", "num_selected", "num_arms"))
    ):
        last = setting.sweep(name).isel(round=-1)
        horizon = int(last["round"])
        sizes = np.unique(last[axis])
        held = f"{'N' if fixed == 'num_selected' else 'K'} = {int(last[fixed][0])}"
        for alpha_reward, alpha_cost, colour, marker in PAIRS:
            found = [
                select(last, alpha_reward=alpha_reward, alpha_cost=alpha_cost, **{axis: size})
                for size in sizes
            ]
            for row, (quantity, factor) in enumerate(
                (("lagrangian_regret", 1), ("signed_violation", horizon))
            ):
                values = np.array([f[f"{quantity}_mean"].values * factor for f in found])
                mean = values.mean(axis=1)
                spread = np.abs(np.quantile(values, [0, 1], axis=1) - mean)
                axes[row, column].errorbar(
                    sizes, mean, yerr=spread, color=style.PALETTE[colour], marker=marker,
                    markersize=3.5, linewidth=1.2, elinewidth=0.7, capsize=2,
                    label=rf"$\alpha_\mu$ = {alpha_reward:g}, $\alpha_c$ = {alpha_cost:g}",
                )  # fmt: skip
                if alpha_cost == 1:
                    guide = mean[0] * np.sqrt(sizes / sizes[0])
                    axes[row, column].plot(sizes, guide, color="0.6", linewidth=0.9,
                                           linestyle=":", label="square root")  # fmt: skip
                slope = float(np.polyfit(np.log(sizes), np.log(np.maximum(mean, 1e-9)), 1)[0])
                rows += [
                    [quantity if factor == 1 else "T x signed violation", held,
                     "K" if axis == "num_arms" else "N", int(size), alpha_reward, alpha_cost,
                     float(m), float(v.min()), float(v.max()), slope]
                    for size, m, v in zip(sizes, mean, values, strict=True)
                ]  # fmt: skip
        for row in (0, 1):
            log_axis(axes[row, column])
            axes[row, column].set_xscale("log", base=2)
            axes[row, column].set_xticks(sizes, [str(int(s)) for s in sizes])
            axes[row, column].minorticks_off()
        style.label(axes[0, column], title=f"({'ab'[column]}) {held}")
        style.label(axes[1, column], x="K, LLMs available" if column == 0 else "N, LLMs asked")
    style.label(axes[0, 0], y="Lagrangian regret at T")
    style.label(axes[1, 0], y="T x violation (scaled cost)")
    style.legend(drawing, ncols=3, title="mean over instances; bars: least and most of them")
    setting.figure(drawing)
    head = ("quantity", "held", "grows", "size", "alpha_reward", "alpha_cost", "mean", "least",
            "most", "log-log slope")  # fmt: skip
    says = (
        f"SUC, {len(np.unique(last['instance']))} random instances with a binding budget, "
        f"{horizon:,} rounds, {int(last.attrs['num_seeds'])} seeds each; mean, least and most over "
        "instances."
    )
    setting.table(head, rows, says)
