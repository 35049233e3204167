"""A tile: a fixed number of runs advanced together by one compiled program.

Lanes are runs. The batch is the last axis of every array, so the compiler vectorises over
runs; nothing couples lanes, so what a lane computes does not depend on the others. The
horizon and the recorded rounds are traced: one program serves them all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax import streams
from c2mabv_jax.policies.base import Policy
from c2mabv_jax.problem import Problem
from c2mabv_jax.simulation.round import Accounting, Tally, empty_tally, play


@partial(jax.jit, static_argnames=("accounting",))
def run_tile(
    problem: Problem,
    environment: Any,
    policy: Policy,
    root: Array,
    seeds: Array,
    record_at: Array,
    table: Array | None,
    accounting: Accounting,
) -> Tally:
    """Run one tile.

    Args:
      problem, environment, policy: pytrees; any numeric leaf may carry a trailing lane axis
        `[..., B]` to give each run its own value.
      root: one typed threefry key.
      seeds: seed ids, int32 or uint32 `[B]`.
      record_at: rounds to record, ascending, int32 `[R]`; the last one is the horizon.
      table: expected set rewards by subset `[2^K]`, or None.
      accounting: what to tally (static).

    Returns:
      The tally at the recorded rounds, every entry `[R, ..., B]`.
    """
    lanes = seeds.shape
    run_key = streams.run_keys(root, seeds)
    spread = lambda x: jnp.broadcast_to(  # noqa: E731
        jnp.asarray(x)[..., None], jnp.shape(x) + lanes
    )
    state = jax.tree.map(spread, policy.init(problem))
    tally = jax.tree.map(spread, empty_tally(problem, accounting))

    def advance(carry, until):
        def one_round(inner):
            t, state, tally = inner
            state, tally = play(
                problem, environment, policy, accounting, table, run_key, t, state, tally
            )
            return t + 1, state, tally

        carry = jax.lax.while_loop(lambda inner: inner[0] <= until, one_round, carry)
        return carry, carry[2]

    _, records = jax.lax.scan(advance, (jnp.int32(1), state, tally), record_at)
    return records
