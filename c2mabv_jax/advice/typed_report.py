"""Advice about types of query in plain words: the files of `advice.report`, with one figure."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from c2mabv_jax import pages
from c2mabv_jax.advice.formats import money, table
from c2mabv_jax.advice.typed import APART, FOLDS, Interval, TypedStudy
from c2mabv_jax.plotting import style
from c2mabv_jax.plotting.types import Allocation, Reached, fronts_and_allocation
from c2mabv_jax.results.dataset import provenance
from c2mabv_jax.results.summary import estimate
from c2mabv_jax.theory import money_by_type, typed_optimum

KINDS = {"c2mabv": "types not seen", "c2mabv-types": "types seen"}
_MOST_LLMS = 3  # named per type


def contents(study: TypedStudy, command: str) -> dict[str, bytes]:
    """The files of an advice about types, by name."""
    text = io.StringIO(newline="")
    lines = rows(study)
    writer = csv.DictWriter(text, list(lines[0]), restval="")
    writer.writeheader()
    writer.writerows(lines)
    index = study.recommended
    said, drawing = words(study, command), picture(study)
    summary = {
        "command": command,
        "types_pay": study.pays,
        "verdict": {"kind": study.kind, "words": verdict(study)},
        "aim": study.aim._asdict(),
        "types": list(study.log.types),
        "rows_of_type": study.rows_of_type.tolist(),
        "gain_learned": study.mean_gain._asdict(),
        "gain_on_rows_not_seen": study.mean_unseen._asdict(),
        "gain_knowing_the_log": study.apparent,
        "rows_needed_per_type": study.rows_needed,
        "recommended_budget": float(study.budgets[index]),
        "num_selected": study.problem.num_selected,
        "alphas": {name: list(one.pair) for name, one in study.learned.items()},
        **provenance(),
    }
    return {
        "advice.md": said.encode(),
        "advice.csv": text.getvalue().encode(),
        "summary.json": (json.dumps(summary, indent=2) + "\n").encode(),
        **style.rendered(drawing, "types"),
        "report.html": pages.page(said, {"types": drawing}).encode(),
    }


def rows(study: TypedStudy) -> list[dict[str, Any]]:
    """Rows of the CSV: both kinds at every budget."""
    found = []
    for name, one in study.learned.items():
        for b, budget in enumerate(study.budgets):
            row: dict[str, Any] = {"policy": name, "budget": float(budget)}
            row |= dict(zip(("alpha_reward", "alpha_cost"), one.pair, strict=True))
            for field, values in (("quality", one.quality[b]), ("cost", one.cost[b])):
                mean = estimate(values)
                row |= {field: mean.mean, f"{field}_half": mean.half}
            row["oracle"] = float(one.oracle[b])
            for field, intervals in (
                ("gain", study.gain),
                ("saving", study.saving),
                ("unseen_gain", study.unseen),
            ):
                mine = intervals[b] if name == "c2mabv-types" else Interval(*[np.nan] * 3)
                row |= {
                    f"{field}{end}": "" if np.isnan(x) else x
                    for end, x in zip(("", "_low", "_high"), mine, strict=True)
                }
            found.append(row)
    return found


def allocation(study: TypedStudy, index: int) -> Allocation:
    """Which type asked what, and what it spent, at one budget."""
    pulls = study.learned["c2mabv-types"].pulls[index]
    _, cost, frequencies = money_by_type(study.log)
    queries = frequencies * study.horizon
    spent = (pulls * cost).sum(axis=1)
    return Allocation(
        study.log.types,
        study.log.names,
        frequencies,
        spent / max(spent.sum(), 1e-300),
        pulls / queries[:, None],
    )


def picture(study: TypedStudy):
    """The two fronts, what was learned, and who asks what at the recommended budget."""
    reached = []
    for name, one in study.learned.items():
        cost, quality = ([estimate(v) for v in x] for x in (one.cost, one.quality))
        reached.append(
            Reached(
                name,
                np.array([x.mean for x in cost]),
                np.array([x.mean for x in quality]),
                np.array([x.half for x in cost]),
                np.array([x.half for x in quality]),
            )
        )
    chosen = allocation(study, study.recommended)
    return fronts_and_allocation(study.fronts, reached, chosen, study.log.cost_unit)


def verdict(study: TypedStudy) -> str:
    """Whether types pay, and if not, why and by how much."""
    gain, unseen = points(study.mean_gain), points(study.mean_unseen)
    smallest, middle = study.rows_of_type.min(), int(np.median(study.rows_of_type))
    if study.pays:
        return (
            f"Types pay: at equal money C2MAB-V that sees them is better by {gain} points of "
            f"quality, exploration included, over {study.horizon:,} queries; on rows that were "
            f"not used to choose the LLMs types are worth {unseen} points."
        )
    if study.mean_unseen.low <= 0:
        why = (
            f"{len(study.log.types)} types of {middle} rows (median; least {smallest}) are too "
            f"few rows to tell LLMs apart: about {study.rows_needed} rows of a type tell two LLMs "
            f"apart that differ by {100 * APART:.0f} points"
        )
        begin = (
            "The log is too small to tell whether types pay"
            if study.kind == "unclear"
            else "Types do not pay"
        )
        return (
            f"{begin}: on rows that were not used to choose the LLMs they gain {unseen} "
            f"points of quality at equal money, which is not above 0 beyond doubt. {why}. Who "
            f"knew the log by heart would gain {100 * study.apparent:.1f} points, so most of "
            "that is the luck of few rows. Leave types out, or merge them into fewer."
        )
    return (
        f"Types do not pay within {study.horizon:,} queries: they are worth {unseen} points on "
        f"rows not seen, but learning {len(study.log.types)} x {study.log.num_arms} LLMs takes "
        f"so many queries that C2MAB-V with types gains {gain} points at equal money. With more "
        "queries (--horizon) it may; or merge types into fewer."
    )


def points(gain: Interval) -> str:
    """A gain in points of quality, with its interval."""
    return f"{100 * gain.value:.1f} [{100 * gain.low:.1f}, {100 * gain.high:.1f}]"


def words(study: TypedStudy, command: str) -> str:
    """The text of advice.md."""
    unit, index = study.log.cost_unit, study.recommended
    report = study.log.log_report
    text = [
        f"# Types of query in {Path(report.file).name}",
        "",
        f"**{verdict(study)}**",
        "",
        "## Which budget buys which quality",
        "",
        *table(
            (f"budget ({unit})", "types not seen", "types seen", "gain at equal money (points)",
             "money saved at equal quality", "gain on rows not seen", "oracle", "oracle, seen"),
            [_line(study, b) for b in range(len(study.budgets))],
        ),
        f"Quality is the average score over {study.horizon:,} queries of C2MAB-V, exploration "
        f"included, mean of {study.num_seeds} runs; brackets are 95 % intervals. Alphas (reward, "
        f"cost): {', '.join(f'{KINDS[n]} {x.pair}' for n, x in study.learned.items())}, the best "
        f"of those tried. Rows not seen: every row judged by LLMs chosen on other rows "
        f"({FOLDS} folds). `beyond`: plain C2MAB-V reaches that quality at no budget tried.",
        "",
        f"## Who asks what at {money(float(study.budgets[index]))} {unit}",
        "",
        "![Quality against cost with and without the types, and which type asks what](types.png)",
        "",
        *table(
            ("type", "rows", "queries", "money", "LLMs asked", "LLMs that the log knows best"),
            _types(study, index),
        ),
        f"Command: `{command}`",
        "",
    ]  # fmt: skip
    return "\n".join(text)


def _line(study: TypedStudy, b: int) -> tuple[str, ...]:
    plain, typed = study.learned["c2mabv"], study.learned["c2mabv-types"]
    saved = study.saving[b]
    return (
        money(float(study.budgets[b])),
        f"{plain.quality[b].mean():.4f} at {money(float(plain.cost[b].mean()))}",
        f"{typed.quality[b].mean():.4f} at {money(float(typed.cost[b].mean()))}",
        points(study.gain[b]),
        "beyond"
        if np.isnan(saved.value)
        else f"{100 * saved.value:.0f} %"
        + ("" if np.isnan(saved.low) else f" [{100 * saved.low:.0f}, {100 * saved.high:.0f}]"),
        points(study.unseen[b]),
        f"{plain.oracle[b]:.4f}",
        f"{typed.oracle[b]:.4f}",
    )


def _types(study: TypedStudy, index: int) -> list[tuple[str, ...]]:
    chosen = allocation(study, index)
    problem = study.problem.replace(budget=float(study.budgets[index]))
    best = typed_optimum(problem, *money_by_type(study.log)).marginals
    return [
        (
            name,
            f"{study.rows_of_type[g]:,}",
            f"{100 * chosen.queries[g]:.0f} %",
            f"{100 * chosen.money[g]:.0f} %",
            _named(chosen.asked[g], study.log.names),
            _named(best[g], study.log.names),
        )
        for g, name in enumerate(chosen.types)
    ]


def _named(share: np.ndarray, names: tuple[str, ...]) -> str:
    """The LLMs asked most, with their share."""
    order = [k for k in np.argsort(-share, kind="stable")[:_MOST_LLMS] if share[k] >= 0.005]
    return ", ".join(f"{names[k].rsplit('/', 1)[-1]} {100 * share[k]:.0f} %" for k in order)


def printed(study: TypedStudy) -> str:
    """What the command says on the terminal."""
    lines, unit = [verdict(study), ""], study.log.cost_unit
    for b, budget in enumerate(study.budgets):
        _, plain, typed, gain, saved, *_ = _line(study, b)
        lines.append(
            f"{money(float(budget)):>10} {unit}: {plain} without, {typed} with types; "
            f"{gain} points at equal money; saves {saved}"
        )
    if not study.pays:
        lines.append("(Gains of a replay that meets the same few rows over and over.)")
        return "\n".join(lines)
    index = study.recommended
    lines += ["", f"At {money(float(study.budgets[index]))} {unit}:"]
    for name, _, queries, spent, asked, _ in _types(study, index):
        lines.append(f"  {name}: {queries} of queries, {spent} of money; {asked}")
    return "\n".join(lines)
