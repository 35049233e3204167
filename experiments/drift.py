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
from c2mabv_jax.cli.world import default_budget, fence
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


def made_up(horizon: int) -> environments.Changing:
    """Five LLMs whose ranking turns over in the course of `horizon` rounds."""
    base = environments.synthetic([0.85, 0.75, 0.55, 0.5, 0.35], [0.7, 0.5, 0.4, 0.35, 0.15])
    part = horizon // 8
    return environments.changing(
        base,
        quality={0: (0.3, 3 * part), 4: (0.8, 2 * part, 6 * part)},
        price={1: (1.6, 5 * part)},
        joins={3: part},
        leaves={2: 6 * part},
    )


def compare(
    problem: Problem, world: Any, horizon: int, seeds: int, quantities: tuple[str, ...]
) -> list[list[Any]]:
    """One row a memory: mean and standard error over seeds of every quantity at the horizon.

    The last row remembers all and has 5 % more to spend.
    """
    rows = []
    more = problem.replace(budget=1.05 * problem.budget)
    trials = {name: (problem, memory) for name, memory in MEMORIES.items()}
    trials["budget + 5 %"] = (more, {})
    for name, (posed, memory) in trials.items():
        result = simulate(posed, world, C2MABV(**ALPHAS, **memory), horizon, seeds, 1)
        last = result.isel(round=-1)
        row: list[Any] = [name]
        for quantity in quantities:
            row += _mean_and_error(last, quantity)
        rows.append(row)
    return rows


def _mean_and_error(last: xr.Dataset, quantity: str) -> list[float]:
    values = last[quantity].values
    return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]


def on_log(path: Path, seeds: int, horizon: int | None = None) -> tuple[list[list[Any]], str]:
    """Rows for a log in its logged order, any win with two LLMs, and what was run."""
    world = environments.replay(path, order="logged")
    problem = Problem(num_arms=world.num_arms, num_selected=2, budget=0.0, reward_model="AWC")
    problem = problem.replace(budget=default_budget(fence(problem, world)))
    horizon = horizon or world.num_rows
    rows = compare(problem, world, horizon, seeds, ("reward", "cost"))
    return rows, (
        f"{path.name} in logged order, {horizon} rounds, AWC, K = {world.num_arms}, N = 2, budget "
        f"{problem.budget:.3g} {world.cost_unit}, {seeds} seeds"
    )


def run(setting: Setting) -> None:
    """Tables of both worlds."""
    seeds, horizon = setting.pick((64, 1600), (256, 8000))
    if setting.log.exists():
        rows, what = on_log(setting.log, seeds)
        _show(rows, what)
        says = f"{what}; ± is the standard error over seeds, which all see the same rows."
        setting.table(("memory", "reward", "±", "cost", "± "), rows, says, "log")
    else:
        print(f"  no log at {setting.log}: only the made-up world")
    world = made_up(horizon)
    problem = Problem(num_arms=5, num_selected=2, budget=0.8, reward_model="SUC")
    rows = compare(problem, world, horizon, seeds, ("reward", "cost", "regret"))
    what = f"Made-up world that changes, {horizon} rounds, SUC, N = 2, budget 0.8, {seeds} seeds"
    _show(rows, what)
    says = f"{what}; ± is the standard error; regret against the optimum of every round."
    head = ("memory", "reward", "±", "cost", "± ", "regret", " ±")
    setting.table(head, rows, says, "made-up")


def _show(rows: list[list[Any]], what: str) -> None:
    print(f"  {what}")
    for name, *numbers in rows:
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        print(f"    {name:15} " + "  ".join(f"{mean:.5g} ± {error:.2g}" for mean, error in pairs))
