"""Short runs of the whole system against expectations computed exactly."""

from __future__ import annotations

import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.exact_run import exact_run
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import Mean

HORIZON = 24
ALPHAS = ((0.15, 0.2), (0.1, 0.05))  # small: upper bounds must stay below 1, or they tie
ROUNDING = 1e-4  # of float32 sums; a policy that never varies has no other error


def _measure(laboratory: Laboratory) -> list[Comparison]:
    instance, runs = CATALOGUE["steady-2"], laboratory.preset.coverage_runs
    comparisons = []
    for alpha_reward, alpha_cost in ALPHAS:
        policy = C2MABV(alpha_reward=alpha_reward, alpha_cost=alpha_cost)
        truth = exact_run(
            tuple(map(float, instance.environment.mean_reward)),  # type: ignore[arg-type]
            tuple(map(float, instance.environment.mean_cost)),  # type: ignore[arg-type]
            float(instance.problem.budget),
            HORIZON,
            alpha_reward,
            alpha_cost,
            float(policy.delta),
        )
        seen = laboratory.paths(instance, policy, [HORIZON], runs).watch
        overspend = seen.overspend_realised[:, -1] / HORIZON
        measured = {
            "regret": (seen.regret[:, -1], truth.regret, 0.1),
            "violation": (np.maximum(overspend, 0), truth.violation, 0.02),
            "mean cost": (overspend + float(instance.problem.budget), truth.cost, 0.02),
            "plays of arm 0": (seen.pulls[:, -1, 0].astype(float), truth.plays, 0.5),
        }
        comparisons += [
            Comparison(
                f"alpha = ({alpha_reward:g}, {alpha_cost:g}), T = {HORIZON}: {what}",
                Mean(samples),
                floor=value,
                ceiling=value,
                resolution=resolution,
                rounding=ROUNDING,
            )
            for what, (samples, value, resolution) in measured.items()
        ]
    return comparisons


CLAIMS = (
    Claim(
        name="exact-values",
        statement="Mean regret, violation, cost and plays of short runs are those of the exact "
        "dynamic programme over (plays, costs) of both arms",
        assumptions=("K = 2, N = 1, constant rewards, Bernoulli costs, binding budget",),
        instances=("steady-2",),
        statistic=f"means over runs at T = {HORIZON}",
        test="t interval holds the exact expectation, and is narrow",
        power="half intervals at most 0.1 (regret), 0.02 (violation, cost), 0.5 (plays)",
        measure=_measure,
        source="verification.exact_run, float64, shares no code with the simulator",
    ),
)
