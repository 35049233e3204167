"""A report as a browser meets it."""

from html.parser import HTMLParser
from pathlib import Path


class _Tags(HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def tags_of(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """The tags of a page with their attributes."""
    return _Tags(text).tags


def nothing_from_elsewhere(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    """No tag names an address, so nothing is loaded."""
    for tag, attributes in tags:
        assert tag not in ("link", "iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("#", "data:image/png")), (tag, value)


def opens_alone(path: Path) -> str:
    """The text of a report that loads nothing and whose links and figures are sound."""
    text = path.read_text(encoding="utf-8")
    tags = tags_of(text)
    nothing_from_elsewhere(tags)
    assert "url(http" not in text and "@import" not in text
    ids = [a["id"] for _, a in tags if a.get("id")]
    assert len(ids) == len(set(ids))
    values = [a.get(name) or "" for _, a in tags for name in ("href", "xlink:href")]
    led = {value[1:] for value in values if value.startswith("#")}
    assert led <= set(ids), led - set(ids)
    figures = [a for tag, a in tags if tag == "svg"]
    assert figures and text.count("<figcaption>") == len(figures)
    for figure in figures:
        assert figure["role"] == "img"
        title = text.split(f'id="{figure["aria-labelledby"]}">', 1)[1].split("<", 1)[0]
        assert title.strip()
    return text
