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

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.topn import top_n
from c2mabv_jax.rewards import largest, total

MAX_STEPS = 64


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

    upper = top_n(weights, num_selected, positive=at_most)
    lower = jnp.zeros(shape, bool) if at_most else top_n(-costs, num_selected)
    cost_upper, cost_lower = sum_over(upper, costs), sum_over(lower, costs)
    # A budget equal to the cheapest set must not fail for the last bit of a sum.
    slack_tolerance = 2 * num_selected * eps * jnp.maximum(budget, cost_lower)
    infeasible = cost_lower > budget + slack_tolerance
    slack = (cost_upper <= budget + slack_tolerance) & ~infeasible
    value_upper, value_lower = sum_over(upper, weights), sum_over(lower, weights)

    if warm is not None:
        warm_upper, warm_lower = warm
        cost_up, value_up = sum_over(warm_upper, costs), sum_over(warm_upper, weights)
        cost_low, value_low = sum_over(warm_lower, costs), sum_over(warm_lower, weights)
        good_low = cost_low <= budget
        good_up = (cost_up > budget) & (value_up > jnp.where(good_low, value_low, value_lower))
        good_low = good_low & (good_up | (value_low <= value_upper))
        upper, cost_upper, value_upper = _choose(
            good_up, (warm_upper, cost_up, value_up), (upper, cost_upper, value_upper)
        )
        lower, cost_lower, value_lower = _choose(
            good_low, (warm_lower, cost_low, value_low), (lower, cost_lower, value_lower)
        )

    def search(carry):
        (upper, cost_up, value_up), (lower, cost_low, value_low), done, _, step = carry
        rise, run = value_up - value_low, cost_up - cost_low
        # Scaling the price by `run` spares the division and cannot overflow.
        best = top_n(run * weights - rise * costs, num_selected, positive=at_most)
        cost_best, value_best = sum_over(best, costs), sum_over(best, weights)
        above = run * (value_best - value_low) - rise * (cost_best - cost_low)
        noise = 4 * eps * (run * (jnp.abs(value_best) + jnp.abs(value_low)) + jnp.abs(rise) * (
            cost_best + cost_low
        ))
        found = (above > noise) & ~done
        new = (best, cost_best, value_best)
        is_upper = cost_best > budget
        end_up = _choose(found & is_upper, new, (upper, cost_up, value_up))
        end_low = _choose(found & ~is_upper, new, (lower, cost_low, value_low))
        gap = jnp.maximum(above, 0) / jnp.where(run > 0, run, 1)
        return end_up, end_low, ~found, gap, step + 1

    def unfinished(carry):
        _, _, done, _, step = carry
        return ~jnp.all(done) & (step < MAX_STEPS)

    done = slack | infeasible
    carry = (
        (upper, cost_upper, value_upper),
        (lower, cost_lower, value_lower),
        done,
        jnp.zeros(shape[1:], dtype),
        jnp.int32(0),
    )
    carry = jax.lax.while_loop(unfinished, search, carry)
    (upper, cost_up, value_up), (lower, cost_low, value_low), converged, gap, _ = carry

    # Ties can leave ends that are several swaps apart; a vertex mixes two neighbours.
    more = lambda a, b: sum_over(a & ~b, jnp.ones(shape, jnp.int32)) > 1  # noqa: E731
    apart = more(upper, lower) | more(lower, upper)
    (upper, cost_up, value_up), (lower, cost_low, value_low) = jax.lax.cond(
        jnp.any(apart & ~done),
        lambda ends: _neighbours(*ends, weights, costs, budget, num_selected),
        lambda ends: ends,
        ((upper, cost_up, value_up), (lower, cost_low, value_low)),
    )
    run = cost_up - cost_low
    weight = jnp.clip((budget - cost_low) / jnp.where(run > 0, run, 1), 0, 1)
    weight = jnp.where(slack, 1, jnp.where(infeasible, 0, weight)).astype(dtype)
    upper = jnp.where(slack, top_n(weights, num_selected, positive=at_most), upper)
    marginals = jnp.where(upper, weight, 0) + jnp.where(lower, 1 - weight, 0)
    marginals = jnp.where(upper & lower, 1, marginals)
    multiplier = jnp.where(done, 0, (value_up - value_low) / jnp.where(run > 0, run, 1))
    certificate = Certificate(
        objective=total(weights * marginals),
        feasibility=infeasibility(marginals, costs, num_selected, budget, at_most),
        gap=jnp.where(done, 0, gap),
        status=jnp.where(
            infeasible, INFEASIBLE, jnp.where(converged, OPTIMAL, NOT_CONVERGED)
        ).astype(jnp.int32),
    )
    return Solution(marginals, certificate, multiplier, (upper, lower))


def infeasibility(
    marginals: Array, costs: Array, num_selected: int, budget: ArrayLike, at_most: bool
) -> Array:
    """Largest violation of cardinality, budget and box, `[...]`, in their own units."""
    size = total(marginals) - num_selected
    size = jnp.maximum(size, 0) if at_most else jnp.abs(size)
    over = jnp.maximum(total(costs * marginals) - budget, 0)
    outside = largest(jnp.maximum(-marginals, marginals - 1))
    return jnp.maximum(jnp.maximum(size, over), jnp.maximum(outside, 0))


def _neighbours(upper, lower, weights, costs, budget, num_selected):
    """Move two tied ends towards each other until they differ by one swap (or one arm).

    At the final price all arms in which the ends differ score alike, so every set on a path
    of swaps from `lower` to `upper` is as good; two neighbours on it enclose the budget.
    """
    arms = jnp.arange(weights.shape[0]).reshape((-1,) + (1,) * (weights.ndim - 1))

    def first(mask):
        return arms == jnp.where(mask, arms, weights.shape[0]).min(axis=0)

    def swap(_, ends):
        (upper, *_), (lower, *_) = ends
        middle = (lower & ~first(lower & ~upper)) | first(upper & ~lower)
        cost = sum_over(middle, costs)
        new = (middle, cost, sum_over(middle, weights))
        above = cost > budget
        return _choose(above, new, ends[0]), _choose(~above, new, ends[1])

    return jax.lax.fori_loop(0, num_selected, swap, (upper, lower))


def _choose(which: Array, new: tuple, old: tuple) -> tuple:
    return tuple(jnp.where(which, a, b) for a, b in zip(new, old, strict=True))
