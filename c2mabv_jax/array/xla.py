"""Every trick on the compiler, in one room: what it does, why, and what it gains.

Measured on two cores, SUC, K = 9, N = 4, binding budget, exact solver (`experiments/benchmarks`).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.xla_metadata import set_xla_metadata

# 512-bit vectors where the processor has them; the compiler prefers 256.
_OPTIONS = {"cpu": {"xla_cpu_prefer_vector_width": 512}}


def compiler_options() -> dict[str, Any] | None:
    """Options with which blocks are compiled on this backend."""
    return _OPTIONS.get(jax.default_backend())


# Numbers of a loop, 64 arms of 64 runs. Above, too many of a round's loops are so dear that the
# compiler shares them out over threads, and then they cannot be part of one function.
LARGEST_LOOP = 4096
_within = threading.local()  # set while a function is traced that is compiled as one


def within_one_function() -> bool:
    """Whether what is traced now is compiled as one function (`as_one_function`)."""
    return getattr(_within, "one", False)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, one array; in `as_one_function` computed once and stored.

    The compiler repeats cheap work in every fused loop that uses its result; what a call
    returns it cannot repeat.
    """
    if not within_one_function():
        return function(*arguments)
    return _called(function, *arguments)


def stored(value: Array) -> Array:
    """The same array, stored where it is made; see `apart`."""
    return apart(lambda x: x, value)


# Where a fused loop is dear (an instruction 1, a byte read or written 10, together 200,000), the
# compiler shares it out over threads, and then it cannot be part of one function. A hash costs
# 230 a number.
LARGEST_PIECE = 832


def pair_apart(
    function: Callable[..., tuple[Array, Array]], shared: tuple[Array, ...], rows: Array
) -> tuple[Array, Array]:
    """`function(*shared, rows)`, two float32 arrays `[K, ...]`; one pass computes both.

    A fused loop has one result. Two that share nearly all of their work, such as the two
    words of a hash, are the two parts of a complex one: 1.5 times faster than two loops.

    Args:
      function: treats every row by itself.
      shared: arrays `[...]` of all rows.
      rows: `[K, 1, ...]`, one entry a row.
    """
    if not within_one_function():
        return function(*shared, rows)
    paired = lambda *inner: jax.lax.complex(*function(*inner))  # noqa: E731
    number = -(-len(rows) * shared[0].size // LARGEST_PIECE)
    step = -(-len(rows) // number)
    pieces = [apart(paired, *shared, rows[k : k + step]) for k in range(0, len(rows), step)]
    both = pieces[0] if len(pieces) == 1 else stored(jnp.concatenate(pieces))
    return apart(jnp.real, both), apart(jnp.imag, both)


def as_one_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, on the CPU compiled as one piece.

    The CPU backend starts every fused operation of a loop body as a task of its own, and a
    round has about 57 of them. A *called* computation that is tagged as small is compiled to
    one function instead: 1.2 to 1.4 times faster, the same bits, less to compile.
    """

    @functools.wraps(function)
    def own(*arguments: Any) -> Any:
        # JAX keeps traces by function: under its own name, this one would serve the pieces too.
        return function(*arguments)

    @functools.wraps(function)
    def tagged(*arguments: Any) -> Any:
        _within.one = True
        try:
            return _called(own, *arguments)
        finally:
            _within.one = False

    return tagged


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """A call that stays one, tagged as small: one tagged result is enough."""
    leaves, structure = jax.tree.flatten(jax.jit(function, inline=False)(*arguments))
    leaves[0] = set_xla_metadata(leaves[0], xla_cpu_small_call="true", inlineable="false")
    return jax.tree.unflatten(structure, leaves)
