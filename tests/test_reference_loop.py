"""`simulate` against an independent float64 loop fed with the same uniforms, round by round.

The sets must be the same in every round. Two differences are no mistake, because the package
computes in float32: candidate sets that tie within its rounding error, and a coin that falls
within it of its probability. Each is recognised by its own test (`near_tie`), counted, shown
(`pytest -s`), and followed by going on from the package's set.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from reference import threefry
from reference.loop import FAULTS, Loop, Spec
from reference.lp import solve, subsets
from scipy.optimize import linprog

import c2mabv_jax as c2
from c2mabv_jax.array import streams

ROUNDS, INSTANCES, SEEDS = 200, 24, 2
NUM_ARMS, NUM_SELECTED = 5, 3
ROUNDING = 2e-6  # error of a float32 bound, 16 units in the last place of 1
COIN = 1e-5  # error of a float32 mixing probability where it matters
MOST_CLIPPED, MOST_ROUNDED = 0.05, 0.001  # ties allowed, as shares of all rounds

SEMI = {"reward_law": "uniform", "cost_law": "uniform"}
CASCADE = {"at_most": True, "cascading": True, "reward_law": "bernoulli", "cost_law": "uniform"}
CONFIGURATIONS = {
    "SUC": {"reward_model": "SUC", **SEMI},
    "AIC": {"reward_model": "AIC", **SEMI},
    "AWC": {"reward_model": "AWC", **CASCADE},
    "AWC, queried, graded": {
        "reward_model": "AWC",
        **CASCADE,
        "reward_law": "uniform",
        "billing": "queried",
        "cascade_order": "highest-ucb",
    },
    "AIC, cascading": {
        "reward_model": "AIC",
        **CASCADE,
        "at_most": False,
        "reward_law": "bernoulli",
    },
}
ALPHAS = [(0.3, 0.05), (1.0, 0.05), (0.3, 0.3), (1.0, 1.0), (0.1, 0.5)]


@functools.cache
def specs(configuration):
    """Random instances: binding, slack and (rarely) infeasible budgets, all alphas."""
    rng = np.random.default_rng(sorted(CONFIGURATIONS).index(configuration))
    chosen = []
    for index in range(INSTANCES):
        # Multiples of 2^-10 are the same number in float32.
        reward, cost = (rng.integers(100, 990, (2, NUM_ARMS)) / 1024).tolist()
        least, most = (np.sort(cost)[s].sum() for s in (slice(NUM_SELECTED), slice(-3, None)))
        budget = np.round((least + rng.uniform(-0.05, 1.0) * (most - least)) * 1024) / 1024
        alphas = ALPHAS[index % len(ALPHAS)]
        chosen.append(
            Spec(
                num_selected=NUM_SELECTED,
                budget=float(max(budget, 0)),
                mean_reward=tuple(reward),
                mean_cost=tuple(cost),
                alpha_reward=alphas[0],
                alpha_cost=alphas[1],
                delta=float(rng.choice([0.01, 0.05, 0.5])),
                **CONFIGURATIONS[configuration],
            )
        )
    return chosen


@dataclasses.dataclass
class Path:
    """What the package did: `[T, K]` and `[T]`."""

    selected: np.ndarray
    observed: np.ndarray
    marginals: np.ndarray
    reward: np.ndarray
    cost: np.ndarray


@functools.cache
def package_paths(configuration, index):
    """The package's own runs of one instance, one per seed."""
    spec = specs(configuration)[index]
    problem = c2.Problem(
        num_arms=spec.num_arms,
        num_selected=spec.num_selected,
        budget=spec.budget,
        reward_model=spec.reward_model,
        feedback="cascading" if spec.cascading else "semi-bandit",
        billing=spec.billing,
        cascade_order=spec.cascade_order,
    )
    assert problem.at_most == spec.at_most
    world = c2.environments.synthetic(
        spec.mean_reward, spec.mean_cost, reward=spec.reward_law, cost=spec.cost_law
    )
    policy = c2.policies.C2MABV(spec.alpha_reward, spec.alpha_cost, spec.delta)
    rounds = range(1, ROUNDS + 1)
    result = c2.simulate(problem, world, policy, ROUNDS, SEEDS, rounds, seed=index, marginals=True)
    np.testing.assert_array_equal(result["round"], rounds)

    def per_round(cumulative):
        return np.diff(cumulative.to_numpy(), axis=1, prepend=0)

    number = result["round"]
    return [
        Path(*parts)
        for parts in zip(
            per_round(result["pulls"]).astype(bool),
            per_round(result["count"]).astype(bool),
            per_round(result["marginals"]),
            per_round(result["reward"] * number),
            per_round(result["cost"] * number),
            strict=True,
        )
    ]


@functools.cache
def uniforms(root, seed):
    """The very numbers the simulator uses: environment, rounding, satisfaction; float64."""
    with np.errstate(over="ignore"):
        run = threefry.fold_in((0, root), seed)
        key = threefry.fold_in(run, np.arange(1, ROUNDS + 1))
        satisfaction = threefry.uniforms(key, 2 * NUM_ARMS, streams.SATISFACTION)
        return (
            threefry.uniforms(key, 2 * NUM_ARMS, streams.ENVIRONMENT),
            threefry.uniforms(key, 1)[:, 0],
            satisfaction[:, :NUM_ARMS],
        )


def test_the_reference_draws_the_numbers_of_the_package():
    root, seed, t = 3, 5, 17
    key = jax.random.fold_in(jax.random.key(root, impl="threefry2x32"), seed)
    key = jax.random.fold_in(key, t)
    world, coin, satisfaction = (x[t - 1] for x in uniforms(root, seed))
    np.testing.assert_array_equal(np.concatenate(streams.of_arms(key, NUM_ARMS)), world)
    np.testing.assert_array_equal(streams.uniforms(key, 1)[0], coin)
    drawn, _ = streams.of_arms(key, NUM_ARMS, purpose=streams.SATISFACTION)
    np.testing.assert_array_equal(drawn, satisfaction)


def near_tie(loop, upper, lower, relaxed, path, t, coin):
    """Which rounding error explains the package's set, "" for none."""
    spec, z = loop.spec, path.marginals[t - 1]
    slack = spec.num_arms * ROUNDING
    rounded = loop.round(np.where(np.abs(z - np.rint(z)) < COIN, np.rint(z), z), coin)
    fractional = (z > COIN) & (z < 1 - COIN)
    at_edge = fractional.any() and abs(coin - z[np.argmax(fractional)]) < COIN
    if (rounded != path.selected[t - 1]).any() and not at_edge and fractional.sum() <= 2:
        return ""  # not a rounding of its own z
    if np.abs(z - relaxed[0].marginals).max() < COIN:
        return "coin" if at_edge else ""
    fallback = loop.table @ lower
    if fallback.min() > spec.budget - slack:
        feasible = z @ lower <= fallback.min() + slack
    else:
        feasible = z @ lower <= spec.budget + slack
    size = z.sum()
    feasible &= size <= spec.num_selected + COIN
    feasible &= spec.at_most or size >= spec.num_selected - COIN
    optimal = []
    for index, best in enumerate(solve_all(loop, upper, lower)):
        weights, low, high = (
            loop.objectives(u)[index]
            for u in (upper, np.maximum(upper - ROUNDING, 0), np.minimum(upper + ROUNDING, 1))
        )
        error = np.abs(high - low).sum() + best.multiplier * slack
        optimal.append(weights @ z >= best.value - error)
    if len(optimal) == 2:
        value = 1 - np.prod(1 - upper * z)
        feasible &= value >= loop.any_win(upper, relaxed[0]) - slack
    return "sets" if feasible and any(optimal) else ""


def solve_all(loop, upper, lower):
    spec = loop.spec
    return [
        solve(loop.table, weights, lower, spec.budget, spec.at_most)
        for weights in loop.objectives(upper)
    ]


@dataclasses.dataclass
class Report:
    """How one run compared."""

    rounds: int = 0
    ties: int = 0  # of sets that differ only in arms of equal bounds, or in rounding error
    clipped: int = 0  # of those, with several arms at U = 1: equal weights, exact ties
    coins: int = 0
    mixed: int = 0  # rounds in which a coin was tossed at all
    difference: str = ""


def follow(spec, path, root, seed, faults=(), rounds=ROUNDS):
    """Play the reference beside the package until a difference that is no tie."""
    loop, report = Loop(spec, faults), Report()
    world, coins, satisfaction = uniforms(root, seed)
    for t in range(1, rounds + 1):
        upper, lower = loop.bounds(t)
        relaxed = loop.relax(upper, lower)
        loop.set_priority(upper)
        z = relaxed[0].marginals
        selected = loop.round(z, coins[t - 1])
        report.mixed += bool(((z > 1e-9) & (z < 1 - 1e-9)).any())
        if (selected != path.selected[t - 1]).any():
            tie = near_tie(loop, upper, lower, relaxed, path, t, coins[t - 1])
            if not tie:
                report.difference = f"round {t}: set {path.selected[t - 1]} for {selected}"
                return report
            report.ties += tie == "sets"
            report.clipped += tie == "sets" and (upper == 1).sum() > 1
            report.coins += tie == "coin"
            selected = path.selected[t - 1]
        reward, cost = loop.outcomes(world[t - 1])
        satisfied = loop.satisfied(reward, satisfaction[t - 1])
        observed, billed = loop.serve(selected, reward, satisfied)
        if (observed != path.observed[t - 1]).any():
            report.difference = f"round {t}: observed {path.observed[t - 1]} for {observed}"
            return report
        money = (cost[billed].sum(), path.cost[t - 1])
        value = (loop.set_reward(reward, selected), path.reward[t - 1])
        if abs(money[0] - money[1]) > 1e-4 or abs(value[0] - value[1]) > 1e-4:
            report.difference = f"round {t}: cost {money}, reward {value}"
            return report
        loop.learn(t, reward, cost, observed, billed, selected)
        report.rounds += 1
    return report


def follow_all(configuration, faults=(), instances=INSTANCES, seeds=SEEDS):
    return [
        follow(specs(configuration)[i], package_paths(configuration, i)[s], i, s, faults)
        for i in range(instances)
        for s in range(seeds)
    ]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_same_sets_in_every_round(configuration):
    reports = follow_all(configuration)
    rounds, ties, clipped, coins, mixed = (
        sum(getattr(report, name) for report in reports)
        for name in ("rounds", "ties", "clipped", "coins", "mixed")
    )
    print(
        f"\n{configuration}: {len(reports)} runs, {rounds} rounds, {mixed} with a coin; "
        f"{ties} ties between sets ({clipped} with several U = 1), {coins} coins on the edge"
    )
    different = [report.difference for report in reports if report.difference]
    assert not different, different
    assert rounds == INSTANCES * SEEDS * ROUNDS
    # Arms whose bounds are cut off at U = 1 weigh exactly the same: with a binding budget the
    # optimum is then a face, and any of its vertices will do. Other ties are rounding errors.
    assert clipped <= MOST_CLIPPED * rounds
    assert ties - clipped + coins <= MOST_ROUNDED * rounds
    assert 0.1 * rounds < mixed < rounds  # budgets bind, but not always


BREAKS = {
    "SUC": [fault for fault in FAULTS if fault not in ("dearest first", "sees everything")],
    "AWC": [fault for fault in FAULTS if fault != "counts this round"],  # rarely matters here
}


@pytest.mark.parametrize(
    ("configuration", "fault"), [(c, fault) for c, faults in BREAKS.items() for fault in faults]
)
def test_a_broken_reference_is_caught(configuration, fault):
    reports = follow_all(configuration, (fault,), instances=10, seeds=1)
    caught = [report.difference for report in reports if report.difference]
    print(f"\n{configuration}, {fault}: {len(caught)} of {len(reports)}; {caught[:1]}")
    assert caught


def test_the_reference_lp_against_highs():
    rng = np.random.default_rng(7)
    for case in range(60):
        num_arms = int(rng.integers(1, 7))
        num_selected = int(rng.integers(1, num_arms + 1))
        at_most = bool(rng.integers(2))
        weights, costs = rng.normal(size=num_arms), rng.random(num_arms)
        if case % 3 == 0:  # ties and zeros
            weights, costs = np.round(weights), np.round(costs * 2) / 2
        least = 0 if at_most else np.sort(costs)[:num_selected].sum()
        budget = least + rng.random() * (num_selected - least) * 0.6
        size = np.ones((1, num_arms))
        rows, limits = [costs], [budget]
        if at_most:
            rows.append(size[0])
            limits.append(num_selected)
        equal = {} if at_most else {"A_eq": size, "b_eq": [num_selected]}
        truth = linprog(-weights, A_ub=rows, b_ub=limits, bounds=(0, 1), **equal)
        found = solve(subsets(num_arms, num_selected, at_most), weights, costs, budget, at_most)
        assert found.value == pytest.approx(-truth.fun, abs=1e-9)
        assert found.marginals @ weights == pytest.approx(-truth.fun, abs=1e-9)
        assert found.marginals @ costs <= budget + 1e-9
