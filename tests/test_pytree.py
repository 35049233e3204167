"""Pytrees of different classes are different structures, so jit cannot mix them up."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import pytest

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.laws import Bernoulli, Constant, Uniform
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification import controls


def make(index: int) -> type:
    """A registered dataclass whose fields are those of all its siblings."""
    cls = dataclasses.make_dataclass(
        f"Node{index}",
        [
            ("x", float),
            ("kind", str, dataclasses.field(default="a", metadata={"static": True})),
        ],
        frozen=True,
        namespace={"tag": index},
    )
    return register_dataclass(cls)


@pytest.mark.smoke
def test_one_jitted_function_tells_many_classes_apart():
    """With structures that compare equal, dozens of 150 classes run another one's program."""
    tag = jax.jit(lambda node: node.x * 0 + type(node).tag)
    assert [int(tag(make(index)(1.0))) for index in range(150)] == list(range(150))


@pytest.mark.parametrize(
    "nodes",
    [
        [law(jnp.ones(2) / 2) for law in (Bernoulli, Constant, Uniform)],
        [C2MABV(), controls.NoLogarithm(), controls.OneTooMany(), controls.CostBoundSwapped()],
    ],
)
def test_laws_and_policies_are_distinct_structures(nodes):
    for one, other in itertools.combinations(map(jax.tree.structure, nodes), 2):
        assert one != other


def test_round_trip_static_fields_and_paths():
    cls = make(1000)
    node = cls(2.0, "b")
    leaves, structure = jax.tree.flatten(node)
    assert leaves == [2.0] and jax.tree.unflatten(structure, leaves) == node
    assert structure != jax.tree.structure(cls(2.0, "a"))
    assert structure == jax.tree.structure(cls(3.0, "b"))
    ((path, _),) = jax.tree_util.tree_leaves_with_path(node)
    assert jax.tree_util.keystr(path) == ".x"
