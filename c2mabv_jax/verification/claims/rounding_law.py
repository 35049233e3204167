"""The law of the rounding: marginals, cardinality, negative correlation, submodular rewards."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax.array import streams
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import Exact, Mean, Share

SLACK = 0.02  # an equality (E f = F, covariance 0) is not an inequality that sampling can show


class Case(NamedTuple):
    """Marginals `[K]` that sum to N, and rewards `[K]` for any win."""

    name: str
    marginals: tuple[float, ...]
    rewards: tuple[float, ...]


CASES = (
    Case("vertex", (0.4, 1.0, 0.6, 0.0), (0.9, 0.7, 0.55, 0.3)),
    Case("halves", (0.5, 0.5, 0.5, 0.5), (0.9, 0.0, 0.9, 0.0)),
    Case("interior", (0.3, 0.8, 0.55, 0.35), (0.8, 0.6, 0.5, 0.7)),
)


def _draw(laboratory: Laboratory, case: Case) -> np.ndarray:
    """Sets, bool `[draws, K]`."""
    draws = laboratory.preset.rounding_draws
    root = jax.random.key(laboratory.seed, impl="threefry2x32")
    keys = streams.run_keys(root, jnp.arange(draws, dtype=jnp.uint32))
    z = jnp.asarray(case.marginals)[:, None] * jnp.ones(draws)
    num_selected = round(sum(case.marginals))
    draw = jax.jit(laboratory.system.round, static_argnums=2)
    return np.asarray(draw(keys, z, num_selected)).T


def _measure(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for case in CASES:
        sets = _draw(laboratory, case)
        z = np.asarray(case.marginals)
        draws, num_arms = sets.shape
        wrong = (sets.sum(1) != round(z.sum())).sum()
        comparisons.append(
            Comparison(f"{case.name}: sets of wrong size", Exact(float(wrong), draws), 0, 0)
        )
        for k in range(num_arms):
            share = Share(int(sets[:, k].sum()), draws)
            what = f"{case.name}: P(arm {k})"
            if z[k] in (0, 1):
                comparisons.append(Comparison(what, Exact(share.estimate, draws), z[k], z[k]))
            else:
                comparisons.append(Comparison(what, share, z[k], z[k], resolution=0.05))
        for i in range(num_arms):
            for j in range(i):
                if 0 < z[i] < 1 and 0 < z[j] < 1:
                    product = (sets[:, i] - z[i]) * (sets[:, j] - z[j])
                    comparisons.append(
                        Comparison(f"{case.name}: cov({j}, {i})", _mean(product), ceiling=SLACK)
                    )
        rewards = np.asarray(case.rewards)
        reward = 1 - np.where(sets, 1 - rewards, 1).prod(1)
        relaxed = 1 - (1 - z * rewards).prod()
        comparisons.append(
            Comparison(f"{case.name}: E f(S) of any win", _mean(reward), floor=relaxed - SLACK)
        )
    return comparisons


def _mean(samples: np.ndarray) -> Mean:
    return Mean(np.asarray(samples, np.float64))


CLAIMS = (
    Claim(
        name="rounding-law",
        statement="Rounding keeps every marginal, P(k in S) = z_k, selects N arms, never "
        "correlates two arms positively, and so E f(S) >= F(z) for any win",
        assumptions=("marginals that sum to N",),
        instances=tuple(f"{case.name}: z = {case.marginals}" for case in CASES),
        statistic="shares of arms, products of deviations, mean reward of the sets drawn",
        test="Clopper-Pearson for the shares; t intervals for covariances <= "
        f"{SLACK} and E f(S) >= F(z) - {SLACK} (the theory has 0, often as an equality)",
        power=f"covariances above {SLACK} by two half intervals; systematic sampling has .25",
        measure=_measure,
        source="Gandhi, Khuller, Parthasarathy, Srinivasan 2006",
    ),
)
