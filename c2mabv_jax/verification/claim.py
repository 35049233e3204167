"""Claims as data, and how evidence becomes a verdict.

A claim measures *comparisons*: a statistic of runs beside the interval in which the theory
puts it. Every comparison of a report is judged at the same error level, the level of the
report divided by the number of statistical comparisons in it (Bonferroni), so that with
probability at least 1 - level no true claim of the whole report is called contradicted and
no false bound is called verified.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from scipy import stats

from c2mabv_jax.verification.statistic import Statistic

if TYPE_CHECKING:
    from c2mabv_jax.verification.laboratory import Laboratory


class Outcome(enum.StrEnum):
    """What the evidence says of a claim, worst last."""

    HOLDS = "holds"
    VACUOUS = "vacuous"
    UNDECIDED = "not enough evidence"
    CONTRADICTED = "contradicted"


_WORST_LAST = tuple(Outcome)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The worst of several outcomes."""
    return max(outcomes, key=_WORST_LAST.index)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A statistic, and what the theory says of the quantity that it estimates.

    Attributes:
      what: which case of the claim, such as "gap-6, T = 10,000".
      statistic: estimate with confidence intervals.
      floor, ceiling: the claim is floor <= quantity <= ceiling; equal for a point claim.
      resolution: of a point claim: the widest half interval that still counts as evidence.
      rounding: error of the arithmetic, by which the interval is widened on both sides.
      ratio: of a claimed bound: what the worst legal policy would do / the bound. At 1 or less
        the bound excludes nothing: the comparison is vacuous. Infinite where no worst is named.
    """

    what: str
    statistic: Statistic
    floor: float = -math.inf
    ceiling: float = math.inf
    resolution: float = math.inf
    rounding: float = 0.0
    ratio: float = math.inf

    def judge(self, error: float) -> Finding:
        """The finding at this error level (both sides together)."""
        statistic = self.statistic
        low, high = statistic.interval(error)
        low, high = low - self.rounding, high + self.rounding
        return Finding(
            what=self.what,
            estimate=statistic.estimate,
            low=low,
            high=high,
            floor=self.floor,
            ceiling=self.ceiling,
            runs=statistic.runs,
            error=0.0 if statistic.exact else error,
            detects=0.0 if statistic.exact else (high - low) / 2 * _beyond(error),
            ratio=self.ratio,
            outcome=self._outcome(low, high),
        )

    def _outcome(self, low: float, high: float) -> Outcome:
        if math.isnan(self.statistic.estimate):
            return Outcome.CONTRADICTED  # a system that yields no number keeps no promise
        if low > self.ceiling or high < self.floor:
            return Outcome.CONTRADICTED
        if self.ratio <= 1:
            return Outcome.VACUOUS
        if self.floor == self.ceiling:
            narrow = (high - low) / 2 <= self.resolution
            return Outcome.HOLDS if narrow else Outcome.UNDECIDED
        return Outcome.HOLDS if self.floor <= low and high <= self.ceiling else Outcome.UNDECIDED


def _beyond(error: float) -> float:
    """How far beyond a limit, in half intervals, the truth must be to be seen 9 times of 10."""
    return 1 + float(stats.norm.isf(0.1) / stats.norm.isf(error / 2))


@dataclasses.dataclass(frozen=True)
class Finding:
    """A judged comparison: plain numbers, ready for a report.

    Attributes:
      what, estimate, low, high, floor, ceiling, runs: see `Comparison`.
      error: error level of the interval; 0 where there is no sampling error.
      detects: power: a truth that lies this far outside [floor, ceiling] is contradicted with
        a probability of about .9 (normal approximation).
      ratio: see `Comparison`.
      outcome: of this comparison.
    """

    what: str
    estimate: float
    low: float
    high: float
    floor: float
    ceiling: float
    runs: int
    error: float
    detects: float
    ratio: float
    outcome: Outcome


@dataclasses.dataclass(frozen=True)
class Claim:
    """One statement of the theory and the experiment that tests it.

    Attributes:
      name: short, unique.
      statement: what is claimed, in one sentence.
      assumptions: under which it is claimed.
      instances: on which it is tested.
      statistic: what is computed from the runs.
      test: how the statistic is compared with the claim.
      power: what departure the experiment would see.
      measure: the experiment: from a laboratory to comparisons. Their number may depend on
        the preset, never on what was measured.
      horizon: rounds below which the claim says nothing (asymptotic claims).
      brief: whether it plays so few rounds that compiling them well would take longer.
      source: where the statement comes from.
    """

    name: str
    statement: str
    assumptions: tuple[str, ...]
    instances: tuple[str, ...]
    statistic: str
    test: str
    power: str
    measure: Callable[[Laboratory], list[Comparison]]
    horizon: int = 1
    brief: bool = False
    source: str = "derived for this project"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a report says of one claim.

    Attributes:
      claim: the claim.
      outcome: holds, vacuous (some comparison could not have failed), not enough evidence, or
        contradicted.
      findings: every comparison, judged.
      seconds: wall time of the experiment.
      command: repeats it.
    """

    claim: Claim
    outcome: Outcome
    findings: tuple[Finding, ...]
    seconds: float
    command: str

    @property
    def decisive(self) -> Finding:
        """The finding to show first: the worst outcome, the last of its kind."""
        return next(f for f in reversed(self.findings) if f.outcome == self.outcome)

    def as_table(self) -> dict[str, Any]:
        """Plain JSON types; infinite limits become None."""
        claim = {
            field.name: getattr(self.claim, field.name)
            for field in dataclasses.fields(self.claim)
            if field.name != "measure"
        }
        shown = self.decisive
        return {
            "claim": self.claim.name,
            "verdict": self.outcome.value,
            "figure": finite(shown.estimate),
            "n": shown.runs,
            "error_level": shown.error,
            "command": self.command,
            "seconds": round(self.seconds, 2),
            "definition": claim,
            "findings": [
                {key: finite(value) for key, value in dataclasses.asdict(finding).items()}
                for finding in self.findings
            ],
        }


def finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: both become None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(
    claim: Claim, comparisons: Sequence[Comparison], error: float, seconds: float, command: str
) -> Verdict:
    """The verdict on one claim at an error level per comparison."""
    findings = tuple(comparison.judge(error) for comparison in comparisons)
    outcome = worst([finding.outcome for finding in findings])
    return Verdict(claim, outcome, findings, seconds, command)


def statistical(comparisons: Sequence[Comparison]) -> int:
    """How many of the comparisons can err by chance."""
    return sum(not comparison.statistic.exact for comparison in comparisons)
