"""Advice in plain words: advice.md, report.html, advice.csv, summary.json and the figures."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from c2mabv_jax import files, pages
from c2mabv_jax.advice.pictures import late_share, pictures
from c2mabv_jax.advice.recommend import Recommendation
from c2mabv_jax.advice.study import TOLERANCE, Run, Study
from c2mabv_jax.plotting import style
from c2mabv_jax.problem import Problem
from c2mabv_jax.results.dataset import provenance

MEANING = {
    "SUC": "the sum of the scores of the {n} LLMs asked",
    "AWC": "the chance that at least one of up to {n} LLMs answers well; they are asked one "
    "after another until one does",
    "AIC": "the chance that all {n} LLMs asked answer well",
}
NEAR = f"{100 * TOLERANCE:.0f} %"
_MOST_SETS = 2000  # rows of the CSV


def write_advice(study: Study, advice: Recommendation, folder: Path, command: str) -> None:
    """Write the files of `contents` into `folder`."""
    files.add(folder, contents(study, advice, command), "advise", "folder")


def contents(study: Study, advice: Recommendation, command: str) -> dict[str, bytes]:
    """The files of an advice, by name."""
    drawn: dict[str, bytes] = {}
    figures = pictures(study, advice)
    for name, drawing in figures.items():
        drawn |= style.rendered(drawing, name)
    text = words(study, advice, command)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows(study))
    summary = {"command": command, "recommended": configuration(study, advice), **provenance()}
    return {
        "advice.md": text.encode(),
        "report.html": pages.page(text, figures).encode(),
        "advice.csv": table.getvalue().encode(),
        "summary.json": (json.dumps(summary, indent=2) + "\n").encode(),
        **drawn,
    }


def configuration(study: Study, advice: Recommendation) -> dict[str, Any]:
    """The recommended configuration as plain JSON types."""
    run = advice.run
    return {
        "reward_model": study.problem.reward_model,
        "num_selected": study.problem.num_selected,
        "billing": study.problem.billing,
        "budget": run.budget,
        "cost_unit": study.log.cost_unit,
        "alpha_reward": run.alpha_reward,
        "alpha_cost": run.alpha_cost,
        "quality": float(run.quality[-1]),
        "quality_interval": run.quality_interval[-1].tolist(),
        "cost": float(run.cost[-1]),
        "cost_interval": run.cost_interval[-1].tolist(),
        "learned_after": run.learned_after,
        "reaches_target": advice.reached,
    }


COLUMNS = (
    "kind", "name", "budget", "alpha_reward", "alpha_cost", "quality", "quality_low",
    "quality_high", "cost", "cost_low", "cost_high", "oracle", "shortfall", "learned_after",
    "ahead_after",
)  # fmt: skip


def rows(study: Study) -> list[dict[str, Any]]:
    """Rows of the CSV: C2MAB-V's runs, the oracle at their budgets, single LLMs, fixed sets."""
    known, names = study.known, study.log.names
    found: list[dict[str, Any]] = []
    for run in study.runs:
        found.append(
            {
                "kind": "c2mabv",
                "name": "C2MAB-V",
                "budget": run.budget,
                "alpha_reward": run.alpha_reward,
                "alpha_cost": run.alpha_cost,
                "quality": float(run.quality[-1]),
                "quality_low": float(run.quality_interval[-1, 0]),
                "quality_high": float(run.quality_interval[-1, 1]),
                "cost": float(run.cost[-1]),
                "cost_low": float(run.cost_interval[-1, 0]),
                "cost_high": float(run.cost_interval[-1, 1]),
                "oracle": run.oracle,
                "shortfall": float(run.shortfall),
                "learned_after": run.learned_after,
                "ahead_after": run.ahead_after,
            }
        )
    for budget in dict.fromkeys(run.budget for run in study.runs):
        value = float(known.oracle(budget))
        cost = min(budget, known.dearest_useful)
        found.append(
            {"kind": "oracle", "name": "oracle", "budget": budget, "quality": value, "cost": cost}
        )
    for k, name in enumerate(names):
        quality, half = float(known.single_quality[k]), float(known.single_error[k])
        found.append(
            {
                "kind": "single",
                "name": name,
                "quality": quality,
                "quality_low": max(quality - half, 0.0),
                "quality_high": min(quality + half, 1.0),
                "cost": float(known.single_cost[k]),
            }
        )
    listed: Sequence[int] = range(len(known.sets))
    if len(known.sets) > _MOST_SETS:
        listed = [int(i) for i in known.corners]
    for i in listed:
        found.append(
            {
                "kind": "fixed set",
                "name": set_name(known.sets[i], names),
                "quality": float(known.quality[i]),
                "cost": float(known.cost[i]),
            }
        )
    return found


def set_name(selected: np.ndarray, names: Sequence[str]) -> str:
    """The LLMs of a set, joined."""
    return " + ".join(name for name, asked in zip(names, selected, strict=True) if asked) or "none"


def how_many(problem: Problem) -> str:
    """How many LLMs a query asks, in words."""
    if problem.num_selected == 1:
        return "one LLM"
    return f"{'up to ' if problem.at_most else ''}{problem.num_selected} LLMs"


def money(value: float) -> str:
    """Three significant digits, never in exponents."""
    if not np.isfinite(value):
        return "unknown"
    if value == 0:
        return "0"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{digits}f}"


def queries(value: int | None, horizon: int) -> str:
    """A number of queries, or that it took more than was tried."""
    return f"> {horizon:,}" if value is None else f"{value:,}"


def quality(value: float, interval: Sequence[float] | None = None) -> str:
    """Quality with three digits, and its interval."""
    if not np.isfinite(value):
        return "none"
    return f"{value:.3f}" + (
        f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval is not None else ""
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = [":--", *("--:" for _ in head[1:])]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in (head, rule, *lines))
    return ["| " + " | ".join(line) + " |" for line in cells] + [""]


def words(study: Study, advice: Recommendation, command: str) -> str:
    """The text of advice.md."""
    text = [
        f"# Advice for {Path(study.log.log_report.file).name}",
        "",
        *in_short(study, advice),
        *what_was_read(study),
        *by_budget(study, advice),
        *used_when(study, advice),
        *log_alone(study),
        *pairs(study, advice),
        *meaning(study),
        f"Made by `{command}`; the same numbers are in `advice.csv`.",
        "",
    ]
    return "\n".join(text)


def in_short(study: Study, advice: Recommendation) -> list[str]:
    """The recommendation."""
    run, known, unit = advice.run, study.known, study.log.cost_unit
    problem, best = study.problem, known.corners[-1]
    share = run.quality[-1] / known.best_quality if known.best_quality > 0 else np.nan
    saved = run.cost[-1] / known.dearest_useful if known.dearest_useful > 0 else np.nan
    single = np.flatnonzero(known.single_cost <= run.budget * (1 + 1e-9))
    lines = [
        f"**Set a budget of {money(run.budget)} {unit} and let C2MAB-V choose "
        f"{how_many(problem)} per query, with alpha_reward = {run.alpha_reward:g} and alpha_cost = "
        f"{run.alpha_cost:g}.**",
        "",
        f"- Over {study.horizon:,} queries, learning included, that bought a quality of "
        f"{quality(run.quality[-1], run.quality_interval[-1])} for {money(run.cost[-1])} {unit} "
        "(brackets: 95 % interval of the mean). Of single runs, 95 % lie within "
        f"{run.quality_range[0]:.3f} to {run.quality_range[1]:.3f}, at "
        f"{money(run.cost_range[0])} to {money(run.cost_range[1])} {unit}.",
        f"- The best fixed choice whatever it costs, {set_name(known.sets[best], study.log.names)}"
        f", has a quality of {known.best_quality:.3f} for {money(known.dearest_useful)} {unit}: "
        f"C2MAB-V had {100 * share:.1f} % of that quality for {100 * saved:.0f} % of that money.",
    ]
    if single.size:
        k = single[np.argmax(known.single_quality[single])]
        lines.append(
            f"- The best single LLM within that budget, {study.log.names[k]}, has a quality of "
            f"{known.single_quality[k]:.3f} for {money(known.single_cost[k])} {unit} (if one knew "
            "it beforehand); the best mix of sets that keeps the budget (oracle) has "
            f"{quality(run.oracle)}."
        )
    over = 100 * run.overspend / run.budget if run.budget > 0 else np.nan
    if run.learned_after is None:
        lines.append(
            f"- Learning takes more than the {study.horizon:,} queries tried; see the table below."
        )
    else:
        lines.append(
            f"- Learning takes about {run.learned_after:,} queries: from there on quality stays "
            f"within {NEAR} of the oracle's and cost within {NEAR} of the budget."
        )
    if np.isfinite(over) and over > 1:
        lines.append(
            f"- While learning it overspends: {over:.1f} % above the budget on average over the "
            "whole run. Where the budget is a hard limit, set it lower by that much."
        )
    bend = advice.bend
    if bend is not None and bend is not run:
        lines.append(
            f"- Money buys most up to a budget of {money(bend.budget)} {unit}: quality "
            f"{quality(bend.quality[-1], bend.quality_interval[-1])} for {money(bend.cost[-1])}. "
            f"From there to the recommended budget, {quality_step(run, bend)}."
        )
    if not advice.reached:
        lines.append(
            f"- No budget tried reaches {100 * advice.target:.0f} % of the best quality; this one "
            "comes nearest. Try larger budgets, more queries or a lower --target."
        )
    return [
        *lines,
        "",
        "![Quality against cost: sets, single LLMs, oracle, C2MAB-V](quality_cost.png)",
        "",
    ]


def quality_step(run: Run, bend: Run) -> str:
    """What going from the bend to the recommended budget changes."""
    gain, factor = run.quality[-1] - bend.quality[-1], run.cost[-1] / bend.cost[-1]
    return f"quality changes by {gain:+.3f} and cost by a factor of {factor:.2g}"


def what_was_read(study: Study) -> list[str]:
    """What the log held, and what was left out."""
    report, unit = study.log.log_report, study.log.cost_unit
    lines = [
        "## What was read",
        "",
        f"- `{report.file}`, {report.form} format: {report.rows_read:,} queries, "
        f"{report.rows_kept:,} of them replayed.",
        f"- {len(report.models)} models: {', '.join(report.models)}."
        + (f" Not chosen: {', '.join(report.other_models)}." if report.other_models else ""),
        f"- Missing cells: {report.missing_cells:,}"
        + (
            f"; {report.rows_missing:,} queries were left out for them."
            if report.rows_missing
            else "."
        ),
        f"- Money: {unit}, from {money(report.cost_range[0])} to {money(report.cost_range[1])} for "
        f"one answer. Scores from {report.score_range[0]:g} to {report.score_range[1]:g}.",
    ]
    if report.groups:
        groups = ", ".join(f"{name} ({count:,})" for name, count in report.groups)
        lines.append(f"- Groups: {groups}.")
    for count, what in (
        (report.rows_other_group, "queries of other groups were left out"),
        (report.duplicate_cells, "repeated identical lines were ignored"),
        (report.repeated_queries, "rows repeat a query id; they were kept"),
    ):
        if count:
            lines.append(f"- {count:,} {what}.")
    lines += [f"- Note: {note}." for note in report.notes]
    return [*lines, ""]


def by_budget(study: Study, advice: Recommendation) -> list[str]:
    """Which budget buys which quality."""
    known, unit = study.known, study.log.cost_unit
    lines = []
    for run in study.of_pair(advice.pair):
        over = f"{100 * run.overspend / run.budget:+.1f} %" if run.budget > 0 else "unknown"
        lines.append(
            [
                f"**{money(run.budget)}**" if run is advice.run else money(run.budget),
                quality(run.quality[-1], run.quality_interval[-1]),
                f"{run.quality_range[0]:.3f} to {run.quality_range[1]:.3f}",
                money(run.cost[-1]),
                over,
                quality(run.oracle),
                quality(known.best_single(run.budget)),
                queries(run.learned_after, study.horizon),
                queries(run.ahead_after, study.horizon),
            ]
        )
    head = [
        f"budget ({unit})", "quality [95 %]", "95 % of runs", "cost", "cost - budget", "oracle",
        "best single LLM", "queries to learn", "queries to beat single",
    ]  # fmt: skip
    return [
        "## Which budget buys which quality",
        "",
        f"C2MAB-V with alpha_reward = {advice.pair[0]:g}, alpha_cost = {advice.pair[1]:g}; "
        f"averages over the first {study.horizon:,} queries, learning included, and "
        f"{study.num_seeds} runs. A run draws its queries at random, with replacement, from the "
        f"{study.log.num_rows:,} of the log.",
        "",
        f"- *Queries to learn*: from there on every stretch of queries has a quality within {NEAR} "
        f'of the oracle\'s and a cost of at most the budget and {NEAR}. "> {study.horizon:,}": not '
        "within the queries tried.",
        "- *Queries to beat single*: from there on the average quality so far, learning included, "
        "is above that of the best single LLM that costs no more than was spent so far; that LLM "
        "would have to be known beforehand.",
        "",
        *table(head, lines),
        "![Quality and cost so far against queries, at the recommended budget](learning.png)",
        "",
    ]


def used_when(study: Study, advice: Recommendation) -> list[str]:
    """Which LLMs are asked early and late, at the recommended budget."""
    run = advice.run
    length = np.diff(run.queries, prepend=0)
    edges = [0, *sorted({study.horizon // 50, study.horizon // 5}), study.horizon]
    spans, head = [], ["LLM", f"cost ({study.log.cost_unit})", "quality alone"]
    for low, high in itertools.pairwise(edges):
        inside = (run.queries > low) & (run.queries <= high)
        if inside.any():
            first = int(run.queries[inside][0] - length[inside][0]) + 1
            head.append(f"queries {first:,} to {int(run.queries[inside][-1]):,}")
            spans.append(np.average(run.share[inside], axis=0, weights=length[inside]))
    spans.append(late_share(run))
    head.append("second half")
    lines = [
        [
            study.log.names[k],
            money(study.known.single_cost[k]),
            f"{study.known.single_quality[k]:.3f} ±{study.known.single_error[k]:.3f}",
            *(f"{100 * span[k]:.1f} %" for span in spans),
        ]
        for k in np.argsort(study.known.single_cost, kind="stable")
    ]
    return [
        "## Which LLMs are used when",
        "",
        f"Share of queries that ask each LLM at a budget of {money(run.budget)}; ± is the 95 % "
        f"interval that {study.log.num_rows:,} queries leave.",
        "",
        *table(head, lines),
        "![Share of queries that ask each LLM, over time and by budget](usage.png)",
        "",
    ]


def log_alone(study: Study) -> list[str]:
    """Corners of the oracle front: what fixed sets and their mixes could do."""
    known = study.known
    lines = [
        [set_name(known.sets[i], study.log.names), money(known.cost[i]), quality(known.quality[i])]
        for i in known.corners
    ]
    return [
        "## Fixed sets worth knowing",
        "",
        f"Of {len(known.sets):,} possible sets these are the corners of the oracle front; between "
        "two of them the best one can do is to mix.",
        "",
        *table(["set", f"cost ({study.log.cost_unit})", "quality"], lines),
    ]


def pairs(study: Study, advice: Recommendation) -> list[str]:
    """How the pairs of alphas compare."""
    lines = [
        [
            f"**{pair[0]:g}, {pair[1]:g}**" if pair == advice.pair else f"{pair[0]:g}, {pair[1]:g}",
            f"{advice.shortfalls[pair]:.4f}",
            f"{100 * advice.overspends[pair]:+.1f} %",
        ]
        for pair in advice.shortfalls
    ]
    return [
        "## Why these alphas",
        "",
        "Shortfall is the oracle's quality less C2MAB-V's, overspent money counted at the price at "
        "which money buys quality on the oracle front; both columns are averages over the budgets.",
        "",
        *table(["alpha_reward, alpha_cost", "shortfall", "cost - budget"], lines),
    ]


def meaning(study: Study) -> list[str]:
    """Definitions and limits."""
    problem = study.problem
    quality_means = MEANING[problem.reward_model].format(n=problem.num_selected)
    if problem.num_selected == 1:
        quality_means = "the score of the LLM asked"
    billed = (
        "Only the LLMs queried are billed."
        if problem.cascading and problem.billing == "queried"
        else "Every LLM of the chosen set is billed."
    )
    cascade = (
        [
            "- An LLM asked later is observed only on queries that the ones before it did not "
            "settle, and those are harder: where scores go together, C2MAB-V underrates it and "
            "the distance to the oracle does not vanish."
        ]
        if problem.cascading
        else []
    )
    return [
        "## How to read this",
        "",
        f"- Quality ({problem.reward_model}): {quality_means}. {billed}",
        *cascade,
        "- Whole rows of the log are drawn, so models fail together as they did. The advice speaks "
        "for queries like those of the log; C2MAB-V does not look at a query's text.",
        "- The 95 % interval of the mean says how sure the average over runs is; 95 % of runs says "
        "what a single deployment may meet. Neither contains the error of the log itself, which "
        "the ± of single LLMs shows.",
        "- Recommended: the alphas with the smallest shortfall, then the smallest budget that "
        "reaches the target share of the best set's quality.",
        "- The four pairs of alphas, the constants of the confidence radius and the rounding are "
        "reconstructed from the paper's abstract.",
        "",
    ]  # fmt: skip


def printed(study: Study, advice: Recommendation) -> str:
    """What the command prints: the recommendation and the table of budgets, unformatted."""
    report, unit = study.log.log_report, study.log.cost_unit
    head = (
        f"{report.rows_kept:,} of {report.rows_read:,} queries, {len(report.models)} models, "
        f"{report.missing_cells:,} missing cells, money in {unit}"
    )
    body = [line for line in in_short(study, advice) if not line.startswith("![")]
    text = "\n".join(body).replace("**", "").strip()
    return f"{head}\n\n{text}"
