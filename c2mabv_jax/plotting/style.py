"""The look of every figure: sizes, palette, names and marks of policies, bands, saving.

Figures are drawn on `matplotlib.figure.Figure` objects with the Agg canvas: no display and no
global state. Widths are those of a printed column, so fonts are set for reading there.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from c2mabv_jax import files
from c2mabv_jax.plotting.names import fonts

COLUMN, DOUBLE = 3.4, 7.0  # widths in inches: one column, a whole page
SIZE = {"title": 8.5, "label": 8.0, "tick": 7.0, "legend": 7.0, "note": 6.5}  # points
PNG_DPI = 200
BAND = "bands: the middle 95 % of seeds"
BARS = "bars: 95 % confidence interval of the mean"

# Okabe and Ito, "Color Universal Design" (2008); its yellow is too pale for a line on white.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#7F7F7F",
}
SEQUENTIAL, DIVERGING = "cividis", "PuOr"  # heat maps: both read in greyscale or by sign
LINES: dict[str, Any] = {
    "solid": "-",
    "dashed": (0, (5, 1.5)),
    "dotted": (0, (1, 1.2)),
    "dashdot": (0, (5, 1.2, 1, 1.2)),
    "long": (0, (9, 2)),
    "dashdotdot": (0, (5, 1.2, 1, 1.2, 1, 1.2)),
}
MARKERS = "osD^vP*X<>hd"


class Look(NamedTuple):
    """How one policy appears in every figure: name for people, colour, dashes, marker."""

    label: str
    colour: str
    line: Any
    marker: str


def _look(label: str, colour: str, line: str, marker: str) -> Look:
    return Look(label, PALETTE[colour], LINES[line], marker)


# Colour and dashes together are unique, so curves survive greyscale and colour blindness.
LOOKS: dict[str, Look] = {
    "c2mabv": _look("C2MAB-V", "vermilion", "solid", "o"),
    "c2mabv-direct": _look("C2MAB-V-Direct", "vermilion", "dashed", "s"),
    "c2mabv-types": _look("C2MAB-V by type", "blue", "long", "D"),
    "c2mabv-split": _look("C2MAB-V by type, budget split", "sky", "long", "v"),
    "thompson-types": _look("Thompson by type", "purple", "long", "P"),
    "oracle-types": _look("oracle by type", "black", "long", "h"),
    "c2mabv-kl": _look("C2MAB-V (KL)", "vermilion", "dotted", "D"),
    "c2mabv-bernstein": _look("C2MAB-V (Bernstein)", "vermilion", "dashdot", "D"),
    "two-tier": _look("C2MAB-V, two tiers", "vermilion", "dashdotdot", "<"),
    "oracle": _look("oracle", "black", "dashed", "*"),
    "best-fixed-set": _look("best fixed set", "black", "dotted", "P"),
    "fixed-set": _look("fixed set", "black", "dashdot", "d"),
    "always-dearest": _look("always dearest", "blue", "dashdot", "^"),
    "always-cheapest": _look("always cheapest", "sky", "dotted", "v"),
    "uniform": _look("uniform random", "purple", "dashdot", "X"),
    "cucb": _look("CUCB (no budget)", "green", "dashed", "D"),
    "cucb-kl": _look("KL-CUCB (no budget)", "green", "dotted", "d"),
    "thompson": _look("Thompson", "purple", "solid", "s"),
    "thompson-top": _look("Thompson (no budget)", "purple", "dashed", "<"),
    "thompson-ratio": _look("Thompson (ratio)", "purple", "dotted", ">"),
    "epsilon-greedy": _look("ε-greedy", "orange", "solid", "h"),
    "epsilon-greedy-constant": _look("ε-greedy (ε = 0.1)", "orange", "dashed", "X"),
    "explore-then-commit": _look("explore, then commit", "orange", "dashdot", "P"),
    "conservative": _look("conservative", "blue", "solid", "D"),
    "lyapunov": _look("Lyapunov queue", "sky", "solid", "v"),
    "pessimistic-optimistic": _look("tightened queue", "sky", "dashed", "o"),
    "primal-dual": _look("primal-dual BwK", "green", "solid", "^"),
    "ucb-bwk": _look("UCB-BwK", "green", "dashdot", "v"),
    "omega-ucb": _look("ω-UCB", "blue", "dotted", "h"),
    "ratio-cucb": _look("ratio CUCB", "blue", "dashed", "h"),
}


def look(policy: str) -> Look:
    """How a policy appears; a name of one's own gets a look that depends on the name alone."""
    if policy in LOOKS:
        return LOOKS[policy]
    code = zlib.crc32(policy.encode())
    colours, lines = list(PALETTE.values()), list(LINES.values())
    return Look(
        policy,
        colours[code % len(colours)],
        lines[(code >> 8) % len(lines)],
        MARKERS[(code >> 16) % len(MARKERS)],
    )


def figure(
    rows: int = 1,
    columns: int = 1,
    width: float = COLUMN,
    height: float | None = None,
    **grid: Any,
) -> tuple[Figure, np.ndarray]:
    """An empty figure and its axes `[rows, columns]`, dressed for print.

    Args:
      rows, columns: of axes.
      width: inches; COLUMN or DOUBLE.
      height: inches; by default 0.72 of the width of one column of axes, per row.
      grid: passed to `Figure.subplots` (`sharex` and the like).
    """
    height = 0.72 * width / columns * rows if height is None else height
    drawing = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = np.asarray(drawing.subplots(rows, columns, squeeze=False, **grid))
    for ax in axes.flat:
        dress(ax)
    return drawing, axes


def dress(ax: Axes) -> None:
    """Thin frame, light grid, readable numbers."""
    ax.tick_params(labelsize=SIZE["tick"], width=0.6, length=2.5, pad=2)
    ax.tick_params(which="minor", width=0.4, length=1.5)
    for side, spine in ax.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(side in ("left", "bottom"))
    ax.grid(True, linewidth=0.4, color="0.88")
    ax.set_axisbelow(True)
    for text in (ax.xaxis.get_offset_text(), ax.yaxis.get_offset_text()):
        text.set_fontsize(SIZE["tick"])


def label(ax: Axes, x: str | None = None, y: str | None = None, title: str | None = None) -> None:
    """Axis labels (with units) and title in the sizes of the style."""
    if x is not None:
        ax.set_xlabel(x, fontsize=SIZE["label"], labelpad=2)
    if y is not None:
        ax.set_ylabel(y, fontsize=SIZE["label"], labelpad=3)
    if title is not None:
        ax.set_title(title, fontsize=SIZE["title"], loc="left", pad=4)


def with_unit(quantity: str, unit: str | None) -> str:
    """ "quantity (unit)"; the bare quantity where it has no unit."""
    return quantity if unit in (None, "", "1") else f"{quantity} ({unit})"


def log_axis(ax: Axes, axis: str = "x") -> None:
    """Logarithmic axis whose decades are labelled; minor ticks stay bare."""
    getattr(ax, f"set_{axis}scale")("log")
    chosen = getattr(ax, f"{axis}axis")
    chosen.set_major_locator(LogLocator(10, numticks=9))
    chosen.set_minor_locator(LogLocator(10, subs=tuple(range(2, 10)), numticks=99))
    chosen.set_minor_formatter(NullFormatter())


def interval(values: np.ndarray, axis: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, and the interval that holds the middle 95 % of the seeds (axis `axis`)."""
    values = np.asarray(values, np.float64)
    low, high = np.quantile(values, [0.025, 0.975], axis=axis)
    return values.mean(axis), low, high


def curve(
    ax: Axes,
    x: np.ndarray,
    values: np.ndarray,
    policy: str,
    *,
    band: bool = True,
    markers: int = 5,
    **line: Any,
) -> Line2D:
    """Mean curve of a policy with its band of 95 % of the seeds.

    Args:
      ax: where.
      x: `[R]`, rounds or a swept parameter.
      values: `[seeds, R]`, or `[R]` where the mean is known already (no band).
      policy: its name in the catalogue; decides label, colour, dashes and marker.
      band: whether to draw the band.
      markers: how many markers along the curve, 0 for none.
      line: overrides passed to `Axes.plot`.
    """
    name, colour, dashes, marker = look(policy)
    values = np.asarray(values, np.float64)
    if values.ndim == 2:
        mean, low, high = interval(values)
        if band and len(values) > 1:
            ax.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    else:
        mean = values
    # Markers start at places of their own, so that curves that coincide can be told apart.
    shift = (zlib.crc32(policy.encode()) % 7) / 7
    every = _spread(len(x), markers, shift)
    options = {
        "label": name,
        "color": colour,
        "linestyle": dashes,
        "linewidth": 1.6 if policy == "c2mabv" else 1.1,
        "marker": marker if every else "",
        "markersize": 3.6,
        "markeredgewidth": 0,
        "markevery": every or None,
        "zorder": 3 if policy == "c2mabv" else 2.5,
    }
    return ax.plot(x, mean, **{**options, **line})[0]


def _spread(points: int, markers: int, shift: float) -> list[int]:
    if markers <= 0 or points == 0:
        return []
    places = (np.arange(markers) + shift) * points / markers
    return sorted({min(int(place), points - 1) for place in places})


def legend(target: Axes | Figure, handles: Sequence[Any] | None = None, **options: Any) -> Any:
    """Legend in the size of the style; on a figure it goes below the axes."""
    fixed = {"fontsize": SIZE["legend"], "frameon": False, "handlelength": 2.8}
    options = {**fixed, "title_fontsize": SIZE["note"], **options}
    if isinstance(target, Figure):
        if handles is None:
            seen: dict[str, Any] = {}
            for ax in target.axes:
                for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
                    seen.setdefault(name, handle)
            handles = list(seen.values())
        ncols = legend_columns(target.get_figwidth(), len(handles))
        options = {"loc": "outside lower center", "ncols": ncols, **options}
    if handles is not None:
        return target.legend(handles=list(handles), **options)
    return target.legend(**options)


def legend_columns(width: float, entries: int) -> int:
    """Columns of a legend below a figure of this width in inches."""
    return 2 if width < 5 else 4 + (entries == 5)


def legend_height(width: float, entries: int) -> float:
    """Inches that such a legend takes, its title included."""
    return 0.2 + 0.15 * -(-entries // legend_columns(width, entries))


def save(drawing: Figure, path: str | os.PathLike[str]) -> list[Path]:
    """Write PATH.png and PATH.pdf, each whole or not at all; returns the two paths.

    Nothing in the files depends on the time, so the same figure gives the same bytes.
    """
    base = Path(path)
    base = base.with_suffix("") if base.suffix in (".png", ".pdf") else base
    base.parent.mkdir(parents=True, exist_ok=True)
    drawn = rendered(drawing, base.name)
    for name, content in drawn.items():
        files.write(base.with_name(name), content, over=True)
    return [base.with_name(name) for name in drawn]


def rendered(drawing: Figure, name: str) -> dict[str, bytes]:
    """The figure as NAME.png and NAME.pdf: contents by file name."""
    contents = {}
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        stream = io.BytesIO()
        with mpl.rc_context({"pdf.fonttype": 42}), fonts():
            drawing.savefig(stream, format=kind, dpi=PNG_DPI, metadata=metadata)
        contents[f"{name}.{kind}"] = stream.getvalue()
    return contents
