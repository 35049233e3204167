"""This package: blocks of lanes, one thread per core, as `simulate` runs them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax.array import sums
from c2mabv_jax.bench.case import Case, Contestant, Outcome
from c2mabv_jax.engine.block import Point, lanes, per_lane, run_block
from c2mabv_jax.simulation import accounting_for, in_scaled_cost


def threads() -> int:
    """Blocks that run at once."""
    return (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1


def over_blocks(run: Callable[[jax.Array, jax.Array], Any], num_seeds: int, root: int) -> list:
    """`run(root key, seed ids [B])` on every block of `num_seeds`, one thread per core."""
    width, key = lanes(), jax.random.key(root, impl="threefry2x32")

    def block(first: int) -> Any:
        ids = jnp.asarray(np.arange(first, first + width, dtype=np.uint32))
        return jax.tree.map(np.asarray, run(key, ids))

    starts = range(0, num_seeds, width)
    if threads() == 1:
        return list(map(block, starts))
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(block, starts))


def package(case: Case, solver: str = "exact") -> Contestant:
    """C2MAB-V of this package with all its statistics."""
    problem, environment, policy = case.build(solver)
    accounting = accounting_for(problem, environment)
    point = Point(in_scaled_cost(problem, environment), environment, policy)
    point = per_lane([point], np.zeros(lanes(), int))
    last = jnp.asarray([case.horizon], jnp.int32)

    def play(num_seeds: int, root: int) -> Outcome:
        tallies = over_blocks(
            lambda key, ids: run_block(point, accounting, key, ids, last), num_seeds, root
        )
        tally = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1)[0], *tallies)
        return Outcome(
            sums.value(tally.reward) / case.horizon,
            sums.value(tally.cost) / case.horizon,
            tally.gap,
            tally.feasibility,
            tally.fallbacks,
        )

    return Contestant("this package", case, play, lanes() * threads(), threads(), solver)
