"""The minimax regime: the worst gap is chosen again for every horizon."""

from __future__ import annotations

import math

import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.claims.bounds import regret_limit
from c2mabv_jax.verification.instances import worst_gap
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import Mean, OfMeans

FACTORS = (1.0, 2.0, 4.0, 8.0)


def horizons(laboratory: Laboratory) -> list[int]:
    """Three horizons, a factor 4 apart."""
    last = laboratory.preset.minimax_horizon
    return [last // 16, last // 4, last]


def regrets(laboratory: Laboratory) -> dict[int, np.ndarray]:
    """Regret at each horizon of the instances made for it, `[runs, factors]`."""
    runs, found = laboratory.preset.minimax_runs, {}
    for t in horizons(laboratory):
        instances = [worst_gap(factor, t) for factor in FACTORS]
        lanes = [instance for instance in instances for _ in range(runs)]
        seen = laboratory.paths_of(lanes, C2MABV(), [t]).watch
        found[t] = seen.regret[:, -1].reshape(len(FACTORS), runs).T
    return found


def _measure(laboratory: Laboratory) -> list[Comparison]:
    measured = regrets(laboratory)
    comparisons = []
    for t, regret in measured.items():
        for column, factor in enumerate(FACTORS):
            instance = worst_gap(factor, t)
            bound = float(regret_limit(instance, t, kind="expected").value)
            comparisons.append(Comparison(instance.name, Mean(regret[:, column]), ceiling=bound))
    first, last = horizons(laboratory)[0], horizons(laboratory)[-1]

    def slope(early: np.ndarray, late: np.ndarray) -> float:
        if early.max() <= 0 or late.max() <= 0:
            return math.nan
        return math.log(late.max() / early.max()) / math.log(last / first)

    comparisons.append(
        Comparison(
            f"slope of the worst mean, T = {first:,} to {last:,}",
            OfMeans(slope, (measured[first], measured[last]), laboratory.seed),
            floor=0.4,
            ceiling=0.65,
        )
    )
    return comparisons


CLAIMS = (
    Claim(
        name="minimax",
        statement="Even when the gap is chosen for the horizon, E R(T) stays below the bound, "
        "and the worst mean regret grows like sqrt(T ell_T)",
        assumptions=("sum-up rewards, no budget", "gap f sqrt(K / (N T)), f in {1, 2, 4, 8}"),
        instances=("worst-gap family, K = 6, N = 2",),
        statistic="mean regret for every gap and horizon; slope of the largest mean",
        test="upper limit of every mean below the bound; slope (standard error bootstrapped "
        "over runs) within (.4, .65): .54 is sqrt(T ell_T) at T = 1e4",
        power="slope s.e. is about .01 with 64 runs: ln T and linear growth are excluded",
        measure=_measure,
    ),
)
