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
from c2mabv_jax.advice.formats import money, quality, queries, set_name, table
from c2mabv_jax.advice.pictures import late_share, pictures
from c2mabv_jax.advice.recommend import Recommendation
from c2mabv_jax.advice.resample import LEVEL, RESAMPLES, Interval
from c2mabv_jax.advice.spoken import headline, spoken
from c2mabv_jax.advice.study import TOLERANCE, Study, largest_quality
from c2mabv_jax.advice.verdict import AS_GOOD, WORTH
from c2mabv_jax.plotting import style
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
    summary = {
        "command": command,
        "verdict": said(study, advice),
        "recommended": configuration(study, advice),
        **provenance(),
    }
    return {
        "advice.md": text.encode(),
        "report.html": pages.page(text, figures).encode(),
        "advice.csv": table.getvalue().encode(),
        "summary.json": (json.dumps(summary, indent=2) + "\n").encode(),
        **drawn,
    }


def said(study: Study, advice: Recommendation) -> dict[str, Any]:
    """The verdict as plain JSON types: its words, and the numbers behind them."""
    verdict, known, names = study.verdict, study.known, study.log.names

    def choice(index: int | None) -> dict[str, Any] | None:
        if index is None:
            return None
        return {
            "name": set_name(known.sets[index], names),
            "quality": float(known.quality[index]),
            "cost": float(known.cost[index]),
        }

    def spread(one: Interval | None) -> list[float] | None:
        return None if one is None else list(one)

    return {
        "kind": verdict.kind,
        "words": headline(study).replace("**", ""),
        "money": verdict.money,
        "aim": study.aim._asdict(),
        "mix_quality": spread(verdict.mix),
        "fixed": choice(verdict.fixed),
        "fixed_quality": spread(verdict.alone),
        "gain_at_equal_money": spread(verdict.gain),
        "as_good_fixed": choice(verdict.rival),
        "saving_at_equal_quality": spread(verdict.saving),
        "best": choice(int(known.corners[-1])),
        "best_above_fixed": spread(verdict.further),
        "numbers": "estimate, then its interval: paired, over the log's rows",
        "level": LEVEL,
        "resamples": RESAMPLES,
        "rows": verdict.rows,
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
        "quality_interval": run.quality_promise.tolist(),
        "cost": float(run.cost[-1]),
        "cost_interval": run.cost_promise.tolist(),
        "learned_after": run.learned_after,
        "does_what_was_asked": advice.reached,
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
                "quality_low": float(run.quality_promise[0]),
                "quality_high": float(run.quality_promise[1]),
                "cost": float(run.cost[-1]),
                "cost_low": float(run.cost_promise[0]),
                "cost_high": float(run.cost_promise[1]),
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


def words(study: Study, advice: Recommendation, command: str) -> str:
    """The text of advice.md."""
    text = [
        f"# Advice for {Path(study.log.log_report.file).name}",
        "",
        *spoken(study, advice),
        "",
        "![Quality against cost: sets, single LLMs, oracle, C2MAB-V](quality_cost.png)",
        "",
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
                quality(run.quality[-1], run.quality_promise),
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
        f"{advice.run.num_seeds} runs; brackets hold the error of the runs and of the log. A run "
        "draws its queries at random, with replacement, from the "
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
    most = largest_quality(problem)
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
        "- Brackets are 95 % intervals. Those of a quality or a cost hold two errors: of the runs, "
        f"and of the log, whose {study.log.num_rows:,} queries are a sample like any other. Those "
        "of a difference or a saving are paired: both sides are worked out on the same queries, "
        f"{RESAMPLES:,} times with rows weighed anew at random, and hold for whichever of the "
        "choices that may be best is. 95 % of runs says what a single deployment may meet.",
        f"- The verdict: a difference counts where its interval is above 0 and it is at least "
        f"{100 * WORTH * most:g} points; it is none where it does not count and its interval ends "
        f"below {100 * AS_GOOD * most:g} points; else the log cannot tell. A point is a hundredth "
        "of quality.",
        "- The bend of the oracle front is its corner farthest above the straight line from its "
        "cheapest to its best end: up to there money buys more quality than on average, past it "
        "less.",
        "- Recommended: the alphas with the smallest shortfall; with them the budget at the bend, "
        "or the smallest that reaches --target, or the best that keeps --max-cost.",
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
    text = "\n".join(spoken(study, advice)).replace("**", "").strip()
    return f"{head}\n\n{text}"
