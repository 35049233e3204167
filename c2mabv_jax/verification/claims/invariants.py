"""What holds in every round of every run, up to rounding error of the arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.instances import CATALOGUE, Instance
from c2mabv_jax.verification.laboratory import Laboratory, Paths
from c2mabv_jax.verification.statistic import Exact

SUM_UP = ("wide-6", "dear-6", "swap-2")
ALL = (*SUM_UP, "cascade-4", "any-win-3", "all-in-4")
ASSUMPTIONS = ("none: every round of every run",)


def epsilon() -> float:
    """Machine epsilon of the float type in use."""
    return float(jnp.finfo(jnp.result_type(float)).eps)


def runs_of(laboratory: Laboratory, name: str) -> Paths:
    """The watched runs that tests of bounds and invariants share."""
    preset = laboratory.preset
    return laboratory.paths(CATALOGUE[name], C2MABV(), halved(preset.horizon), preset.runs)


def each(laboratory: Laboratory, names: tuple[str, ...]) -> Iterator[tuple[str, Instance, Paths]]:
    """Instances of a claim with their watched runs, which are made side by side."""
    chosen = laboratory.among(names)
    laboratory.together([functools.partial(runs_of, laboratory, name) for name in chosen])
    for name in chosen:
        yield name, CATALOGUE[name], runs_of(laboratory, name)


def halved(horizon: int) -> list[int]:
    """1, ..., horizon / 4, horizon / 2, horizon: of the longest horizon `MOST_RECORDS` rounds."""
    return [horizon >> j for j in reversed(range(horizon.bit_length()))]


def _tolerance(instance: Instance) -> float:
    """Rounding error of one round: a few sums of N numbers below N, priced costs among them."""
    n = instance.problem.num_selected
    return 8 * n * n * (1 + float(instance.best.multiplier)) * epsilon()


def _weak_duality(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name, instance, paths in each(laboratory, SUM_UP):
        worst = float(paths.watch.weak_duality.min())
        comparisons.append(
            Comparison(
                f"{name}, smallest in {paths.round[-1]:,} rounds",
                Exact(worst, len(paths.watch.weak_duality)),
                floor=-_tolerance(instance),
            )
        )
    return comparisons


def _swap_identity(laboratory: Laboratory) -> list[Comparison]:
    instance, paths = CATALOGUE["swap-2"], runs_of(laboratory, "swap-2")
    seen = paths.watch
    rest = np.abs(seen.regret + instance.best.multiplier * seen.overspend) / paths.round
    worst = float(rest.max())
    return [
        Comparison(
            "swap-2, largest per round",
            Exact(worst, len(rest)),
            ceiling=_tolerance(instance),
        )
    ]


def _cardinality(laboratory: Laboratory) -> list[Comparison]:
    return [
        Comparison(
            name,
            Exact(float(seen.wrong_size[:, -1].max()), len(seen.wrong_size)),
            floor=0,
            ceiling=0,
        )
        for name, _, (_, seen) in each(laboratory, ALL)
    ]


def _feasibility(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name, instance, (_, seen) in each(laboratory, ALL):
        k = instance.problem.num_arms
        tolerance = 4 * k * max(1.0, float(instance.problem.budget)) * epsilon()
        comparisons.append(
            Comparison(
                name,
                Exact(float(seen.infeasibility.max()), len(seen.infeasibility)),
                ceiling=tolerance,
            )
        )
    return comparisons


def _counts(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name, instance, paths in each(laboratory, ALL):
        problem, seen = instance.problem, paths.watch
        runs = len(seen.miscounted)
        comparisons.append(
            Comparison(
                f"{name}, rounds in which the learner's counts are not the observations made",
                Exact(float(seen.miscounted[:, -1].max()), runs),
                floor=0,
                ceiling=0,
            )
        )
        off = seen.observed.sum(axis=-1) - problem.num_selected * paths.round
        off = np.maximum(off, 0) if problem.cascading else np.abs(off)
        comparisons.append(
            Comparison(
                f"{name}, observations {'beyond' if problem.cascading else 'other than'} N t",
                Exact(float(off.max()), runs),
                floor=0,
                ceiling=0,
            )
        )
    return comparisons


EVERY_ROUND = "the worst value over every round of every run, without sampling error"
POWER = "one round of one run that breaks the rule is enough"

CLAIMS = (
    Claim(
        name="weak-duality",
        statement="OPT - mu(S) + lambda* (c(S) - rho) >= 0 for every set that is played, so "
        "R(t) + lambda* t V(t) >= 0 on every path at every t",
        assumptions=("sum-up rewards", "lambda* an optimal dual price at the true means"),
        instances=SUM_UP,
        statistic="smallest value of OPT - mu(S_t) + lambda* (c(S_t) - rho)",
        test=EVERY_ROUND,
        power=POWER,
        measure=_weak_duality,
        source="linear programming duality",
    ),
    Claim(
        name="swap-identity",
        statement="With K = 2, N = 1 and both arms basic, R(t) = -lambda* t V(t) exactly",
        assumptions=("sum-up rewards", "pseudo quantities: true means of the sets played"),
        instances=("swap-2",),
        statistic="largest |R(t) + lambda* t V(t)| / t at recorded rounds",
        test=EVERY_ROUND,
        power=POWER,
        measure=_swap_identity,
        source="linear programming duality",
    ),
    Claim(
        name="cardinality",
        statement="Every set played has exactly N arms (at most N where the problem says so)",
        assumptions=ASSUMPTIONS,
        instances=ALL,
        statistic="rounds with a set of the wrong size",
        test=EVERY_ROUND,
        power=POWER,
        measure=_cardinality,
    ),
    Claim(
        name="lp-feasibility",
        statement="The relaxed vector meets box, cardinality and budget at the cost bounds",
        assumptions=("rounds in which the relaxed problem has a feasible point",),
        instances=ALL,
        statistic="largest residual of z_t",
        test=EVERY_ROUND,
        power=POWER,
        measure=_feasibility,
    ),
    Claim(
        name="counts",
        statement="The learner has counted the observations made, no more and no fewer: N per "
        "round with semi-bandit feedback, at most N in a cascade",
        assumptions=ASSUMPTIONS,
        instances=ALL,
        statistic="rounds with a wrong count, and observations off N t",
        test=EVERY_ROUND,
        power=POWER,
        measure=_counts,
    ),
)
