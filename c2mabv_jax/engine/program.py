"""The compiled program of a block: one function or pieces, one device or all, compiled once."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from c2mabv_jax.array.xla import LARGEST_LOOP, as_one_function, compiler_options
from c2mabv_jax.engine.block import Point, advance
from c2mabv_jax.engine.observer import Both, Observer
from c2mabv_jax.policies.base import Policy


def run_block(point: Point, observer: Observer, root: Array, seeds: Array, record_at: Array) -> Any:
    """`block.advance`, compiled once per structure, its lanes shared out over local devices.

    Threads that need a program which another one is compiling wait for it.
    """
    call = point, observer, root, seeds, record_at
    leaves, structure = jax.tree.flatten(call)
    key = structure, tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
    if key not in _ready:
        with _compiling.setdefault(key, threading.Lock()):
            if key not in _ready:
                nothing = (*call[:-1], jnp.zeros_like(record_at))
                jax.block_until_ready(_run(*nothing))
                _ready.add(key)
    return _run(*call)


_ready: set[Any] = set()
_compiling: dict[Any, threading.Lock] = {}  # a lock each: different programs compile side by side


def _run(point: Point, observer: Observer, root: Array, seeds: Array, record_at: Array) -> Any:
    devices = jax.local_device_count()
    both, rest = (point, observer), (root, seeds, record_at)
    if devices == 1:
        return or_in_pieces(lambda one: _compiled(one)(*both, *rest), *both, seeds.size)
    leaves, structure = jax.tree.flatten_with_path(both)
    specs = tuple(_lanes_last(leaf.ndim, _is_shared(both, path)) for path, leaf in leaves)
    numbers = [leaf for _, leaf in leaves]
    play = lambda one: _sharded(structure, specs, one)(numbers, *rest)  # noqa: E731
    return or_in_pieces(play, *both, seeds.size // devices)


def compilations() -> int:
    """How many programs `run_block` has compiled in this process, for one device."""
    return sum(_compiled(one)._cache_size() for one in (True, False))


def _advance(one: bool) -> Callable[..., Any]:
    """`advance`, as one function where the CPU's compiler is to make one of it."""
    return as_one_function(advance) if one else advance


@functools.cache
def _compiled(one: bool) -> Any:
    return jax.jit(_advance(one), compiler_options=compiler_options())


# --- one function or pieces ----------------------------------------------------------------


_OURS = tuple(
    f"c2mabv_jax.{part}." for part in ("policies", "environments", "engine", "verification")
)
_too_heavy: set[Any] = set()  # structures of which the compiler could not make one function


def as_one(point: Point, observer: Observer, width: int) -> bool:
    """Whether a block is small enough, and its policy light enough, for one function."""
    num_arms = point.problem.num_arms * (point.environment.num_types or 1)
    small = num_arms * width <= LARGEST_LOOP  # the relaxed problem loops over arms of all types
    structure = jax.tree.structure((point, observer))
    return (
        jax.default_backend() == "cpu"
        and small
        and _tried(point, observer)
        and structure not in _too_heavy
    )


def _tried(point: Point, observer: Observer) -> bool:
    """Whether all are of kinds that were tried; the compiler may abort on others."""
    policy = point.policy
    within = [part for part in vars(policy).values() if isinstance(part, Policy)]
    watching = (observer.first, observer.second) if isinstance(observer, Both) else (observer,)
    parts = (policy, *within, point.environment, *watching)
    ours = all(type(part).__module__.startswith(_OURS) for part in parts)
    return ours and not policy.heavy


def or_in_pieces(run: Callable[[bool], Any], point: Point, observer: Observer, width: int) -> Any:
    """`run(one)` with one function where the compiler can make it, else in pieces.

    A loop that the compiler wants to share out over threads cannot be part of one function;
    which loops it does is its secret, so it is asked.
    """
    one = as_one(point, observer, width)
    try:
        return run(one)
    except jax.errors.JaxRuntimeError as error:
        if not one or "RESOURCE_EXHAUSTED" in str(error):
            raise
        _too_heavy.add(jax.tree.structure((point, observer)))
        return run(False)


# --- all devices ---------------------------------------------------------------------------


def _lanes_last(ndim: int, shared: bool = False) -> PartitionSpec:
    return PartitionSpec() if shared else PartitionSpec(*[None] * (ndim - 1), "lanes")


def _is_shared(node: Any, path: tuple) -> bool:
    """Whether the leaf at `path` belongs to a field marked `shared`."""
    for key in path:
        if not isinstance(key, jax.tree_util.GetAttrKey):
            node = node[key.idx]
            continue
        if dataclasses.is_dataclass(node):
            field = {f.name: f for f in dataclasses.fields(node)}[key.name]
            if field.metadata.get("shared"):
                return True
        node = getattr(node, key.name)
    return False


@functools.cache
def _sharded(structure: Any, specs: tuple[PartitionSpec, ...], one: bool) -> Any:
    """`advance` on every device with its own share of the lanes.

    Every device runs the program of one block, not a part of a larger one, so the number of
    devices cannot change a bit; no device waits for another.
    """
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("lanes",), (AxisType.Auto,), devices=devices)
    whole, lanes = PartitionSpec(), PartitionSpec("lanes")

    def body(leaves, root, seeds, record_at):
        return _advance(one)(*jax.tree.unflatten(structure, leaves), root, seeds, record_at)

    def on_all(leaves, root, seeds, record_at):
        shapes = jax.eval_shape(body, leaves, root, seeds, record_at)
        mapped = jax.shard_map(
            body,
            mesh=mesh,
            in_specs=(list(specs), whole, lanes, whole),
            out_specs=jax.tree.map(lambda x: _lanes_last(x.ndim), shapes),
            check_vma=False,
        )
        return mapped(leaves, root, seeds, record_at)

    place = lambda spec: NamedSharding(mesh, spec)  # noqa: E731
    arguments = ([place(s) for s in specs], *map(place, (whole, lanes, whole)))
    return jax.jit(on_all, in_shardings=arguments, compiler_options=compiler_options())
