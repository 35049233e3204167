"""Exact parametric LP: one multiplier for the budget, a top-N selection at each value.

    maximise w.z  over  { z in [0,1]^K, 1.z = N (or <= N), c.z <= rho }

Every set S is a point (c(S), w(S)); the optimum lies where the upper hull of these points
crosses cost rho. The search keeps a set `upper` that costs more than rho and a set `lower`
that does not, takes the slope of the chord between them as the price of budget, and asks
the top-N selection at that price for a set above the chord. When there is none, the chord
is an edge of the hull and the mixture of its ends that costs exactly rho is optimal; the
height of the best set above the chord is a certified duality gap at any earlier stop. Where
an end is on the wrong side of rho, the price that replaces it is 0 or without bound.

A step depends on the two sets alone, so a lane that is done repeats its last step and
nothing else: lanes need no bookkeeping of their own. Sets are packed into words, which
makes a step a few operations on `[...]` instead of many on `[K, ...]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.arms import largest, once, total
from c2mabv_jax.relaxation import words
from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.topn import top_n

MAX_STEPS = 64
UNBOUNDED = 2.0**60  # price at which costs alone matter
KEEP, NEW_UPPER, NEW_LOWER, NEW_BOTH = 0, 1, 2, 3  # what a step does with the ends


def solve_lp(
    weights: Array,
    costs: Array,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = False,
    warm: tuple[Array, Array] | None = None,
) -> Solution:
    """Solve max weights.z over box, cardinality and budget, exactly.

    Args:
      weights: `[K, ...]`, finite; any sign.
      costs: `[K, ...]`, finite and >= 0.
      num_selected: N (static), 1..K.
      budget: rho >= 0, scalar or `[...]`.
      at_most: sum z <= N instead of = N.
      warm: `edge` of an earlier solution of a similar problem, or any two sets of the right
        cardinality; saves steps, and leaves the optimum what it is.

    Returns:
      A `Solution` whose marginals have at most two fractional entries (more only where sets
      tie exactly). Infeasible problems return the N cheapest arms and say so in the status.

    Example:
      >>> w, c = jnp.array([0.9, 0.5, 0.1]), jnp.array([0.8, 0.3, 0.1])
      >>> solve_lp(w, c, num_selected=1, budget=0.5).marginals.round(3)
      Array([0.4, 0.6, 0. ], dtype=float32)
    """
    weights, costs = jnp.asarray(weights), jnp.asarray(costs)
    dtype = jnp.result_type(weights, costs, jnp.float32)
    shape = jnp.broadcast_shapes(weights.shape, costs.shape, jnp.shape(budget))
    weights = jnp.broadcast_to(weights.astype(dtype), shape)
    costs = jnp.broadcast_to(costs.astype(dtype), shape)
    budget = jnp.broadcast_to(jnp.asarray(budget, dtype), shape[1:])
    eps = jnp.finfo(dtype).eps
    one = jnp.where(budget < 0, 2, 1).astype(dtype)
    cost_of = lambda chosen: words.total_of(chosen, costs)  # noqa: E731
    value_of = lambda chosen: words.total_of(chosen, weights)  # noqa: E731

    def step(last: _Search) -> _Search:
        upper, lower = last.upper, last.lower
        upper_cost, lower_cost = cost_of(upper), cost_of(lower)
        no_upper = upper_cost <= budget
        no_lower = ~no_upper & (lower_cost > budget)
        # A lower end that is worth more than the upper one is optimal if its price, 0, is.
        rise, run = jnp.maximum(value_of(upper) - value_of(lower), 0), upper_cost - lower_cost
        price = jnp.minimum(rise / jnp.where(run > 0, run, 1), UNBOUNDED)
        price = once(jnp.where(no_upper, 0, jnp.where(no_lower, UNBOUNDED, price)), one)
        chosen = top_n(weights - price * costs, num_selected, positive=at_most)
        best = words.once(words.pack(chosen), one)

        above, noise = height(best, lower, price)
        dear = cost_of(best) > budget
        what = jnp.where(above > noise, jnp.where(dear, NEW_UPPER, NEW_LOWER), KEEP)
        # Both ends are one where even the best set is affordable, or not even the cheapest.
        what = jnp.where(no_upper, jnp.where(dear, NEW_UPPER, NEW_BOTH), what)
        what = jnp.where(no_lower, jnp.where(dear, NEW_BOTH, NEW_LOWER), what)
        what = once(what.astype(dtype), one)
        more = last.number + 1 < MAX_STEPS  # the last step keeps the ends that it has judged
        return _Search(
            upper=jnp.where(((what == NEW_UPPER) & more) | (what == NEW_BOTH), best, upper),
            lower=jnp.where(((what == NEW_LOWER) & more) | (what == NEW_BOTH), best, lower),
            price=price,
            best=best,
            done=(what == KEEP) | (what == NEW_BOTH),
            number=last.number + 1,
        )

    def height(best: Array, lower: Array, price: Array) -> tuple[Array, Array]:
        """Height of a set above the line through `lower`, and what rounding makes of 0."""
        cost, value, low_cost, low = cost_of(best), value_of(best), cost_of(lower), value_of(lower)
        noise = jnp.abs(value) + jnp.abs(low) + price * (cost + low_cost)
        return value - low - price * (cost - low_cost), 4 * eps * noise

    if warm is None:
        start = jnp.zeros(shape, bool) if at_most else top_n(-costs, num_selected)
        warm = (start, start)
    upper, lower = (words.pack(chosen) for chosen in warm)
    no = jnp.zeros(shape[1:], bool)
    search = _Search(upper, lower, jnp.zeros_like(budget), upper, no, jnp.int32(0))
    search = jax.lax.while_loop(
        lambda last: ~jnp.all(last.done) & (last.number < MAX_STEPS), step, search
    )
    upper, lower = search.upper, search.lower
    gap = height(search.best, lower, search.price)[0]
    # An upper end that costs more and is worth no more has no share in the mixture.
    upper = jnp.where(value_of(upper) <= value_of(lower), lower, upper)
    # Ties can leave ends that are several swaps apart; a vertex mixes two neighbours.
    upper, lower, gap = _neighbours(upper, lower, gap, search.done, cost_of, budget, at_most)
    upper, lower = words.once(upper, one), words.once(lower, one)
    lower_cost = cost_of(lower)
    run = cost_of(upper) - lower_cost
    share = (budget - lower_cost) / jnp.where(run > 0, run, 1)
    share = once(jnp.clip(share, 0, 1), one)
    edge = words.unpack(upper, shape[0]), words.unpack(lower, shape[0])
    marginals = jnp.where(edge[1], 1 - share, 0)
    marginals = jnp.where(edge[0], jnp.where(edge[1], 1, share), marginals)
    price = (value_of(upper) - value_of(lower)) / jnp.where(run > 0, run, 1)
    # A budget equal to the cost of the cheapest set must not fail for the last bits of a sum.
    infeasible = lower_cost > budget + 2 * num_selected * eps * jnp.maximum(budget, lower_cost)
    status = jnp.where(infeasible, INFEASIBLE, jnp.where(search.done, OPTIMAL, NOT_CONVERGED))
    certificate = Certificate(
        objective=total(weights * marginals),
        feasibility=infeasibility(marginals, costs, num_selected, budget, at_most),
        gap=jnp.maximum(gap, 0),
        status=status.astype(jnp.int32),
    )
    return Solution(marginals, certificate, jnp.maximum(price, 0), edge)


def infeasibility(
    marginals: Array, costs: Array, num_selected: int, budget: ArrayLike, at_most: bool
) -> Array:
    """Largest violation of cardinality, budget and box, `[...]`, in their own units."""
    size = total(marginals) - num_selected
    size = jnp.maximum(size, 0) if at_most else jnp.abs(size)
    over = jnp.maximum(total(costs * marginals) - budget, 0)
    outside = largest(jnp.maximum(-marginals, marginals - 1))
    return jnp.maximum(jnp.maximum(size, over), jnp.maximum(outside, 0))


class _Search(NamedTuple):
    """Both ends, the price of the last step and the set that is best at it."""

    upper: Array
    lower: Array
    price: Array
    best: Array
    done: Array
    number: Array


def _neighbours(
    upper: Array,
    lower: Array,
    gap: Array,
    tied: Array,
    cost_of: Callable[[Array], Array],
    budget: Array,
    at_most: bool,
) -> tuple[Array, Array, Array]:
    """Move two tied ends towards each other until they differ by one swap (or one arm).

    The gap goes along: what crosses a loop is computed once, where the compiler would otherwise
    compute it anew, and slowly, for every solution that it might choose from.

    At the final price all arms in which the ends differ score alike, so every set on a path
    of swaps from `lower` to `upper` is as good; two neighbours on it enclose the budget.
    """

    def apart(upper: Array, lower: Array) -> Array:
        more = words.several(upper & ~lower)
        return tied & (more | words.several(lower & ~upper) if at_most else more)

    def swap(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        upper, lower, gap = carry
        leaves, enters = words.first(lower & ~upper), words.first(upper & ~lower)
        middle = lower & ~leaves | enters
        far, above = apart(upper, lower), cost_of(middle) > budget
        upper, lower = (
            jnp.where(far & above, middle, upper),
            jnp.where(far & ~above, middle, lower),
        )
        return upper, lower, jnp.maximum(gap, 0)

    return jax.lax.while_loop(lambda carry: jnp.any(apart(*carry[:2])), swap, (upper, lower, gap))
