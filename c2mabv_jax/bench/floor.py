"""The floor: the random numbers of a round (2 K outcomes, one to round), summed, nothing else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.xla import compiler_options
from c2mabv_jax.bench.case import Case, Contestant
from c2mabv_jax.bench.package import over_blocks, threads
from c2mabv_jax.engine.block import lanes


def floor_streams(case: Case) -> Contestant:
    """Numbers drawn as the package draws them: keys per run, round and purpose."""

    def drawn(run_key: Array, root: Array, t: Array) -> Array:
        del root
        key = streams.fold_in(run_key, t)
        outcomes = streams.uniforms(key, 2 * case.num_arms, purpose=streams.ENVIRONMENT)
        return outcomes.sum(axis=0) + streams.uniforms(key, 1)[0]

    return _floor("random numbers, own streams", case, drawn)


def floor_jax_random(case: Case) -> Contestant:
    """Numbers drawn by `jax.random.uniform`, one key per block and round."""

    def drawn(run_key: Array, root: Array, t: Array) -> Array:
        shape = (2 * case.num_arms + 1, *run_key.shape)
        return jax.random.uniform(jax.random.fold_in(root, t), shape).sum(axis=0)

    return _floor("random numbers, jax.random", case, drawn)


def _floor(name: str, case: Case, drawn) -> Contestant:
    def advance(root: Array, ids: Array, horizon: Array) -> Array:
        run_key = streams.run_keys(root, ids)
        return jax.lax.fori_loop(
            1,
            horizon + 1,
            lambda t, total: total + drawn(run_key, jax.random.fold_in(root, ids[0]), t),
            jnp.zeros(ids.shape),
        )

    compiled = jax.jit(advance, compiler_options=compiler_options())

    width = lanes()

    def play(num_seeds: int, root: int) -> None:
        key, horizon = jax.random.key(root, impl="threefry2x32"), jnp.int32(case.horizon)
        over_blocks(
            lambda ids: np.asarray(compiled(key, jnp.asarray(ids, jnp.uint32), horizon)),
            num_seeds,
            width,
        )

    return Contestant(name, case, play, width * threads(), threads())
