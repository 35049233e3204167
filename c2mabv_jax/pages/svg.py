"""A figure as inline SVG: colours that follow the page, values that show on hover.

Text stays text, so that it can be found and read aloud. Greys become mixtures of the page's ink
and paper, which makes one drawing serve a light and a dark page; colours stay as they are.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure

from c2mabv_jax.plotting.names import fonts

MOST_VALUES = 1500  # of one figure; more would make the page heavy
_DPI = 72  # an SVG's unit is a point
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_KEPT = "kept"  # colours below such a group belong to the data


class Value(NamedTuple):
    """A value that shows on hover: where it is drawn (pixels from below left) and its words."""

    x: float
    y: float
    words: str


def svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` element.

    Args:
      figure: as drawn for print; drawn again, not changed but for its resolution.
      title: what it shows, for people who cannot see it.
    """
    figure.set_dpi(_DPI)
    # Numbers written on a heat map are in the colour that its cells ask for.
    written = [text for ax in figure.axes if ax.images for text in ax.texts]
    for index, text in enumerate(written):
        text.set_gid(f"{_KEPT}-{index}")
    stream = io.StringIO()
    prefix = f"f{zlib.crc32(title.encode()):08x}"
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}), fonts():
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    # Afterwards: drawing lays the panels out.
    values = _thinned([value for ax in figure.axes for value in _values(ax)])
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(stream.getvalue())
    for unwanted in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(unwanted)
    _dress(root, prefix)
    height = float(root.attrib["viewBox"].split()[3])
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{prefix}-title",
    }
    heading = ElementTree.Element(f"{{{_SVG}}}title", {"id": f"{prefix}-title"})
    heading.text = title
    root.insert(0, heading)
    root.append(_targets(values, height))
    return ElementTree.tostring(root, encoding="unicode")


def _values(ax: Axes) -> Iterator[Value]:
    """The values drawn in one panel."""
    x_name, y_name = ax.get_xlabel() or "x", ax.get_ylabel() or "y"
    errors = {
        container.lines[0]: container.get_label()
        for container in ax.containers
        if isinstance(container, ErrorbarContainer)
    }
    for line in ax.get_lines():
        label = str(errors.get(line, line.get_label()))
        if line.get_transform() != ax.transData or label.startswith("_"):
            continue
        points = np.asarray(line.get_xydata(), float)
        yield from _points(ax, points, label, x_name, y_name)
    for collection in ax.collections:
        label = str(collection.get_label())
        if isinstance(collection, PathCollection) and not label.startswith("_"):
            points = np.asarray(collection.get_offsets(), float)
            yield from _points(ax, points, label, x_name, y_name)
    for container in ax.containers:
        if isinstance(container, BarContainer):
            for bar in container.patches:
                middle = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2
                words = f"{container.get_label()}: {number(bar.get_height())}"
                yield from _inside(ax, np.array([middle]), [words])
    for image in ax.images:
        yield from _cells(ax, np.asarray(image.get_array(), float))


def _points(ax: Axes, points: np.ndarray, label: str, x_name: str, y_name: str) -> Iterator[Value]:
    words = [f"{label}\n{x_name}: {number(x)}\n{y_name}: {number(y)}" for x, y in points]
    yield from _inside(ax, points, words)


def _cells(ax: Axes, values: np.ndarray) -> Iterator[Value]:
    columns = [text.get_text() for text in ax.get_xticklabels()]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    if values.ndim != 2 or values.shape != (len(rows), len(columns)):
        return
    places = np.array([(c, r) for r in range(len(rows)) for c in range(len(columns))], float)
    words = [
        f"{row}\n{column}: {number(values[r, c])}"
        for r, row in enumerate(rows)
        for c, column in enumerate(columns)
    ]
    yield from _inside(ax, places, words)


def _inside(ax: Axes, points: np.ndarray, words: list[str]) -> Iterator[Value]:
    """Those that lie within the panel."""
    with np.errstate(all="ignore"):
        pixels = ax.transData.transform(points)
    box = ax.get_window_extent()
    for (x, y), text in zip(pixels, words, strict=True):
        if box.x0 - 1 <= x <= box.x1 + 1 and box.y0 - 1 <= y <= box.y1 + 1:
            yield Value(float(x), float(y), text)


def _thinned(values: list[Value]) -> list[Value]:
    step = -(-len(values) // MOST_VALUES)
    return values[:: max(step, 1)]


def number(value: float) -> str:
    """Four significant digits, thousands apart."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def _targets(values: list[Value], height: float) -> ElementTree.Element:
    """Invisible discs that carry the words of the values."""
    group = ElementTree.Element(f"{{{_SVG}}}g", {"class": "values"})
    for value in values:
        place = {"cx": f"{value.x:.1f}", "cy": f"{height - value.y:.1f}", "r": "5"}
        disc = ElementTree.SubElement(group, f"{{{_SVG}}}circle", place)
        ElementTree.SubElement(disc, f"{{{_SVG}}}title").text = value.words
    return group


def _dress(root: ElementTree.Element, prefix: str) -> None:
    """Ids that are unique on the page, greys that follow it."""

    def walk(node: ElementTree.Element, kept: bool) -> None:
        style = node.get("style", "")
        drawn = node.tag.endswith("}use") or (node.tag.endswith("}path") and not node.get("id"))
        if drawn and style and "fill:" not in style:
            # Black is the default, which Matplotlib leaves out: the band of a black line.
            node.set("style", f"fill: #000000; {style}")
        kept = kept or node.get("id", "").startswith(_KEPT)
        for name, value in list(node.attrib.items()):
            value = value.replace("url(#", f"url(#{prefix}-")
            if name == "id":
                value = f"{prefix}-{value}"
            elif name == f"{{{_XLINK}}}href" and value.startswith("#"):
                value = f"#{prefix}-{value[1:]}"
            elif name == "style" and not kept:
                value = _GREY.sub(_of_page, value)
            node.set(name, value)
        words = node.tag.endswith("text")
        if words and not kept and "fill" not in node.get("style", "") and not node.get("fill"):
            node.set("style", f"{node.get('style', '')}; fill: var(--ink)")
        for child in node:
            walk(child, kept)

    walk(root, False)


_GREY = re.compile(r"#([0-9a-f]{2})\1\1\b", re.IGNORECASE)


def _of_page(found: re.Match[str]) -> str:
    """A grey as a mixture of the page's ink and paper."""
    dark = round(100 * (1 - int(found[1], 16) / 255))
    if dark == 100:
        return "var(--ink)"
    return f"color-mix(in srgb, var(--ink) {dark}%, var(--paper))" if dark else "var(--paper)"
