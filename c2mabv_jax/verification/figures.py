"""Figures of a verification: measured curves beside bounds and predictions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from c2mabv_jax.plotting import style
from c2mabv_jax.theory import predictions
from c2mabv_jax.theory.exact import coverage_failure
from c2mabv_jax.theory.statistics import binomial_interval
from c2mabv_jax.verification.claim import Verdict
from c2mabv_jax.verification.claims import bounds, constants, coverage, invariants
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.run import Report
from c2mabv_jax.verification.search import Found

COLOURS = ("vermilion", "blue", "green", "purple", "orange", "sky")
BAND = "band: middle 95 % of runs"


def figures(report: Report) -> dict[str, Figure]:
    """Those that the report's claims have data for, by file name."""
    done = {verdict.claim.name: verdict for verdict in report.verdicts}
    laboratory, drawn = report.laboratory, {}
    if "leading-violation" in done or "growth-violation" in done:
        drawn["scaling"] = scaling(laboratory)
    elif "expected-regret" in done:
        drawn["scaling"] = scaling_watched(laboratory)
    if "expected-regret" in done and "expected-violation" in done:
        drawn["ratio_to_bound"] = ratio_to_bound(laboratory)
    if "coverage-exact" in done:
        drawn["coverage"] = coverage_curves(laboratory, done["coverage-exact"])
    if "leading-violation" in done:
        drawn["constants"] = leading_constants(done["leading-violation"])
    if laboratory.found:
        drawn["search"] = search_history(laboratory.found)
    return drawn


def _curve(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """Mean and band of `[runs, R]`."""
    mean, low, high = style.interval(values)
    colour = style.PALETTE[colour]
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, mean, color=colour, linewidth=1.4, label=label)


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, line: str, label: str, colour="black") -> None:
    ax.plot(
        x, y, color=style.PALETTE[colour], linewidth=1, linestyle=style.LINES[line], label=label
    )


def triangle(ax: Axes, x: float, y: float, slope: float, label: str) -> None:
    """A slope triangle over half a decade, corner at (x, y)."""
    right, top = x * 10**0.5, y * 10 ** (slope / 2)
    ax.plot([x, right, right, x], [y, y, top, y], color="0.35", linewidth=0.8)
    ax.annotate(
        label,
        (right, (y * top) ** 0.5),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=style.SIZE["note"],
        color="0.25",
    )


def scaling(laboratory: Laboratory) -> Figure:
    """Regret and overspending of long runs against bound, prediction and slope."""
    drawing, axes = style.figure(2, 2, width=style.DOUBLE, height=5.4)
    delta = constants.DELTA

    gap = CATALOGUE["gap-6"]
    data = constants.long_runs(laboratory, "gap-6")
    t = data["round"].to_numpy().astype(float)
    ax = axes[0, 0]
    _curve(ax, t, data.regret.transpose("seed", "round").to_numpy(), "vermilion", "measured")
    _line(ax, t, bounds.regret_limit(gap, t, kind="expected").value, "solid", "bound on the mean")
    n, mean = gap.problem.num_selected, gap.environment.mean_reward
    _line(ax, t, predictions.gap_regret_leading(t, n, delta, mean), "dotted", "leading order")
    _line(ax, t, predictions.gap_regret_refined(t, n, delta, mean), "dashed", "refined", "blue")
    _log_log(ax, "regret", "(a) no budget, gap .3: regret")

    name = "binding-6"
    instance, data = CATALOGUE[name], constants.long_runs(laboratory, name)
    k, best, world = instance.problem.num_arms, instance.best, instance.environment
    spent = data.signed_violation.transpose("seed", "round").to_numpy()
    bound = np.asarray(bounds.overspend_limit(instance, t, kind="expected").value)
    leading = predictions.violation_leading(t, k, delta, best.marginals)
    refined = predictions.violation_refined(t, k, delta, best, world.mean_reward, world.mean_cost)
    ax = axes[0, 1]
    _curve(ax, t, np.maximum(spent, 1e-9), "vermilion", "measured")
    _line(ax, t, bound / t, "solid", "bound on the mean")
    _line(ax, t, leading / t, "dotted", "leading order")
    _line(ax, t, refined / t, "dashed", "refined", "blue")
    corner = len(t) // 2
    triangle(ax, t[corner], 0.3 * spent.mean(0)[corner], -0.5, "−1/2")
    _log_log(ax, "violation (cost per round)", "(b) binding budget: violation")

    ax = axes[1, 0]
    lagrangian = data.lagrangian_regret.transpose("seed", "round").to_numpy()
    _curve(ax, t, np.maximum(lagrangian, 1e-3), "vermilion", "measured")
    _line(ax, t, constants.predicted_lagrangian(name, t), "dashed", "refined", "blue")
    corner = len(t) // 2
    triangle(ax, t[corner], 0.35 * lagrangian.mean(0)[corner], 0.5, "1/2")
    _log_log(ax, "Lagrangian regret", "(c) binding budget: R + λ* T V")
    ax.set_ylim(bottom=0.3)  # the first rounds of some runs are below any scale

    ax = axes[1, 1]
    _curve(ax, t, data.regret.transpose("seed", "round").to_numpy(), "vermilion", "measured")
    plain = constants.predicted_lagrangian(name, t) - best.multiplier * refined
    _line(ax, t, plain, "dashed", "refined", "blue")
    ax.axhline(0, color="0.4", linewidth=0.6)
    style.log_axis(ax)
    style.label(ax, "round", "regret", "(d) binding budget: plain regret is negative")
    style.legend(drawing, title=BAND, title_fontsize=style.SIZE["note"])
    return drawing


def scaling_watched(laboratory: Laboratory) -> Figure:
    """Regret and overspending of the watched runs against their bounds (short horizons)."""
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.9)
    paths = invariants.runs_of(laboratory, "wide-6")
    t = paths.round.astype(float)
    _curve(axes[0, 0], t, np.maximum(paths.watch.regret, 1e-3), "vermilion", "measured")
    limit = bounds.regret_limit(CATALOGUE["wide-6"], t, kind="expected").value
    _line(axes[0, 0], t, limit, "solid", "bound on the mean")
    _log_log(axes[0, 0], "regret", "(a) no budget: regret")
    seen = invariants.runs_of(laboratory, "dear-6").watch
    spent = np.maximum(seen.overspend_realised / t, 1e-3)
    _curve(axes[0, 1], t, spent, "vermilion", "measured")
    limit = bounds.overspend_limit(CATALOGUE["dear-6"], t, kind="expected").value
    _line(axes[0, 1], t, np.asarray(limit) / t, "solid", "bound on the mean")
    _log_log(axes[0, 1], "violation (cost per round)", "(b) binding budget: violation")
    style.legend(drawing, title=BAND, title_fontsize=style.SIZE["note"])
    return drawing


def _log_log(ax: Axes, quantity: str, title: str) -> None:
    style.log_axis(ax)
    style.log_axis(ax, "y")
    style.label(ax, "round", quantity, title)


def ratio_to_bound(laboratory: Laboratory) -> Figure:
    """Mean regret and mean violation over their bounds, every instance."""
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=3.1)
    for name, colour in zip(invariants.ALL, COLOURS, strict=True):
        paths = invariants.runs_of(laboratory, name)
        t = paths.round.astype(float)
        limit = np.asarray(bounds.regret_limit(CATALOGUE[name], t, kind="expected").value)
        _curve(axes[0, 0], t, paths.watch.regret / limit, colour, name)
        if name in bounds.BINDING:
            limit = np.asarray(bounds.overspend_limit(CATALOGUE[name], t, kind="expected").value)
            spent = np.maximum(paths.watch.overspend_realised, 0)
            _curve(axes[0, 1], t, spent / limit, colour, name)
    titles = ("(a) regret / bound on its mean", "(b) violation / bound on its mean")
    for ax, title in zip(axes[0], titles, strict=True):
        style.log_axis(ax)
        ax.axhline(1, color="black", linewidth=0.8, linestyle=style.LINES["dashed"])
        ax.axhline(0, color="0.4", linewidth=0.6)
        style.label(ax, "round", "ratio", title)
    style.legend(drawing, title=BAND, title_fontsize=style.SIZE["note"])
    return drawing


def coverage_curves(laboratory: Laboratory, verdict: Verdict) -> Figure:
    """P(a bound has failed by round t), measured with intervals, and exact."""
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.9, sharey=True)
    world = CATALOGUE["single"].environment
    horizon, error = laboratory.preset.coverage_horizon, verdict.findings[0].error
    cases = (
        ("upper", float(world.mean_reward[0]), "uncovered_reward", "(a) reward, upper bound"),
        ("lower", float(world.mean_cost[0]), "uncovered_cost", "(b) cost, lower bound"),
    )
    for ax, (side, mean, field, title) in zip(axes[0], cases, strict=True):
        for alpha, colour in zip(coverage.ALPHAS, COLOURS, strict=False):
            exact = coverage_failure(mean, horizon, 1, constants.DELTA, alpha, side)  # type: ignore[arg-type]
            paint = style.PALETTE[colour]
            ax.plot(
                np.arange(1, horizon + 1),
                exact,
                color=paint,
                drawstyle="steps-post",
                label=f"exact, α = {alpha:g}",
            )
            paths = coverage.reduced(laboratory, alpha)
            failed = getattr(paths.watch, field) > 0
            share, low, high = binomial_interval(failed.sum(0), len(failed), error)
            ax.errorbar(
                paths.round,
                share,
                yerr=[share - low, high - share],
                fmt="o",
                markersize=3,
                color=paint,
                linewidth=0.9,
                capsize=2,
                label=f"measured, α = {alpha:g}",
            )
        style.log_axis(ax)
        style.label(ax, "round", "P(failed in some round so far)", title)
    axes[0, 1].set_ylabel("")
    note = f"intervals: {100 * (1 - error):.4g} %, each round by itself"
    style.legend(drawing, title=note, title_fontsize=style.SIZE["note"])
    return drawing


def leading_constants(verdict: Verdict) -> Figure:
    """Measured / predicted T V with its intervals and allowances."""
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=3.0, sharey=True)
    panels = zip(axes[0], ("leading", "refined"), "ab", strict=True)
    for ax, order, letter in panels:
        series: dict[str, list[tuple[float, float, float, float]]] = {}
        allowed: dict[float, tuple[float, float]] = {}
        for finding in verdict.findings:
            case, found = finding.what.split(": T V / ")
            if found != order:
                continue
            setting, horizon = case.split(", T = ")
            t = float(horizon.replace(",", ""))
            series.setdefault(setting.replace("alpha_cost", "α_c"), []).append(
                (t, finding.estimate, finding.low, finding.high)
            )
            allowed[t] = finding.floor, finding.ceiling
        horizons, limits = np.array(list(allowed)), np.array(list(allowed.values()))
        ax.fill_between(horizons, limits[:, 0], limits[:, 1], color="0.92", label="allowance")
        for index, (setting, points) in enumerate(series.items()):
            x, mean, low, high = np.array(points).T
            ax.errorbar(
                x * 1.06 ** (index - 1.5),
                mean,
                yerr=[mean - low, high - mean],
                fmt=f"{style.MARKERS[index]}-",
                markersize=3.2,
                linewidth=0.9,
                capsize=2,
                color=style.PALETTE[COLOURS[index]],
                label=setting,
            )
        ax.axhline(1, color="black", linewidth=0.8, linestyle=style.LINES["dashed"])
        style.log_axis(ax)
        style.label(ax, "horizon", "T V / predicted", f"({letter}) against the {order} prediction")
    axes[0, 1].set_ylabel("")
    style.legend(drawing)
    return drawing


def search_history(found: list[Found]) -> Figure:
    """Largest ratio to the bound in every generation, and the confirmed winner."""
    drawing, axes = style.figure(width=style.COLUMN, height=2.6)
    ax = axes[0, 0]
    for entry, colour in zip(found, COLOURS, strict=False):
        generations = np.arange(1, len(entry.history) + 1)
        paint = style.PALETTE[colour]
        ax.plot(
            generations, entry.history, "o-", color=paint, markersize=3.4, label=entry.objective
        )
        mean = float(entry.ratio.mean())
        ax.axhline(mean, color=paint, linewidth=0.8, linestyle=style.LINES["dotted"])
    ax.set_ylim(bottom=0)
    ax.set_xticks(generations)
    style.label(ax, "generation", "largest mean / bound", "dotted: the winner, fresh runs")
    style.legend(drawing)
    return drawing
