"""C2MAB-V against C2MAB-V-Direct: what relaxing and rounding cost in quality, save in time.

Direct enumerates the sets that fit the budget in every round; the relaxed policy mixes two
sets, so with a binding budget it may even earn more. Time is the best of three repetitions of
one call of `simulate`, compiled before.
"""

from __future__ import annotations

import math
import time

import numpy as np

from c2mabv_jax import simulate
from c2mabv_jax.environments.generators import random_instance
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV, C2MABVDirect
from experiments.setting import Setting, log_axis

NUM_SELECTED = 4
ALPHAS = {"alpha_reward": 0.3, "alpha_cost": 0.05}


def run(setting: Setting) -> None:
    """Gap of the reward and time per round, against K."""
    sizes = setting.pick((5, 6), (6, 8, 10, 12, 14, 16))
    seeds, horizon = setting.pick((64, 100), (256, 1000))
    rows = []
    for num_arms in sizes:
        problem, world = random_instance(7, num_arms, NUM_SELECTED, tightness=0.5)
        line: list[float] = [num_arms, math.comb(num_arms, NUM_SELECTED)]
        for policy in (C2MABV(**ALPHAS), C2MABVDirect(**ALPHAS)):
            took = []
            for _ in range(setting.pick(2, 4)):  # the first call compiles
                start = time.perf_counter()
                result = simulate(problem, world, policy, horizon, seeds, 2)
                took.append(time.perf_counter() - start)
            last = result.isel(round=-1)
            rewards = last["expected_reward"].values
            line += [
                float(rewards.mean()),
                float(1.96 * rewards.std(ddof=1) / np.sqrt(seeds)),
                float(last["signed_violation"].mean() / problem.budget * 100),
                float(last["lagrangian_regret"].mean() / horizon),
                min(took[1:]) / (seeds * horizon) * 1e9,
            ]
        rows.append(
            [*line, float(result.attrs["optimum"]), float(result.attrs["optimum_fixed_set"])]
        )
    _draw(setting, np.array(rows))
    head = (
        "K", "sets", "reward", "±", "cost over budget (%)", "Lagrangian regret per round",
        "ns/round", "Direct: reward", "Direct: ±", "Direct: cost over budget (%)",
        "Direct: Lagrangian regret per round", "Direct: ns/round", "mixed optimum",
        "best fixed set",
    )  # fmt: skip
    table = [[int(r[0]), int(r[1]), *r[2:]] for r in rows]
    says = (
        f"SUC, N = {NUM_SELECTED}, one random instance with a binding budget per K, {seeds} seeds, "
        f"{horizon:,} rounds; times of this machine, compilation apart."
    )
    setting.table(head, table, says)


def _draw(setting: Setting, rows: np.ndarray) -> None:
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.7)
    arms = rows[:, 0]
    for first, policy in ((2, "c2mabv"), (7, "c2mabv-direct")):
        name, colour, dashes, marker = style.look(policy)
        how = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 3.5}
        gap = rows[:, 12] - rows[:, first]
        axes[0, 0].errorbar(arms, gap, yerr=rows[:, first + 1], linewidth=1.2, label=name, **how)
        axes[0, 1].plot(arms, rows[:, first + 4], linewidth=1.2, label=name, **how)
    axes[0, 0].axhline(0, color="0.4", linewidth=0.6)
    axes[0, 0].plot(arms, rows[:, 12] - rows[:, 13], "k:", linewidth=1, label="best fixed set")
    log_axis(axes[0, 1])
    for ax in axes.flat:
        ax.set_xticks(arms)
    style.label(axes[0, 0], "K, LLMs available", "reward below the mixed optimum", "(a) quality")
    style.label(axes[0, 1], "K, LLMs available", "time (ns/round)", "(b) time")
    style.legend(drawing, title=style.BARS)
    setting.figure(drawing)
