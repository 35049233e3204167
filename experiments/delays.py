"""Two tiers apart: what solving every b rounds and hearing d rounds late costs.

C2MAB-V with the local server solving every b rounds and feedback arriving d rounds late, on a
random instance with a binding budget. b and d are numbers of the compiled program: one
program runs all of them. Regret is the Lagrangian one, which no policy can make negative.
"""

from __future__ import annotations

import numpy as np

from c2mabv_jax import simulate
from c2mabv_jax.environments.generators import random_instance
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV, TwoTier
from experiments.setting import Setting, log_axis

NUM_ARMS, NUM_SELECTED = 9, 4
ALPHAS = {"alpha_reward": 0.3, "alpha_cost": 0.05}
DELAYS = (0, 10, 100)


def run(setting: Setting) -> None:
    """Regret, violation and messages over b and d."""
    every = setting.pick((1, 10, 100), (1, 10, 100, 1000))
    seeds, horizon = setting.pick((64, 1000), (256, 10_000))
    problem, world = random_instance(7, NUM_ARMS, NUM_SELECTED, tightness=0.5)
    rows = []
    for delay in DELAYS:
        for b in every:
            policy = TwoTier(C2MABV(**ALPHAS), resolve_every=b, delay=delay, max_delay=max(DELAYS))
            last = simulate(problem, world, policy, horizon, seeds, 1).isel(round=-1)
            row: list[float] = [delay, b]
            for name in ("lagrangian_regret", "violation"):
                values = last[name].values
                row += [values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(seeds)]
            rows.append([*row, float(last["messages"].mean())])
    _draw(setting, np.array(rows))
    says = (
        f"SUC, K = {NUM_ARMS}, N = {NUM_SELECTED}, {horizon} rounds, {seeds} seeds; ± is half of "
        f"a 95 % interval; a message has {last.attrs['message_bytes']} bytes."
    )
    head = ("d", "b", "Lagrangian regret", "±", "violation", "± ", "messages")
    setting.table(head, [[int(r[0]), int(r[1]), *r[2:]] for r in rows], says)


def _draw(setting: Setting, rows: np.ndarray) -> None:
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.6)
    marks = zip(DELAYS, ("vermilion", "blue", "green"), ("solid", "dashed", "dotted"), strict=True)
    for delay, colour, line in marks:
        part = rows[rows[:, 0] == delay]
        for ax, column in zip(axes[0], (2, 4), strict=True):
            ax.errorbar(
                part[:, 1],
                part[:, column],
                part[:, column + 1],
                color=style.PALETTE[colour],
                linestyle=style.LINES[line],
                marker="o",
                markersize=3,
                capsize=2,
                label=f"d = {delay}",
            )
    labels = ("Lagrangian regret", "violation per round (scaled cost)")
    for ax, label in zip(axes[0], labels, strict=True):
        ax.set_xscale("log")
        style.label(ax, "rounds between solutions, b", label)
    log_axis(axes[0, 0])
    axes[0, 1].set_ylim(bottom=0)
    style.legend(drawing, title=f"d: rounds of delay; {style.BARS}")
    setting.figure(drawing)
