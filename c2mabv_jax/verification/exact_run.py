"""Short runs computed exactly: every history up to its sufficient statistics, in float64.

The state of C2MAB-V is, per arm, (rewards seen, successes, costs seen, costs incurred); its law
after every round is enumerated. Sum-up, any win (with its cascade) and all in; rewards and costs
are Bernoulli or constant. Nothing of the package is used, so that agreement means something.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Arm = tuple[int, int, int, int]  # rewards seen, successes, costs seen, costs incurred
State = tuple[Arm, ...]
Set = tuple[int, ...]
SMALLEST = 1e-6  # rewards and failures are clipped here before a logarithm
EQUAL = 1e-12  # values this close are a tie, see `_preferred`


class World(NamedTuple):
    """What is played; Bernoulli rewards and costs unless `constant_*`.

    Attributes:
      mean_reward, mean_cost: `[K]`. budget: rho. num_selected: N.
      reward_model: "SUC", "AWC" (at most N, cascading) or "AIC".
    """

    mean_reward: tuple[float, ...]
    mean_cost: tuple[float, ...]
    budget: float
    num_selected: int
    reward_model: str = "SUC"
    constant_rewards: bool = False
    constant_costs: bool = False

    @property
    def sets(self) -> list[Set]:
        sizes = range(self.num_selected + 1) if self.reward_model == "AWC" else [self.num_selected]
        return [s for n in sizes for s in itertools.combinations(range(len(self.mean_cost)), n)]


class ExactRun(NamedTuple):
    """Expectations at the horizon.

    Attributes:
      reward: E sum_t r(S_t; mu).
      violation: E max(0, mean realised cost - budget).
      cost: E mean realised cost per round.
      plays: E rounds in which each arm was selected, `[K]`.
      observations: E rewards seen, all arms together.
    """

    reward: float
    violation: float
    cost: float
    plays: tuple[float, ...]
    observations: float


def exact_run(
    world: World, horizon: int, alpha_reward: float, alpha_cost: float, delta: float
) -> ExactRun:
    """Enumerate all states round by round."""
    arms = range(len(world.mean_cost))
    law: dict[State, float] = {tuple((0, 0, 0, 0) for _ in arms): 1.0}
    reward, plays = 0.0, [0.0 for _ in arms]
    for t in range(1, horizon + 1):
        ell = math.log(2 * math.pi**2 * len(arms) * t**3 / (3 * delta))
        after: dict[State, float] = defaultdict(float)
        for state, probability in law.items():
            bounds = [_bounds(world, k, state[k], ell, alpha_reward, alpha_cost) for k in arms]
            for share, chosen in decide(world, [u for u, _ in bounds], [c for _, c in bounds]):
                weight = probability * share
                reward += weight * _reward(world, world.mean_reward, chosen)
                for k in chosen:
                    plays[k] += weight
                for chance, then in _outcomes(world, state, chosen):
                    after[then] += weight * chance
        law = dict(after)
    spent = [(_spent(world, state) / horizon, p) for state, p in law.items()]
    return ExactRun(
        reward=reward,
        violation=sum(p * max(0.0, cost - world.budget) for cost, p in spent),
        cost=sum(p * cost for cost, p in spent),
        plays=tuple(plays),
        observations=sum(p * sum(arm[0] for arm in state) for state, p in law.items()),
    )


def decide(world: World, upper: Sequence[float], lower: Sequence[float]) -> list[tuple[float, Set]]:
    """The sets played at these bounds, with their probabilities."""
    if world.reward_model == "SUC":
        return _solve(world, upper, lower)
    if world.reward_model == "AIC":
        return _solve(world, [math.log(max(u, SMALLEST)) for u in upper], lower)
    first = _solve(world, upper, lower)
    second = _solve(world, [-math.log(max(1 - u, SMALLEST)) for u in upper], lower)
    better = _multilinear(upper, second) > _multilinear(upper, first) + EQUAL
    return second if better else first


def _solve(
    world: World, weights: Sequence[float], costs: Sequence[float]
) -> list[tuple[float, Set]]:
    """The best mixture of two sets within the budget; the cheapest set where none fits."""
    points = [(sum(weights[k] for k in s), sum(costs[k] for k in s), s) for s in world.sets]
    inside = [p for p in points if p[1] <= world.budget + EQUAL]
    if not inside:
        return [(1.0, min(points, key=lambda p: (p[1], p[2]))[2])]
    most = max(value for value, _, _ in inside)
    tied = [p for p in inside if p[0] >= most - EQUAL]
    single = min(tied, key=_preferred)
    best, found = single[0], [(1.0, single[2])]
    for low, high in itertools.product(inside, points):
        if high[1] <= world.budget + EQUAL:
            continue
        share = (world.budget - low[1]) / (high[1] - low[1])
        value = low[0] + share * (high[0] - low[0])
        if value > best + EQUAL:
            best, found = value, [(1 - share, low[2]), (share, high[2])]
    return [(share, s) for share, s in found if share > EQUAL]


def _preferred(point: tuple[float, float, Set]) -> tuple[float, Set]:
    """Of sets of equal worth the cheapest, then that of lower index: `relaxation.solve_lp`'s."""
    return round(point[1], 12), point[2]


def _multilinear(upper: Sequence[float], mixture: list[tuple[float, Set]]) -> float:
    marginals = [sum(share for share, s in mixture if k in s) for k in range(len(upper))]
    return 1 - math.prod(1 - u * z for u, z in zip(upper, marginals, strict=True))


def _bounds(
    world: World, k: int, arm: Arm, ell: float, alpha_reward: float, alpha_cost: float
) -> tuple[float, float]:
    """Upper bound of the reward, lower bound of the cost."""
    n, won, m, paid = arm
    upper, lower = 1.0, 0.0
    if n:
        mean = world.mean_reward[k] if world.constant_rewards else won / n
        upper = min(1.0, mean + alpha_reward * math.sqrt(ell / (2 * n)))
    if m:
        mean = world.mean_cost[k] if world.constant_costs else paid / m
        lower = max(0.0, mean - alpha_cost * math.sqrt(ell / (2 * m)))
    return upper, lower


def _outcomes(world: World, state: State, chosen: Set) -> Iterator[tuple[float, State]]:
    """All ends of a round: probability, state after it. All selected arms are billed."""
    for chance, answers in _answers(world, state, chosen):
        bills = itertools.product((1, 0), repeat=0 if world.constant_costs else len(chosen))
        for paid in bills:
            weight, new = chance, list(state)
            for j, k in enumerate(chosen):
                n, won, m, cost = state[k]
                seen, success = answers.get(k, (0, 0))
                due = 0
                if not world.constant_costs:
                    due = paid[j]
                    weight *= world.mean_cost[k] if due else 1 - world.mean_cost[k]
                new[k] = (n + seen, won + success, m + 1, cost + due)
            if weight:
                yield weight, tuple(new)


def _answers(
    world: World, state: State, chosen: Set
) -> Iterator[tuple[float, dict[int, tuple[int, int]]]]:
    """What is seen of the rewards: probability, {arm: (1, success)}."""
    if world.constant_rewards:
        yield 1.0, {k: (1, 0) for k in chosen}
    elif world.reward_model == "AWC":
        yield from _cascade(world, _order(world, state, chosen), {}, 1.0)
    else:
        for answers in itertools.product((1, 0), repeat=len(chosen)):
            seen = dict(zip(chosen, answers, strict=True))
            chance = math.prod(
                world.mean_reward[k] if x else 1 - world.mean_reward[k] for k, x in seen.items()
            )
            yield chance, {k: (1, x) for k, x in seen.items()}


def _cascade(
    world: World, order: Sequence[int], seen: dict[int, tuple[int, int]], chance: float
) -> Iterator[tuple[float, dict[int, tuple[int, int]]]]:
    """Arms are asked in turn until one succeeds."""
    if not order:
        yield chance, seen
        return
    first, *rest = order
    mean = world.mean_reward[first]
    yield chance * mean, {**seen, first: (1, 1)}
    yield from _cascade(world, rest, {**seen, first: (1, 0)}, chance * (1 - mean))


def _order(world: World, state: State, chosen: Set) -> list[int]:
    """Least mean cost so far first, 0 for an arm never billed; then the lower index."""

    def mean(k: int) -> float:
        _, _, m, paid = state[k]
        if not m:
            return 0.0
        return world.mean_cost[k] if world.constant_costs else paid / m

    return sorted(chosen, key=lambda k: (mean(k), k))


def _reward(world: World, means: Sequence[float], chosen: Set) -> float:
    values = [means[k] for k in chosen]
    if world.reward_model == "SUC":
        return sum(values)
    if world.reward_model == "AIC":
        return math.prod(values)
    return 1 - math.prod(1 - x for x in values)


def _spent(world: World, state: State) -> float:
    if world.constant_costs:
        return sum(arm[2] * cost for arm, cost in zip(state, world.mean_cost, strict=True))
    return float(sum(arm[3] for arm in state))
