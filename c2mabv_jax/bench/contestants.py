"""Who plays, in a quick and in a full run."""

from __future__ import annotations

from collections.abc import Iterator

from c2mabv_jax.bench import floor, peer_numba
from c2mabv_jax.bench.case import Case, Contestant
from c2mabv_jax.bench.package import package
from c2mabv_jax.bench.peer_highs import numpy_highs
from c2mabv_jax.bench.peer_numpy import numpy_batch
from c2mabv_jax.bench.peer_vmap import plain_vmap

MAIN = Case()
SLACK = Case(budget="slack")
MANY_ARMS = (16, 64, 256)
BOOSTED = Case("AWC", horizon=100)  # projected ascent of any win: a hundred times slower
LONG = (1_000, 10_000, 100_000, 1_000_000)
WIDE = (2, 8, 32, 128)  # blocks


def contestants(full: bool) -> Iterator[Contestant]:
    """All that take turns; the package first, so that peers have a reference."""
    yield package(MAIN)
    yield package(MAIN, "projected_gradient")
    yield package(Case("AWC"))
    yield package(Case("AIC"))
    if full:
        yield package(SLACK)
        yield package(Case("AIC"), "projected_gradient")
        yield package(BOOSTED)
        yield package(BOOSTED, "projected_gradient")
        for num_arms in MANY_ARMS:
            yield package(Case(num_arms=num_arms))
    for case in (MAIN, SLACK) if full else (MAIN,):
        if peer_numba.available():
            yield peer_numba.numba_loop(case)
            yield peer_numba.numba_loop(case, certificate=False)
        yield numpy_batch(case)
    yield numpy_highs(MAIN)
    yield plain_vmap(MAIN)
    yield floor.floor_streams(MAIN)
    yield floor.floor_jax_random(MAIN)
