"""Names of LLMs in figures: short, but never two alike; and letters that fonts lack."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

import matplotlib as mpl
from matplotlib import font_manager

# Families with Chinese, Japanese and Korean letters, which the usual font has not.
_WIDE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans",
    "Microsoft YaHei", "SimHei", "Malgun Gothic", "Arial Unicode MS", "Droid Sans Fallback",
    "Unifont",
)  # fmt: skip


def shortened(names: Sequence[str], most: int = 22) -> list[str]:
    """Names that fit, each still distinct from the others.

    The vendor before a slash goes first, where the rest is distinct; then what exceeds `most`
    letters, at the end or, where that makes two alike, in the middle. Where neither will do a
    name stays whole.
    """
    last = [name.rsplit("/", 1)[-1] for name in names]
    bare = _where_distinct(last, names)
    ends = [_cut(name, most, most - 1) for name in bare]
    middles = [_cut(name, most, most // 2) for name in bare]
    return _where_distinct(ends, _where_distinct(middles, names))


def _where_distinct(shorter: Sequence[str], longer: Sequence[str]) -> list[str]:
    count = Counter(shorter)
    return [s if count[s] == 1 else w for s, w in zip(shorter, longer, strict=True)]


def _cut(name: str, most: int, head: int) -> str:
    tail = most - 1 - head
    return name if len(name) <= most else name[:head] + "…" + name[len(name) - tail :]


@contextlib.contextmanager
def fonts() -> Iterator[None]:
    """Draw with the usual font, and with one of more letters where there is one installed."""
    families = ["DejaVu Sans", *_installed()]
    with (
        warnings.catch_warnings(record=True) as said,
        mpl.rc_context({"font.family": "sans-serif", "font.sans-serif": families}),
    ):
        warnings.simplefilter("default")
        yield
    for warning in said:
        if "Glyph" in str(warning.message):
            _say_once()
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


@functools.cache
def _installed() -> tuple[str, ...]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _WIDE_FONTS if name in known)


@functools.cache
def _say_once() -> None:
    print(
        "note: figures have boxes in place of letters that no installed font has; for Chinese, "
        "Japanese and Korean install Noto Sans CJK",
        file=sys.stderr,
    )
