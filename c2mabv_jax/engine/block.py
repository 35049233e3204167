"""A block: a fixed number of lanes advanced together by one compiled program.

A lane is one run. The lane axis is the last of every array, so the compiler vectorises over
runs; nothing couples lanes. Every number that a sweep may vary (budget, alphas, delta, means,
costs) has one entry per lane, and the horizon and the recorded rounds are traced, so one
program serves a whole sweep. Its width never changes on a backend: programs of two widths
may round differently in the last bit, and a trajectory must not depend on who ran beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.engine.observer import Observer
from c2mabv_jax.engine.round import play
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.base import Policy
from c2mabv_jax.problem import Problem

T = TypeVar("T")

# Wide enough to hide the cost of starting an operation, narrow enough to stay in the cache.
LANES = {"cpu": 64, "gpu": 32768, "tpu": 8192}


class Point(NamedTuple):
    """What a run is configured with.

    Attributes:
      problem: its budget already in the environment's scaled cost.
      environment, policy: pytrees.
    """

    problem: Problem
    environment: Any
    policy: Policy


def lanes() -> int:
    """Lanes of a block on this backend."""
    return LANES.get(jax.default_backend(), LANES["cpu"])


def per_lane(points: Sequence[T], which: np.ndarray) -> T:
    """The points (or observers) of a block's lanes as one, its numbers `[..., B]`.

    Args:
      points: of one structure: the same sizes, options and kinds of everything.
      which: index into `points` of every lane, int `[B]`.

    Fields marked `shared` (a log, say) are taken as they are, and must be the same.
    """
    structure: Any = jax.tree.structure(points[0])
    shared = shared_leaves(points[0])
    for point in points[1:]:
        if structure != jax.tree.structure(point) or not all(
            map(_same, shared, shared_leaves(point))
        ):
            raise ProblemError(
                "points: a block needs points of one structure (sizes, options, kinds of policy "
                "and environment, the same log); group them first"
            )
    return _stack(points, np.asarray(which))


def _same(one: Any, other: Any) -> bool:
    return one is other or np.array_equal(one, other)


def _stack(nodes: Sequence[Any], which: np.ndarray) -> Any:
    first = nodes[0]
    if first is None:
        return None
    if dataclasses.is_dataclass(first):
        changes = {
            field.name: _stack([getattr(node, field.name) for node in nodes], which)
            for field in dataclasses.fields(first)
            if not (field.metadata.get("static") or field.metadata.get("shared"))
        }
        return dataclasses.replace(first, **changes)  # type: ignore[type-var]
    if isinstance(first, tuple):
        parts = [_stack(part, which) for part in zip(*nodes, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    values = np.stack([np.asarray(node) for node in nodes], axis=-1)[..., which]
    if values.dtype.kind == "f":
        values = values.astype(jnp.result_type(float))
    return jnp.asarray(values)


def shared_leaves(node: Any) -> list[Any]:
    """Arrays that all lanes of a block share, such as the rows of a log."""
    if dataclasses.is_dataclass(node):
        found = []
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if field.metadata.get("shared"):
                found += [value]
            elif not field.metadata.get("static"):
                found += shared_leaves(value)
        return found
    return (
        [leaf for part in node for leaf in shared_leaves(part)] if isinstance(node, tuple) else []
    )


def advance(point: Point, observer: Observer, root: Array, seeds: Array, record_at: Array) -> Any:
    """Run a block from the first round to the last; not compiled (see `program`).

    Args:
      point, observer: from `per_lane`; every number `[..., B]`.
      root: one typed threefry key.
      seeds: seed ids, uint32 `[B]`.
      record_at: rounds to record, ascending (repeats allowed), int32 `[R]`; the last one is
        the horizon.

    Returns:
      What the observer keeps at the recorded rounds, every entry `[R, ..., B]`.
    """
    problem, environment, policy = point
    run_key = streams.run_keys(root, seeds)
    spread = lambda x: jnp.broadcast_to(  # noqa: E731
        jnp.asarray(x)[..., None], jnp.shape(x) + seeds.shape
    )
    state = jax.tree.map(spread, policy.init(problem))
    seen = jax.tree.map(spread, observer.begin(problem))

    # The words of a round's key are made one round ahead: what crosses a loop is computed
    # once, where the compiler would otherwise hash them anew for every number drawn.
    ahead = lambda t: streams.words(streams.fold_in(run_key, t))  # noqa: E731

    def until(carry, last):
        def one_round(inner):
            t, words, state, seen = inner
            key = streams.from_words(*words)
            now = play(problem, environment, policy, key, t, state)
            return t + 1, ahead(t + 1), now.state, observer.see(seen, now)

        carry = (*carry[:-1], observer.afresh(carry[-1]))
        carry = jax.lax.while_loop(lambda inner: inner[0] <= last, one_round, carry)
        return carry, carry[-1]

    _, records = jax.lax.scan(until, (jnp.int32(1), ahead(jnp.int32(1)), state, seen), record_at)
    return records
