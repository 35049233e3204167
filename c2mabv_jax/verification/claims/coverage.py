"""Coverage of the confidence bounds: the promise at alpha = 1, exact values at reduced alpha."""

from __future__ import annotations

from typing import Any

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.theory.exact import Side, coverage_failure
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.claims.invariants import ALL, each, halved
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import Laboratory, Paths
from c2mabv_jax.verification.statistic import Mean, Share

OBSERVED = ("wide-6", "cascade-4", "any-win-3")
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


def reduced(laboratory: Laboratory, alpha: float) -> Paths:
    """Runs of the single arm at reduced alpha."""
    preset, policy = laboratory.preset, C2MABV(alpha_reward=alpha, alpha_cost=alpha)
    rounds = halved(preset.coverage_horizon)
    return laboratory.paths(CATALOGUE["single"], policy, rounds, preset.coverage_runs)


def _exact(laboratory: Laboratory) -> list[Comparison]:
    instance, horizon = CATALOGUE["single"], laboratory.preset.coverage_horizon
    mean_reward = float(instance.environment.mean_reward[0])
    mean_cost = float(instance.environment.mean_cost[0])
    comparisons = []
    for alpha in ALPHAS:
        paths = reduced(laboratory, alpha)
        sides: tuple[tuple[Side, float, Any], ...] = (
            ("upper", mean_reward, paths.watch.uncovered_reward),
            ("lower", mean_cost, paths.watch.uncovered_cost),
        )
        for side, mean, seen in sides:
            failed = seen[:, -1] > 0
            truth = float(coverage_failure(mean, horizon, 1, DELTA, alpha, side)[-1])
            what = {"upper": "reward below its upper", "lower": "cost above its lower"}[side]
            comparisons.append(
                Comparison(
                    f"alpha = {alpha:g}: P(some t <= {horizon} without {what} bound)",
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
        assumptions=("one Bernoulli arm, played in every round",),
        instances=("single",),
        statistic="share of runs with a failed bound in some round",
        test="Clopper-Pearson interval holds the exact probability, and is narrow",
        power=f"half interval at most {RESOLUTION}; counting one observation too many in the "
        "radius moves the probability at alpha = .3 by about .12",
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
