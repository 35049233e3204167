"""Figures of one run: reward, cost, regret and violation against rounds; who picks which LLM.

Every function takes the dataset that `c2mabv run` stores (dims `policy`, `seed`, `round`,
`arm`) and returns a figure to be saved with `style.save`. Bands hold the middle 95 % of seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from c2mabv_jax.plotting import style
from c2mabv_jax.plotting.names import shortened

LABELS = {
    "reward": "reward per round",
    "cost": "cost",
    "violation": "violation",
    "regret": "regret",
    "regret_fixed_set": "regret against the best fixed set",
    "lagrangian_regret": "Lagrangian regret",
}

PANELS = ("reward", "cost", "regret", "violation")
_BUDGET: dict[str, Any] = {"color": "0.2", "linewidth": 0.8, "linestyle": ":", "zorder": 1}


def figures(results: xr.Dataset) -> dict[str, Figure]:
    """Every figure of a run, by file name."""
    drawn = {"overview": overview(results)}
    for variable in PANELS:
        if np.isfinite(results[variable]).any():
            drawn[variable] = against_rounds(results, variable)
    if "type" in results.dims:
        from c2mabv_jax.plotting import types  # needs the theory, which takes time to load

        drawn["types"] = types.of_run(results)
    return {**drawn, "picks": picks(results)}


def against_rounds(results: xr.Dataset, variable: str, width: float = style.COLUMN) -> Figure:
    """One variable against rounds, a curve and a band per policy."""
    legend = style.legend_height(width, results.sizes["policy"])
    drawing, axes = style.figure(width=width, height=0.75 * width + legend)
    curves(axes[0, 0], results, variable)
    style.legend(drawing, title=_band_note(results))
    return drawing


def overview(results: xr.Dataset) -> Figure:
    """What was earned for what, the way there, and the LLMs picked, on one page-wide figure."""
    legend = style.legend_height(style.DOUBLE, results.sizes["policy"])
    drawing, axes = style.figure(3, 2, width=style.DOUBLE, height=7.4 + legend)
    for letter, ax, variable in zip("abcd", axes.flat, PANELS, strict=False):
        curves(ax, results, variable)
        style.label(ax, title=f"({letter}) {LABELS[variable]}")
    trade_off(axes[2, 0], results)
    style.label(axes[2, 0], title="(e) reward for money, all rounds")
    pick_map(axes[2, 1], results)
    style.label(axes[2, 1], title="(f) LLMs picked (% of rounds)")
    style.legend(drawing, title=_band_note(results))
    return drawing


def trade_off(ax: Axes, results: xr.Dataset) -> None:
    """Mean cost and reward of each policy over the whole run, and the budget."""
    last = results[["reward", "cost"]].isel(round=-1)
    for policy in results["policy"].to_numpy():
        one, look = last.sel(policy=policy), style.look(str(policy))
        ax.plot(
            one["cost"].mean(), one["reward"].mean(), look.marker, color=look.colour, markersize=6
        )
    ax.axvline(results.attrs["budget"], **_BUDGET)
    if _far_apart(last["cost"]):
        style.log_axis(ax)
    ax.margins(0.08)
    quantities = (axis_label(name, results[name].attrs.get("units")) for name in ("cost", "reward"))
    style.label(ax, *quantities)


def curves(ax: Axes, results: xr.Dataset, variable: str) -> None:
    """Draw one variable against rounds.

    Violation is drawn on a logarithmic axis, which has no place for zero: policies that end
    within the budget in every seed are named in a note (and drawn as long as they are not).
    """
    rounds = results["round"].to_numpy()
    unit = results[variable].attrs.get("units")
    logarithmic = variable == "violation"
    silent = []
    for policy in results["policy"].to_numpy():
        values = results[variable].sel(policy=policy).transpose("seed", "round").to_numpy()
        if not np.isfinite(values).any():
            continue
        if logarithmic and not values[:, -1].any():
            silent.append(style.look(policy).label)
        style.curve(ax, rounds, values, policy, band=_has_band(results, policy))
    style.log_axis(ax)
    if logarithmic:
        _log_violation(ax, results)
        if silent:
            more = f" and {len(silent) - 2} more" if len(silent) > 3 else ""
            note = "none at the end: " + ", ".join(silent[:2] if more else silent) + more
            box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
            size = style.SIZE["note"]
            ax.text(0.02, 0.02, note, transform=ax.transAxes, fontsize=size, bbox=box, zorder=4)
    elif variable in ("regret", "regret_fixed_set"):
        ax.axhline(0, color="0.4", linewidth=0.6)
        _wide_range(ax, results[variable])
    elif variable == "reward":
        _settled_range(ax, results[variable])
    elif variable == "cost":
        _money_range(ax, results)
        ax.axhline(results.attrs["budget"], **_BUDGET)
    ax.margins(x=0.01)
    style.label(ax, "round", axis_label(variable, unit))


def axis_label(variable: str, unit: str | None) -> str:
    """Name and unit of a variable; a reward per round says its unit by its name."""
    quantity = LABELS.get(variable, variable)
    return quantity if unit == "reward/round" else style.with_unit(quantity, unit)


MOST_BANDS = 10


def _has_band(results: xr.Dataset, policy: str) -> bool:
    """Among many policies only C2MAB-V keeps its band: more would hide the curves."""
    return results.sizes["policy"] <= MOST_BANDS or policy == "c2mabv"


def _band_note(results: xr.Dataset) -> str | None:
    shown = [name for name in results["policy"].to_numpy() if _has_band(results, str(name))]
    if results.sizes["seed"] < 2 or not shown:
        return None
    return style.BAND + (" (C2MAB-V)" if len(shown) < results.sizes["policy"] else "")


def _log_violation(ax: Axes, results: xr.Dataset) -> None:
    """Logarithmic y axis from a thousandth of the budget (or the smallest mean) upwards."""
    means = results["violation"].mean("seed").to_numpy()
    positive = means[means > 0]
    if positive.size == 0:
        ax.set_ylim(0, 1)
        return
    final = results["violation"].mean("seed").isel(round=-1).to_numpy()
    lowest = final[final > 0].min() if (final > 0).any() else positive.min()
    style.log_axis(ax, "y")
    ax.set_ylim(lowest / 3, positive.max() * 2)


def _wide_range(ax: Axes, values: xr.DataArray) -> None:
    """Regrets of both signs and of several magnitudes: a signed logarithmic axis, linear in ±1."""
    final = np.sort(np.abs(values.mean("seed").isel(round=-1).to_numpy()))
    if final[-1] < 20 * max(1, final[min(1, len(final) - 1)]):
        return
    ax.set_yscale("symlog", linthresh=1, linscale=0.5)
    ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    low, high = values.quantile([0.025, 0.975], "seed").to_numpy()
    ax.set_ylim(min(-1.5, 1.5 * float(low.min())), max(1.5, 1.5 * float(high.max())))


def _far_apart(final: xr.DataArray) -> bool:
    """Whether the policies' money `[policy, seed]` spans more than a decade."""
    means = final.mean("seed").to_numpy()
    return bool(means.min() > 0 and means.max() > 10 * means.min())


def _money_range(ax: Axes, results: xr.Dataset) -> None:
    """Range of the mean costs after ten rounds and of the budget, logarithmic where far apart."""
    horizon = int(results["round"][-1])
    means = results["cost"].mean("seed").sel(round=slice(min(10, horizon), None)).to_numpy()
    budget = float(results.attrs["budget"])
    if _far_apart(results["cost"].isel(round=-1)) and budget > 0 and means.min() > 0:
        style.log_axis(ax, "y")
        ax.set_ylim(min(budget, means.min()) / 1.3, max(budget, means.max()) * 1.3)
        return
    low, high = min(budget, np.nanmin(means)), max(budget, np.nanmax(means))
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - room, high + room)


def _settled_range(ax: Axes, values: xr.DataArray) -> None:
    """Range of the means after ten rounds and of the bands of the last tenth of the rounds.

    A mean over a handful of rounds is anywhere in [0, 1] and would squeeze all the rest.
    """
    horizon = int(values["round"][-1])
    means = values.mean("seed").sel(round=slice(min(10, horizon), None)).to_numpy()
    late = values.sel(round=slice(0.1 * horizon, None))
    band = late.quantile([0.025, 0.975], "seed").to_numpy()
    low = min(np.nanmin(means), np.nanmin(band))
    high = max(np.nanmax(means), np.nanmax(band))
    room = 0.06 * (high - low) or 0.01
    ax.set_ylim(low - room, high + room)


def picks(results: xr.Dataset, width: float | None = None) -> Figure:
    """How often each policy picks each LLM, in percent of rounds; LLMs by mean cost."""
    arms, policies = results.sizes["arm"], results.sizes["policy"]
    if width is None:
        width = style.COLUMN if policies <= 7 else style.DOUBLE
    drawing, axes = style.figure(width=width, height=1.1 + 0.2 * arms)
    pick_map(axes[0, 0], results)
    style.label(axes[0, 0], title="LLMs picked (% of rounds)")
    return drawing


def pick_map(ax: Axes, results: xr.Dataset) -> None:
    """Heat map `[arm, policy]` of the share of rounds, dearest LLM on top, with its numbers."""
    last = results["pulls"].isel(round=-1)
    share = 100 * last.mean("seed") / int(results["round"][-1])
    order = np.argsort(-results["mean_cost"].to_numpy(), kind="stable")
    values = share.transpose("arm", "policy").to_numpy()[order]
    names = [str(results["arm"].to_numpy()[k]) for k in order]
    policies = [style.look(str(name)).label for name in results["policy"].to_numpy()]
    ax.grid(False)
    ax.imshow(values, cmap=style.SEQUENTIAL, vmin=0, vmax=100, aspect="auto")
    width = ax.figure.bbox.width / ax.figure.dpi / (2 if len(ax.figure.axes) > 1 else 1)
    cell = (width - 1.2) / len(policies)  # inches, about
    for row, column in np.ndindex(values.shape) if cell > 0.2 else ():
        value = values[row, column]
        ax.text(
            column,
            row,
            f"{value:.0f}" if value >= 1 or value == 0 else "<1",
            ha="center",
            va="center",
            fontsize=style.SIZE["note"],
            color="black" if value > 55 else "white",
        )
    steep = 30 if len(policies) <= 7 else 60 if cell > 0.2 else 90
    ax.set_yticks(range(len(names)), shortened(names))
    ax.set_xticks(range(len(policies)), policies, rotation=steep, rotation_mode="anchor")
    for text in ax.get_xticklabels():
        text.set(ha="right", va="center" if steep == 90 else "top")
    ax.tick_params(length=0)


def handles(policies: list[str]) -> list[Line2D]:
    """Legend entries of policies that are drawn by other means than `style.curve`."""
    looks = [style.look(policy) for policy in policies]
    return [
        Line2D(
            [], [], color=o.colour, linestyle=o.line, marker=o.marker, markersize=3.6, label=o.label
        )
        for o in looks
    ]
