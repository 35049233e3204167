"""A function of arrays `[..., lanes]` as one of single vectors of lanes, every other axis unrolled.

A kernel that keeps a block of runs on the chip has no arrays of arms: it has one register
(a vector of lanes) per arm. This module takes the very functions of the simulator, traced for
`LANES` lanes, and plays their operations on such vectors: an array `[K, lanes]` is K vectors,
`x[3]` is the fourth of them, a reduction over arms is K - 1 operations. Nothing is written twice,
so the kernel computes what the simulator computes.

Numbers that the tracing knows (indices of arms, masks of positions) stay numbers, and choices by
them cost nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

# The number of lanes that functions are traced for; no other axis may have this length.
LANES = 4099


class UnrollError(NotImplementedError):
    """An operation that has no rule here; the message names it."""


def unrolled(
    function: Callable[..., Any], *example: Any
) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """`function` on unrolled arrays.

    Args:
      function: of pytrees of arrays; an axis of length `LANES`, where there is one, is the lanes.
      example: its arguments as shapes (`jax.ShapeDtypeStruct`), with `LANES` lanes.

    Returns:
      A function from the leaves of the arguments to the leaves of the result, in the order of
      `jax.tree.leaves`. In place of an array stands an object array over its other axes, whose
      entries are vectors of lanes (or scalars, of an array without lanes). Any number of lanes
      will do: what is played are operations, not shapes.
    """
    closed = jax.make_jaxpr(function)(*example)
    return lambda leaves: _play(closed.jaxpr, closed.consts, leaves)


def cells(shape: Sequence[int], entry: Callable[[tuple[int, ...]], Any]) -> np.ndarray:
    """An object array of this shape (lanes left out), filled place by place."""
    return _packed([entry(place) for place in np.ndindex(*shape)], shape)


def _packed(values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    """Values as an object array; one by one, since NumPy would take vectors apart."""
    filled = np.empty(len(values), object)
    for place, value in enumerate(values):
        filled[place] = value
    return filled.reshape(tuple(shape))


def without_lanes(shape: Sequence[int]) -> tuple[int, ...]:
    """The axes that are unrolled."""
    return tuple(size for size in shape if size != LANES)


def _is_cells(node: Any) -> bool:
    return isinstance(node, np.ndarray) and node.dtype == object


def _constant(value: Any) -> np.ndarray:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    value = np.asarray(value)
    if LANES in value.shape:
        raise UnrollError("a constant with lanes: pass it as an argument")
    return cells(value.shape, lambda place: value[place])


def _known(*values: Any) -> bool:
    return all(isinstance(value, np.generic | int | float | bool) for value in values)


def _play(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[np.ndarray]:
    seen: dict[Any, np.ndarray] = {}

    def read(atom: Any) -> np.ndarray:
        if isinstance(atom, core.Literal):
            return _constant(np.asarray(atom.val, atom.aval.dtype))  # type: ignore[attr-defined]
        return seen[atom]

    constants = [value if _is_cells(value) else _constant(value) for value in consts]
    seen.update(zip(jaxpr.constvars, constants, strict=True))
    seen.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        rule = _RULES.get(equation.primitive.name, _elementwise)
        found = rule(equation, inputs)
        found = [found] if _is_cells(found) else found
        for variable, value in zip(equation.outvars, found, strict=True):
            seen[variable] = value
    return [read(atom) for atom in jaxpr.outvars]


# -- operations on every vector by itself -----------------------------------------------------


def _apply(primitive: Any, params: dict[str, Any], *values: Any) -> Any:
    """A primitive on vectors and scalars; at once where all are known."""
    if _known(*values):
        with jax.ensure_compile_time_eval():
            return np.asarray(primitive.bind(*map(jnp.asarray, values), **params))[()]
    shape = jnp.broadcast_shapes(*map(jnp.shape, values))
    return primitive.bind(*(jnp.broadcast_to(value, shape) for value in values), **params)


_ELEMENTWISE = """
    abs add and bitcast_convert_type ceil clamp clz convert_element_type copy div eq exp expm1
    floor ge gt integer_pow is_finite le log log1p lt max min mul ne neg nextafter not or
    population_count pow rem round rsqrt select_n shift_left shift_right_arithmetic
    shift_right_logical sign sqrt square stop_gradient sub tanh xor
"""


def _elementwise(equation: Any, inputs: list[np.ndarray]) -> Any:
    name = equation.primitive.name
    if name not in _ELEMENTWISE.split():
        raise UnrollError(f"{name}: has no rule for unrolled arrays")
    params = {key: value for key, value in equation.params.items() if key != "sharding"}
    if "sharding" in equation.params:
        params["sharding"] = None
    out = equation.outvars[0].aval
    shape = without_lanes(out.shape)
    avals = [atom.aval for atom in equation.invars]
    aligned = [_beside(array, aval, out) for array, aval in zip(inputs, avals, strict=True)]
    wide = np.broadcast_arrays(*aligned) if shape else aligned

    def entry(place: tuple[int, ...]) -> Any:
        values = [array[place] for array in wide]
        if name == "select_n" and _known(values[0]):
            return values[1 + int(values[0])]
        if name == "select_n" and len(values) == 3 and values[1] is values[2]:
            return values[1]
        return _apply(equation.primitive, params, *values)

    return cells(shape, entry)


def _beside(array: np.ndarray, aval: Any, out: Any) -> np.ndarray:
    """An operand without lanes has an axis of length 1 in their place, or none at all."""
    lanes = _lane_axis(out)
    if lanes is None or not aval.shape or aval.shape[lanes] == LANES:
        return array
    return np.take(array, 0, axis=lanes) if array.ndim > 1 else _packed([array[0]], ())


def _each(equation: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Operations of several results that pass values on."""
    return inputs


# -- operations on places -----------------------------------------------------------------------


def _lane_axis(aval: Any) -> int | None:
    return aval.shape.index(LANES) if LANES in aval.shape else None


def _axes(aval: Any) -> list[int]:
    """The unrolled axes, by their place in the array."""
    return [axis for axis, size in enumerate(aval.shape) if size != LANES]


def _unrolled_axis(aval: Any, axis: int) -> int:
    """Where an axis of the array stands among the unrolled ones."""
    if aval.shape[axis] == LANES:
        raise UnrollError("an operation along the lanes")
    return _axes(aval).index(axis)


def _broadcast_in_dim(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    (source,) = inputs
    aval, out = equation.invars[0].aval, equation.outvars[0].aval
    dims = equation.params["broadcast_dimensions"]
    kept = _axes(out)

    def entry(place: tuple[int, ...]) -> Any:
        at = dict(zip(kept, place, strict=True))
        return source[tuple(at[dims[axis]] if aval.shape[axis] > 1 else 0 for axis in _axes(aval))]

    return cells(without_lanes(out.shape), entry)


def _reshape(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    """Lanes must keep their place: only axes beside them are split or joined."""
    aval, out = equation.invars[0].aval, equation.outvars[0].aval
    if LANES in aval.shape:
        before, after = _lane_axis(aval), _lane_axis(out)
        if np.prod(aval.shape[:before]) != np.prod(out.shape[:after]):
            raise UnrollError("reshape moves the lanes")
    return inputs[0].reshape(without_lanes(out.shape))


def _squeeze(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    return inputs[0].reshape(without_lanes(equation.outvars[0].aval.shape))


def _slice(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    aval, params = equation.invars[0].aval, equation.params
    strides = params["strides"] or (1,) * len(aval.shape)
    lanes = _lane_axis(aval)
    if lanes is not None and equation.outvars[0].aval.shape[lanes] != LANES:
        raise UnrollError("slice: takes some of the lanes")
    chosen = tuple(
        slice(params["start_indices"][axis], params["limit_indices"][axis], strides[axis])
        for axis in _axes(aval)
    )
    return inputs[0][chosen]


def _concatenate(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    axis = _unrolled_axis(equation.outvars[0].aval, equation.params["dimension"])
    return np.concatenate(inputs, axis=axis)


def _stack(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    axis = _unrolled_axis(equation.outvars[0].aval, equation.params["axis"])
    return np.stack(inputs, axis=axis)


def _transpose(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    aval, order = equation.invars[0].aval, equation.params["permutation"]
    kept = [_unrolled_axis(aval, axis) for axis in order if aval.shape[axis] != LANES]
    return inputs[0].transpose(kept)


def _rev(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    aval = equation.invars[0].aval
    axes = [_unrolled_axis(aval, axis) for axis in equation.params["dimensions"]]
    return np.flip(inputs[0], tuple(axes))


def _iota(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    out = equation.outvars[0].aval
    axis = _unrolled_axis(out, equation.params["dimension"])
    kind = np.dtype(out.dtype).type
    return cells(without_lanes(out.shape), lambda place: kind(place[axis]))


def _gather(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    """Whole slices along the first axis, by known indices (`x[indices]`, `jnp.take`)."""
    source, indices = inputs
    aval, out = equation.invars[0].aval, equation.outvars[0].aval
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    whole = all(sizes[axis] == aval.shape[axis] for axis in range(1, len(aval.shape)))
    simple = tuple(numbers.start_index_map) == (0,) and sizes[0] == 1 and whole
    simple = simple and tuple(numbers.collapsed_slice_dims) == (0,)
    flat = list(indices.reshape(-1))
    if not simple or not _known(*flat) or LANES in equation.invars[1].aval.shape:
        raise UnrollError("gather: only whole slices of the first axis at known indices")
    batch = [axis for axis in range(len(out.shape)) if axis not in numbers.offset_dims]
    if batch != list(range(len(batch))):
        raise UnrollError("gather: slices must come last")
    last = aval.shape[0] - 1
    taken = source[np.clip([int(index) for index in flat], 0, last)]
    return taken.reshape(without_lanes(out.shape))


# -- reductions ----------------------------------------------------------------------------------

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "reduce_sum": jnp.add,
    "reduce_prod": jnp.multiply,
    "reduce_max": jnp.maximum,
    "reduce_min": jnp.minimum,
    "reduce_and": jnp.logical_and,
    "reduce_or": jnp.logical_or,
}
_OVER_LANES: dict[str, Callable[[Any], Any]] = {
    "reduce_and": lambda x: jnp.min(x.astype(jnp.int32)) > 0,
    "reduce_or": lambda x: jnp.max(x.astype(jnp.int32)) > 0,
    "reduce_max": jnp.max,
    "reduce_min": jnp.min,
    "reduce_sum": jnp.sum,
}


def _reduce(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
    """Over arms in their order; over lanes by the chip's own reduction."""
    name, (source,) = equation.primitive.name, inputs
    aval, out = equation.invars[0].aval, equation.outvars[0].aval
    axes = equation.params["axes"]
    lanes = [axis for axis in axes if aval.shape[axis] == LANES]
    gone = [_unrolled_axis(aval, axis) for axis in axes if axis not in lanes]
    moved = np.moveaxis(source, gone, range(len(gone)))
    moved = moved.reshape(-1, *moved.shape[len(gone) :])

    def entry(place: tuple[int, ...]) -> Any:
        values = [row[place] for row in moved]
        result = values[0]
        for value in values[1:]:
            result = _combine(_COMBINE[name], result, value)
        return _OVER_LANES[name](result) if lanes and not _known(result) else result

    return cells(without_lanes(out.shape), entry)


def _combine(operation: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    if _known(a, b):
        with jax.ensure_compile_time_eval():
            return np.asarray(operation(a, b))[()]
    return operation(a, b)


def _cumulative(operation: Callable[[Any, Any], Any]) -> Callable[..., np.ndarray]:
    def rule(equation: Any, inputs: list[np.ndarray]) -> np.ndarray:
        axis = _unrolled_axis(equation.invars[0].aval, equation.params["axis"])
        moved = np.moveaxis(inputs[0], axis, 0)
        order = slice(None, None, -1 if equation.params["reverse"] else 1)

        def onwards(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return cells(a.shape, lambda place: _combine(operation, a[place], b[place]))

        rows = [moved[k : k + 1] for k in range(len(moved))][order]
        combined = list(itertools.accumulate(rows, onwards))[order]
        return np.moveaxis(np.concatenate(combined), 0, axis)

    return rule


# -- control flow ----------------------------------------------------------------------------------


def _call(equation: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    closed = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
    return _play(closed.jaxpr, closed.consts, inputs)


def _flat(arrays: Sequence[np.ndarray], avals: Sequence[Any], lanes: Any) -> list[Any]:
    """Every vector by itself, as a carry of a loop: of its own type, as wide as the lanes."""
    flat = []
    for array, aval in zip(arrays, avals, strict=True):
        kind = np.uint32 if jnp.issubdtype(aval.dtype, jax.dtypes.prng_key) else aval.dtype
        wide = lanes if LANES in aval.shape else ()
        for value in array.reshape(-1):
            flat.append(jnp.broadcast_to(jnp.asarray(value, kind), wide))
    return flat


def _unflat(flat: Sequence[Any], like: Sequence[np.ndarray]) -> list[np.ndarray]:
    arrays, start = [], 0
    for array in like:
        arrays.append(_packed(flat[start : start + array.size], array.shape))
        start += array.size
    return arrays


def _width(arrays: Sequence[np.ndarray]) -> tuple[int, ...]:
    """How many lanes there are: the shape of the first vector."""
    for array in arrays:
        for value in array.reshape(-1):
            if jnp.ndim(value):
                return jnp.shape(value)
    return ()


def _while(equation: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    params = equation.params
    test, body = params["cond_jaxpr"], params["body_jaxpr"]
    a, b = params["cond_nconsts"], params["body_nconsts"]
    test_consts, body_consts, start = inputs[:a], inputs[a : a + b], inputs[a + b :]
    avals = [variable.aval for variable in body.jaxpr.outvars]
    lanes = _width(inputs)

    def goes_on(flat: Sequence[Any]) -> Any:
        carry = _unflat(flat, start)
        return _play(test.jaxpr, test.consts, [*test_consts, *carry])[0][()]

    def step(flat: Sequence[Any]) -> Sequence[Any]:
        carry = _unflat(flat, start)
        return _flat(_play(body.jaxpr, body.consts, [*body_consts, *carry]), avals, lanes)

    return _unflat(jax.lax.while_loop(goes_on, step, _flat(start, avals, lanes)), start)


def _scan(equation: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """A loop of a known number of steps without anything stacked: `fori_loop`, small scans."""
    params, closed = equation.params, equation.params["jaxpr"]
    consts, carries = params["num_consts"], params["num_carry"]
    fixed, start, rest = (
        inputs[:consts], inputs[consts : consts + carries], inputs[consts + carries :],
    )  # fmt: skip
    if rest or len(closed.jaxpr.outvars) != carries:
        raise UnrollError("scan: with stacked inputs or results")
    avals = [variable.aval for variable in closed.jaxpr.outvars]
    lanes = _width(inputs)

    def step(_: Any, flat: list[Any]) -> list[Any]:
        return _flat(
            _play(closed.jaxpr, closed.consts, [*fixed, *_unflat(flat, start)]), avals, lanes
        )

    flat = _flat(start, avals, lanes)
    return _unflat(jax.lax.fori_loop(0, params["length"], step, flat), start)


def _cond(equation: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    which, operands = inputs[0][()], inputs[1:]
    branches = equation.params["branches"]
    if _known(which):
        chosen = branches[int(which)]
        return _play(chosen.jaxpr, chosen.consts, operands)
    avals = [variable.aval for variable in branches[0].jaxpr.outvars]
    like = [cells(without_lanes(_plain(aval)), lambda place: None) for aval in avals]
    lanes = _width(inputs)

    def branch(closed: Any) -> Callable[[], list[Any]]:
        return lambda: _flat(_play(closed.jaxpr, closed.consts, operands), avals, lanes)

    return _unflat(jax.lax.switch(which, [branch(each) for each in branches]), like)


def _plain(aval: Any) -> tuple[int, ...]:
    """The shape, with the two words of a key."""
    key = jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)
    return (*aval.shape, 2) if key else aval.shape


_RULES: dict[str, Callable[[Any, list[np.ndarray]], Any]] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "expand_dims": _squeeze,
    "slice": _slice,
    "concatenate": _concatenate,
    "stack": _stack,
    "transpose": _transpose,
    "rev": _rev,
    "iota": _iota,
    "gather": _gather,
    "cumsum": _cumulative(jnp.add),
    "cumprod": _cumulative(jnp.multiply),
    "cummax": _cumulative(jnp.maximum),
    "cummin": _cumulative(jnp.minimum),
    "random_wrap": _each,  # a key is its two words
    "random_unwrap": _each,
    "jit": _call,
    "pjit": _call,
    "closed_call": _call,
    "custom_jvp_call": _call,
    "while": _while,
    "scan": _scan,
    "cond": _cond,
    **dict.fromkeys(_COMBINE, _reduce),
}
