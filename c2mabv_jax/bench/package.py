"""This package: blocks of lanes, one thread per core, as `simulate` runs them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from c2mabv_jax.array import sums
from c2mabv_jax.bench.case import Case, Contestant, Outcome
from c2mabv_jax.engine.block import Point
from c2mabv_jax.engine.runner import Runs, all_done
from c2mabv_jax.simulation import accounting_for, in_scaled_cost


def threads() -> int:
    """Calls at once."""
    return (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1


def over_blocks(run: Callable[[np.ndarray], Any], num_seeds: int, width: int) -> list:
    """`run(seed ids [width])` on every block of `num_seeds`, on `threads()` threads."""
    blocks = [np.arange(first, first + width) for first in range(0, num_seeds, width)]
    return all_done(run, blocks, threads())


def package(case: Case, solver: str = "exact") -> Contestant:
    """C2MAB-V of this package with all its statistics."""
    problem, environment, policy = case.build(solver)
    point = Point(in_scaled_cost(problem, environment), environment, policy)
    runs = Runs([point], [accounting_for(problem, environment)], [case.horizon])

    def play(num_seeds: int, root: int) -> Outcome:
        tallies = over_blocks(
            lambda ids: runs.play(np.zeros(len(ids), int), ids, root), num_seeds, runs.lanes
        )
        tally = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1)[0], *tallies)
        return Outcome(
            sums.value(tally.reward) / case.horizon,
            sums.value(tally.cost) / case.horizon,
            tally.gap,
            tally.feasibility,
            tally.fallbacks,
        )

    return Contestant("this package", case, play, runs.lanes * threads(), threads(), solver)
