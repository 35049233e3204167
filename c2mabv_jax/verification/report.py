"""The report: report.json for machines, report.md and report.html for people, figures."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from c2mabv_jax import pages
from c2mabv_jax.plotting import style
from c2mabv_jax.results.dataset import provenance
from c2mabv_jax.verification.claim import Finding, Outcome, Verdict
from c2mabv_jax.verification.figures import figures
from c2mabv_jax.verification.run import Caught, Report

CAPTIONS = {
    "scaling": "Regret, violation and Lagrangian regret against bound and prediction.",
    "ratio_to_bound": "Regret and violation divided by the bound on their mean.",
    "coverage": "How often a confidence bound has failed, measured and exact, at reduced alpha.",
    "constants": "Overspending divided by its predicted value; grey: the allowance claimed.",
    "search": "Search for the instance closest to the bound.",
}


def contents(report: Report) -> dict[str, bytes]:
    """The files of a report, by path: the reports, summary.json and figures/."""
    drawn = figures(report)
    table, text = as_table(report), as_markdown(report, list(drawn))
    files = {
        "report.json": _json(table),
        "report.md": text.encode(),
        "summary.json": _json({key: table[key] for key in SUMMARY}),
    }
    for name, drawing in drawn.items():
        files |= style.rendered(drawing, f"figures/{name}")
    files["report.html"] = pages.page(text, drawn).encode()
    return files


def _json(table: dict[str, Any]) -> bytes:
    return (json.dumps(table, indent=2, allow_nan=False) + "\n").encode()


SUMMARY = ("kind", "status", "verdicts", "preset", "seed", "level", "seconds")


def as_table(report: Report) -> dict[str, Any]:
    """The whole report as plain JSON types."""
    return {
        "kind": "verification",
        "status": report.status,
        "verdicts": {v.claim.name: v.outcome.value for v in report.verdicts},
        "preset": report.spec.preset,
        "seed": report.spec.seed,
        "sizes": report.preset.model_dump(mode="json"),
        "level": report.preset.level,
        "comparisons": report.comparisons,
        "error_per_comparison": report.error,
        "seconds": round(report.seconds, 1),
        "provenance": provenance(),
        "claims": [verdict.as_table() for verdict in report.verdicts],
        "controls": [_control(control) for control in report.controls],
        "worst_instances": [
            {
                "objective": found.objective,
                "mean_reward": np.asarray(found.mean_reward).tolist(),
                "mean_cost": np.asarray(found.mean_cost).tolist(),
                "budget": found.budget,
                "ratio": float(found.ratio.mean()),
                "runs": len(found.ratio),
                "tried": found.tried,
                "history": list(found.history),
            }
            for found in report.laboratory.found
        ],
    }


def _control(control: Caught) -> dict[str, Any]:
    return {
        "control": control.control.name,
        "what": control.control.what,
        "caught": control.caught,
        "by": list(control.by),
        "faced": {v.claim.name: v.outcome.value for v in control.verdicts},
        "evidence": [
            {"claim": v.claim.name, "finding": sentence(v.decisive)} for v in control.verdicts
        ],
        "seconds": round(control.seconds, 2),
    }


def as_markdown(report: Report, drawn: list[str]) -> str:
    """The report for people."""
    lines = [
        "# Verification report",
        "",
        headline(report),
        "",
        f"Preset `{report.spec.preset}`, seed {report.spec.seed}, "
        f"{report.seconds:.0f} s on {provenance()['device']}. Error level of the whole report "
        f"{report.preset.level:g}: each of its {report.comparisons} statistical comparisons is "
        f"judged at {report.error:.2g} (Bonferroni). *Holds* means that the confidence interval "
        "lies inside what the theory says, *contradicted* that it lies outside; an interval "
        "that straddles is not enough evidence. *Vacuous*: no legal policy, however bad, could "
        "have broken the bound at this horizon, so nothing was tested.",
        "",
        "*Detects* is the power: a truth so far outside what the theory says would be contradicted "
        "with a probability of about .9. *Worst* is what the worst legal policy would do / the "
        "bound; where it is above 2, a policy half as bad breaks the bound too.",
        "",
        "The bounds were derived for this project; they are not quoted from arXiv 2405.16587.",
        "",
        "| claim | verdict | figure | interval | theory | n | error | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for verdict in report.verdicts:
        shown = verdict.decisive
        error = "exact" if shown.error == 0 else f"{shown.error:.1g}"
        lines.append(
            f"| [{verdict.claim.name}](#{verdict.claim.name}) | {verdict.outcome.value} "
            f"| {number(shown.estimate)} | [{number(shown.low)}, {number(shown.high)}] "
            f"| {theory(shown)} | {shown.runs:,} | {error} | {verdict.seconds:.1f} |"
        )
    if report.controls:
        lines += [
            "",
            "## Negative controls",
            "",
            "Systems broken on purpose, put to the same claims at the same error level.",
            "",
            "| control | what is broken | caught | contradicts | faced |",
            "|---|---|---|---|---|",
        ]
        for control in report.controls:
            caught = "yes" if control.caught else "**NO**"
            lines.append(
                f"| {control.control.name} | {control.control.what} | {caught} "
                f"| {', '.join(control.by) or '-'} | {', '.join(control.control.faces)} |"
            )
    for found in report.laboratory.found:
        lines += [
            "",
            f"## Worst instance found: {found.objective}",
            "",
            f"{found.tried:,} instances tried; mean / bound of {len(found.ratio)} fresh runs: "
            f"**{found.ratio.mean():.3f}**.",
            "",
            f"mu = {_list(found.mean_reward)}, c = {_list(found.mean_cost)}, "
            f"rho = {found.budget:.3f}",
        ]
    if drawn:
        lines += ["", "## Figures"]
    for name in drawn:
        lines += ["", f"![{CAPTIONS[name]}](figures/{name}.png)"]
    for verdict in report.verdicts:
        lines += ["", *_section(verdict)]
    return "\n".join(lines) + "\n"


def headline(report: Report) -> str:
    """One sentence on the whole."""
    count = {outcome: 0 for outcome in Outcome}
    for verdict in report.verdicts:
        count[verdict.outcome] += 1
    text = (
        f"{count[Outcome.HOLDS]} of {len(report.verdicts)} claims hold, "
        f"{count[Outcome.CONTRADICTED]} contradicted, {count[Outcome.VACUOUS]} vacuous, "
        f"{count[Outcome.UNDECIDED]} without enough evidence"
    )
    if report.controls:
        caught = sum(control.caught for control in report.controls)
        text += f"; {caught} of {len(report.controls)} negative controls caught"
    return text + "."


def _section(verdict: Verdict) -> list[str]:
    claim = verdict.claim
    lines = [
        f"## {claim.name}",
        "",
        f"**{verdict.outcome.value}.** {claim.statement}.",
        "",
        f"- Assumptions: {'; '.join(claim.assumptions)}.",
        f"- Instances: {', '.join(claim.instances)}.",
        f"- Statistic: {claim.statistic}.",
        f"- Test: {claim.test}.",
        f"- Power: {claim.power}.",
        f"- Source: {claim.source}.",
        f"- Repeat: `{verdict.command}`",
        "",
        "| case | estimate | interval | theory | n | detects | worst | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for finding in verdict.findings:
        lines.append(
            f"| {finding.what} | {number(finding.estimate)} "
            f"| [{number(finding.low)}, {number(finding.high)}] | {theory(finding)} "
            f"| {finding.runs:,} | {number(finding.detects)} | {worst(finding)} "
            f"| {finding.outcome.value} |"
        )
    return lines


def sentence(finding: Finding) -> str:
    """A finding in words."""
    said = (
        f"{finding.what}: {number(finding.estimate)} in "
        f"[{number(finding.low)}, {number(finding.high)}], theory {theory(finding)}"
    )
    if finding.outcome == Outcome.VACUOUS:
        said += f", the worst policy {worst(finding)}"
    return said


def theory(finding: Finding) -> str:
    """What the claim says of the quantity."""
    low, high = finding.floor, finding.ceiling
    if low == high:
        return f"= {number(low)}"
    if math.isinf(low):
        return f"≤ {number(high)}"
    if math.isinf(high):
        return f"≥ {number(low)}"
    return f"[{number(low)}, {number(high)}]"


def worst(finding: Finding) -> str:
    """What the worst legal policy would do / the bound, where the claim says."""
    return "-" if math.isinf(finding.ratio) else f"{finding.ratio:.2f} x"


def number(value: float) -> str:
    """Four significant digits, thousands apart."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _list(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"
