"""Exact parametric LP: one multiplier for the budget, a top-N selection at each value.

    maximise w.z  over  { z in [0,1]^K, 1.z = N (or <= N), c.z <= rho }

Every set S is a point (c(S), w(S)); the optimum lies where the upper hull of these points
crosses cost rho. The search keeps a set `upper` that costs more than rho and a set `lower`
that does not, takes the slope of the chord between them as the price of budget, and asks
the top-N selection at that price for a set above the chord. When there is none, the chord
is an edge of the hull and the mixture of its ends that costs exactly rho is optimal; the
height of the best set above the chord is a certified duality gap at any earlier stop. Where
an end is on the wrong side of rho, the price that replaces it is 0 or without bound.

Where arms tie at the final price, several edges are optimal, and which one a search finds depends
on where it started. The canonical one is a function of weights, costs and budget alone: of all
optimal solutions the cheapest, of equally dear arms the lower index. (Beyond `words.LARGEST`
arms it would cost more than the search; there the warm start still chooses among ties.)

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

from c2mabv_jax.array.arms import once, reduce_arms, total
from c2mabv_jax.array.pytree import where
from c2mabv_jax.relaxation import words
from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.polytope import in_polytope
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
      costs: `[K, ...]`, finite and >= 0. Batch axes of weights, costs and budget broadcast.
      num_selected: N (static), 1..K.
      budget: rho >= 0, scalar or `[...]`.
      at_most: sum z <= N instead of = N.
      warm: `edge` of an earlier solution of a similar problem, or any two sets of the right
        cardinality; saves steps and changes no bit.

    Returns:
      A `Solution` whose marginals have at most two fractional entries. Infeasible problems
      return the N cheapest arms and say so in the status. Of several optimal solutions it is
      the cheapest; of arms that tie in both, those of lower index. What differs by less than
      rounding counts as a tie.

    Example:
      >>> w, c = jnp.array([0.9, 0.5, 0.1]), jnp.array([0.8, 0.3, 0.1])
      >>> solve_lp(w, c, num_selected=1, budget=0.5).marginals.round(3)
      Array([0.4, 0.6, 0. ], dtype=float32)
    """
    weights, polytope = in_polytope(weights, costs, num_selected, budget, at_most)
    costs, _, budget, _ = polytope
    dtype, shape = weights.dtype, weights.shape
    eps = jnp.finfo(dtype).eps
    one = jnp.where(budget < 0, 2, 1).astype(dtype)
    cost_of = lambda chosen: words.total_of(chosen, costs)  # noqa: E731

    def end(chosen: Array) -> End:
        cost, value = cost_of(chosen), words.total_of(chosen, weights)
        return End(chosen, once(cost, one), once(value, one))

    def step(last: _Search) -> _Search:
        upper, lower = last.upper, last.lower
        no_upper = upper.cost <= budget
        no_lower = ~no_upper & (lower.cost > budget)
        # A lower end that is worth more than the upper one is optimal if its price, 0, is.
        rise, run = jnp.maximum(upper.value - lower.value, 0), upper.cost - lower.cost
        price = jnp.minimum(rise / jnp.where(run > 0, run, 1), UNBOUNDED)
        price = once(jnp.where(no_upper, 0, jnp.where(no_lower, UNBOUNDED, price)), one)
        chosen = top_n(weights - price * costs, num_selected, positive=at_most)
        best = end(words.once(words.pack(chosen), one))
        height, noise = above(best, lower, price)
        dear = best.cost > budget
        what = jnp.where(height > noise, jnp.where(dear, NEW_UPPER, NEW_LOWER), KEEP)
        # Both ends are one where even the best set is affordable, or not even the cheapest.
        what = jnp.where(no_upper, jnp.where(dear, NEW_UPPER, NEW_BOTH), what)
        what = jnp.where(no_lower, jnp.where(dear, NEW_BOTH, NEW_LOWER), what)
        what = once(what.astype(dtype), one)
        more = last.number + 1 < MAX_STEPS  # the last step keeps the ends that it has judged
        return _Search(
            upper=where(((what == NEW_UPPER) & more) | (what == NEW_BOTH), best, upper),
            lower=where(((what == NEW_LOWER) & more) | (what == NEW_BOTH), best, lower),
            price=price,
            gap=jnp.where(what == NEW_BOTH, 0, height),
            done=(what == KEEP) | (what == NEW_BOTH),
            number=last.number + 1,
        )

    def above(best: End, lower: End, price: Array) -> tuple[Array, Array]:
        """Height of a set above the line through `lower`, and what rounding makes of 0."""
        noise = jnp.abs(best.value) + jnp.abs(lower.value) + price * (best.cost + lower.cost)
        return best.value - lower.value - price * (best.cost - lower.cost), 4 * eps * noise

    def canonical() -> tuple[Array, Array]:
        """The canonical edge at the price of the search, where it is done."""
        upper, lower = _tied_ends(scores, costs, noise, num_selected, at_most)
        # At price 0, and where nothing is affordable, the cheapest is all there is.
        single = (search.price <= 0) | (search.price >= UNBOUNDED)
        upper = jnp.where(single, lower, upper)
        upper = jnp.where(search.done, upper, search.upper.chosen)
        lower = jnp.where(search.done, lower, search.lower.chosen)
        # Ties can leave ends that are several swaps apart; a vertex mixes two neighbours.
        return _neighbours(upper, lower, search.done, cost_of, budget, at_most)

    if warm is None:
        start = jnp.zeros(shape, bool) if at_most else polytope.cheapest()
        warm = (start, start)
    upper, lower = (end(words.pack(jnp.broadcast_to(chosen, shape))) for chosen in warm)
    no = jnp.zeros(shape[1:], bool)
    nothing = jnp.zeros_like(budget)
    search = _Search(upper, lower, nothing, nothing, no, jnp.int32(0))
    search = jax.lax.while_loop(
        lambda last: ~jnp.all(last.done) & (last.number < MAX_STEPS), step, search
    )
    upper, lower = search.upper, search.lower
    scores = weights - search.price * costs
    # What ties, and what is clear of ties, is told by one width: whether a lane needs the
    # canonical edge may not depend on the lanes beside it.
    noise = 2 * above(upper, lower, search.price)[1]
    if shape[0] <= words.LARGEST:
        only = _only_edge(upper.chosen, lower.chosen, scores, noise, num_selected, at_most)
        sets = jax.lax.cond(
            jnp.all(only), lambda: (search.upper.chosen, search.lower.chosen), canonical
        )
    else:
        upper = where(upper.value <= lower.value, lower, upper)
        sets = _neighbours(upper.chosen, lower.chosen, search.done, cost_of, budget, at_most)
    upper, lower = (end(words.once(chosen, one)) for chosen in sets)
    # An upper end that costs more and is worth no more has no share in the mixture.
    upper = where(upper.value <= lower.value, lower, upper)
    run = upper.cost - lower.cost
    share = (budget - lower.cost) / jnp.where(run > 0, run, 1)
    share = once(jnp.clip(share, 0, 1), one)
    edge = words.unpack(upper.chosen, shape[0]), words.unpack(lower.chosen, shape[0])
    marginals = jnp.where(edge[1], 1 - share, 0)
    marginals = jnp.where(edge[0], jnp.where(edge[1], 1, share), marginals)
    price = (upper.value - lower.value) / jnp.where(run > 0, run, 1)
    # A budget equal to the cost of the cheapest set must not fail for the last bits of a sum.
    infeasible = lower.cost > budget + 2 * num_selected * eps * jnp.maximum(budget, lower.cost)
    status = jnp.where(infeasible, INFEASIBLE, jnp.where(search.done, OPTIMAL, NOT_CONVERGED))
    certificate = Certificate(
        objective=total(weights * marginals),
        feasibility=polytope.infeasibility(marginals),
        gap=jnp.maximum(search.gap, 0),
        status=status.astype(jnp.int32),
    )
    return Solution(marginals, certificate, jnp.maximum(price, 0), edge)


class End(NamedTuple):
    """A set, in a word or as a mask, with its cost and its value `[...]`."""

    chosen: Array
    cost: Array
    value: Array


class _Search(NamedTuple):
    """How far the search is.

    Attributes:
      upper, lower: the ends.
      price: of their chord.
      gap: height of the best set above it.
      done: whether there is none above it.
      number: steps made.
    """

    upper: End
    lower: End
    price: Array
    gap: Array
    done: Array
    number: Array


def _only_edge(
    upper: Array, lower: Array, scores: Array, noise: Array, num_selected: int, at_most: bool
) -> Array:
    """Whether two sets are neighbours and all other sets score less, by more than noise."""
    least_both, least_either, most_rest, most_neither = words.extremes(upper, lower, scores)
    clear = (least_both > most_rest + noise) & (least_either > most_neither + noise)
    apart = words.several(upper & ~lower) | words.several(lower & ~upper)
    certain = clear & ~apart
    if at_most:
        full = words.size(lower, len(scores)) == num_selected
        swap = words.several(upper ^ lower)
        filled = full & (least_either > noise)
        certain &= (least_both > noise) & (filled | (~swap & (most_neither < -noise)))
    return certain


def _tied_ends(
    scores: Array, costs: Array, noise: Array, num_selected: int, at_most: bool
) -> tuple[Array, Array]:
    """Of the best sets at a price the dearest and the cheapest, as words; ties by lower index."""
    best = top_n(scores, num_selected)
    threshold = reduce_arms(jnp.minimum, jnp.where(best, scores, jnp.inf))
    fills = threshold > noise if at_most else jnp.ones(noise.shape, bool)
    threshold = jnp.where(fills, threshold, 0)
    surely, maybe = scores > threshold + noise, jnp.abs(scores - threshold) <= noise
    ranked = lambda key: top_n(  # noqa: E731
        jnp.where(surely, jnp.inf, jnp.where(maybe, key, -jnp.inf)), num_selected
    )
    lower, upper = ranked(-costs), ranked(costs)
    if at_most:  # without them, arms that are worth nothing need not be there
        lower, upper = jnp.where(fills, lower, surely), upper & (surely | maybe)
    return words.pack(upper), words.pack(lower)


def _neighbours(
    upper: Array,
    lower: Array,
    tied: Array,
    cost_of: Callable[[Array], Array],
    budget: Array,
    at_most: bool,
) -> tuple[Array, Array]:
    """Move two tied ends towards each other until they differ by one swap (or one arm).

    At the final price all arms in which the ends differ score alike, so every set on a path
    of swaps from `lower` to `upper` is as good; two neighbours on it enclose the budget.
    """

    def apart(ends: tuple[Array, Array]) -> Array:
        upper, lower = ends
        more = words.several(upper & ~lower)
        return tied & (more | words.several(lower & ~upper) if at_most else more)

    def swap(ends: tuple[Array, Array]) -> tuple[Array, Array]:
        upper, lower = ends
        # Of equal arms the lower index stays longer, and comes sooner.
        leaves, enters = words.last(lower & ~upper), words.first(upper & ~lower)
        middle = lower & ~leaves | enters
        far, above = apart(ends), cost_of(middle) > budget
        return jnp.where(far & above, middle, upper), jnp.where(far & ~above, middle, lower)

    return jax.lax.while_loop(lambda ends: jnp.any(apart(ends)), swap, (upper, lower))
