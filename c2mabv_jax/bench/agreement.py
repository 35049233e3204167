"""Every peer must do the same thing: same mean reward and cost per round, within error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from c2mabv_jax.bench.case import Outcome

STANDARD_ERRORS = 5.0
# Two-sided normal tail of one comparison; a run makes two comparisons per peer and case.
FALSE_ALARM = math.erfc(STANDARD_ERRORS / math.sqrt(2))


class Difference(NamedTuple):
    """How far a peer is off, in standard errors of the difference."""

    reward: float
    cost: float


class DisagreementError(AssertionError):
    """A peer whose mean reward or cost is not that of the package: its speed means nothing."""


def pooled(outcomes: Sequence[Outcome]) -> Outcome:
    """The runs of several turns together."""

    def joined(field: str) -> np.ndarray | None:
        parts = [getattr(outcome, field) for outcome in outcomes]
        if any(part is None for part in parts):
            return None
        return np.concatenate([np.asarray(part, np.float64) for part in parts])

    return Outcome(*map(joined, Outcome._fields))  # type: ignore[arg-type]


def difference(peer: Outcome, reference: Outcome) -> Difference:
    """Differences of means over sqrt(s^2 (1 / n + 1 / m)).

    s is the deviation over runs of the reference, which has many: a slow peer has too few
    runs to know its own.
    """
    units = []
    for a, b in ((peer.reward, reference.reward), (peer.cost, reference.cost)):
        error = b.std(ddof=1) * math.sqrt(1 / len(a) + 1 / len(b))
        units.append(float((a.mean() - b.mean()) / error))
    return Difference(*units)


def assert_agrees(name: str, peer: Outcome, reference: Outcome) -> Difference:
    """The difference; raises where it exceeds five standard errors (p = 6e-7 each by chance)."""
    off = difference(peer, reference)
    if not all(abs(units) <= STANDARD_ERRORS for units in off):  # true for not a number, too
        raise DisagreementError(
            f"{name}: mean reward {peer.reward.mean():.5f} and cost {peer.cost.mean():.5f} per "
            f"round are {off.reward:+.1f} and {off.cost:+.1f} standard errors off this package "
            f"({reference.reward.mean():.5f}, {reference.cost.mean():.5f}); more than "
            f"{STANDARD_ERRORS:g} happens by chance once in {1 / FALSE_ALARM:,.0f} comparisons"
        )
    return off


def certificate(outcome: Outcome) -> dict[str, float]:
    """The worst certificate of all rounds of all runs."""
    return {
        field: float(np.max(value))
        for field, value in (("gap", outcome.gap), ("feasibility", outcome.feasibility))
        if value is not None
    }
