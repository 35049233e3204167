"""Policies by type against one plain policy a type: rounds a second of CPU time, in one process.

Both play equally many rounds: the typed policy T on the whole stream, and every one of the G
plain policies T / G on its type alone, with the budget per query for itself. Times are those of
one block of runs after another, so what counts is one thread; turns are taken one after the
other, and the ratio is the median over turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.policies import C2MABV, TypedC2MABV
from experiments.setting import Setting

ALPHAS = {"alpha_reward": 0.3, "alpha_cost": 0.05}
RUNS = 64
BUDGET = 0.002  # USD a query of the real log


def player(problem: Problem, world: Any, policy: Any, rounds: int) -> Callable[[], object]:
    """`RUNS` runs through all rounds, compiled."""

    def play() -> object:
        return simulate(problem, world, policy, rounds, RUNS, record_at=[rounds])

    play()
    return play


def seconds(play: Callable[[], object]) -> float:
    """CPU seconds of one call, of all threads."""
    start = time.process_time()
    play()
    return time.process_time() - start


def compared(problem: Problem, world: Any, plain: list[Any], rounds: int, turns: int) -> list[Any]:
    """Rounds a second (median over turns) by type, plain, and their ratio with its quartiles.

    Args:
      problem: of one query.
      world: with types.
      plain: the world of each type alone.
      rounds: of the whole stream, a multiple of the number of types.
      turns: how often both are timed.
    """
    typed = player(problem, world, TypedC2MABV(world.num_types, None, **ALPHAS), rounds)
    apart = [player(problem, own, C2MABV(**ALPHAS), rounds // len(plain)) for own in plain]
    taken = np.array([(seconds(typed), sum(map(seconds, apart))) for _ in range(turns)])
    rates = np.median(rounds * RUNS / taken, axis=0)
    return [*rates, *np.percentile(taken[:, 1] / taken[:, 0], [50, 25, 75])]


def cases(log: Path) -> dict[str, tuple[Problem, Any, list[Any]]]:
    """The real log where it is, and made-up worlds: one LLM a query, and four."""
    found: dict[str, tuple[Problem, Any, list[Any]]] = {}
    for num_selected in (1, 4):
        problem, world = environments.generators.typed_instance(3, 4, 9, num_selected)
        found[f"made up, G = 4, K = 9, N = {num_selected}"] = problem, world, list(world.worlds)
    if log.exists():
        world = environments.replay(log, types="group")
        problem = Problem(
            num_arms=world.num_arms, num_selected=1, budget=BUDGET, reward_model="SUC"
        )
        plain = [environments.replay(log, group=name) for name in world.types]
        found[f"real log, G = {world.num_types}, K = {world.num_arms}, N = 1"] = (
            problem, world, plain
        )  # fmt: skip
    return found


def run(setting: Setting) -> None:
    """Time all cases and write the table."""
    rounds, turns = setting.pick((1200, 3), (48_000, 9))
    rows = [[name, *compared(*case, rounds, turns)] for name, case in cases(setting.log).items()]
    for name, typed, plain, ratio, *_ in rows:
        print(f"  {name}: {typed:.3g} against {plain:.3g} rounds per CPU second, {ratio:.2f}")
    setting.table(
        ["case", "typed, rounds/s", "plain, rounds/s", "ratio", "quartile", "quartile"],
        rows,
        "Rounds per CPU second of typed C2MAB-V and of one plain C2MAB-V a type, equal rounds.",
    )
