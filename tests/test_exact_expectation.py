"""Mean regret and violation of `simulate` against the exact law of tiny instances.

False alarms: every comparison allows 4 standard errors, which a right simulator exceeds with
probability 6.4e-5; with two comparisons on each of the instances below, in 1 of 1000 random
roots at the most. The root is fixed, so the outcome is the same every time.

Float32 decides ties as float64 does: equal arms are equal in both, and the lower index goes
first. The programme measures how often a state comes up whose decision an error of 1e-5 could
change, and the test asserts that this is (practically) never.
"""

import functools

import numpy as np
import pytest
from reference.dynamic import expectations
from reference.loop import Spec

import c2mabv_jax as c2

RUNS = 200_000
STANDARD_ERRORS = 4

TWO = {"num_selected": 1, "mean_reward": (0.5, 0.8), "mean_cost": (0.2, 0.7)}
THREE = {"num_selected": 2, "mean_reward": (0.6, 0.4, 0.9), "mean_cost": (0.1, 0.3, 0.85)}
CASCADE = {"reward_model": "AWC", "at_most": True, "cascading": True, "cost_law": "constant"}
INSTANCES = {
    "no budget": (dict(reward_model="SUC", budget=1.5, cost_law="constant", **TWO), 20),
    "binding budget": (dict(reward_model="SUC", budget=0.45, cost_law="constant", **TWO), 20),
    # Constant rewards: no two bounds are cut off at 1, so no sets of equal weight tie.
    "Bernoulli costs": (
        dict(reward_model="SUC", budget=0.45, reward_law="constant", cost_law="bernoulli", **TWO),
        12,
    ),
    "three arms": (dict(reward_model="SUC", budget=0.7, cost_law="constant", **THREE), 8),
    "any win, cascade": (dict(budget=0.7, **THREE, **CASCADE), 8),
    "all in": (dict(reward_model="AIC", budget=0.7, cost_law="constant", **THREE), 8),
}


def instance(name):
    options, horizon = INSTANCES[name]
    options = {"reward_law": "bernoulli", **options}
    alpha = 0.05 if options["reward_law"] == "constant" else 0.4
    return Spec(alpha_reward=alpha, alpha_cost=0.1, delta=0.05, **options), horizon


@functools.cache
def simulated(name):
    """Regret, violation and mean cost of every run."""
    spec, horizon = instance(name)
    problem = c2.Problem(
        num_arms=spec.num_arms,
        num_selected=spec.num_selected,
        budget=spec.budget,
        reward_model=spec.reward_model,
    )
    assert (problem.at_most, problem.cascading) == (spec.at_most, spec.cascading)
    world = c2.environments.synthetic(
        spec.mean_reward, spec.mean_cost, reward=spec.reward_law, cost=spec.cost_law
    )
    policy = c2.policies.C2MABV(spec.alpha_reward, spec.alpha_cost, spec.delta)
    result = c2.simulate(problem, world, policy, horizon, RUNS, [horizon], seed=2024)
    return {x: result[x].to_numpy()[:, 0] for x in ("regret", "violation", "cost")}


def deviations(name, exact):
    """How many standard errors the simulated means are from the exact expectations."""
    found = {}
    for quantity in ("regret", "violation"):
        sample = simulated(name)[quantity]
        error = sample.std(ddof=1) / np.sqrt(RUNS)
        difference = sample.mean() - getattr(exact, quantity)
        # A quantity that does not vary (no violation is possible) must agree to rounding.
        found[quantity] = difference / error if error > 0 else difference / 1e-6
    return found


@pytest.mark.parametrize("name", INSTANCES)
def test_means_are_the_exact_expectations(name):
    spec, horizon = instance(name)
    exact = expectations(spec, horizon)
    found = deviations(name, exact)
    print(f"\n{name}, T={horizon}: {exact}")
    print("  standard errors:", {x: round(float(value), 2) for x, value in found.items()})
    assert exact.undecided < 1e-9
    assert (exact.mixed > 0.02) == (name != "no budget")  # else the coin was not tested
    assert (exact.violation > 0.001) == (name != "no budget")
    assert all(abs(value) < STANDARD_ERRORS for value in found.values())


@pytest.mark.parametrize("name", ["binding budget", "any win, cascade"])
def test_a_wrong_radius_is_caught(name):
    spec, horizon = instance(name)
    found = deviations(name, expectations(spec, horizon, logarithm=False))
    print(f"\n{name} without the logarithm:", found)
    assert all(abs(value) > 2 * STANDARD_ERRORS for value in found.values())


def test_a_wrong_rounding_is_caught(monkeypatch):
    """Sets with probabilities exchanged have other expectations."""
    from reference import dynamic

    right = dynamic.rounding

    def exchanged(z):
        sets = list(right(z))
        return [(p, s) for (p, _), (_, s) in zip(sets, sets[::-1], strict=True)]

    monkeypatch.setattr(dynamic, "rounding", exchanged)
    spec, horizon = instance("binding budget")
    found = deviations("binding budget", expectations(spec, horizon))
    assert all(abs(value) > 2 * STANDARD_ERRORS for value in found.values())
