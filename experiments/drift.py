"""LLMs that change: C2MAB-V that forgets against C2MAB-V that does not.

Two worlds. A log replayed in its logged order, group after group, where a model that is good
at one kind of query is not at the next; what would be optimal there is unclear, so reward and
cost are shown. And a made-up world in which an LLM gets worse, one gets better, one becomes
dearer, one joins and one leaves, where regret against the optimum of every round is known.

Costs enter as estimated (alpha_cost = 0): a shorter memory is less sure, and optimism about
costs would let it spend more, which is no gain. What little more it spends all the same is
given to the one that remembers all in the row "budget + 5 %".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.cli.world import default_budget
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV
from experiments.setting import Setting

ALPHAS = {"alpha_reward": 0.3, "alpha_cost": 0.0}
MEMORIES: dict[str, dict[str, Any]] = {
    "remembers all": {},
    "discount 0.999": {"discount": 0.999},
    "discount 0.995": {"discount": 0.995},
    "window 1000": {"window": 1000},
    "window 400": {"window": 400},
}


LOOKS = {
    "remembers all": ("black", "solid"),
    "discount 0.999": ("sky", "dashed"),
    "discount 0.995": ("blue", "solid"),
    "window 1000": ("orange", "dashed"),
    "window 400": ("vermilion", "solid"),
    "budget + 5 %": ("grey", "dotted"),
}
EIGHTHS = (1, 2, 3, 5, 6)  # of the horizon, when something happens in the made-up world


def made_up(horizon: int) -> environments.Changing:
    """Five LLMs whose ranking turns over in the course of `horizon` rounds."""
    base = environments.synthetic([0.85, 0.75, 0.55, 0.5, 0.35], [0.7, 0.5, 0.4, 0.35, 0.15])
    first, second, third, fifth, sixth = (part * horizon // 8 for part in EIGHTHS)
    return environments.changing(
        base,
        quality={0: (0.3, third), 4: (0.8, second, sixth)},
        price={1: (1.6, fifth)},
        joins={3: first},
        leaves={2: sixth},
    )


def compare(problem: Problem, world: Any, horizon: int, seeds: int) -> dict[str, xr.Dataset]:
    """Runs of every memory, on the same queries; the last remembers all and may spend 5 % more."""
    more = problem.replace(budget=1.05 * problem.budget)
    trials = {name: (problem, memory) for name, memory in MEMORIES.items()}
    trials["budget + 5 %"] = (more, {})
    rounds = np.unique(np.linspace(1, horizon, 81).astype(int))
    return {
        name: simulate(posed, world, C2MABV(**ALPHAS, **memory), horizon, seeds, rounds)
        for name, (posed, memory) in trials.items()
    }


def rows(results: dict[str, xr.Dataset], *quantities: str) -> list[list[Any]]:
    """One row a memory: mean and standard error over seeds of every quantity at the horizon."""
    found = []
    for name, result in results.items():
        row: list[Any] = [name]
        for quantity in quantities:
            values = result[quantity].isel(round=-1).values
            row += [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]
        found.append(row)
    return found


def on_log(path: Path, seeds: int, horizon: int | None = None) -> tuple[dict[str, xr.Dataset], str]:
    """A log in its logged order, any win with two LLMs, and what was run."""
    world = environments.replay(path, order="logged")
    problem = Problem(num_arms=world.num_arms, num_selected=2, budget=0.0, reward_model="AWC")
    problem = problem.replace(budget=default_budget(problem, world)[0])
    horizon = horizon or world.num_rows
    return compare(problem, world, horizon, seeds), (
        f"{path.name} in logged order, {horizon} rounds, AWC, K = {world.num_arms}, N = 2, budget "
        f"{problem.budget:.3g} {world.cost_unit}, {seeds} seeds"
    )


def run(setting: Setting) -> None:
    """Tables of both worlds, and a figure."""
    seeds, horizon = setting.pick((64, 1600), (256, 8000))
    log = None
    if setting.log.exists():
        log, what = on_log(setting.log, seeds)
        found = rows(log, "reward", "cost")
        _show(found, what)
        says = f"{what}; ± is the standard error over seeds, which all see the same rows."
        setting.table(("memory", "reward", "±", "cost", "± "), found, says, "log")
    else:
        print(f"  no log at {setting.log}: only the made-up world")
    world = made_up(horizon)
    problem = Problem(num_arms=5, num_selected=2, budget=0.8, reward_model="SUC")
    results = compare(problem, world, horizon, seeds)
    found = rows(results, "reward", "cost", "regret")
    what = f"Made-up world that changes, {horizon} rounds, SUC, N = 2, budget 0.8, {seeds} seeds"
    _show(found, what)
    says = f"{what}; ± is the standard error; regret against the optimum of every round."
    head = ("memory", "reward", "±", "cost", "± ", "regret", " ±")
    setting.table(head, found, says, "made-up")
    _draw(setting, results, log)


def _draw(
    setting: Setting, results: dict[str, xr.Dataset], log: dict[str, xr.Dataset] | None
) -> None:
    drawing, axes = style.figure(1, 1 if log is None else 2, width=style.DOUBLE, height=2.9)
    for name, result in results.items():
        _curve(axes[0, -1], result["round"].values, result["regret"].values, name)
    for part in EIGHTHS:
        axes[0, -1].axvline(part * int(result["round"][-1]) / 8, color="0.6", lw=0.6, zorder=0)
    style.label(axes[0, -1], "round", "regret", "made-up world; lines: something changes")
    if log is not None:
        rounds = log["remembers all"]["round"].values
        for name, result in log.items():
            gained = rounds * (result["reward"].values - log["remembers all"]["reward"].values)
            _curve(axes[0, 0], rounds, gained, name)
        title = "log in its order, against remembering all"
        style.label(axes[0, 0], "round", "answers gained", title)
    style.legend(drawing, title="bands: 95 % confidence interval of the mean over seeds")
    setting.figure(drawing)


def _curve(ax: Any, rounds: np.ndarray, values: np.ndarray, name: str) -> None:
    colour, dashes = style.PALETTE[LOOKS[name][0]], style.LINES[LOOKS[name][1]]
    mean, half = values.mean(0), 1.96 * values.std(0, ddof=1) / np.sqrt(len(values))
    ax.plot(rounds, mean, color=colour, linestyle=dashes, linewidth=1.2, label=name)
    ax.fill_between(rounds, mean - half, mean + half, color=colour, alpha=0.16, linewidth=0)


def _show(rows: list[list[Any]], what: str) -> None:
    print(f"  {what}")
    for name, *numbers in rows:
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        print(f"    {name:15} " + "  ".join(f"{mean:.5g} ± {error:.2g}" for mean, error in pairs))
