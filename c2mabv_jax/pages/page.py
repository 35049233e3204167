"""A report as one HTML file, from its Markdown and its figures."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath

import jinja2
import markupsafe
from markdown_it import MarkdownIt
from markdown_it.token import Token
from matplotlib.figure import Figure

from c2mabv_jax.pages.svg import svg
from c2mabv_jax.plotting import style

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(markdown: str, figures: Mapping[str, Figure]) -> str:
    """The report as HTML that needs nothing but a browser.

    Args:
      markdown: the report; its first heading is the title. `![words](NAME.png)` becomes the
        figure of that name, drawn inline. HTML in it is shown as text.
      figures: by file name without ending.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    title = next((b.content for a, b in pairwise(tokens) if a.type == "heading_open"), "")
    body = markupsafe.Markup(parser.renderer.render(_dressed(tokens, figures), parser.options, {}))
    return _TEMPLATES.get_template("page.html").render(title=title, body=body)


def plain(text: str) -> str:
    """Text of a user's, such as the name of an LLM, that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>&|])", r"\\\1", text)


def _dressed(tokens: list[Token], figures: Mapping[str, Figure]) -> list[Token]:
    """Headings with ids, figures drawn inline, tables that scroll on a narrow screen."""
    dressed: list[Token] = []
    heading = ""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[place + 1].content
            token.attrSet("id", anchor(heading))
        image = _only_image(tokens[place + 1]) if token.type == "paragraph_open" else None
        name = "" if image is None else PurePosixPath(str(image.attrs["src"])).stem
        if image is not None and name in figures:
            dressed.append(_html(_drawn(figures[name], image.content)))
            tokens[place + 1].children, tokens[place + 1].content = [], ""
            token.hidden = tokens[place + 2].hidden = True
        for child in token.children or []:
            if child.type == "image":  # not one of the figures: its words, and nothing to load
                child.type = "text"
        if token.type == "table_open":
            name = html.escape(f"Table: {heading}", quote=True)
            dressed.append(
                _html(f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">')
            )
        dressed.append(token)
        if token.type == "table_close":
            dressed.append(_html("</div>"))
    return dressed


def anchor(heading: str) -> str:
    """The id of a heading, as links in Markdown name it."""
    return re.sub(r"[^\w-]+", "-", heading.lower()).strip("-")


def _only_image(inline: Token) -> Token | None:
    children = inline.children or []
    return children[0] if len(children) == 1 and children[0].type == "image" else None


def _drawn(figure: Figure, caption: str) -> str:
    words = html.escape(caption)
    wide = " wide" if figure.get_figwidth() > style.COLUMN * 1.5 else ""
    return (
        f'<figure><div class="scroll{wide}" role="region" tabindex="0" aria-label="Figure: '
        f'{html.escape(caption, quote=True)}">{svg(figure, caption)}</div>'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text + "\n")
