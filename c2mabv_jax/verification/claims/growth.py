"""Growth with the horizon: local log-log slopes, and the ratio to sqrt(T ell_T)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from c2mabv_jax.theory.statistics import expected_slope
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.claims.constants import BINDING, DELTA, OTHER_MODELS, long_runs
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import OfMeans, loglog_slope


def _curves(laboratory: Laboratory, name: str, variable: str) -> tuple[list[int], np.ndarray]:
    """The last two long horizons, and a cumulative quantity at them, `[runs, 2]`."""
    preset = laboratory.preset
    data = long_runs(laboratory, name)
    rounds = list(preset.long_rounds[-2:])
    values = data[variable].sel(round=rounds).transpose("seed", "round").to_numpy()
    if variable == "signed_violation":
        values = values * np.asarray(rounds)
    return rounds, values


def ratio_change(rounds: list[int], num_arms: int) -> Callable[[np.ndarray], float]:
    """(R / sqrt(T ell_T)) at the later round over the same at the earlier one."""
    order = expected_slope("sqrt(T ell)", np.sqrt(np.prod(rounds)), num_arms, DELTA)
    scale = (rounds[1] / rounds[0]) ** float(order)

    def change(means: np.ndarray) -> float:
        return float(means[1] / means[0] / scale)

    return change


def _lagrangian(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name in BINDING:
        rounds, values = _curves(laboratory, name, "lagrangian_regret")
        k = CATALOGUE[name].problem.num_arms
        what = f"{name}, T = {rounds[0]:,} to {rounds[1]:,}"
        middle = float(np.sqrt(rounds[0] * rounds[1]))
        logarithm = expected_slope("ell", middle, k, DELTA)
        comparisons += [
            Comparison(
                f"{what}: slope (1/2 for sqrt(T), {logarithm:.2f} for ell_T in the limit)",
                OfMeans(loglog_slope(*rounds), (values,), laboratory.seed),
                floor=0,
                ceiling=0.5,
            ),
            Comparison(
                f"{what}: change of R / sqrt(T ell_T)",
                OfMeans(ratio_change(rounds, k), (values,), laboratory.seed),
                ceiling=1,
            ),
        ]
    return comparisons


def _violation(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name in laboratory.among((*BINDING, *OTHER_MODELS)):
        rounds, values = _curves(laboratory, name, "signed_violation")
        k = CATALOGUE[name].problem.num_arms
        what = f"{name}, T = {rounds[0]:,} to {rounds[1]:,}"
        comparisons += [
            Comparison(
                f"{what}: slope of T V",
                OfMeans(loglog_slope(*rounds), (values,), laboratory.seed),
                floor=0.45,
                ceiling=0.65,
            ),
            Comparison(
                f"{what}: change of T V / sqrt(T ell_T)",
                OfMeans(ratio_change(rounds, k), (values,), laboratory.seed),
                floor=0.8,
                ceiling=1.25,
            ),
        ]
    return comparisons


BOOTSTRAP = "t interval with a standard error bootstrapped over whole runs, never over rounds"

CLAIMS = (
    Claim(
        name="growth-lagrangian",
        statement="With a binding budget and reduced costs off 0, Lagrangian regret R + lambda* "
        "T V grows more slowly than sqrt(T) (like ln T in the limit)",
        assumptions=("sum-up rewards, semi-bandit feedback", "a non-degenerate optimum"),
        instances=BINDING,
        statistic="local log-log slope between the last two horizons; change of the ratio to "
        "sqrt(T ell_T)",
        test=f"{BOOTSTRAP}: slope interval within (0, 1/2), ratio interval below 1",
        power="slope s.e. is about .01: 1/2 is excluded when the slope is below .45",
        measure=_lagrangian,
        horizon=10_000,
    ),
    Claim(
        name="growth-violation",
        statement="With a binding budget T V grows as sqrt(T ell_T), V as sqrt(ell_T / T)",
        assumptions=("the budget binds", "costs of all selected arms are seen"),
        instances=(*BINDING, *OTHER_MODELS),
        statistic="local log-log slope of T V between the last two horizons (.54 to .53 in the "
        "limit); change of the ratio to sqrt(T ell_T)",
        test=f"{BOOTSTRAP}: slope within (.45, .65), ratio change within (.8, 1.25)",
        power="slopes of 1/3, 2/3 and 1 are excluded",
        measure=_violation,
        horizon=10_000,
    ),
)
