"""Euclidean projection onto box, cardinality and budget, by its two multipliers.

    z = clip(y - nu - lambda c, 0, 1)

solves the projection of y when nu makes the cardinality right and lambda >= 0 the budget. For
a given lambda the sum of z is piecewise linear in nu with 2K breakpoints, so nu is found by
looking at all of them; the cost of z is then piecewise linear and nonincreasing in lambda,
which Newton steps inside a bracket solve. A last linear correction of the fractional entries
brings the constraints to rounding error.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.array.arms import largest, reduce_arms, total
from c2mabv_jax.relaxation.polytope import Polytope, in_polytope

MAX_STEPS = 60
POLISHINGS = 3


class Projection(NamedTuple):
    """A projected point `[K, ...]`, its multipliers `[...]`, and where none is feasible."""

    marginals: Array
    price: Array
    level: Array
    infeasible: Array


def project(
    point: Array,
    costs: Array,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = False,
) -> Array:
    r"""Projection onto box, cardinality and budget.

    .. math::
      \underset{z}{\text{argmin}} ~ \|z - y\|^2 \quad \text{s.t.} \quad z \in [0,1]^K,
      ~ 1^\top z = N \text{ (or} \le N), ~ c^\top z \le \rho

    Args:
      point: y, the point to project, `[K, ...]`, finite.
      costs: c, `[K, ...]`, finite and >= 0.
      num_selected: N (static), 1..K.
      budget: rho >= 0, scalar or `[...]`.
      at_most: sum z <= N instead of = N.

    Returns:
      z, `[K, ...]`. Where no z meets the budget: the N cheapest arms (ties: lower index).

    Example:
      >>> y, c = jnp.array([2.0, 0.5, 0.0]), jnp.array([0.8, 0.3, 0.1])
      >>> project(y, c, num_selected=1, budget=0.5).round(3)
      Array([0.448, 0.472, 0.08 ], dtype=float32)

    Reference:
      KKT conditions of a quadratic programme with two coupling constraints; breakpoint
      search as in Brucker 1984 for the cardinality, safeguarded Newton for the budget.
    """
    return project_with_multipliers(
        *in_polytope(point, costs, num_selected, budget, at_most)
    ).marginals


def project_with_multipliers(
    point: Array, polytope: Polytope, guess: Array | None = None
) -> Projection:
    """`project`, with the multipliers (nu `level`, lambda `price`) and the infeasible lanes.

    `guess` `[...]` is a price to start from, as of a similar point.
    """
    costs, num_selected, budget, at_most = polytope
    eps = jnp.finfo(point.dtype).eps
    cheapest = polytope.cheapest()
    lowest = jnp.zeros_like(budget) if at_most else total(jnp.where(cheapest, costs, 0))
    infeasible = lowest > budget + 8 * eps * lowest
    # Costs relative to the N-th cheapest arm: as the price grows without bound, the arms on
    # the margin keep their digits.
    margin = jnp.zeros_like(budget) if at_most else largest(jnp.where(cheapest, costs, -jnp.inf))
    relative = costs - margin
    span = largest(jnp.abs(relative))
    unit = (largest(point) - reduce_arms(jnp.minimum, point) + 1) / jnp.where(span > 0, span, 1)
    enough = 16 * eps * jnp.maximum(budget, lowest)  # the polishing does the rest

    def at_price(price: Array):
        """Level, point, overspending and minus its slope, at one price of budget."""
        shifted = point - price * relative
        level = level_of(shifted, num_selected)
        counts = jnp.ones(level.shape, bool)
        if at_most:
            counts = level > 0
            level = jnp.maximum(level, 0)
        z = jnp.clip(shifted - level, 0, 1)
        free = (z > 0) & (z < 1)
        number = jnp.maximum(total(free.astype(z.dtype)), 1)
        mean = jnp.where(counts, total(jnp.where(free, costs, 0)) / number, 0)
        steepness = total(jnp.where(free, (costs - mean) ** 2, 0))
        return level, z, total(costs * z) - budget, steepness

    def newton(carry):
        price, low, high, done, step = carry
        _, _, over, steepness = at_price(price)
        low = jnp.where(over > 0, price, low)
        high = jnp.where(over > 0, high, price)
        bounded = jnp.isfinite(high)
        closed = bounded & (high - low <= 2 * eps * high)
        # Newton inside the bracket; now and then halve it, or widen it where it is open.
        jump = jnp.maximum(price + over / jnp.where(steepness > 0, steepness, 1), 0)
        still = (steepness > 0) & (jnp.abs(jump - price) <= 4 * eps * price)
        done = done | (jnp.abs(over) <= enough) | (high == 0) | closed | still
        usable = (steepness > 0) & (jump < high) & ((jump > low) | ((jump == 0) & (low == 0)))
        usable = usable & (~bounded | (step % 4 < 3))
        half = jnp.where(bounded, (low + jnp.where(bounded, high, 0)) / 2, 8 * price + unit)
        following = jnp.where(usable, jump, half)
        return jnp.where(done, price, following), low, high, done, step + 1

    nothing = jnp.zeros_like(budget)
    first = nothing if guess is None else guess
    start = (first, nothing, nothing + jnp.inf, infeasible, jnp.int32(0))
    price, *_ = jax.lax.while_loop(
        lambda carry: ~jnp.all(carry[3]) & (carry[4] < MAX_STEPS), newton, start
    )
    level, z, _, _ = at_price(price)
    z = jax.lax.fori_loop(
        0,
        POLISHINGS,
        lambda _, z: _polished(z, polytope, price, level),
        z,
    )
    z = jnp.where(infeasible, cheapest, z).astype(point.dtype)
    return Projection(z, price, level - price * margin, infeasible)


def level_of(values: Array, num_selected: int) -> Array:
    """nu with sum clip(values - nu, 0, 1) = N, `[...]`, from all 2K breakpoints."""
    breaks = jnp.concatenate([values - 1, values])
    # A loop over arms: the order of the sum is fixed, and K x 2K terms compile in no time.
    sums, _ = jax.lax.scan(
        lambda sums, value: (sums + jnp.clip(value - breaks, 0, 1), None),
        jnp.zeros_like(breaks),
        values,
    )
    noise = 4 * num_selected * jnp.finfo(values.dtype).eps
    right = reduce_arms(jnp.minimum, jnp.where(sums < num_selected - noise, breaks, jnp.inf))
    left = largest(jnp.where(sums >= num_selected - noise, breaks, -jnp.inf))
    left = jnp.maximum(left, reduce_arms(jnp.minimum, breaks))
    middle = (left + right) / 2
    free = (values > middle) & (values - 1 < middle)
    number = total(free.astype(values.dtype))
    missing = total(jnp.clip(values - middle, 0, 1)) - num_selected
    return jnp.clip(middle + missing / jnp.maximum(number, 1), left, right)


def _polished(z: Array, polytope: Polytope, price: Array, level: Array) -> Array:
    """Shift the fractional entries along (1, c) so that the active constraints hold."""
    costs, num_selected, budget, at_most = polytope
    free = (z > 0) & (z < 1)
    number = total(free.astype(z.dtype))
    short = num_selected - total(z)
    if at_most:
        short = jnp.where((level > 0) | (short < 0), short, 0)
        counted = (level > 0) | (short < 0)
    else:
        counted = jnp.ones(short.shape, bool)
    mean = jnp.where(counted, total(jnp.where(free, costs, 0)) / jnp.maximum(number, 1), 0)
    leaning = jnp.where(free, costs - mean, 0)
    spread = total(leaning**2)
    unspent = budget - total(costs * z)
    unspent = jnp.where((price > 0) | (unspent < 0), unspent, 0)
    wanted = unspent - mean * short
    binding = ((price > 0) | (unspent < 0)) & (spread > 0)
    tilt = jnp.where(binding, wanted / jnp.where(spread > 0, spread, 1), 0)
    return jnp.clip(z + jnp.where(free, short / jnp.maximum(number, 1), 0) + tilt * leaning, 0, 1)
