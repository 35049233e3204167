"""How often `c2mabv verify` raises a false alarm: whole reports, repeated under the truth.

The package is taken to be right here; every report with a contradicted claim is then a false
alarm, and at most the stated level of them may be. Repetitions differ in the seed alone, and
share the compiled programs.
"""

from __future__ import annotations

import time
from collections import Counter

from tqdm import tqdm

from c2mabv_jax.theory.statistics import binomial_interval
from c2mabv_jax.verification import Outcome, Spec, verify
from experiments.setting import Setting

FIRST_SEED = 1000
CONFIDENCE = 0.05


def run(setting: Setting) -> None:
    """One row for whole reports, one for every claim that was ever contradicted or undecided."""
    repetitions = setting.pick(20, 200)
    alarms, contradicted, undecided = 0, Counter[str](), Counter[str]()
    start, comparisons, level = time.monotonic(), 0, 0.0
    for seed in tqdm(
        range(FIRST_SEED, FIRST_SEED + repetitions), unit="report", leave=False, disable=None
    ):
        report = verify(Spec(preset="tiny", seed=seed))
        comparisons, level = report.comparisons, report.preset.level
        alarms += report.status
        contradicted.update(_names(report.verdicts, Outcome.CONTRADICTED))
        undecided.update(_names(report.verdicts, Outcome.UNDECIDED))
    rate, low, high = binomial_interval(alarms, repetitions, CONFIDENCE)
    rows = [["whole report", alarms, repetitions, rate, low, high, undecided.total()]]
    for name in sorted(contradicted | undecided):
        claim = binomial_interval(contradicted[name], repetitions, CONFIDENCE)
        rows.append([name, contradicted[name], repetitions, *claim, undecided[name]])
    seconds = (time.monotonic() - start) / repetitions
    head = ("what", "false alarms", "reports", "rate", "low", "high", "not enough evidence")
    verdict = "not above" if low <= level else "ABOVE"
    says = (
        f"Preset `tiny`, {comparisons} statistical comparisons a report, stated level {level:g}: "
        f"the measured rate is {verdict} it. Intervals: Clopper-Pearson, 95 %. "
        f"{seconds:.1f} s a report."
    )
    setting.table(head, rows, says)


def _names(verdicts, outcome: Outcome) -> list[str]:
    return [verdict.claim.name for verdict in verdicts if verdict.outcome == outcome]
