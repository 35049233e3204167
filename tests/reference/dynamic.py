"""The exact law of C2MAB-V on tiny instances: a programme over counts and success counts.

A state holds, for every arm, how often its reward was seen and was 1, and how often its cost
was billed and was 1. Rewards and costs are Bernoulli or constant (then the count says
it all). The probability of every state after every round is computed in float64.
"""

import collections
import itertools
import math
from typing import NamedTuple

import numpy as np

from reference.lp import solve, subsets

NEAR = 1e-5  # sets closer than this in (reduced) value might be ordered otherwise in float32


class State(NamedTuple):
    """Counts of every arm, each a tuple of K."""

    seen: tuple
    successes: tuple
    billed: tuple
    paid: tuple


class Exact(NamedTuple):
    """Expectations after T rounds.

    Attributes:
      regret: T OPT - E sum_t r(S_t; mu).
      violation: E max(0, mean cost - budget).
      cost: E mean cost.
      mixed: expected share of rounds in which a coin was tossed.
      undecided: expected number of rounds in states whose decision a float32 error could flip.
    """

    regret: float
    violation: float
    cost: float
    mixed: float
    undecided: float


def expectations(spec, horizon, logarithm=True):
    """Exact expectations of one instance, a `reference.loop.Spec`."""
    nothing = (0,) * spec.num_arms
    states = {State(nothing, nothing, nothing, nothing): 1.0}
    table = subsets(spec.num_arms, spec.num_selected, spec.at_most)
    reward = mixed = undecided = 0.0
    for t in range(1, horizon + 1):
        after = collections.defaultdict(float)
        for state, chance in states.items():
            z, sure = relax(spec, table, state, t, logarithm)
            undecided += chance * (not sure)
            decisions = list(rounding(z))
            mixed += chance * (len(decisions) > 1)
            for share, chosen in decisions:
                reward += chance * share * set_reward(spec, chosen)
                for weight, new in outcomes(spec, state, chosen):
                    after[new] += chance * share * weight
        states = after
    assert abs(sum(states.values()) - 1) < 1e-9
    spent = [(p, total_cost(spec, state) / horizon) for state, p in states.items()]
    return Exact(
        float(horizon * optimum(spec, table) - reward),
        float(sum(p * max(0.0, cost - spec.budget) for p, cost in spent)),
        float(sum(p * cost for p, cost in spent)),
        float(mixed / horizon),
        float(undecided),
    )


def bounds(spec, state, t, logarithm):
    ell = math.log(2 * math.pi**2 * spec.num_arms * t**3 / (3 * spec.delta)) if logarithm else 1.0
    upper, lower = np.ones(spec.num_arms), np.zeros(spec.num_arms)
    for k in range(spec.num_arms):
        n, m = state.seen[k], state.billed[k]
        if n:
            width = spec.alpha_reward * math.sqrt(ell / (2 * n))
            constant = spec.reward_law == "constant"
            won = spec.mean_reward[k] if constant else state.successes[k] / n
            upper[k] = min(1.0, won + width)
        if m:
            width = spec.alpha_cost * math.sqrt(ell / (2 * m))
            paid = spec.mean_cost[k] if spec.cost_law == "constant" else state.paid[k] / m
            lower[k] = max(0.0, paid - width)
    return upper, lower


def relax(spec, table, state, t, logarithm):
    """z before round t, and whether it is beyond the reach of a rounding error."""
    upper, lower = bounds(spec, state, t, logarithm)
    if spec.reward_model == "SUC":
        objectives = [upper]
    elif spec.reward_model == "AIC":
        objectives = [np.log(np.maximum(upper, 1e-6))]
    else:
        objectives = [upper, -np.log(np.maximum(1 - upper, 1e-6))]
    found = [solve(table, w, lower, spec.budget, spec.at_most) for w in objectives]
    sure = all(
        unique(table, w, lower, spec.budget, best)
        for w, best in zip(objectives, found, strict=True)
    )
    z = found[0].marginals
    if len(found) == 2:
        first, second = (1 - np.prod(1 - upper * best.marginals) for best in found)
        same = np.abs(z - found[1].marginals).max() < NEAR
        sure &= same or first == second or abs(first - second) > NEAR
        z = found[1].marginals if second > first else z
    return z, sure


def unique(table, weights, costs, budget, best):
    """Whether no other set comes near the ones mixed, but for exact ties in a slack budget."""
    reduced = table @ weights - best.multiplier * (table @ costs)
    gap = reduced.max() - reduced
    used = (np.abs(table - best.marginals) < 1).all(1)  # the sets that z mixes
    near = (gap < NEAR) & ~used
    if _fractional(best.marginals):
        return best.multiplier > NEAR and not near.any()  # else the cheaper sets are as good
    if best.multiplier == 0:
        near &= gap > 1e-12  # equal weights: lower index first, in any arithmetic
        near |= abs(best.marginals @ costs - budget) < NEAR  # slack, or only just
    return not near.any()


def _fractional(z):
    return [k for k, value in enumerate(z) if 1e-9 < value < 1 - 1e-9]


def rounding(z):
    """The sets that a vertex z is rounded to, with their probabilities."""
    sure = {k for k, value in enumerate(z) if value > 0.5} - set(_fractional(z))
    fractional = _fractional(z)
    if not fractional:
        yield 1.0, frozenset(sure)
        return
    first, rest = fractional[0], fractional[1:]
    assert len(rest) <= 1
    yield z[first], frozenset(sure | {first})
    yield 1 - z[first], frozenset(sure | set(rest))


def set_reward(spec, chosen):
    mu = [spec.mean_reward[k] for k in chosen]
    if spec.reward_model == "SUC":
        return sum(mu)
    return math.prod(mu) if spec.reward_model == "AIC" else 1 - math.prod(1 - x for x in mu)


def asking_order(spec, state, chosen):
    """Cheapest empirical mean cost first, 0 for an arm never billed; then lower index."""

    def mean_cost(k):
        if not state.billed[k]:
            return 0.0
        constant = spec.cost_law == "constant"
        return spec.mean_cost[k] if constant else state.paid[k] / state.billed[k]

    return sorted(chosen, key=lambda k: (mean_cost(k), k))


def outcomes(spec, state, chosen):
    """All ways a round can end, as (probability, state after it)."""
    arms = asking_order(spec, state, chosen)
    stops = spec.reward_model == "AWC"
    prefixes = {}
    certain = spec.reward_law == "constant"
    for answers in itertools.product((0, 1), repeat=0 if certain else len(arms)):
        chance = math.prod(
            spec.mean_reward[k] if x else 1 - spec.mean_reward[k]
            for k, x in zip(arms, answers, strict=False)
        )
        seen = answers
        if spec.cascading and stops in answers:
            seen = answers[: answers.index(stops) + 1]
        prefixes[seen] = prefixes.get(seen, 0.0) + chance
    for seen, chance in prefixes.items():
        observed = arms if certain else arms[: len(seen)]
        billed = arms if spec.billing == "selected" else observed
        random = spec.cost_law == "bernoulli"
        for bills in itertools.product((0, 1), repeat=len(billed) if random else 0):
            weight = chance * math.prod(
                spec.mean_cost[k] if y else 1 - spec.mean_cost[k]
                for k, y in zip(billed, bills, strict=False)
            )
            yield (
                weight,
                State(
                    _add(state.seen, observed),
                    _add(state.successes, [k for k, x in zip(arms, seen, strict=False) if x]),
                    _add(state.billed, billed),
                    _add(state.paid, [k for k, y in zip(billed, bills, strict=False) if y]),
                ),
            )


def _add(counts, arms):
    return tuple(count + (k in arms) for k, count in enumerate(counts))


def total_cost(spec, state):
    if spec.cost_law == "constant":
        return float(np.dot(state.billed, spec.mean_cost))
    return float(sum(state.paid))


def optimum(spec, table):
    """The best mixture of sets at the true means whose mean cost is within the budget."""
    value = np.array([set_reward(spec, np.flatnonzero(row)) for row in table])
    cost = table @ np.array(spec.mean_cost)
    best = value[cost <= spec.budget].max()
    for low, high in itertools.product(
        np.flatnonzero(cost <= spec.budget), np.flatnonzero(cost > spec.budget)
    ):
        share = (spec.budget - cost[low]) / (cost[high] - cost[low])
        best = max(best, value[low] + share * (value[high] - value[low]))
    return best
