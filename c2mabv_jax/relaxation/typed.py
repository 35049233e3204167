"""Exact LP with task types: one price of the budget for all types.

Every query has a type g, seen before the decision, with frequency p_g; one budget holds for
the whole stream. With additive rewards (SUC, or N = 1, where all reward models are the same)

    maximise sum_g p_g w_g.z_g
    over     { z_g in [0,1]^K, 1.z_g = N (or <= N), sum_g p_g c_g.z_g <= rho }

At a price every type takes its own top N, whatever the other types do and how frequent they
are. So one set of sets, a set for every type, is a point (cost, value), and the search for the
edge of the upper hull above cost rho is that of `solve_lp`: the chord between a point that
costs too much and one that does not has a slope, the price; the points of all types at this
price lie above the chord, or the chord is the edge.

Arrays are `[G, K, ...]`: types, arms, then whatever batch there is.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.array.arms import arm_index, largest, once, reduce_arms, total
from c2mabv_jax.array.pytree import where
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import words
from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.parametric import MAX_STEPS, UNBOUNDED, solve_lp
from c2mabv_jax.relaxation.topn import top_n

NOISE = 4  # times eps and the size of the terms: what rounding makes of a height of 0
APART = 4  # times that noise: what is farther below the edge than this is certainly not on it


def check_additive(problem: Problem) -> None:
    """Refuse problems in which the rewards of types do not add up.

    Raises:
      ProblemError: AWC or AIC with N > 1.
    """
    if problem.reward_model != "SUC" and problem.num_selected > 1:
        raise ProblemError(
            f"num_selected = {problem.num_selected}: with task types the {problem.reward_model} "
            "rewards of several LLMs have no common scale; give num_selected = 1, or SUC"
        )


def solve_typed_lp(
    weights: Array,
    costs: Array,
    frequencies: ArrayLike,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = False,
    warm: tuple[Array, Array] | None = None,
) -> Solution:
    """Solve max sum_g p_g w_g.z_g over boxes, cardinalities and one budget, exactly.

    Args:
      weights: `[G, K, ...]`, finite; any sign.
      costs: `[G, K, ...]`, finite and >= 0.
      frequencies: p, `[G]` or `[G, ...]`, >= 0; they weigh and need not add up to 1. A type of
        frequency 0 takes its top N at the price of the others.
      num_selected: N (static), 1..K, of every type.
      budget: rho >= 0, scalar or `[...]`.
      at_most: sum z_g <= N instead of = N.
      warm: `edge` of an earlier solution; saves steps and changes no bit.

    Returns:
      A `Solution`: marginals `[G, K, ...]`, of which at most two are fractional, both of one
      type. Of all optima the cheapest; of those that cost the same, arms of lower index first.
      Infeasible problems return the N cheapest arms of every type and say so in the status.

    Example:
      >>> w = jnp.array([[0.9, 0.5], [0.9, 0.8]])
      >>> c = jnp.array([[0.8, 0.2], [0.8, 0.2]])
      >>> solve_typed_lp(w, c, jnp.array([0.5, 0.5]), num_selected=1, budget=0.5).marginals
      Array([[1., 0.],
             [0., 1.]], dtype=float32)
    """
    weights, costs = jnp.asarray(weights), jnp.asarray(costs)
    dtype = jnp.result_type(weights, costs, jnp.float32)
    shape = jnp.broadcast_shapes(weights.shape, costs.shape, (1, 1, *jnp.shape(budget)))
    weights = jnp.broadcast_to(weights.astype(dtype), shape)
    costs = jnp.broadcast_to(costs.astype(dtype), shape)
    budget = jnp.broadcast_to(jnp.asarray(budget, dtype), shape[2:])
    share = jnp.asarray(frequencies, dtype)
    share = jnp.broadcast_to(
        share.reshape(share.shape + (1,) * (len(shape) - 1 - share.ndim)), (shape[0], *shape[2:])
    )
    if shape[0] == 1:
        return _one_type(weights, costs, share, num_selected, budget, at_most, warm)
    typed = _Typed(weights, costs, share, num_selected, budget, at_most)
    nothing = jnp.zeros(shape[2:], bool)
    if warm is None:
        search = typed.search(typed.cold())
    else:
        search = typed.search(typed.start(typed.end(warm[0]), typed.end(warm[1]), nothing))
        settled = typed.unique(search)
        # Only a unique optimum is the same wherever the search began.
        search = jax.lax.cond(
            jnp.all(settled),
            lambda: search,
            lambda: typed.again(search, settled),
        )
    return typed.solution(search)


class End(NamedTuple):
    """One set for every type: words `[G, ...]`, with cost and value of all types `[...]`."""

    chosen: Array
    cost: Array
    value: Array


class _Search(NamedTuple):
    """Both ends, the best point at the last price, its height, and how far the search is."""

    upper: End
    lower: End
    last: End
    price: Array
    gap: Array
    done: Array
    number: Array


class _Typed:
    """The numbers of one problem, and the steps of its search."""

    def __init__(
        self,
        weights: Array,
        costs: Array,
        share: Array,
        num_selected: int,
        budget: Array,
        at_most: bool,
    ) -> None:
        # Arms first, so that what works on arms `[K, ...]` works on all types at once.
        self.weights, self.costs = jnp.swapaxes(weights, 0, 1), jnp.swapaxes(costs, 0, 1)
        self.share, self.budget = share, budget
        self.num_selected, self.at_most = num_selected, at_most
        self.one = jnp.where(budget < 0, 2, 1).astype(weights.dtype)
        self.eps = jnp.finfo(weights.dtype).eps

    def end(self, chosen: Array) -> End:
        """The point of one set for every type."""
        cost, value = (words.total_of(chosen, x) for x in (self.costs, self.weights))
        return self.point(chosen, cost, value)

    def point(self, chosen: Array, cost: Array, value: Array) -> End:
        """The point of sets whose costs and values by type, `[G, ...]`, are known."""
        both = (once(total(self.share * x), self.one) for x in (cost, value))
        return End(chosen, *both)

    def best(self, scores: Array, tie: Array | None = None) -> End:
        """The top N of every type by `scores` `[K, G, ...]`; equal ones by `tie`, then index."""
        if self.num_selected == 1 and len(scores) <= words.LARGEST:
            return self._best_one(scores, tie)
        ties = () if tie is None else (tie,)
        chosen = top_n(scores, self.num_selected, positive=self.at_most, ties=ties)
        return self.end(words.once(words.pack(chosen), self.one))

    def _best_one(self, scores: Array, tie: Array | None) -> End:
        """N = 1: one pass over the arms finds the best, its cost and its value."""
        zero = jnp.zeros(scores.shape[1:], scores.dtype)
        if self.at_most:
            top, then, word, cost, value = zero, zero, zero.astype(jnp.int32), zero, zero
            arms = range(len(scores))
        else:
            top, word = scores[0], jnp.ones(zero.shape, jnp.int32)
            then = zero if tie is None else tie[0]
            cost, value, arms = self.costs[0], self.weights[0], range(1, len(scores))
        for k in arms:
            better = scores[k] > top
            if tie is not None:
                equal = (scores[k] == top) & (word != 0)
                better = better | (equal & (tie[k] > then))
                then = jnp.where(better, tie[k], then)
            top = jnp.where(better, scores[k], top)
            word = jnp.where(better, 1 << k, word)
            cost = jnp.where(better, self.costs[k], cost)
            value = jnp.where(better, self.weights[k], value)
        return self.point(words.once(word, self.one), cost, value)

    def start(self, upper: End, lower: End, done: Array) -> _Search:
        """A search that has not begun, or is done where the ends are one."""
        zero = jnp.zeros_like(self.budget)
        return _Search(upper, lower, lower, zero, zero, done, jnp.int32(0))

    def cold(self) -> _Search:
        """A start that depends on nothing but the problem: at price 0, and without bound.

        Among equals at price 0 the cheapest, among equally cheap ones the best.
        """
        upper = self.best(self.weights, tie=-self.costs)
        if self.at_most:
            free = (self.costs == 0) & (self.weights > 0)
            lower = self.best(jnp.where(free, self.weights, -1))
        else:
            lower = self.best(-self.costs, tie=self.weights)
        slack, none = upper.cost <= self.budget, lower.cost > self.budget
        upper, lower = where(none, lower, upper), where(slack, upper, lower)
        search = self.start(upper, lower, slack | none)
        return search._replace(price=jnp.where(none, UNBOUNDED, search.price))

    def search(self, start: _Search) -> _Search:
        """Move the ends until no point lies above their chord."""

        def step(now: _Search) -> _Search:
            upper, lower = now.upper, now.lower
            no_upper = upper.cost <= self.budget
            no_lower = ~no_upper & (lower.cost > self.budget)
            rise, run = jnp.maximum(upper.value - lower.value, 0), upper.cost - lower.cost
            price = jnp.minimum(rise / jnp.where(run > 0, run, 1), UNBOUNDED)
            price = jnp.where(no_upper, 0, jnp.where(no_lower, UNBOUNDED, price))
            price = once(price, self.one)
            best = self.best(self.weights - price * self.costs)
            above, noise = self.height(best, lower, price)
            dear = best.cost > self.budget
            rises = above > noise
            # Both ends are one where even the best point is affordable, or not the cheapest.
            both = (no_upper & ~dear) | (no_lower & dear)
            new_upper = both | (dear & (no_upper | (rises & ~no_lower)))
            new_lower = both | (~dear & (no_lower | (rises & ~no_upper)))
            ends = both | ~(new_upper | new_lower)
            more = now.number + 1 < MAX_STEPS  # the last step keeps the ends that it has judged
            going = ~now.done
            return _Search(
                upper=where(going & new_upper & (more | both), best, upper),
                lower=where(going & new_lower & (more | both), best, lower),
                last=where(going, best, now.last),
                price=jnp.where(going, price, now.price),
                gap=jnp.where(going, jnp.where(both, 0, above), now.gap),
                done=now.done | ends,
                number=now.number + 1,
            )

        return jax.lax.while_loop(
            lambda now: ~jnp.all(now.done) & (now.number < MAX_STEPS), step, start
        )

    def again(self, search: _Search, settled: Array) -> _Search:
        """The search anew, from the cold ends, where it is not settled."""
        cold = self.cold()
        anew = self.search(cold._replace(done=cold.done | settled))
        return where(settled, search, anew)._replace(number=search.number + anew.number)

    def height(self, best: End, lower: End, price: Array) -> tuple[Array, Array]:
        """Height of a point above the line through `lower`, and what rounding makes of 0."""
        size = jnp.abs(best.value) + jnp.abs(lower.value) + price * (best.cost + lower.cost)
        rise = best.value - lower.value - price * (best.cost - lower.cost)
        return rise, NOISE * self.eps * size

    def unique(self, search: _Search) -> Array:
        """Whether all points but the two ends are clearly below their line, bool `[...]`.

        Then the ends are those of every search, wherever it began. Arms of neither end stay
        below the swapped ones, and arms of both above them, by more than rounding can undo.
        """
        scores = self.weights - search.price * self.costs
        upper, lower = self.masks(search)
        swapped = upper ^ lower
        least_kept = reduce_arms(jnp.minimum, jnp.where(upper & lower, scores, jnp.inf))
        least_swapped = reduce_arms(jnp.minimum, jnp.where(swapped, scores, jnp.inf))
        most_swapped = largest(jnp.where(swapped, scores, -jnp.inf))
        most_left = largest(jnp.where(upper | lower, -jnp.inf, scores))
        between = [least_kept - most_left, least_kept - most_swapped, least_swapped - most_left]
        if self.at_most:  # an empty place is worth 0
            places = _size(lower) < self.num_selected
            between += [least_kept, jnp.where(places, -most_left, least_swapped)]
        _, noise = self.height(search.last, search.lower, search.price)
        least = functools.reduce(jnp.minimum, between)
        clear = jnp.where(self.share > 0, self.share * least > APART * noise, least > 0)
        one_swap = total(_size(swapped)) <= 2
        return search.done & one_swap & reduce_arms(jnp.logical_and, clear)

    def masks(self, search: _Search) -> tuple[Array, Array]:
        """The ends' sets as masks `[K, G, ...]`; of a type that no query has, the last best."""
        last, *ends = (
            words.unpack(end.chosen, len(self.weights))
            for end in (search.last, search.upper, search.lower)
        )
        first, second = (jnp.where(self.share == 0, last, mask) for mask in ends)
        return first, second

    def solution(self, search: _Search) -> Solution:
        """Marginals and certificate of a finished search."""
        # An upper end that costs more and is worth no more has no share in the mixture.
        worse = search.upper.value <= search.lower.value
        search = search._replace(upper=where(worse, search.lower, search.upper))
        in_upper, in_lower = self.neighbours(*self.masks(search), search.done)
        upper, lower = (
            self.end(words.once(words.pack(mask), self.one)) for mask in (in_upper, in_lower)
        )
        run = upper.cost - lower.cost
        part = (self.budget - lower.cost) / jnp.where(run > 0, run, 1)
        part = once(jnp.clip(part, 0, 1), self.one)
        marginals = jnp.where(in_lower, 1 - part, 0)
        marginals = jnp.where(in_upper, jnp.where(in_lower, 1, part), marginals)
        least = jnp.maximum(self.budget, lower.cost)
        infeasible = lower.cost > self.budget + 2 * self.num_selected * self.eps * least
        status = jnp.where(infeasible, INFEASIBLE, jnp.where(search.done, OPTIMAL, NOT_CONVERGED))
        price = (upper.value - lower.value) / jnp.where(run > 0, run, 1)
        certificate = Certificate(
            objective=total(self.share * total(self.weights * marginals)),
            feasibility=self.infeasibility(marginals),
            gap=jnp.maximum(search.gap, 0),
            status=status.astype(jnp.int32),
        )
        return Solution(
            jnp.swapaxes(marginals, 0, 1),
            certificate,
            jnp.maximum(price, 0),
            (upper.chosen, lower.chosen),
        )

    def infeasibility(self, marginals: Array) -> Array:
        """Largest violation of cardinality, budget and box, `[...]`, in their own units."""
        size = total(marginals) - self.num_selected
        size = jnp.maximum(size, 0) if self.at_most else jnp.abs(size)
        spent = total(self.share * total(self.costs * marginals))
        outside = largest(largest(jnp.maximum(-marginals, marginals - 1)))
        over = jnp.maximum(jnp.maximum(spent - self.budget, outside), 0)
        return jnp.maximum(largest(size), over)

    def neighbours(self, upper: Array, lower: Array, tied: Array) -> tuple[Array, Array]:
        """Move two tied ends towards each other until they differ by one swap (or one arm).

        At the final price all arms of a type in which the ends differ score alike, so every
        point on a path of swaps is as good; two neighbours on it enclose the budget. Types in
        their order, arms in theirs.
        """

        def far(ends: tuple[Array, Array]) -> Array:
            up, low = ends
            into, out = _size(up & ~low), _size(low & ~up)
            swaps = jnp.maximum(into, out) if self.at_most else into
            return tied & (total(swaps) > 1)

        def swap(ends: tuple[Array, Array]) -> tuple[Array, Array]:
            up, low = ends
            here = _first(jnp.any(up ^ low, axis=0))
            out, into = (_first(x) & here for x in (low & ~up, up & ~low))
            middle = low & ~out | into
            cost = self.end(words.once(words.pack(middle), self.one)).cost
            go, above = far(ends), cost > self.budget
            return jnp.where(go & above, middle, up), jnp.where(go & ~above, middle, low)

        return jax.lax.while_loop(lambda ends: jnp.any(far(ends)), swap, (upper, lower))


def _size(sets: Array) -> Array:
    """Arms of each type's set `[K, G, ...]`, int32 `[G, ...]`."""
    return total(sets.astype(jnp.int32))


def _first(mask: Array) -> Array:
    """The first true entry along the first axis, alone."""
    index = arm_index(mask)
    return index == jnp.where(mask, index, len(mask)).min(axis=0)


def _one_type(
    weights: Array,
    costs: Array,
    share: Array,
    num_selected: int,
    budget: Array,
    at_most: bool,
    warm: tuple[Array, Array] | None,
) -> Solution:
    """One type is the plain problem, to the bit."""
    if warm is not None:
        first, second = (words.unpack(x, weights.shape[1])[:, 0] for x in warm)
        warm = first, second
    plain = solve_lp(weights[0], costs[0], num_selected, budget / share[0], at_most, warm)
    return plain._replace(
        marginals=plain.marginals[None],
        certificate=plain.certificate._replace(objective=share[0] * plain.certificate.objective),
        multiplier=plain.multiplier / share[0],
        edge=tuple(words.pack(x[:, None]) for x in plain.edge),  # type: ignore[arg-type]
    )
