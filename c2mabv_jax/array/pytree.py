"""Dataclasses as pytrees, kept apart by their class.

`jax.tree_util.register_dataclass` (seen in JAX 0.10.2) takes two registered classes for the
same structure when their field values match: with `A(x)` and `B(x)`,
`jax.tree.structure(A(1.0)) == jax.tree.structure(B(1.0))`. A jitted function then may run the
program compiled for the other class, without an error, depending on hash collisions. Nodes
registered here compare their class.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

T = TypeVar("T", bound=type)
N = TypeVar("N")


def register_dataclass(cls: T) -> T:
    """Register a dataclass as a pytree; fields whose metadata says `static` are structure."""
    fields = dataclasses.fields(cls)
    data = tuple(field.name for field in fields if not field.metadata.get("static"))
    meta = tuple(field.name for field in fields if field.metadata.get("static"))
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in data)

    def children(node: Any) -> tuple[Any, ...]:
        return tuple(getattr(node, name) for name in data)

    def structure(node: Any) -> tuple[Any, ...]:
        return tuple(getattr(node, name) for name in meta)

    def rebuild(structure: tuple[Any, ...], children: Any) -> Any:
        return cls(
            **dict(zip(data, children, strict=True)), **dict(zip(meta, structure, strict=True))
        )

    jax.tree_util.register_pytree_with_keys(
        cls,
        lambda node: (tuple(zip(keys, children(node), strict=True)), structure(node)),
        rebuild,
        lambda node: (children(node), structure(node)),
    )
    return cls


def where(which: Array, new: N, old: N) -> N:
    """`jnp.where` on every leaf of two nodes of one structure."""
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)
