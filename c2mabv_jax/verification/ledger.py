"""What the learner ought to know: bounds and orders recomputed from the outcomes, in float64.

Everything here follows from a transcript (what was asked, seen, billed) and the formulas of
THEORY, without a line of the package: a wrong count, logarithm, clip or delay differs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Known(NamedTuple):
    """Before every round, `[runs, T, K]`: observations, their sum; bills, their sum."""

    seen: np.ndarray
    won: np.ndarray
    billed: np.ndarray
    paid: np.ndarray


def known(
    observed: np.ndarray,
    reward: np.ndarray,
    billed: np.ndarray,
    cost: np.ndarray,
    delay: int = 0,
    discount: float = 1.0,
    window: int | None = None,
) -> Known:
    """Sums over the rounds whose feedback has arrived; entries `[runs, T, K]`.

    Args:
      delay: d; before round t the feedback of rounds 1 .. t - 1 - d is known.
      discount: factor per round on all that was learned.
      window: rounds remembered; None remembers all.
    """
    return Known(
        *(
            _before(x.astype(float), delay, discount, window)
            for x in (
                observed,
                np.where(observed, reward, 0),
                billed,
                np.where(billed, cost, 0),
            )
        )
    )


def _before(x: np.ndarray, delay: int, discount: float, window: int | None) -> np.ndarray:
    total, sums = np.zeros(x[:, 0].shape), np.zeros(x.shape)
    for t in range(x.shape[1]):
        sums[:, t] = total
        arrived = x[:, t - delay] if t >= delay else 0.0
        total = discount * total + arrived
        if window is not None and t >= delay + window:
            total = total - x[:, t - delay - window]
    return sums


def means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Averages, 0 where nothing was seen."""
    return np.divide(sums, counts, out=np.zeros(sums.shape), where=counts > 0)


def bounds(
    known: Known, alpha_reward: float, alpha_cost: float, delta: float, memory: float = math.inf
) -> tuple[np.ndarray, np.ndarray]:
    """U and L of C2MAB-V before every round, `[runs, T, K]`.

    ell_t = ln(2 pi^2 K t^3 / (3 delta)), U = min(1, mean + alpha sqrt(ell_t / (2 n))),
    L = max(0, mean - alpha sqrt(ell_t / (2 m))); nothing seen: U = 1, L = 0. A policy that
    forgets counts no more rounds than its `memory`.
    """
    rounds, num_arms = known.seen.shape[1:]
    t = np.minimum(np.arange(1, rounds + 1, dtype=float), memory)[None, :, None]
    ell = np.log(2 * math.pi**2 * num_arms * t**3 / (3 * delta))
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = means(known.won, known.seen) + alpha_reward * np.sqrt(ell / (2 * known.seen))
        lower = means(known.paid, known.billed) - alpha_cost * np.sqrt(ell / (2 * known.billed))
    return (
        np.where(known.seen > 0, np.minimum(1, upper), 1.0),
        np.where(known.billed > 0, np.maximum(0, lower), 0.0),
    )


def places(priority: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Place of every selected arm in the asking order, 0 first; K for arms not asked.

    Ascending priority, ties by lower index; `[..., K]`.
    """
    num_arms = priority.shape[-1]
    order = np.argsort(np.where(selected, priority, np.inf), axis=-1, kind="stable")
    place = np.argsort(order, axis=-1, kind="stable")
    return np.where(selected, place, num_arms)


def expected_length(mean_reward: np.ndarray, place: np.ndarray, stops_at: int) -> np.ndarray:
    """E |O|: the sum over places of P(no earlier arm stopped the cascade), `[...]`."""
    goes_on = 1 - mean_reward if stops_at == 1 else mean_reward
    num_arms = place.shape[-1]
    length, reached = np.zeros(place.shape[:-1]), np.ones(place.shape[:-1])
    for position in range(num_arms):
        here = place == position
        asked = here.any(axis=-1)
        length += np.where(asked, reached, 0)
        reached = np.where(asked, reached * (here * goes_on).sum(-1), reached)
    return length
