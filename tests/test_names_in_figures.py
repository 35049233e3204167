"""Names of LLMs in figures: distinct, inside, and in the letters that they are written in."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from c2mabv_jax.plotting import curves, names, style
from c2mabv_jax.plotting.names import shortened


def test_names_are_shortened_only_while_distinct():
    assert shortened(["azure/gpt-4o", "openai/gpt-4o", "meta/llama"]) == [
        "azure/gpt-4o",
        "openai/gpt-4o",
        "llama",
    ]
    long = ["claude-3-5-sonnet-20240620-v1", "claude-3-5-sonnet-20240620-v2", "x" * 40]
    short = shortened(long)
    assert short == ["claude-3-5-…0240620-v1", "claude-3-5-…0240620-v2", "x" * 21 + "…"]
    assert all(len(name) <= 22 for name in short)


@given(st.lists(st.text("ab/…", min_size=1, max_size=40), unique=True, max_size=8))
def test_distinct_names_stay_distinct(given_names):
    # A name may itself end in the sign of a cut; whole names are then the way out.
    short = shortened(given_names, most=6)
    assert len(short) == len(given_names)
    assert len(set(short)) == len(given_names)


def run(labels) -> xr.Dataset:
    arms, seeds, rounds = len(labels), 3, np.array([1, 10])
    shape = ("policy", "seed", "round")
    values = np.ones((2, seeds, 2))
    return xr.Dataset(
        {
            **{name: (shape, values) for name in ("reward", "regret", "violation", "cost")},
            "pulls": ((*shape, "arm"), np.full((2, seeds, 2, arms), 5)),
            "mean_cost": ("arm", np.arange(arms) / arms),
        },
        {"policy": ["c2mabv", "uniform"], "round": rounds, "arm": labels, "seed": range(seeds)},
        {"cost_unit": "USD/query", "budget": 1.0, "reward_model": "SUC", "num_selected": 1},
    )


@pytest.mark.parametrize("draw", [curves.picks, curves.overview])
def test_titles_of_picks_are_inside(draw):
    drawing = draw(run([f"a-model-of-22-letters-{k}"[:22] for k in range(4)]))
    style.rendered(drawing, "x")  # lays it out
    axes = drawing.axes[-1]
    title = axes.get_title(loc="left")
    assert "picked" in title
    text = next(t for t in axes.findobj() if getattr(t, "get_text", lambda: "")() == title)
    box = text.get_window_extent(drawing.canvas.get_renderer())
    assert box.x0 >= 0 and box.x1 <= drawing.bbox.width


def test_letters_that_no_font_has_are_said_once(capsys, monkeypatch):
    monkeypatch.setattr(names, "_installed", lambda: ())
    names._say_once.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            style.rendered(curves.picks(run(["文心一言", "通义千问"])), "x")
    assert capsys.readouterr().err.count("Noto Sans CJK") == 1


def test_a_font_that_has_them_is_used(monkeypatch):
    """An installed family follows the usual one."""
    import matplotlib as mpl

    monkeypatch.setattr(names, "_installed", lambda: ("DejaVu Serif",))
    with names.fonts():
        assert mpl.rcParams["font.sans-serif"] == ["DejaVu Sans", "DejaVu Serif"]
