"""The minimax regime: the worst gap is chosen again for every horizon.

Only growth is judged here. At a gap f sqrt(K / (N T)) the worst legal policy loses
f sqrt(N K T), within the bound 2 sqrt(2 ell_T N K T) for every f below 17: a comparison of these
means with the bound could not fail (`bounds` and `search` have those that can).
"""

from __future__ import annotations

import math

import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.instances import worst_gap
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import OfMeans

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
    first, last = horizons(laboratory)[0], horizons(laboratory)[-1]

    def slope(early: np.ndarray, late: np.ndarray) -> float:
        if early.max() <= 0 or late.max() <= 0:
            return math.nan
        return math.log(late.max() / early.max()) / math.log(last / first)

    return [
        Comparison(
            f"slope of the worst mean, T = {first:,} to {last:,}",
            OfMeans(slope, (measured[first], measured[last]), laboratory.seed),
            floor=0.4,
            ceiling=0.65,
        )
    ]


CLAIMS = (
    Claim(
        name="minimax",
        statement="When the gap is chosen anew for every horizon, the worst mean regret grows "
        "like sqrt(T ell_T)",
        assumptions=("sum-up rewards, no budget", "gap f sqrt(K / (N T)), f in {1, 2, 4, 8}"),
        instances=("worst-gap family, K = 6, N = 2",),
        statistic="log-log slope of the largest mean regret over the gaps",
        test="slope (standard error bootstrapped over runs) within (.4, .65): .54 is "
        "sqrt(T ell_T) at T = 1e4",
        power="slope s.e. is about .01 with 64 runs: ln T and linear growth are excluded",
        measure=_measure,
    ),
)
