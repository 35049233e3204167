"""Coverage of the confidence bounds: the promise at alpha = 1, exact values at reduced alpha."""

from __future__ import annotations

import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.theory.exact import Side, coverage_failure, some_arm_fails
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.claims.invariants import ALL, each, halved
from c2mabv_jax.verification.instances import CATALOGUE, Instance
from c2mabv_jax.verification.laboratory import Laboratory, Paths
from c2mabv_jax.verification.statistic import Mean, Share

OBSERVED = ("wide-6", "cascade-4", "any-win-3")
ALWAYS_SEEN = ("single", "everyone-5")
ALPHAS = (0.5, 0.3)
RESOLUTION = 0.05
DELTA = C2MABV().delta


def _promise(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name, _, (_, seen) in each(laboratory, ALL):
        failed = (seen.uncovered_reward[:, -1] > 0) | (seen.uncovered_cost[:, -1] > 0)
        # Rewards above, costs below: the two sides that the bounds in use can fail on.
        comparisons.append(
            Comparison(name, Share(int(failed.sum()), len(failed)), floor=0, ceiling=DELTA)
        )
    return comparisons


def reduced(laboratory: Laboratory, alpha: float, name: str = "single") -> Paths:
    """Runs of always observed arms at reduced alpha."""
    preset, policy = laboratory.preset, C2MABV(alpha_reward=alpha, alpha_cost=alpha)
    rounds = halved(preset.coverage_horizon)
    return laboratory.paths(CATALOGUE[name], policy, rounds, preset.coverage_runs)


def exact_failure(instance: Instance, horizon: int, alpha: float, side: Side) -> float:
    """P(a bound of some arm fails in some round), arms being observed in every round."""
    world, num_arms = instance.environment, instance.problem.num_arms
    means = world.mean_reward if side == "upper" else world.mean_cost
    each_arm = [
        coverage_failure(float(mean), horizon, num_arms, DELTA, alpha, side)[-1] for mean in means
    ]
    return float(some_arm_fails(np.array(each_arm)))


def _exact(laboratory: Laboratory) -> list[Comparison]:
    horizon = laboratory.preset.coverage_horizon
    sides: tuple[tuple[Side, str, str], ...] = (
        ("upper", "uncovered_reward", "reward below its upper"),
        ("lower", "uncovered_cost", "cost above its lower"),
    )
    comparisons = []
    for name in laboratory.among(ALWAYS_SEEN):
        for alpha in ALPHAS:
            seen = reduced(laboratory, alpha, name).watch
            for side, field, what in sides:
                failed = getattr(seen, field)[:, -1] > 0
                truth = exact_failure(CATALOGUE[name], horizon, alpha, side)
                comparisons.append(
                    Comparison(
                        f"{name}, alpha = {alpha:g}: P(some t <= {horizon} without {what} bound)",
                        Share(int(failed.sum()), len(failed)),
                        floor=truth,
                        ceiling=truth,
                        resolution=RESOLUTION,
                    )
                )
    return comparisons


def _unbiased(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name, instance, paths in each(laboratory, OBSERVED):
        horizon = int(paths.round[-1])
        for k in range(instance.problem.num_arms):
            comparisons.append(
                Comparison(
                    f"{name}, arm {k}",
                    Mean(paths.watch.surprise[:, -1, k] / horizon),
                    floor=0,
                    ceiling=0,
                    resolution=0.01,
                )
            )
    return comparisons


CLAIMS = (
    Claim(
        name="coverage-promise",
        statement="At alpha = 1 all confidence bounds hold in all rounds with probability at "
        f"least 1 - delta = {1 - DELTA:g}",
        assumptions=("outcomes i.i.d. over rounds, in [0, 1]", "a cascade of independent arms"),
        instances=ALL,
        statistic="share of runs with some bound on the wrong side of its mean in some round",
        test="Clopper-Pearson upper limit at most delta. The union bound over the counts an arm "
        "can have gives about 0.03 delta per side, the truth is smaller still, so failures are "
        "not expected to be seen at all; see coverage-exact",
        power="zero failures certify delta in 180 runs at an error of 1e-4",
        measure=_promise,
        source="Hoeffding's inequality and a union bound",
    ),
    Claim(
        name="coverage-exact",
        statement="At reduced alpha the bounds fail exactly as often as the dynamic programme "
        "over (count, successes) says, radius and counts included",
        assumptions=("Bernoulli arms, all of them played in every round",),
        instances=ALWAYS_SEEN,
        statistic="share of runs with a failed bound in some round",
        test="Clopper-Pearson interval holds the exact probability, and is narrow",
        power=f"half interval at most {RESOLUTION}; counting one observation too many in the "
        "radius moves the probability at alpha = .3 by about .12; five arms show K in "
        "the logarithm",
        measure=_exact,
        source="theory.exact.coverage_failure",
    ),
    Claim(
        name="unbiased-feedback",
        statement="What is observed is unbiased: E sum over observations of (X - mu_k) = 0 for "
        "every arm, cascades included",
        assumptions=("rewards independent across arms within a round (cascades)",),
        instances=OBSERVED,
        statistic="mean over runs of the summed deviation of observed rewards, per round",
        test="t interval holds 0",
        power="a shared query difficulty biases arms asked later by several hundredths",
        measure=_unbiased,
        source="optional skipping: observing does not look at the value",
    ),
)
