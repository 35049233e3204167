"""How far a model of independent LLMs is off on a log, for each reward model.

Statically: every set's mean reward over the rows of the log, against the formula for
independent LLMs with the same means. Dynamically: what C2MAB-V earns on whole rows, against
independent draws with the same means; under a cascade the LLMs asked later are seen on harder
queries only, which biases what it learns.
"""

from __future__ import annotations

import numpy as np

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.environments.base import Environment
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV
from c2mabv_jax.theory import optimum, set_table
from experiments.setting import Setting

MODELS = ("AWC", "SUC", "AIC")
NUM_SELECTED = 3
POLICY = C2MABV(alpha_reward=0.3, alpha_cost=0.01)


def run(setting: Setting) -> None:
    """Sets of the log against the formula; C2MAB-V on rows against independent draws."""
    worlds = _worlds(setting)
    drawing, axes = style.figure(1, 3, width=style.DOUBLE, height=2.6)
    tints = ("vermilion", "blue", "green", "black")
    seeds, horizon = setting.pick((64, 300), (256, 10_000))
    rows = []
    for (name, world), tint in zip(worlds.items(), tints, strict=False):
        means = np.asarray(world.mean_reward, float)
        money = np.asarray(world.mean_cost, float) * world.cost_scale
        independent = environments.synthetic(
            means, np.clip(money / world.cost_scale, 0, 1), cost="constant",
            names=world.names, cost_scale=world.cost_scale, cost_unit=world.cost_unit,
        )  # fmt: skip
        for ax, model in zip(axes[0], MODELS, strict=True):
            problem = Problem(
                num_arms=world.num_arms, num_selected=NUM_SELECTED, budget=0.0, reward_model=model
            )
            true = set_table(problem, means, money, world.set_reward_table(model))
            formula = set_table(problem, means, money)
            some = true.sets.any(axis=1)
            ax.plot(formula.values[some], true.values[some], ".", markersize=2.2,
                    color=style.PALETTE[tint], label=name)  # fmt: skip
            off = formula.values - true.values
            problem = problem.replace(budget=float(np.median(true.costs[true.costs > 0])))
            best = optimum(problem, means, money, world.set_reward_table(model))
            if setting.quick and (model != "AIC" or name != next(iter(worlds))):
                continue
            earned = [
                simulate(problem, place, POLICY, horizon, seeds, 2).isel(round=-1)["reward"].values
                for place in (world, independent)
            ]
            believed = optimum(problem, means, money)
            rows.append([
                model, name, *(round(float(x), 12) for x in (off.mean(), np.abs(off).max())),
                best.relaxed, float(earned[0].mean()), _half(earned[0]),
                believed.relaxed, float(earned[1].mean()), _half(earned[1]),
            ])  # fmt: skip
    for ax, model, letter in zip(axes[0], MODELS, "abc", strict=True):
        low, high = min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])
        ax.plot([low, high], [low, high], color="0.4", linewidth=0.7)
        style.label(ax, "if LLMs were independent", None, f"({letter}) {model}")
    style.label(axes[0, 0], y="mean over the rows of the log")
    style.legend(drawing)
    setting.figure(drawing)
    head = (
        "reward model", "log", "formula - log, mean over sets", "largest difference",
        "oracle on the log", "C2MAB-V on the log", "±", "oracle if independent",
        "C2MAB-V if independent", "±",
    )  # fmt: skip
    says = (
        f"N = {NUM_SELECTED}, budget the median cost of a set, {seeds} seeds, {horizon:,} queries, "
        f"alpha_reward = {POLICY.alpha_reward:g}, alpha_cost = {POLICY.alpha_cost:g}; ± is the "
        "95 % interval of the mean."
    )
    setting.table(head, rows, says)


def _half(values: np.ndarray) -> float:
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values)))


def _worlds(setting: Setting) -> dict[str, Environment]:
    """The groups of the log, and all of it; without a log, a made-up one and say so."""
    if not setting.log.exists():
        print(f"  no log at {setting.log}: correlated synthetic LLMs instead")
        rng = np.random.default_rng(1)
        quality = np.linspace(0.5, 0.95, 8)
        world = environments.synthetic(
            quality, np.linspace(0.05, 0.8, 8) * rng.uniform(0.7, 1.3, 8), correlation=0.5,
            cost="constant",
        )  # fmt: skip
        return {"synthetic, correlation 0.5": world}
    whole = environments.replay(setting.log)
    groups = [name for name, _ in whole.log_report.groups]
    found: dict[str, Environment] = {
        name: environments.replay(setting.log, group=name) for name in groups
    }
    return {**found, "all groups": whole}
