"""Pictures of advice: quality against cost, learning, and which LLMs are used when."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from c2mabv_jax.advice.recommend import Recommendation
from c2mabv_jax.advice.study import Run, Study
from c2mabv_jax.plotting import style
from c2mabv_jax.plotting.names import fonts, shortened

C2MABV = style.look("c2mabv")
QUALITY = {"SUC": "quality", "AWC": "quality (any win)", "AIC": "quality (all in)"}
_MOST_DOTS = 3000
_MOST_NAMED = 7  # LLMs with a colour of their own
_BESIDE = 0.012  # from a point to its name, as a share of the axes
_MARK = 0.006  # half the width of a point
_AIMS = {
    "bend": "bend of the front",
    "straight": "halfway (no bend)",
    "edge": "nearest to the bend",
    "target": "oracle has --target",
    "max-cost": "--max-cost",
}
_TINTS = ("blue", "orange", "green", "sky", "purple", "vermilion", "black")


def pictures(study: Study, advice: Recommendation) -> dict[str, Figure]:
    """Every figure, by file name."""
    return {
        "quality_cost": quality_against_cost(study, advice),
        "learning": learning(study, advice),
        "usage": usage(study, advice),
    }


def quality_against_cost(study: Study, advice: Recommendation) -> Figure:
    """Fixed sets, single LLMs, oracle front and C2MAB-V; bars are 95 % intervals."""
    known, unit = study.known, study.log.cost_unit
    drawing, axes = style.figure(width=style.DOUBLE, height=4.2)
    ax = axes[0, 0]
    runs = study.of_pair(advice.pair)
    edge = max(known.dearest_useful, known.single_cost.max(), *(run.cost[-1] for run in runs))
    positive = min(known.single_cost.min(), *(run.cost[-1] for run in runs)) > 0
    cost = known.cost[known.corners]
    sets = known.sets.sum(axis=1) > 1
    if sets.any():
        step = max(1, int(sets.sum()) // _MOST_DOTS)
        ax.plot(
            known.cost[sets][::step], known.quality[sets][::step], ".", color="0.72",
            markersize=3, label=f"fixed sets ({int(sets.sum())})", zorder=1.5,
        )  # fmt: skip
    ax.plot(
        known.single_cost, known.single_quality, "s", color=style.PALETTE["blue"], markersize=4,
        label="single LLMs", zorder=2,
    )  # fmt: skip
    # A mix of sets is a chord, which a logarithmic axis bends: draw it finely.
    grid = np.geomspace if positive else np.linspace
    first = cost[0] if cost[0] > 0 else known.single_cost.min() / 2
    fine = np.union1d(grid(first, max(edge, first * 1.001), 400), cost[cost >= first])
    ax.plot(fine, known.oracle(fine), color="black", linestyle="--", linewidth=1.1,
            label="oracle front (mixes of sets)", zorder=2)  # fmt: skip
    money = np.array([run.cost[-1] for run in runs])
    value = np.array([run.quality[-1] for run in runs])
    low_high = np.abs(np.array([run.quality_promise for run in runs]).T - value)
    cost_bar = np.abs(np.array([run.cost_promise for run in runs]).T - money)
    ax.errorbar(
        money, value, yerr=low_high, xerr=cost_bar, color=C2MABV.colour, marker=C2MABV.marker,
        markersize=4, linewidth=1.4, elinewidth=0.9, capsize=1.5,
        label=f"C2MAB-V over {study.horizon:,} queries, mean and its 95 % interval", zorder=3,
    )  # fmt: skip
    ax.axvline(study.aim.budget, color="0.6", linestyle=":", linewidth=0.9, zorder=1,
               label=_AIMS[study.aim.kind])  # fmt: skip
    best = advice.run
    ax.plot(best.cost[-1], best.quality[-1], "o", markersize=9, markerfacecolor="none",
            markeredgecolor=C2MABV.colour, label="recommended", zorder=3.5)  # fmt: skip
    if positive:
        _money_axis(ax)
    _frame(ax, study, advice, positive)
    style.label(ax, style.with_unit("average cost", unit), QUALITY[study.problem.reward_model])
    style.legend(drawing, ncols=3)
    _name_points(drawing, ax, study)
    return drawing


def _frame(ax: Axes, study: Study, advice: Recommendation, logarithmic: bool) -> None:
    """Limits that hold single LLMs, C2MAB-V and the best set; the rest of the front is cut."""
    known, runs = study.known, study.of_pair(advice.pair)
    cost = [*known.single_cost, *(run.cost[-1] for run in runs), known.dearest_useful]
    quality = [*known.single_quality, known.best_quality]
    quality += [limit for run in runs for limit in run.quality_promise]
    rise = max(max(quality) - min(quality), 0.01)
    ax.set_ylim(min(quality) - 0.08 * rise, max(quality) + 0.08 * rise)
    if logarithmic:
        ax.set_xlim(min(cost) / 1.4, max(cost) * 1.4)
    else:
        ax.set_xlim(min(cost) - 0.05 * max(cost), max(cost) * 1.1 or 1.0)


def _money_axis(ax: Axes) -> None:
    """Logarithmic, with plain numbers at 1, 2 and 5."""
    style.log_axis(ax)
    ax.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5), numticks=12))
    ax.xaxis.set_major_formatter(
        lambda x, _: np.format_float_positional(x, precision=3, fractional=False, trim="-")
    )


def _name_points(drawing: Figure, ax: Axes, study: Study) -> None:
    """Names beside the single LLMs: inside the axes, apart from each other and from the points."""
    known = study.known
    texts = [
        ax.text(
            0, 0, name, transform=ax.transAxes, va="center", color="0.3", zorder=1.8,
            fontsize=style.SIZE["note"],
        )
        for name in shortened(study.log.names)
    ]  # fmt: skip
    with fonts():
        drawing.draw_without_rendering()  # only then is it known how wide letters and axes are
    frame = ax.get_window_extent()
    boxes = [text.get_window_extent() for text in texts]
    singles = np.stack([known.single_cost, known.single_quality], axis=1)
    learned = np.array([(run.cost[-1], run.quality[-1]) for run in study.of_pair(study.pair)])
    marks = ax.transData.transform(np.concatenate([singles, learned]))
    points = (marks - frame.min) / frame.size
    # What a name should not cover: the points, then the names placed before.
    placed = [np.concatenate([point - _MARK, point + _MARK]) for point in points]
    for k in np.argsort(-known.single_quality):
        wide, high = boxes[k].size / frame.size
        on_front = known.oracle(known.single_cost[k]) <= known.single_quality[k] + 1e-9
        spots = _spots(points[k], wide, high, to_left=bool(on_front))
        inside = [spot for spot in spots if (spot[:2] >= 0).all() and (spot[2:] <= 1).all()]
        spot = min(inside or spots, key=lambda s: sum(_overlap(s, other) for other in placed))
        # Wider or higher than all there is beside the point: then at the edge of the axes.
        x, y = np.clip(spot[:2], 0, np.maximum(1 - np.array([wide, high]), 0))
        placed.append(np.array([x, y, x + wide, y + high]))
        texts[k].set_position((x, y + high / 2))


def _spots(point: np.ndarray, wide: float, high: float, to_left: bool) -> list[np.ndarray]:
    """Where a name may stand, best first: boxes (left, bottom, right, top)."""
    sides = point[0] + _BESIDE, point[0] - _BESIDE - wide
    spots = []
    for step in (0, -1, 1, -2, 2, -3, 3, -4, 4, -6, 6, -8, 8):
        for left in reversed(sides) if to_left else sides:
            aside = (0.5 if left < point[0] else -0.5) * to_left  # off the front
            bottom = point[1] + (step / 2 - 0.5 + aside) * high
            spots.append(np.array([left, bottom, left + wide, bottom + high]))
    return spots


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Shared area of two boxes."""
    shared = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(shared, 0)))


def learning(study: Study, advice: Recommendation) -> Figure:
    """Average quality and cost so far against queries, at the recommended budget."""
    run, unit = advice.run, study.log.cost_unit
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.7)
    for ax, mean, band, goal, name in (
        (axes[0, 0], run.quality, run.quality_interval, run.oracle, "oracle at this budget"),
        (axes[0, 1], run.cost, run.cost_interval, run.budget, "budget"),
    ):
        ax.fill_between(run.queries, *band.T, color=C2MABV.colour, alpha=0.25, linewidth=0)
        ax.plot(run.queries, mean, color=C2MABV.colour, linewidth=1.4,
                label="C2MAB-V, average so far (band: 95 % interval of the mean)")  # fmt: skip
        ax.axhline(goal, color="black", linestyle="--", linewidth=1, label=name)
        style.log_axis(ax)
    single = study.known.best_single(run.budget)
    if np.isfinite(single):
        axes[0, 0].axhline(single, color=style.PALETTE["blue"], linestyle=":", linewidth=1.1,
                           label="best single LLM within the budget")  # fmt: skip
    if run.learned_after:
        for ax in axes.flat:
            ax.axvline(run.learned_after, color="0.55", linewidth=0.8)
        axes[0, 0].annotate(
            f"learned after {run.learned_after:,} ", (run.learned_after, 0.03),
            xycoords=("data", "axes fraction"), ha="right", fontsize=style.SIZE["note"],
            color="0.35",
        )  # fmt: skip
    style.label(axes[0, 0], "queries", QUALITY[study.problem.reward_model])
    style.label(axes[0, 1], "queries", style.with_unit("average cost", unit))
    axes[0, 1].set_ylim(bottom=0)
    style.legend(drawing, ncols=2)
    return drawing


def usage(study: Study, advice: Recommendation) -> Figure:
    """Share of queries that ask each LLM: over time at the recommended budget, and by budget."""
    run, names = advice.run, study.log.names
    runs = study.of_pair(advice.pair)
    late = np.array([late_share(r) for r in runs])
    weight = np.maximum(late.max(axis=0), run.share.max(axis=0))
    order = np.argsort(-weight, kind="stable")[:_MOST_NAMED]
    order = order[np.argsort(study.known.single_cost[order], kind="stable")]
    rest = np.setdiff1d(np.arange(len(names)), order)
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.9, sharey=True)
    colours = [*(style.PALETTE[tint] for tint in _TINTS[: len(order)]), "0.8"]
    brief = shortened(names)
    labels = [*(brief[k] for k in order), "others"]
    for ax, x, share in (
        (axes[0, 0], run.queries, run.share),
        (axes[0, 1], np.array([r.budget for r in runs]), late),
    ):
        parts = [100 * share[:, k] for k in order]
        if rest.size:
            parts.append(100 * share[:, rest].sum(axis=1))
        if len(x) > 1:
            ax.stackplot(x, parts, colors=colours, labels=labels[: len(parts)], linewidth=0)
        else:
            bottoms = np.cumsum([0.0, *(p[0] for p in parts[:-1])])
            for part, bottom, colour, name in zip(parts, bottoms, colours, labels, strict=False):
                ax.bar(["budget"], part, bottom=bottom, color=colour, label=name)
        if len(x) > 1 and x[0] > 0:
            (style.log_axis if x is run.queries else _money_axis)(ax)
        ax.margins(x=0, y=0)
    axes[0, 1].axvline(run.budget, color="white", linestyle=":", linewidth=1)
    style.label(axes[0, 0], "queries", "queries that ask the LLM (%)", "(a) while learning")
    style.label(axes[0, 1], style.with_unit("budget", study.log.cost_unit),
                title="(b) second half of the run, by budget")  # fmt: skip
    style.legend(drawing, ncols=4)
    return drawing


def late_share(run: Run) -> np.ndarray:
    """Share of queries that ask each LLM in the second half of a run, `[K]`."""
    length = np.diff(run.queries, prepend=0)
    late = run.queries > run.queries[-1] / 2
    return np.average(run.share[late], axis=0, weights=length[late])
