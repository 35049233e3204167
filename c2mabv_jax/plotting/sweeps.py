"""Figures of a sweep: learning curves, the front of reward against cost, heat maps.

Every function takes the dataset of `c2mabv_jax.sweep.load`: statistics over seeds by `point`
of the grid. A figure shows one or two swept parameters; the others are held at a middle value,
which its title says. Worlds (environment, reward model, N) are never mixed in one figure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from c2mabv_jax.plotting import style
from c2mabv_jax.plotting.curves import LABELS, axis_label

WORLD = ("environment", "reward_model", "num_selected", "num_arms")
_NOT_SWEPT = (*WORLD, "policy", "cost_unit")
MOST_PANELS = 4
_CELLS_WITH_NUMBERS = 64
_LINE = 50  # characters above axes as wide as a column


def figures(results: xr.Dataset, axes: Sequence[str] | None = None) -> dict[str, Figure]:
    """Every figure of a sweep, by file name.

    Args:
      results: of a sweep.
      axes: the two swept parameters of the heat maps; by default those with most values.
    """
    results = results.load()
    drawn: dict[str, Figure] = {}
    for name, world in worlds(results):
        for variable in ("regret", "violation"):
            drawn[f"{variable}{name}"] = against_rounds(world, variable)
        if "budget" in swept(world):
            drawn[f"front{name}"] = front(world)
        for variable in ("reward", "regret", "violation"):
            map_ = heat_map(world, variable, axes)
            if map_ is not None:
                drawn[f"map-{variable}{name}"] = map_
    return drawn


def worlds(results: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """The worlds of a sweep, each with the end of its file names ("" where there is one)."""
    keys = [key for key in WORLD if key in results.coords]
    tuples = list(zip(*(results[key].to_numpy().tolist() for key in keys), strict=True))
    distinct = list(dict.fromkeys(tuples))
    varying = [i for i in range(len(keys)) if len({one[i] for one in distinct}) > 1]
    for one in distinct:
        name = "-".join(_file_part(one[i]) for i in varying)
        chosen = [index for index, other in enumerate(tuples) if other == one]
        yield f"-{name}" if name else "", results.isel(point=chosen)


def _file_part(value: object) -> str:
    return "".join(c if c.isalnum() or c in "._" else "-" for c in str(value)).strip("-")[:60]


def swept(results: xr.Dataset) -> dict[str, list]:
    """Swept parameters and their values in order; of two that go together only the first."""
    found: dict[str, list] = {}
    columns: dict[str, list] = {}
    names = [str(n) for n, values in results.coords.items() if values.dims == ("point",)]
    # The budget in money says more than the same budget as a fraction.
    for name in sorted((n for n in names if n not in _NOT_SWEPT), key=lambda n: n != "budget"):
        column = results[name].to_numpy().tolist()
        values = _ordered(column)
        if len(values) < 2:
            continue
        pairs = [len(set(zip(column, other, strict=True))) for other in columns.values()]
        counts = [len(set(other)) for other in columns.values()]
        if any(p == c == len(set(column)) for p, c in zip(pairs, counts, strict=True)):
            continue
        found[name], columns[name] = values, column
    return found


def _ordered(column: list) -> list:
    given = dict.fromkeys(v for v in column if v == v and v != "")  # NaN and "": not set
    return sorted(given) if all(isinstance(v, int | float) for v in given) else list(given)


def policies(results: xr.Dataset) -> list[str]:
    """Policies in the order of the sweep file."""
    return list(dict.fromkeys(str(name) for name in results["policy"].to_numpy()))


def of_policy(results: xr.Dataset, policy: str) -> xr.Dataset:
    """The points of one policy."""
    return results.isel(point=np.flatnonzero(results["policy"].to_numpy() == policy))


def hold(results: xr.Dataset, free: Sequence[str] = ()) -> tuple[xr.Dataset, dict[str, object]]:
    """Hold every swept parameter at a middle value, except `free` ones; horizons at the longest.

    Where parameters were not swept independently of each other, as pairs of alphas, a value that
    leaves most points is taken.

    Args:
      results: points of one policy.
      free: parameters that keep all their values.

    Returns:
      The points left, and what was held at which value.
    """
    held: dict[str, object] = {}
    for name in swept(results):
        if name in free:
            continue
        column = results[name].to_numpy().tolist()
        values = _ordered(column)
        if not values:
            continue
        most = max(map(column.count, values))
        values = [value for value in values if column.count(value) == most]
        numeric = isinstance(values[0], int | float)
        value = values[-1] if name == "horizon" else values[len(values) // 2 if numeric else 0]
        results = results.isel(point=np.flatnonzero(results[name].to_numpy() == value))
        held[name] = value
    return results, held


def final(results: xr.Dataset) -> xr.Dataset:
    """Every point at the last round of its own horizon."""
    return results.sel(round=results["horizon"])


def interval(results: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Outermost quantiles of a variable over seeds; None where none were stored."""
    if f"{variable}_quantile" not in results:
        return None
    values = results[f"{variable}_quantile"].sortby("quantile")
    return values.isel(quantile=0).to_numpy(), values.isel(quantile=-1).to_numpy()


def _spread(results: xr.Dataset, what: str) -> str | None:
    """What bands or bars hold, from the quantiles stored."""
    if "quantile" not in results.coords:
        return None
    inside = 100 * float(results["quantile"].max() - results["quantile"].min())
    return f"{what}: the middle {inside:.3g} % of seeds"


def against_rounds(results: xr.Dataset, variable: str) -> Figure:
    """Mean over seeds against rounds, a curve per policy, other parameters held."""
    drawing, axes = style.figure(height=0.98 * style.COLUMN)
    ax = axes[0, 0]
    everything: dict[str, object] = {}
    finals = []
    for policy in policies(results):
        points, held = hold(of_policy(results, policy))
        everything = {**held, **everything}
        point = points.isel(point=0)
        mean = point[f"{variable}_mean"].to_numpy()
        known = np.isfinite(mean)
        if not known.any():
            continue
        rounds = results["round"].to_numpy()[known]
        style.curve(ax, rounds, mean[known], policy)
        band = interval(point, variable)
        if band is not None:
            low, high = (edge[known] for edge in band)
            colour = style.look(policy).colour
            ax.fill_between(rounds, low, high, color=colour, alpha=0.16, linewidth=0)
        finals.append(float(mean[known][-1]))
    style.log_axis(ax)
    if variable == "violation":
        positive = [value for value in finals if value > 0]
        if positive:
            style.log_axis(ax, "y")
            ax.set_ylim(bottom=min(positive) / 3)
    elif finals and max(map(abs, finals)) > 20 * max(1, sorted(map(abs, finals))[0]):
        ax.set_yscale("symlog", linthresh=1, linscale=0.5)
        ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.margins(x=0.01)
    unit = results[f"{variable}_mean"].attrs.get("units")
    style.label(ax, "round", axis_label(variable, unit))
    _said(ax, everything)
    style.legend(drawing, title=_spread(results, "bands"))
    return drawing


def front(results: xr.Dataset) -> Figure:
    """Reward against cost over budgets, a curve per policy; ringed points are not dominated.

    Thin bars reach to the outermost quantiles stored; the dotted line is the mixed optimum, which
    knows all means and spends just the budget.
    """
    drawing, axes = style.figure(height=0.98 * style.COLUMN)
    ax = axes[0, 0]
    everything: dict[str, object] = {}
    found: list[tuple[float, float]] = []
    optimum: dict[float, float] = {}
    for policy in policies(results):
        points, held = hold(of_policy(results, policy), free=("budget",))
        everything = {**held, **everything}
        points = final(points).sortby("budget")
        cost, reward = points["cost_mean"].to_numpy(), points["reward_mean"].to_numpy()
        bars: dict[str, np.ndarray] = {}
        for key, variable, mean in (("xerr", "cost", cost), ("yerr", "reward", reward)):
            band = interval(points, variable)
            if band is not None:
                bars[key] = np.maximum([mean - band[0], band[1] - mean], 0)
        one = style.look(policy)
        ax.errorbar(cost, reward, fmt="none", ecolor=one.colour, elinewidth=0.5, alpha=0.6, **bars)
        style.curve(ax, cost, reward, policy, markers=0, marker=one.marker, markevery=1)
        found += zip(cost.tolist(), reward.tolist(), strict=True)
        bound = points.isel(point=np.flatnonzero(points["binding"] & points["feasible"]))
        optimum |= zip(
            bound["budget"].values.tolist(), bound["optimum"].values.tolist(), strict=True
        )
    if len(optimum) > 1:
        ax.plot(
            *zip(*sorted(optimum.items()), strict=True),
            color="0.3",
            linewidth=0.9,
            linestyle=":",
            label="mixed optimum at the budget",
            zorder=2,
        )
    best = [a for a in found if not any(_dominates(b, a) for b in found)]
    ax.plot(
        *zip(*best, strict=True),
        linestyle="",
        marker="o",
        markersize=7,
        markerfacecolor="none",
        markeredgecolor="0.2",
        markeredgewidth=0.6,
        label="not dominated",
    )
    costs = [cost for cost, _ in found]
    if min(costs) > 0 and max(costs) > 10 * min(costs):
        style.log_axis(ax)
    style.label(
        ax,
        style.with_unit("cost", results["cost_mean"].attrs.get("units")),
        LABELS["reward"],
    )
    _said(ax, everything)
    style.legend(drawing, title=_spread(results, "bars"))
    return drawing


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def heat_map(
    results: xr.Dataset, variable: str, axes: Sequence[str] | None = None
) -> Figure | None:
    """Final mean over two swept parameters, a panel per policy that has both.

    Args:
      results: of one world.
      variable: "reward", "regret", "violation", ...
      axes: the two parameters (x, y); by default the two with most values.

    Returns:
      The figure; None where no policy has two swept parameters.
    """
    panels = []
    for policy in policies(results):
        own = of_policy(results, policy)
        names = swept(own)
        pair = tuple(axes) if axes is not None else _two(names)
        if len(pair) != 2 or not set(pair) <= set(names):
            continue
        points, held = hold(own, free=pair)
        panels.append((policy, *_grid(final(points), variable, *pair), held, pair))
    panels = [panel for panel in panels if panel[-1] == panels[0][-1]][:MOST_PANELS]
    if not panels:
        return None
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    width = style.COLUMN if columns == 1 else style.DOUBLE
    drawing, grid = style.figure(rows, columns, width=width, height=2.7 * rows)
    unit = results[f"{variable}_mean"].attrs.get("units")
    everything = np.concatenate([values[np.isfinite(values)] for _, values, *_ in panels])
    norm, colours = _colours(everything)
    for ax, (policy, values, xs, ys, held, pair) in zip(grid.flat, panels, strict=False):
        ax.grid(False)
        image = ax.pcolormesh(
            np.arange(len(xs) + 1) - 0.5,
            np.arange(len(ys) + 1) - 0.5,
            values,
            cmap=colours,
            norm=norm,
        )
        ax.set_xticks(range(len(xs)), [_text(x) for x in xs])
        ax.set_yticks(range(len(ys)), [_text(y) for y in ys])
        if values.size <= _CELLS_WITH_NUMBERS:
            _numbers(ax, values, image)
        units = [results[name].attrs.get("units") for name in pair]
        style.label(
            ax,
            *(style.with_unit(n.replace("_", " "), u) for n, u in zip(pair, units, strict=True)),
        )
        _said(ax, held, style.look(policy).label)
        bar = drawing.colorbar(image, ax=ax, pad=0.02)
        bar.ax.tick_params(labelsize=style.SIZE["tick"])
        bar.set_label(axis_label(variable, unit), fontsize=style.SIZE["label"])
    for ax in list(grid.flat)[len(panels) :]:
        ax.set_visible(False)
    return drawing


def _two(names: dict[str, list]) -> tuple[str, ...]:
    wanted = sorted((n for n in names if n != "horizon"), key=lambda n: -len(names[n]))[:2]
    return tuple(name for name in names if name in wanted)


def _grid(points: xr.Dataset, variable: str, x: str, y: str) -> tuple[np.ndarray, list, list]:
    """Values `[len(ys), len(xs)]`, NaN where the grid has no point."""
    xs, ys = (_ordered(points[name].to_numpy().tolist()) for name in (x, y))
    values = np.full((len(ys), len(xs)), np.nan)
    columns = (points[name].to_numpy().tolist() for name in (x, y))
    for a, b, value in zip(*columns, points[f"{variable}_mean"].to_numpy(), strict=True):
        values[ys.index(b), xs.index(a)] = value
    return values, xs, ys


def _colours(values: np.ndarray) -> tuple[Normalize, str]:
    """Diverging around zero for both signs, logarithmic over magnitudes, linear otherwise."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 < high:
        most = max(-low, high)
        return TwoSlopeNorm(0, -most, most), style.DIVERGING
    positive = values[values > 0]
    if positive.size and positive.max() > 50 * positive.min():
        return LogNorm(positive.min(), positive.max()), style.SEQUENTIAL
    return Normalize(values.min(initial=np.inf), values.max(initial=-np.inf)), style.SEQUENTIAL


def _numbers(ax: Axes, values: np.ndarray, image: object) -> None:
    for row, column in np.ndindex(values.shape):
        value = float(values[row, column])
        if np.isfinite(value):
            red, green, blue, _ = image.to_rgba(value)  # type: ignore[attr-defined]
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            ax.text(
                column,
                row,
                _short(value),
                ha="center",
                va="center",
                fontsize=style.SIZE["note"],
                color="white" if dark else "black",
            )


def _text(value: object, digits: int = 3) -> str:
    if not isinstance(value, int | float):
        return str(value)
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text and abs(value) < 1e7 else text.replace("e-0", "e-")


def _short(value: float) -> str:
    """A number that fits a cell."""
    if value == 0 or 0.01 <= abs(value) < 1e5:
        return _text(value, 3)
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def _said(ax: Axes, held: dict[str, object], title: str = "") -> None:
    """What was held at which value, above the axes."""
    said = (f"{name.replace('_', ' ')} = {_text(value)}" for name, value in held.items())
    text = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in said)
    whole = ": ".join(part for part in (title, text) if part)
    if whole:
        whole = textwrap.fill(whole, _LINE, break_on_hyphens=False)
        ax.set_title(whole, fontsize=style.SIZE["note"], loc="left", pad=4)
