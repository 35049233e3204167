"""Peer (d): `jax.vmap` of the single-run functions, batch axis first, one `lax.scan`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams, sums
from c2mabv_jax.bench.case import Case, Contestant, Outcome
from c2mabv_jax.bench.package import threads
from c2mabv_jax.engine.round import play
from c2mabv_jax.engine.tally import Tally
from c2mabv_jax.simulation import accounting_for, in_scaled_cost

BATCH = 1024


def plain_vmap(case: Case) -> Contestant:
    """What one writes first: scan one run, vmap the scan, jit the whole."""
    problem, environment, policy = case.build()
    accounting = accounting_for(problem, environment)
    problem = in_scaled_cost(problem, environment)

    def one_run(root: Array, seed: Array) -> Tally:
        run_key = streams.fold_in(root, seed)

        def one_round(carry, t):
            key = streams.fold_in(run_key, t)
            state, tally = carry
            now = play(problem, environment, policy, key, t, state)
            return (now.state, accounting.see(tally, now)), None

        start = (policy.init(problem), accounting.begin(problem))
        (_, tally), _ = jax.lax.scan(one_round, start, jnp.arange(1, case.horizon + 1))
        return tally

    compiled = jax.jit(jax.vmap(one_run, in_axes=(None, 0)))

    def run(num_seeds: int, root: int) -> Outcome:
        key = jax.random.key(root, impl="threefry2x32")
        tallies = [
            compiled(key, jnp.arange(first, first + BATCH, dtype=jnp.uint32))
            for first in range(0, num_seeds, BATCH)
        ]
        tally = jax.tree.map(lambda *parts: np.concatenate(parts), *tallies)
        return Outcome(
            sums.value(tally.reward) / case.horizon,
            sums.value(tally.cost) / case.horizon,
            tally.gap,
            tally.feasibility,
            tally.fallbacks,
        )

    return Contestant("plain vmap", case, run, BATCH, threads())
