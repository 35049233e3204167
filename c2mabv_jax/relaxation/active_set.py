"""The two multipliers of a long step: where the projection of a far point ends, exactly.

    z + t u,  projected onto  { z in [0,1]^K, 1.z = N (or <= N), c.z <= rho },  as t grows

ends, after a finite t, at a vertex that maximises u.z (Mangasarian and Meyer 1979 call it the
finite termination of large steps on a linear objective). At such a vertex the projection
formula z = clip(z + t (u - nu - lambda c), 0, 1) puts every arm at 0 or 1 by the sign of its
reduced update u_k - nu - lambda c_k, except for two coordinates, whose reduced update is zero:
they fix the two multipliers, and are themselves fixed by the two constraints. So the search
is over pairs: solve for the multipliers, read off the signs, solve for the pair; where one of
the pair leaves [0, 1] it goes to that bound and the first arm whose reduced update changes
sign takes its place (Newton's method on the piecewise linear dual of the projection, which
is the dual simplex method with two rows). Every step is O(K). Unused budget and, with at
most N arms, unused places are coordinates like the arms, without an upper bound.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array.arms import largest, once, reduce_arms, total
from c2mabv_jax.array.pytree import where
from c2mabv_jax.relaxation.polytope import Polytope


class Vertex(NamedTuple):
    """A vertex of the feasible set and the multipliers that hold it.

    Attributes:
      marginals: z, `[K, ...]`.
      price: lambda, multiplier of the budget, `[...]`, >= 0.
      level: nu, multiplier of the cardinality, `[...]`.
      edge: the two sets whose mixture z is, bool `[K, ...]`.
      converged: whether the search ended in time, bool `[...]`.
      infeasible: whether no price makes any set affordable, bool `[...]`.
    """

    marginals: Array
    price: Array
    level: Array
    edge: tuple[Array, Array]
    converged: Array
    infeasible: Array


class Column(NamedTuple):
    """One coordinate of the pair: its row, and what one unit of it adds, each `[...]`."""

    row: Array
    size: Array
    cost: Array
    update: Array


class _Search(NamedTuple):
    first: Column  # always of size 1
    second: Column
    high: Array
    done: Array
    infeasible: Array
    price: Array
    level: Array
    places: Array
    share: Array  # of `second`
    step: Array


def end_of_long_step(
    update: Array, polytope: Polytope, warm: tuple[Array, Array], max_steps: int
) -> Vertex:
    """The vertex at which z + t `update` ends up for large t.

    Args:
      update: u, `[K, ...]`.
      polytope: the feasible set, of the same shape and dtype.
      warm: two sets, bool `[K, ...]`; from the `edge` of a similar problem few steps are left.
      max_steps: pairs tried at most.

    Returns:
      The `Vertex`; its marginals mean nothing where `converged` is false or `infeasible` true.
    """
    costs, num_selected, budget, at_most = polytope
    num_arms, dtype = update.shape[0], update.dtype
    eps = jnp.finfo(dtype).eps
    slack, idle = num_arms, num_arms + 1  # indices of unused budget and unused places
    dear = largest(costs)
    unit = jnp.where(dear > 0, dear, 1)  # unused budget is measured in the dearest arm
    scale = largest(jnp.abs(update))
    budget_noise = 8 * eps * jnp.minimum(budget, num_selected * dear)

    zero = jnp.zeros_like(unit)
    one = jnp.where(budget < 0, 2, 1).astype(dtype)  # see `once`
    extra = [(zero, unit, zero)] + ([(zero + 1, zero, zero)] if at_most else [])
    sizes, all_costs, updates = (
        jnp.concatenate([arms, jnp.stack(others)])
        for arms, others in zip(
            (jnp.ones_like(costs), costs, update), zip(*extra, strict=True), strict=True
        )
    )
    rows = jnp.arange(len(updates), dtype=dtype).reshape((-1,) + (1,) * zero.ndim)
    real = rows < num_arms

    def column(index: Array) -> Column:
        here = rows == index
        pick = lambda values: total(jnp.where(here, values, 0))  # noqa: E731
        return Column(
            index, jnp.where(index == slack, 0, 1).astype(dtype), pick(all_costs), pick(updates)
        )

    def first_row(mask: Array) -> Array:
        # A float, like every row number: `once` is for floats.
        return once(reduce_arms(jnp.minimum, jnp.where(mask, rows[: len(mask)], len(updates))), one)

    def start() -> tuple[Column, Column]:
        upper, lower = warm
        up, down = upper & ~lower, lower & ~upper
        count = lambda mask: total(mask.astype(jnp.int32))  # noqa: E731
        full = count(lower) == num_selected
        least = jnp.where(lower, update, jnp.inf)
        last = first_row(least == reduce_arms(jnp.minimum, least))
        swap = (count(up) == 1) & (count(down) == 1)
        if at_most:
            place = (count(up) == 1) & (count(down) == 0)
            nothing = (jnp.full_like(last, idle), jnp.full_like(last, slack))
            one = jnp.where(swap | place, first_row(up), jnp.where(full, last, idle))
            two = jnp.where(swap, first_row(down), jnp.where(place, idle, slack))
        else:
            nothing = (last, jnp.full_like(last, slack))
            one = jnp.where(swap, first_row(up), last)
            two = jnp.where(swap, first_row(down), slack)
        first, second = column(one), column(two)
        det, price, level = multipliers(first, second)
        # Both multipliers of an inequality must start on the right side of zero.
        bad = (det == 0) | ~(price >= 0)
        if at_most:
            bad = bad | ~(level >= 0)
        return column(jnp.where(bad, nothing[0], one)), column(jnp.where(bad, nothing[1], two))

    def multipliers(first: Column, second: Column) -> tuple[Array, Array, Array]:
        det = second.cost - second.size * first.cost
        price = (second.update - second.size * first.update) / jnp.where(det == 0, 1, det)
        return det, price, once(first.update - price * first.cost, one)

    def body(search: _Search) -> _Search:
        first, second = search.first, search.second
        det, price, level = multipliers(first, second)
        reduced = updates - sizes * level - price * all_costs
        noise = 4 * eps * (scale + jnp.abs(level) + jnp.abs(price) * dear)
        paired = (rows == first.row) | (rows == second.row)
        # Ties keep the bound they are at, so that equal arms do not change places for ever.
        high = (reduced > noise) | (_padded(search.high, rows) & (reduced >= -noise))
        high = high & real & ~paired

        places = once(num_selected - total(high.astype(dtype)), one)
        money = budget - total(jnp.where(high, all_costs, 0))
        share_2 = (money - first.cost * places) / det
        share_1 = places - second.size * share_2
        beyond_1 = jnp.where(first.row < num_arms, share_1 - 1, -jnp.inf)
        beyond_2 = jnp.where(second.row < num_arms, share_2 - 1, -jnp.inf)
        # How far outside [0, 1], as money: rounding errors of the budget are what is forgiven.
        wrong_1 = jnp.maximum(beyond_1, -share_1) * jnp.abs(det)
        wrong_2 = jnp.maximum(beyond_2, -share_2) * jnp.abs(det)
        fits = jnp.maximum(wrong_1, wrong_2) <= budget_noise

        fits = once(fits, one)
        second_leaves = once(wrong_2 > wrong_1, one)
        leaving = where(second_leaves, second, first)
        staying = where(second_leaves, first, second)
        to_one = once(jnp.where(second_leaves, beyond_2, beyond_1) > 0, one)
        turn = leaving.size * staying.cost - leaving.cost * staying.size
        rate = sizes * staying.cost - all_costs * staying.size
        rate = jnp.where((turn > 0) == to_one, rate, -rate)
        approach = jnp.where(high, -rate, rate)
        distance = jnp.maximum(jnp.where(high, reduced, -reduced), 0)
        can_enter = ~paired & (approach > 2 * eps * unit)
        when = jnp.where(can_enter, distance / jnp.where(can_enter, approach, 1), jnp.inf)
        soonest = once(reduce_arms(jnp.minimum, when), one)
        stuck = jnp.isinf(soonest)
        entering = column(first_row(when == soonest))

        move = ~search.done & ~fits & ~stuck
        swapped = staying.size == 0
        new_first = where(swapped, entering, staying)
        new_second = where(swapped, staying, entering)
        moved = jnp.where(rows == leaving.row, to_one, high) & (rows != entering.row)
        return _Search(
            first=where(move, new_first, first),
            second=where(move, new_second, second),
            high=jnp.where(move, moved, high)[:num_arms],
            done=search.done | fits | stuck,
            infeasible=search.infeasible | (~search.done & ~fits & stuck),
            price=price,
            level=level,
            places=places,
            share=share_2,
            step=search.step + 1,
        )

    no = jnp.zeros(zero.shape, bool)
    search = _Search(*start(), warm[1], no, no, zero, zero, zero, zero, jnp.int32(0))
    search = jax.lax.while_loop(lambda s: ~jnp.all(s.done) & (s.step < max_steps), body, search)

    first, second = search.first, search.second
    share_2 = jnp.clip(search.share, 0, jnp.where(second.row < num_arms, 1, jnp.inf))
    share_1 = jnp.maximum(search.places - second.size * share_2, 0)
    share_1 = jnp.minimum(share_1, jnp.where(first.row < num_arms, 1, jnp.inf))
    marginals = jnp.where(search.high, 1, 0).astype(dtype)
    upper = lower = search.high
    arms = rows[:num_arms]
    for own, share, other in ((first, share_1, second), (second, share_2, first)):
        here = arms == own.row
        marginals = jnp.where(here, share, marginals)
        mixed = (other.row != slack) & ((search.places == 1) | (other.row == idle))
        whole = share > 0.5
        upper = jnp.where(here, jnp.where(mixed, own.cost > other.cost, whole), upper)
        lower = jnp.where(here, jnp.where(mixed, own.cost < other.cost, whole), lower)
    level = jnp.maximum(search.level, 0) if at_most else search.level
    return Vertex(
        marginals,
        jnp.maximum(search.price, 0),
        level,
        (upper, lower),
        search.done & ~search.infeasible,
        search.infeasible,
    )


def _padded(mask: Array, rows: Array) -> Array:
    extra = jnp.zeros((len(rows) - len(mask), *mask.shape[1:]), bool)
    return jnp.concatenate([mask, extra])
