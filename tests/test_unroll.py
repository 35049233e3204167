"""Functions played on single vectors of lanes give the bits of the functions themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax.array import arms, unroll
from c2mabv_jax.array.unroll import LANES, UnrollError, cells, unrolled

WIDTH = 16


def as_shape(x):
    shape = (*x.shape[:-1], LANES) if x.ndim and x.shape[-1] == WIDTH else x.shape
    return jax.ShapeDtypeStruct(shape, x.dtype)


def check(function, *arguments):
    """`function` on arrays whose last axis is WIDTH lanes, against its unrolled self."""
    play = unrolled(function, *map(as_shape, arguments))

    def unpacked(x):
        lanes = x.ndim > 0 and x.shape[-1] == WIDTH
        return cells(x.shape[:-1] if lanes else x.shape, lambda place: x[place])

    found = jax.jit(lambda *xs: [list(c.reshape(-1)) for c in play(list(map(unpacked, xs)))])(
        *arguments
    )
    wanted = jax.tree.leaves(jax.jit(function)(*arguments))
    assert len(found) == len(wanted)
    for vectors, whole in zip(found, wanted, strict=True):
        rows = np.stack([np.broadcast_to(v, (WIDTH,)) for v in vectors])
        np.testing.assert_array_equal(rows.reshape(whole.shape), whole)


X = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)

FUNCTIONS = {
    "arithmetic": lambda x: jnp.where(x > 0, jnp.sqrt(jnp.abs(x)) / (1 + x**2), -x),
    "sums over arms": lambda x: (arms.total(x), arms.product(x), x.max(axis=0)),
    "sums over lanes": lambda x: jnp.where(jnp.any(x[0] > 0.5) & jnp.all(x < 9), x, 0),
    "places": lambda x: jnp.concatenate([x[::2], x[1:2], jnp.zeros_like(x[:1])])[::-1].T.T,
    "known indices": lambda x: jnp.take(x, np.array([3, 0, 3]), axis=0) * x[2],
    "ranks": lambda x: (x[:, None] < x[None]).astype(jnp.int32).sum(0) + arms.arm_index(x),
    "running sums": lambda x: (jnp.cumsum(x, axis=0), jnp.cumprod(x[::-1], axis=0)),
    "bits": lambda x: jax.lax.population_count(
        jax.lax.bitcast_convert_type(x, jnp.uint32) >> np.uint32(3)
    ),
    "a loop of known length": lambda x: jax.lax.fori_loop(0, 4, lambda i, y: y * x + i, x),
    "a loop until all are done": lambda x: jax.lax.while_loop(
        lambda y: jnp.any(y < 4), lambda y: jnp.where(y < 4, y + jnp.abs(x) + 0.25, y), x
    ),
    "a choice": lambda x: jax.lax.cond(jnp.sum(x[0]) > 0, lambda y: y + 1, lambda y: y * 2, x),
    "a choice known beforehand": lambda x: jax.lax.cond(
        jnp.arange(3)[1] == 1, lambda y: y + 1, lambda y: y * 2, x
    ),
    "calls": lambda x: jax.jit(jnp.tanh)(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits(name):
    check(FUNCTIONS[name], X)


def test_keys_are_their_two_words():
    from c2mabv_jax.array import streams

    def draw(words):
        key = streams.fold_in(streams.from_words(words[0], words[1]), 7)
        return streams.uniforms(key, 3)

    check(draw, np.arange(2 * WIDTH, dtype=np.uint32).reshape(2, WIDTH))


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: jnp.sort(x, axis=0), "sort"),
        (lambda x: x[:, ::2], "lanes"),
        (lambda x: x[jnp.argmax(jnp.arange(3.0)) + x[0].astype(int)], "argmax|gather"),
    ],
)
def test_what_has_no_rule_is_named(function, named):
    with pytest.raises(UnrollError, match=named):
        check(function, X)


def test_no_axis_is_taken_for_lanes():
    with pytest.raises(UnrollError, match="constant with lanes"):
        check(lambda x: x.sum() + np.zeros(unroll.LANES, np.float32), X)
