"""Reports as one HTML file: what is in it, and that nothing in it comes from elsewhere."""

import html
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from opened_report import nothing_from_elsewhere, tags_of

from c2mabv_jax import pages
from c2mabv_jax.pages.svg import svg
from c2mabv_jax.plotting import style

HOSTILE = 'a<script>alert(1)</script>"onload=x&b'
MARKDOWN = f"""# Report on {HOSTILE}

See [the table](#the-table) by `c2mabv run`.

## The table

| policy | cost |
|---|--:|
| a\\|b | 1.2e-5 |
| {HOSTILE} | 20 |

![Regret and picks](figures/one.png)

![Again, "quoted" & <i>](two.png)

An ![eye](http://elsewhere/eye.png) that watches.

![another](http://elsewhere/other.png)
"""


def drawing():
    figure, axes = style.figure(1, 2, width=style.DOUBLE)
    curve, cells = axes[0]
    curve.plot([1, 10, 100], [0.5, 2.0, 1e5], "s", label="C2MAB-V", color="#000000")
    curve.plot([1, 2], [3.0, 4.0], label="_hidden")
    curve.axhline(1.0, label="level")
    style.log_axis(curve)
    style.label(curve, "round", "regret")
    cells.imshow(np.array([[0.0, 25.0], [50.0, 100.0]]))
    cells.set_xticks([0, 1], ["uniform", "oracle"])
    cells.set_yticks([0, 1], ["gpt-4", "small"])
    cells.text(0, 0, "0", color="white")
    cells.text(1, 1, "100", color="black")
    return figure


@pytest.fixture(scope="module")
def text():
    return pages.page(MARKDOWN, {"one": drawing(), "two": drawing()})


def test_nothing_comes_from_elsewhere(text):
    """No tag names an address, and the page's own policy forbids loading anything."""
    nothing_from_elsewhere(tags_of(text))
    assert "default-src 'none'" in text
    assert "url(http" not in text and "@import" not in text


def test_hostile_words_stay_words(text):
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3  # title, heading, cell
    assert sum(tag == "script" for tag, _ in tags_of(text)) == 1  # the page's own


def test_links_lead_somewhere_and_ids_are_unique(text):
    tags = tags_of(text)
    ids = [a["id"] for _, a in tags if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {a[name][1:] for _, a in tags for name in ("href", "xlink:href")
               if (a.get(name) or "").startswith("#")}  # fmt: skip
    assert "the-table" in targets
    clips = set(re.findall(r"url\(#([^)]+)\)", text))
    assert clips and targets | clips <= set(ids)


def test_figures_speak(text):
    """Every figure has a title that a screen reader finds, and a caption."""
    tags = tags_of(text)
    figures = [a for tag, a in tags if tag == "svg"]
    assert len(figures) == 2
    ids = {a.get("id") for _, a in tags}
    assert all(a["role"] == "img" and a["aria-labelledby"] in ids for a in figures)
    assert "<figcaption>Regret and picks</figcaption>" in text
    assert "<figcaption>Again, &quot;quoted&quot; &amp; &lt;i&gt;</figcaption>" in text


def test_values_show_where_they_are_drawn():
    """Each labelled value is a disc with its words, at the place of its marker."""
    figure = drawing()
    root = ElementTree.fromstring(svg(figure, "x"))
    space = "{http://www.w3.org/2000/svg}"
    discs = root.findall(f"{space}g[@class='values']/{space}circle")
    words = [disc.find(f"{space}title").text for disc in discs]
    assert "C2MAB-V\nround: 10\nregret: 2" in words
    assert "C2MAB-V\nround: 100\nregret: 100,000" in words
    assert "gpt-4\noracle: 25" in words
    assert not any("hidden" in each or "level" in each for each in words)
    disc = discs[words.index("C2MAB-V\nround: 10\nregret: 2")]
    marker = root.findall(f".//{space}use")  # the line's own markers, as drawn
    places = [(float(each.get("x", "nan")), float(each.get("y", "nan"))) for each in marker]
    x, y = float(disc.get("cx")), float(disc.get("cy"))
    assert min(abs(x - a) + abs(y - b) for a, b in places if a == a) < 0.2


def test_greys_follow_the_page_and_colours_of_data_stay():
    drawn = svg(drawing(), "x")
    assert "var(--ink)" in drawn and "color-mix(in srgb, var(--ink)" in drawn
    kept = re.search(r'<g id="[^"]*-kept-0"[^>]*>.*?</g>', drawn, re.DOTALL)
    assert kept and "#ffffff" in kept[0]


def test_the_band_of_a_black_line_follows_the_page_too():
    figure, axes = style.figure()
    axes[0, 0].fill_between([0, 1], [0, 0], [1, 1], color="#000000", alpha=0.2, linewidth=0)
    bands = re.findall(r'style="([^"]*fill-opacity: 0.2[^"]*)"', svg(figure, "x"))
    assert bands and all("fill: var(--ink)" in band for band in bands)


def test_the_same_report_gives_the_same_bytes(text):
    assert pages.page(MARKDOWN, {"one": drawing(), "two": drawing()}) == text


def test_plain_text_stays_as_it_is():
    name = "a|b *c* _d_ <i> `e` [f](http://g) & \\\\h"
    shown = pages.page(f"# x\n\n| head |\n|---|\n| {pages.plain(name)} |\n", {})
    assert f"<td>{html.escape(name, quote=False)}</td>" in shown
