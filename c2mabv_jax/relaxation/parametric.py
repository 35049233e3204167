"""Exact parametric LP: one multiplier for the budget, a top-N selection at each value.

    maximise w.z  over  { z in [0,1]^K, 1.z = N (or <= N), c.z <= rho }

Every set S is a point (c(S), w(S)); the optimum lies where the upper hull of these points
crosses cost rho. The search keeps a set `upper` that costs more than rho and a set `lower`
that does not, takes the slope of the chord between them as the price of budget, and asks
the top-N selection at that price for a set above the chord. When there is none, the chord
is an edge of the hull and the mixture of its ends that costs exactly rho is optimal; the
height of the best set above the chord is a certified duality gap at any earlier stop.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.arms import arm_index, largest, once, total
from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.topn import top_n

MAX_STEPS = 64
NEITHER, UPPER, LOWER = 0, 1, 2  # which end a step replaces


def sum_over(selected: Array, values: Array) -> Array:
    """sum of values over a set, `[...]`."""
    return total(jnp.where(selected, values, 0))


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

    def end(selected: Array) -> End:
        cost, value = sum_over(selected, costs), sum_over(selected, weights)
        return End(selected, once(cost, one), once(value, one))

    def cold() -> tuple[End, End, Array, Array]:
        """Ends that enclose every price: the N best and the N cheapest."""
        upper = end(top_n(weights, num_selected, positive=at_most))
        lower = end(jnp.zeros(shape, bool) if at_most else top_n(-costs, num_selected))
        # A budget equal to the cheapest set must not fail for the last bit of a sum.
        tolerance = 2 * num_selected * eps * jnp.maximum(budget, lower.cost)
        infeasible = lower.cost > budget + tolerance
        slack = (upper.cost <= budget + tolerance) & ~infeasible
        return _where(infeasible, lower, upper), _where(slack, upper, lower), infeasible, slack

    if warm is None:
        upper, lower, infeasible, slack = cold()
        done = slack | infeasible
    else:
        warm_upper, warm_lower = end(warm[0]), end(warm[1])
        good = (warm_upper.cost > budget) & (warm_lower.cost <= budget)
        good = good & (warm_upper.value > warm_lower.value)

        def some_cold() -> tuple[End, End, Array, Array]:
            upper, lower, infeasible, slack = cold()
            upper, lower = _where(good, warm_upper, upper), _where(good, warm_lower, lower)
            return upper, lower, infeasible & ~good, (slack | infeasible) & ~good

        no = jnp.zeros(shape[1:], bool)
        upper, lower, infeasible, done = jax.lax.cond(
            jnp.all(good), lambda: (warm_upper, warm_lower, no, no), some_cold
        )

    def search(carry: _Search) -> _Search:
        upper, lower, done, gap, step = carry
        # A lower end that is worth more than the upper one is optimal if its price, 0, is.
        rise, run = jnp.maximum(upper.value - lower.value, 0), upper.cost - lower.cost
        # Scaling the price by `run` spares the division and cannot overflow.
        best = end(top_n(run * weights - rise * costs, num_selected, positive=at_most))
        above = run * (best.value - lower.value) - rise * (best.cost - lower.cost)
        noise = run * (jnp.abs(best.value) + jnp.abs(lower.value))
        noise = 4 * eps * (noise + rise * (best.cost + lower.cost))
        found = (above > noise) & ~done
        side = jnp.where(found, jnp.where(best.cost > budget, UPPER, LOWER), NEITHER)
        side = once(side.astype(dtype), one)
        return _Search(
            upper=_where(side == UPPER, best, upper),
            lower=_where(side == LOWER, best, lower),
            done=side == NEITHER,
            gap=jnp.where(done, gap, jnp.maximum(above, 0) / jnp.where(run > 0, run, 1)),
            step=step + 1,
        )

    def unfinished(carry: _Search) -> Array:
        return ~jnp.all(carry.done) & (carry.step < MAX_STEPS)

    carry = _Search(upper, lower, done, jnp.zeros(shape[1:], dtype), jnp.int32(0))
    upper, lower, converged, gap, _ = jax.lax.while_loop(unfinished, search, carry)

    # An upper end that costs more and is worth less has no share in the mixture.
    upper = _where(upper.value < lower.value, lower, upper)
    # Ties can leave ends that are several swaps apart; a vertex mixes two neighbours.
    upper, lower = _neighbours(upper, lower, weights, costs, budget, at_most)
    run = upper.cost - lower.cost
    share = (budget - lower.cost) / jnp.where(run > 0, run, 1)
    share = once(jnp.clip(share, 0, 1), one)
    marginals = jnp.where(lower.selected, 1 - share, 0)
    marginals = jnp.where(upper.selected, jnp.where(lower.selected, 1, share), marginals)
    price = (upper.value - lower.value) / jnp.where(run > 0, run, 1)
    certificate = Certificate(
        objective=total(weights * marginals),
        feasibility=infeasibility(marginals, costs, num_selected, budget, at_most),
        gap=gap,
        status=jnp.where(
            infeasible, INFEASIBLE, jnp.where(converged, OPTIMAL, NOT_CONVERGED)
        ).astype(jnp.int32),
    )
    multiplier = jnp.where(done, 0, jnp.maximum(price, 0))
    return Solution(marginals, certificate, multiplier, (upper.selected, lower.selected))


def infeasibility(
    marginals: Array, costs: Array, num_selected: int, budget: ArrayLike, at_most: bool
) -> Array:
    """Largest violation of cardinality, budget and box, `[...]`, in their own units."""
    size = total(marginals) - num_selected
    size = jnp.maximum(size, 0) if at_most else jnp.abs(size)
    over = jnp.maximum(total(costs * marginals) - budget, 0)
    outside = largest(jnp.maximum(-marginals, marginals - 1))
    return jnp.maximum(jnp.maximum(size, over), jnp.maximum(outside, 0))


class End(NamedTuple):
    """A set `[K, ...]` with its cost and its value `[...]`."""

    selected: Array
    cost: Array
    value: Array


class _Search(NamedTuple):
    upper: End
    lower: End
    done: Array
    gap: Array
    step: Array


def _neighbours(
    upper: End, lower: End, weights: Array, costs: Array, budget: Array, at_most: bool
) -> tuple[End, End]:
    """Move two tied ends towards each other until they differ by one swap (or one arm).

    At the final price all arms in which the ends differ score alike, so every set on a path
    of swaps from `lower` to `upper` is as good; two neighbours on it enclose the budget.
    """
    arms = arm_index(weights)

    def first(mask: Array) -> Array:
        return arms == jnp.where(mask, arms, weights.shape[0]).min(axis=0)

    def apart(upper: End, lower: End) -> Array:
        enter, leave = upper.selected & ~lower.selected, lower.selected & ~upper.selected
        more = _more_than_one(enter)
        return more | _more_than_one(leave) if at_most else more

    def swap(carry: tuple[End, End, Array]) -> tuple[End, End, Array]:
        upper, lower, far = carry
        leaves = first(lower.selected & ~upper.selected)
        enters = first(upper.selected & ~lower.selected)
        middle = (lower.selected & ~leaves) | enters
        new = End(middle, sum_over(middle, costs), sum_over(middle, weights))
        above = new.cost > budget
        upper, lower = _where(far & above, new, upper), _where(far & ~above, new, lower)
        return upper, lower, apart(upper, lower)

    carry = (upper, lower, apart(upper, lower))
    upper, lower, _ = jax.lax.while_loop(lambda carry: jnp.any(carry[2]), swap, carry)
    return upper, lower


def _more_than_one(mask: Array) -> Array:
    return total(mask.astype(jnp.int32)) > 1


def _where(which: Array, new: End, old: End) -> End:
    return End(*(jnp.where(which, a, b) for a, b in zip(new, old, strict=True)))
