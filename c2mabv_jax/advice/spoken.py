"""The verdict and the recommendation as an expert would say them."""

from __future__ import annotations

import numpy as np

from c2mabv_jax.advice.aim import bend
from c2mabv_jax.advice.formats import how_many, money, percent, points, quality, set_name
from c2mabv_jax.advice.recommend import Recommendation
from c2mabv_jax.advice.resample import Interval
from c2mabv_jax.advice.study import TOLERANCE, Study, largest_quality
from c2mabv_jax.advice.verdict import AS_GOOD

_SMALL_SHARE = 0.005  # of queries, not worth naming


def spoken(study: Study, advice: Recommendation) -> list[str]:
    """Verdict, what it rests on, recommendation; Markdown lines."""
    return [
        headline(study),
        "",
        *(f"- {line}" for line in (*because(study), *learning(study, advice))),
        "",
        *recommendation(study, advice),
    ]


def headline(study: Study) -> str:
    """The verdict in one sentence or two."""
    verdict, fixed = study.verdict, study.verdict.fixed
    best = "" if fixed is None else _choice(study, fixed)
    if verdict.kind == "mix":
        against = (
            f"{points(verdict.gain)} more than the best {_kind(study)} for no more money, {best}"
            if fixed is not None
            else f"and no {_kind(study)} is so cheap"
        )
        return (
            f"**A mix pays.** At {_money(study, verdict.money)} the best mix has a quality of "
            f"{_interval(verdict.mix)}, {against}."
        )
    if verdict.kind == "fixed":
        assert fixed is not None and verdict.alone is not None
        return (
            f"**One {_kind(study)} is as good as any mix for the money: always ask "
            f"{_name(study, fixed)}.** It has a quality of {_interval(verdict.alone)} for "
            f"{_money(study, study.known.cost[fixed])}; the best mix for that money gains "
            f"{points(verdict.gain)}."
        )
    return (
        f"**The log is too small to tell.** Its {verdict.rows:,} queries leave open "
        f"{', and '.join(_open(study))}."
    )


def because(study: Study) -> list[str]:
    """Equal quality, and what more money buys."""
    verdict, known = study.verdict, study.known
    fixed, top = verdict.fixed, int(known.corners[-1])
    lines = []
    if verdict.kind == "mix":
        lines.append(f"The mix: {_mixture(study)}.")
    if verdict.rival is None:
        lines.append(f"At equal quality: no {_kind(study)} is as good at any price.")
    elif verdict.saving is not None and verdict.rival == fixed:
        lines.append(
            f"At equal quality a mix saves {percent(verdict.saving)} of what "
            f"{_name(study, fixed)} costs."
        )
    elif verdict.saving is not None:
        lines.append(
            f"At equal quality: the cheapest {_kind(study)} at least as good is "
            f"{_choice(study, verdict.rival)}; a mix as good as the one above saves "
            f"{percent(verdict.saving)} of that."
        )
    if fixed is None or top == fixed:
        return lines
    times = known.cost[top] / known.cost[fixed] if known.cost[fixed] > 0 else np.inf
    dearer = f"for {_times(times)} the money" if np.isfinite(times) else "which is not free"
    best = f"the best choice whatever it costs, {_choice(study, top)}"
    if verdict.further_is == "none":
        lines.append(
            f"It is as good as {best}: that one is {points(verdict.further)} better, {dearer}."
            if verdict.kind == "fixed"
            else f"More money buys next to nothing: {best}, is {points(verdict.further)} better "
            f"than {_name(study, fixed)}, {dearer}."
        )
    elif verdict.further_is == "counts":
        lines.append(
            f"More quality costs more: {best}, is {points(verdict.further)} better than "
            f"{_name(study, fixed)}, {dearer}."
        )
        if verdict.kind == "fixed" and verdict.halfway is not None:
            middle, gain = verdict.halfway
            lines.append(
                f"Between the two a mix is what pays: at {_money(study, middle)}, halfway, it "
                f"has {points(gain)} more than the best {_kind(study)} for that money. Say what "
                "you need with --target QUALITY or --max-cost MONEY."
            )
    elif verdict.kind != "unclear":  # else the headline says it
        lines.append(
            f"Whether {best}, is better than {_name(study, fixed)} the log cannot tell: "
            f"{points(verdict.further)}, {dearer}."
        )
    return lines


def learning(study: Study, advice: Recommendation) -> list[str]:
    """What C2MAB-V, which starts knowing nothing, makes of it."""
    run, verdict = advice.run, study.verdict
    had = (
        f"C2MAB-V, which starts knowing nothing, had {quality(run.quality[-1])} for "
        f"{_money(study, run.cost[-1])} over {study.horizon:,} queries, learning included"
    )
    if verdict.kind == "mix":
        share = run.quality[-1] / run.oracle if run.oracle > 0 else np.nan
        return [f"{had}: {100 * share:.0f} % of the best mix at its budget."]
    if verdict.kind == "unclear":
        need = _queries_needed(study)
        return [
            f"About {need:,} queries would tell; until then "
            + (
                f"{_name(study, verdict.fixed)} is the best guess, and "
                if verdict.fixed is not None
                else ""
            )
            + "C2MAB-V goes on learning while it serves.",
            had + ".",
        ]
    lines = [
        f"{had}. As long as nothing changes, the fixed choice needs no learning; it has to be "
        "known, as this log knows it."
    ]
    name = _name(study, verdict.fixed)
    if np.isfinite(verdict.without):
        lines.append(
            f"Learning still buys safety when prices or models change: without {name} the best for "
            f"that money is {quality(verdict.without)} (now {quality(verdict.mix.value)})"
            + (
                f"; C2MAB-V found its choice here in about {run.learned_after:,} queries, and "
                "keeps the budget when a price rises. "
                if run.learned_after is not None
                else "; C2MAB-V looks for it by itself, and keeps the budget when a price rises. "
            )
            + "Where changes are expected, give it a `window` or a `discount`."
        )
    else:
        lines.append(
            f"Learning still buys safety when prices or models change: nothing but {name} is to be "
            f"had for that money. Where changes are expected, give C2MAB-V a `window` or a "
            "`discount`."
        )
    return lines


def recommendation(study: Study, advice: Recommendation) -> list[str]:
    """The configuration of C2MAB-V, why this budget, what it promises."""
    run = advice.run
    lines = [
        f"**{'To learn online, set' if study.verdict.kind == 'fixed' else 'Set'} a budget of "
        f"{_money(study, run.budget)} and let C2MAB-V choose {how_many(study.problem)} per query, "
        f"with alpha_reward = {run.alpha_reward:g} and alpha_cost = {run.alpha_cost:g}.**",
        "",
        f"- Why this budget: {_why(study, advice)}",
        f"- Expect a quality of {quality(run.quality[-1], run.quality_promise)} for "
        f"{money(run.cost[-1])} [{money(run.cost_promise[0])}, {money(run.cost_promise[1])}] "
        f"{study.log.cost_unit} over the first {study.horizon:,} queries, learning included "
        "(brackets: 95 %, error of the runs and of the log). Of single runs, 95 % lie within "
        f"{run.quality_range[0]:.3f} to {run.quality_range[1]:.3f}, at "
        f"{money(run.cost_range[0])} to {money(run.cost_range[1])} {study.log.cost_unit}.",
    ]
    near = f"{100 * TOLERANCE:.0f} %"
    if run.learned_after is None:
        lines.append(
            f"- Learning takes more than the {study.horizon:,} queries tried; see the table of "
            "budgets in advice.md."
        )
    else:
        lines.append(
            f"- Learning takes about {run.learned_after:,} queries: from there on quality stays "
            f"within {near} of the best mix's ({quality(run.oracle)}) and cost within {near} of "
            "the budget."
        )
    over = 100 * run.overspend / run.budget if run.budget > 0 else np.nan
    if np.isfinite(over) and over > 1:
        lines.append(
            f"- While learning it overspends: {over:.1f} % above the budget on average over the "
            "whole run. Where the budget is a hard limit, set it lower by that much."
        )
    return lines


def _why(study: Study, advice: Recommendation) -> str:
    known, aim, run = study.known, study.aim, advice.run
    cost, value = known.front
    start = f"{quality(value[0])} for {money(cost[0])}" if value[0] > 0 else "asking nothing"
    ends = f"from {start} to {quality(value[-1])} for {money(cost[-1])}"
    ask = "--target QUALITY or --max-cost MONEY asks for another"
    if aim.kind == "target" and aim.asked is not None:
        if advice.reached:
            return f"the smallest one tried with which C2MAB-V has the {aim.asked:g} asked for."
        return (
            f"no budget tried has the {aim.asked:g} asked for, learning included; this one comes "
            "nearest. Try more queries (--horizon), larger --budgets or a lower --target."
        )
    if aim.kind == "max-cost" and aim.asked is not None:
        if advice.reached:
            return (
                f"the best one tried whose cost, learning included, keeps the {money(aim.asked)} "
                "asked for."
            )
        return (
            f"no budget tried keeps the {money(aim.asked)} asked for while it learns; this one "
            "comes nearest. Try more queries (--horizon) or smaller --budgets."
        )
    if aim.kind == "edge":
        return (
            f"of the budgets given the nearest to the bend of the curve "
            f"({money(bend(study.known.front).budget)}), which goes {ends}."
        )
    if aim.kind == "straight":
        return (
            f"the best mix goes {ends} in one straight line, so no budget is better than another "
            f"by itself; this is halfway. {ask}."
        )
    if len(cost) == 1:
        return f"more money buys nothing: the cheapest choice is the best one. {ask}."
    step = int(np.argmin(np.abs(cost - aim.budget)))
    before, after = (
        100 * np.diff(value)[i] / np.diff(cost)[i] * run.budget / 10 for i in (step - 1, step)
    )
    return (
        f"the curve of the best mix, {ends}, bends here: the last tenth of this budget bought "
        f"{before:.1f} points of quality, another tenth buys {after:.2f}. {ask}."
    )


def _open(study: Study) -> list[str]:
    """What the log cannot tell."""
    verdict, fixed = study.verdict, study.verdict.fixed
    if fixed is None:
        return [f"what a mix for {_money(study, verdict.money)} is worth ({points(verdict.gain)})"]
    found = []
    limit = AS_GOOD * largest_quality(study.problem)
    if verdict.gain.high > limit or verdict.gain.low > 0:
        found.append(
            f"whether a mix is better than the best {_kind(study)} for "
            f"{_money(study, verdict.money)}, {_name(study, fixed)}: {points(verdict.gain)}"
        )
    if verdict.further_is == "open":
        found.append(
            f"whether {_choice(study, int(study.known.corners[-1]))} is better than "
            f"{_choice(study, fixed)}: {points(verdict.further)}"
        )
    return found


def _queries_needed(study: Study) -> int:
    """Rows at which the widest open interval is as short as the verdict needs it."""
    limit, most = AS_GOOD * largest_quality(study.problem), 0.0
    for one in (study.verdict.gain, study.verdict.further):
        wanted = max(one.value, limit - one.value)
        most = max(most, max(one.value - one.low, one.high - one.value) / wanted)
    exact = study.verdict.rows * max(most, 1.0) ** 2
    digits = 10 ** max(int(np.floor(np.log10(max(exact, 1)))) - 1, 0)
    return int(np.ceil(exact / digits) * digits)


def _mixture(study: Study) -> str:
    """Which sets the best mix for the verdict's money asks, and how often."""
    known, budget = study.known, study.verdict.money
    cost = known.cost[known.corners]
    place = float(np.interp(budget, cost, np.arange(len(cost))))
    low, share = int(place), place - int(place)
    if share < _SMALL_SHARE or share > 1 - _SMALL_SHARE:
        return f"{_name(study, int(known.corners[round(place)]))} for every query"
    cheap, dear = (_name(study, int(known.corners[i])) for i in (low, low + 1))
    return f"{cheap} for {100 * (1 - share):.0f} % of the queries, {dear} for {100 * share:.0f} %"


def _kind(study: Study) -> str:
    fixed = study.resampled.index[study.resampled.fixed]
    size = int(study.known.sets[fixed].sum(axis=1).max())
    return "fixed model" if size == 1 else f"fixed set of {size}"


def _name(study: Study, index: int | None) -> str:
    return "" if index is None else set_name(study.known.sets[index], study.log.names)


def _choice(study: Study, index: int) -> str:
    known = study.known
    return f"{_name(study, index)} ({quality(known.quality[index])} for {money(known.cost[index])})"


def _money(study: Study, value: float) -> str:
    return f"{money(value)} {study.log.cost_unit}"


def _interval(one: Interval) -> str:
    return quality(one.value, one[1:])


def _times(factor: float) -> str:
    return f"{factor:.2g} times" if factor >= 1.05 else "about once"
