"""Short runs of the whole system against expectations computed exactly."""

from __future__ import annotations

import functools

import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.exact_run import World, exact_run
from c2mabv_jax.verification.instances import CATALOGUE, Instance
from c2mabv_jax.verification.laboratory import Laboratory, Paths
from c2mabv_jax.verification.statistic import Mean

# By instance: horizon, and pairs of alphas. Small where rewards are constant: upper bounds must
# stay below 1, or they tie.
CASES = {
    "steady-2": (24, ((0.15, 0.2), (0.1, 0.05))),
    "cascade-3": (8, ((0.4, 0.1), (0.2, 0.3))),
    "all-in-3": (8, ((0.4, 0.1), (0.2, 0.3))),
}
ROUNDING = 1e-4  # of float32 sums; a policy that never varies has no other error


def world(instance: Instance) -> World:
    """An instance in the terms of the exact programme."""
    environment = instance.environment
    return World(
        tuple(map(float, environment.mean_reward)),
        tuple(map(float, environment.mean_cost)),
        float(instance.problem.budget),
        instance.problem.num_selected,
        instance.problem.reward_model,
        constant_rewards=instance.name == "steady-2",
        constant_costs=instance.name != "steady-2",
    )


def _measure(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    chosen = laboratory.among(list(CASES))
    laboratory.together([functools.partial(_first, laboratory, name) for name in chosen])
    for name in chosen:
        horizon, alphas = CASES[name]
        for alpha_reward, alpha_cost in alphas:
            comparisons += _compare(laboratory, CATALOGUE[name], horizon, alpha_reward, alpha_cost)
    return comparisons


def _runs(laboratory: Laboratory, name: str, alpha_reward: float, alpha_cost: float) -> Paths:
    policy = C2MABV(alpha_reward=alpha_reward, alpha_cost=alpha_cost)
    horizon, runs = CASES[name][0], laboratory.preset.coverage_runs
    return laboratory.paths(CATALOGUE[name], policy, [horizon], runs)


def _first(laboratory: Laboratory, name: str) -> Paths:
    """Those of the first alphas; the others have the same program."""
    return _runs(laboratory, name, *CASES[name][1][0])


def _compare(
    laboratory: Laboratory,
    instance: Instance,
    horizon: int,
    alpha_reward: float,
    alpha_cost: float,
) -> list[Comparison]:
    policy = C2MABV(alpha_reward=alpha_reward, alpha_cost=alpha_cost)
    truth = exact_run(world(instance), horizon, alpha_reward, alpha_cost, float(policy.delta))
    seen = _runs(laboratory, instance.name, alpha_reward, alpha_cost).watch
    overspend = seen.overspend_realised[:, -1] / horizon
    measured = {
        "reward": (
            instance.benchmark - seen.regret[:, -1] / horizon,
            truth.reward / horizon,
            0.01,
        ),
        "violation": (np.maximum(overspend, 0), truth.violation, 0.02),
        "mean cost": (overspend + float(instance.problem.budget), truth.cost, 0.02),
        "plays of arm 0": (seen.pulls[:, -1, 0] / horizon, truth.plays[0] / horizon, 0.02),
        "observations": (
            seen.observed[:, -1].sum(-1) / horizon,
            truth.observations / horizon,
            0.02,
        ),
    }
    return [
        Comparison(
            f"{instance.name}, alpha = ({alpha_reward:g}, {alpha_cost:g}), T = {horizon}: {what}",
            Mean(np.asarray(samples, float)),
            floor=value,
            ceiling=value,
            resolution=resolution,
            rounding=ROUNDING,
        )
        for what, (samples, value, resolution) in measured.items()
    ]


CLAIMS = (
    Claim(
        name="exact-values",
        statement="Mean reward, violation, cost, plays and observations of short runs are those "
        "of the exact dynamic programme over counts, successes and bills of all arms",
        assumptions=(
            "K = 2, N = 1, constant rewards, Bernoulli costs, or K = 3, N = 2, Bernoulli rewards, "
            "constant costs, any win with its cascade and all in; binding budget",
        ),
        instances=tuple(CASES),
        statistic="means over runs, per round",
        test="t interval holds the exact expectation, and is narrow",
        power="half intervals at most .01 (reward) and .02 (the others)",
        measure=_measure,
        brief=True,
        source="verification.exact_run, float64, shares no code with the simulator",
    ),
)
