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
from c2mabv_jax.array.xla import apart, stored
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
    weights, costs, share, budget = _in_shape(weights, costs, frequencies, budget)
    if len(weights) == 1:
        return _one_type(weights, costs, share, num_selected, budget, at_most, warm)
    best = mixture(weights, costs, share, num_selected, budget, at_most, warm)
    marginals = of_ends(best.upper, best.lower, best.part, weights.shape[1])
    edge = best.upper, best.lower
    return Solution(jnp.swapaxes(marginals, 0, 1), best.certificate, best.multiplier, edge)


def mixture(
    weights: Array,
    costs: Array,
    frequencies: ArrayLike,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = False,
    warm: tuple[Array, Array] | None = None,
) -> Mixture:
    """The solution of two types or more in words, for whoever needs the marginals of one type."""
    numbers = _in_shape(weights, costs, frequencies, budget)
    typed = _Typed(*numbers[:3], num_selected, numbers[3], at_most)
    if warm is None:
        return typed.mixture(typed.search(typed.cold()))
    nothing = jnp.zeros(numbers[3].shape, bool)
    search = typed.search(typed.start(typed.end(warm[0]), typed.end(warm[1]), nothing))
    settled = typed.unique(search)
    # Only a unique optimum is the same wherever the search began.
    search = jax.lax.cond(
        jnp.all(settled),
        lambda: search,
        lambda: typed.again(search, settled),
    )
    return typed.mixture(search)


def _in_shape(
    weights: Array, costs: Array, frequencies: ArrayLike, budget: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """Weights and costs `[G, K, ...]`, frequencies `[G, ...]` and budget `[...]` of one type."""
    weights, costs = jnp.asarray(weights), jnp.asarray(costs)
    dtype = jnp.result_type(weights, costs, jnp.float32)
    shape = jnp.broadcast_shapes(weights.shape, costs.shape, (1, 1, *jnp.shape(budget)))
    weights, costs = (jnp.broadcast_to(x.astype(dtype), shape) for x in (weights, costs))
    share = jnp.asarray(frequencies, dtype)
    share = jnp.broadcast_to(
        share.reshape(share.shape + (1,) * (len(shape) - 1 - share.ndim)), (shape[0], *shape[2:])
    )
    return weights, costs, share, jnp.broadcast_to(jnp.asarray(budget, dtype), shape[2:])


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


class Mixture(NamedTuple):
    """The optimum as a mixture of two ends, one swap apart.

    Attributes:
      upper, lower: a set for every type.
      part: of `upper` in the mixture, `[...]`.
      multiplier: price of the budget, `[...]`.
      certificate: of the optimum.
    """

    upper: Array
    lower: Array
    part: Array
    multiplier: Array
    certificate: Certificate


def of_ends(upper: Array, lower: Array, part: Array, num_arms: int) -> Array:
    """Marginals `[K, ...]` of the mixture of two sets `[...]`."""
    in_upper, in_lower = (words.unpack(chosen, num_arms) for chosen in (upper, lower))
    kept = jnp.where(in_upper, 1, 1 - part)
    return jnp.where(in_lower, kept, jnp.where(in_upper, part, 0))


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
        self.weights, self.costs = (stored(jnp.swapaxes(x, 0, 1)) for x in (weights, costs))
        self.share, self.budget = share, budget
        self.num_selected, self.at_most = num_selected, at_most
        self.one = jnp.where(budget < 0, 2, 1).astype(weights.dtype)
        self.eps = jnp.finfo(weights.dtype).eps

    def end(self, chosen: Array) -> End:
        """The point of one set for every type."""
        of_all = lambda chosen, share, x: total(share * words.total_of(chosen, x))  # noqa: E731
        sums = (apart(of_all, chosen, self.share, x) for x in (self.costs, self.weights))
        return End(chosen, *sums)

    def best(self, scores: Array, tie: Array | None = None) -> End:
        """The top N of every type by `scores` `[K, G, ...]`; equal ones by `tie`, then index."""
        if self.num_selected == 1 and len(scores) <= words.LARGEST:
            best = functools.partial(_best_one, at_most=self.at_most)
            return self.end(apart(best, scores, tie) if tie is not None else apart(best, scores))
        ties = () if tie is None else (tie,)
        chosen = top_n(scores, self.num_selected, positive=self.at_most, ties=ties)
        return self.end(words.once(words.pack(chosen), self.one))

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
        _, noise = self.height(search.last, search.lower, search.price)
        ends = self.sets(search)
        scores = stored(self.weights - search.price * self.costs)
        judge = functools.partial(_clear, num_selected=self.num_selected, at_most=self.at_most)
        clear = reduce_arms(jnp.logical_and, apart(judge, *ends, scores, self.share, noise))
        far = _far(*ends, self.at_most)
        return search.done & clear & ~far

    def sets(self, search: _Search) -> tuple[Array, Array]:
        """The ends' sets; of a type that no query has, the last best."""
        first, second = (
            jnp.where(self.share == 0, search.last.chosen, end.chosen)
            for end in (search.upper, search.lower)
        )
        return first, second

    def mixture(self, search: _Search) -> Mixture:
        """The mixture and certificate of a finished search."""
        # An upper end that costs more and is worth no more has no share in the mixture.
        worse = search.upper.value <= search.lower.value
        search = search._replace(upper=where(worse, search.lower, search.upper))
        ends = self.neighbours(*self.sets(search), search.done)
        upper, lower = (self.end(words.once(chosen, self.one)) for chosen in ends)
        run = upper.cost - lower.cost
        part = (self.budget - lower.cost) / jnp.where(run > 0, run, 1)
        part = once(jnp.clip(part, 0, 1), self.one)
        least = jnp.maximum(self.budget, lower.cost)
        infeasible = lower.cost > self.budget + 2 * self.num_selected * self.eps * least
        status = jnp.where(infeasible, INFEASIBLE, jnp.where(search.done, OPTIMAL, NOT_CONVERGED))
        price = (upper.value - lower.value) / jnp.where(run > 0, run, 1)
        certificate = Certificate(
            objective=lower.value + part * (upper.value - lower.value),
            feasibility=self.infeasibility(upper, lower, part),
            gap=jnp.maximum(search.gap, 0),
            status=status.astype(jnp.int32),
        )
        return Mixture(upper.chosen, lower.chosen, part, jnp.maximum(price, 0), certificate)

    def infeasibility(self, upper: End, lower: End, part: Array) -> Array:
        """Largest violation of cardinality and budget, `[...]`, from the sums of both ends.

        The box holds: marginals are 0, 1, the part or what is left of it.
        """
        num_arms = len(self.weights)
        most, least = (words.size(end.chosen, num_arms) for end in (upper, lower))
        size = part * most + (1 - part) * least - self.num_selected
        size = jnp.maximum(size, 0) if self.at_most else jnp.abs(size)
        over = lower.cost + part * (upper.cost - lower.cost) - self.budget
        return jnp.maximum(largest(size), over)

    def neighbours(self, upper: Array, lower: Array, tied: Array) -> tuple[Array, Array]:
        """Move two tied ends towards each other until they differ by one swap (or one arm).

        At the final price all arms of a type in which the ends differ score alike, so every
        point on a path of swaps is as good; two neighbours on it enclose the budget. Types in
        their order, arms in theirs.
        """

        def swap(ends: tuple[Array, Array]) -> tuple[Array, Array]:
            up, low = ends
            differ = words.some(up ^ low)
            index = arm_index(differ)
            here = index == jnp.where(differ, index, len(differ)).min(axis=0)
            out, into = (words.first(x) for x in (low & ~up, up & ~low))
            middle = jnp.where(here, low & ~out | into, low)
            cost = self.end(words.once(middle, self.one)).cost
            go, above = tied & _far(up, low, self.at_most), cost > self.budget
            return jnp.where(go & above, middle, up), jnp.where(go & ~above, middle, low)

        return jax.lax.while_loop(
            lambda ends: jnp.any(tied & _far(*ends, self.at_most)), swap, (upper, lower)
        )


def _best_one(scores: Array, tie: Array | None = None, at_most: bool = False) -> Array:
    """N = 1: one pass over the arms finds the best, as a word."""
    zero = jnp.zeros(scores.shape[1:], scores.dtype)
    if at_most:
        top, then, word, arms = zero, zero, zero.astype(jnp.int32), range(len(scores))
    else:
        top, word = scores[0], jnp.ones(zero.shape, jnp.int32)
        then, arms = zero if tie is None else tie[0], range(1, len(scores))
    for k in arms:
        better = scores[k] > top
        if tie is not None:
            equal = (scores[k] == top) & (word != 0)
            better = better | (equal & (tie[k] > then))
            then = jnp.where(better, tie[k], then)
        top = jnp.where(better, scores[k], top)
        word = jnp.where(better, 1 << k, word)
    return word


def _clear(
    upper: Array,
    lower: Array,
    scores: Array,
    share: Array,
    noise: Array,
    num_selected: int,
    at_most: bool,
) -> Array:
    """Whether all sets of a type but two ends are clearly worse than these, bool `[G, ...]`."""
    least_kept, least_either, most_rest, most_left = words.extremes(upper, lower, scores)
    least = jnp.minimum(least_kept - most_rest, least_either - most_left)
    if at_most:  # an empty place is worth 0
        places = words.size(lower, len(scores)) < num_selected
        least = jnp.minimum(least, least_kept)
        least = jnp.minimum(least, jnp.where(places, -most_left, least_either))
    return jnp.where(share > 0, share * least > APART * noise, least > 0)


def _far(upper: Array, lower: Array, at_most: bool) -> Array:
    """Whether two ends are more than one swap (or one arm) apart, bool `[...]`."""
    into, out = upper & ~lower, lower & ~upper
    several = words.several(into) | words.several(out) if at_most else words.several(into)
    differ = total(words.some(into | out).astype(jnp.int32)) > 1
    return differ | reduce_arms(jnp.logical_or, several)


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
