"""Every round of some runs, written down: what a verifier can check without the package.

`watch` keeps extremes of millions of rounds; a transcript keeps all of a few thousand, so that
the host can recompute bounds, optima, orders and bills from the outcomes alone (`ledger`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.engine.round import serve


class Transcript(NamedTuple):
    """Rounds of runs; on the host `[runs, T, K]` or `[runs, T]`.

    Attributes:
      reward_ucb, cost_lcb: U_t and L_t, the bounds decided on.
      marginals: z_t. selected: S_t.
      observed, billed: arms whose reward was seen, and whose cost was.
      reward, cost: X and Y; to be read where observed and billed.
      spent: the cost that the round was charged.
      expected: r(S_t; mu) as the system under test accounts for it.
    """

    reward_ucb: Any
    cost_lcb: Any
    marginals: Any
    selected: Any
    observed: Any
    billed: Any
    reward: Any
    cost: Any
    spent: Any
    expected: Any


def transcribe(point: Any, root: Array, seeds: Array, horizon: int, expected: Any) -> Transcript:
    """Play runs and write every round down; entries `[T, K, runs]` or `[T, runs]`.

    Args:
      point: a problem, its world and a policy, numbers per run `[..., runs]` or single.
      root: one typed threefry key. seeds: seed ids, `[runs]`.
      horizon: T, static.
      expected: how the system accounts for r(S_t; mu): `(problem, environment, decision,
        feedback) -> [runs]`.
    """
    problem, environment, policy = point
    run_key = streams.run_keys(root, seeds)
    spread = lambda x: jnp.broadcast_to(  # noqa: E731
        jnp.asarray(x)[..., None], jnp.shape(x) + seeds.shape
    )
    state = jax.tree.map(spread, policy.init(problem))

    def one_round(state, t):
        key = streams.fold_in(run_key, t)
        decision = policy.select(problem, state, key)
        feedback, _, spent = serve(problem, environment, decision, key, t)
        seen = Transcript(
            decision.evidence.bounds.reward_ucb,
            decision.evidence.bounds.cost_lcb,
            decision.marginals,
            decision.selected,
            feedback.observed,
            feedback.billed,
            feedback.reward,
            feedback.cost,
            spent,
            expected(problem, environment, decision, feedback),
        )
        return policy.update(problem, state, decision, feedback), seen

    return jax.lax.scan(one_round, state, jnp.arange(1, horizon + 1, dtype=jnp.int32))[1]


# Compiling takes longer than playing here.
_FAST = {"xla_backend_optimization_level": 0}
_compiled = jax.jit(transcribe, static_argnums=(3, 4), compiler_options=_FAST)


def write_down(point: Any, seed: int, runs: int, horizon: int, expected: Any) -> Transcript:
    """`transcribe` runs 0 .. runs - 1, on the host: float64 and bool, runs first."""
    root = jax.random.key(seed, impl="threefry2x32")
    seen = _compiled(point, root, jnp.arange(runs, dtype=jnp.uint32), horizon, expected)
    host = lambda x: np.moveaxis(np.asarray(x), -1, 0)  # noqa: E731
    plain = (host(x) for x in seen)
    return Transcript(*(x if x.dtype == bool else x.astype(float) for x in plain))
