"""Reward against cost over budgets: each policy's curve, and the front of the oracle."""

from __future__ import annotations

import numpy as np

from c2mabv_jax import Problem, environments
from c2mabv_jax.plotting import style
from c2mabv_jax.theory import frontier
from experiments.setting import Setting, half_width, log_axis, select


def run(setting: Setting) -> None:
    """One figure, and a table of what every budget bought."""
    last = setting.sweep("budgets").isel(round=-1)
    drawing, axes = style.figure(width=style.COLUMN, height=3.4)
    ax = axes[0, 0]
    world = environments.scenario("nine-llms")
    money = np.asarray(world.mean_cost) * world.cost_scale
    size = int(last["num_selected"][0])
    front = frontier(
        Problem(num_arms=world.num_arms, num_selected=size, budget=1.0, reward_model="SUC"),
        world.mean_reward,
        money,
    )
    fine = np.geomspace(front.costs[0], front.costs[-1] * 1.1, 400)
    ax.plot(fine, np.interp(fine, front.costs, front.values), color="black", linestyle="--",
            linewidth=1, label="oracle front")  # fmt: skip
    rows = []
    for policy in dict.fromkeys(last["policy"].values):
        points = select(last, policy=policy)
        cost, reward = points["cost_mean"].values, points["reward_mean"].values
        known, colour, dashes, marker = style.look(policy)
        moves = np.ptp(cost) > 0.05 * cost.mean()
        ax.errorbar(
            cost, reward, yerr=half_width(points, "reward"), color=colour, marker=marker,
            markersize=3.2, linestyle=dashes if moves else "", linewidth=1, elinewidth=0.7,
            label=known, zorder=3 if policy == "c2mabv" else 2,
        )  # fmt: skip
        for i in range(points.sizes["point"]):
            point = points.isel(point=i)
            budget = float(point["budget"])
            rows.append([
                policy, budget, float(point["reward_mean"]), float(half_width(point, "reward")),
                float(point["cost_mean"]), 100 * (float(point["cost_mean"]) / budget - 1),
                float(point["optimum"]),
            ])  # fmt: skip
    log_axis(ax, "x")
    style.label(ax, "average cost (USD/query)", "reward per round (sum of 4)")
    style.legend(drawing, title=style.BARS)
    setting.figure(drawing)
    head = ("policy", "budget (USD/query)", "reward", "±", "cost (USD/query)",
            "cost over budget (%)", "oracle at the budget")  # fmt: skip
    says = (
        f"SUC, nine LLMs, N = {size}, {int(last['round']):,} rounds, "
        f"{int(last.attrs['num_seeds'])} seeds; ± is the 95 % interval of the mean."
    )
    setting.table(head, rows, says)
