"""What every experiment needs: its size, its sweeps, and where figures and tables go."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from c2mabv_jax import sweep
from c2mabv_jax.plotting import style

HERE = Path(__file__).parent
SWEEPS = Path("results/sweeps")  # intermediate results, not committed


@dataclasses.dataclass(frozen=True)
class Setting:
    """Size and places of one run of an experiment.

    Attributes:
      name: of the experiment.
      quick: the small size.
      out: folder that gets `figures/` and `tables/`.
      log: a real log, for the experiments that replay one.
      resume: go on with sweeps that were stopped.
      command: how to repeat it.
    """

    name: str
    quick: bool
    out: Path
    log: Path
    resume: bool
    command: str

    def pick(self, quick: Any, full: Any) -> Any:
        """The value for this size."""
        return quick if self.quick else full

    def sweep(self, name: str) -> xr.Dataset:
        """Run `specs/NAME.toml` (or its quick form) and load the results."""
        folder = HERE / "specs" / ("quick" if self.quick else ".")
        place = SWEEPS / f"{name}{'-quick' if self.quick else ''}"
        if not self.resume:
            shutil.rmtree(place, ignore_errors=True)
        path = sweep.sweep(folder / f"{name}.toml", place, resume=place.exists(), quiet=self.quick)
        return xr.open_zarr(path).load()

    def figure(self, drawing: Figure, suffix: str = "") -> Path:
        """Save the experiment's figure as PNG."""
        name = f"{self.name}-{suffix}" if suffix else self.name
        png, pdf = style.save(drawing, self.out / "figures" / name)
        pdf.unlink()
        small_png(png)
        print(f"  {png}")
        return png

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[Any]], says: str, suffix: str = ""
    ) -> Path:
        """Save a table as CSV and as Markdown; `says` is its caption."""
        name = f"{self.name}-{suffix}" if suffix else self.name
        folder = self.out / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([head, *rows])
        rule = [":--", *("--:" for _ in head[1:])]
        lines = ["| " + " | ".join(map(cell, row)) + " |" for row in (head, rule, *rows)]
        text = f"{says} Made by `{self.command}`.\n\n" + "\n".join(lines) + "\n"
        path = folder / f"{name}.md"
        path.write_text(text, encoding="utf-8")
        print(f"  {path}")
        return path


def small_png(path: Path) -> None:
    """Keep a palette of 256 colours, which makes a committed figure small."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=0).save(
            path, optimize=True
        )


def cell(value: Any) -> str:
    """A number with four significant digits; words as they are."""
    if isinstance(value, str | int | np.integer):
        return str(value)
    if not np.isfinite(value):
        return "none"
    if abs(value) < 1e-12:
        return "0"
    text = f"{value:.4g}"
    return f"{value:.6f}".rstrip("0") if "e-0" in text and abs(value) > 1e-5 else text


def select(results: xr.Dataset, **wanted: Any) -> xr.Dataset:
    """Points of a sweep whose coordinates have these values (numbers: nearly)."""
    keep = np.ones(results.sizes["point"], bool)
    for name, value in wanted.items():
        there = results[name].values
        keep &= there == value if isinstance(value, str) else np.isclose(there, value)
    return results.isel(point=np.flatnonzero(keep))


def one(results: xr.Dataset, **wanted: Any) -> xr.Dataset:
    """The one point with these coordinates."""
    found = select(results, **wanted)
    if found.sizes["point"] != 1:
        raise ValueError(f"{found.sizes['point']} points have {wanted}")
    return found.isel(point=0)


def half_width(point: xr.Dataset, quantity: str) -> np.ndarray:
    """Half width of the 95 % interval of a mean over seeds (normal approximation)."""
    seeds = int(point.attrs["num_seeds"])
    return 1.96 * np.sqrt(point[f"{quantity}_variance"].values / seeds)


def curve(
    ax: Axes, point: xr.Dataset, quantity: str, policy: str, band: bool = True, **line: Any
) -> None:
    """Mean of a quantity against rounds, with the band of 95 % of the seeds."""
    rounds = point["round"].values
    drawn = style.curve(ax, rounds, point[f"{quantity}_mean"].values, policy, **line)
    if band:
        quantiles = point[f"{quantity}_quantile"]
        low, high = (quantiles.sel(quantile=q, method="nearest") for q in (0.025, 0.975))
        ax.fill_between(rounds, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)


def log_axis(ax: Axes, axis: str = "y") -> None:
    """Logarithmic, with plain numbers at 1, 2 and 5 where it spans few decades."""
    style.log_axis(ax, axis)
    low, high = getattr(ax, f"get_{axis}lim")()
    if low > 0 and high / low < 200:
        chosen = getattr(ax, f"{axis}axis")
        chosen.set_major_locator(LogLocator(10, subs=(1, 2, 5), numticks=12))
        chosen.set_major_formatter(lambda x, _: f"{x:g}")
        chosen.set_minor_formatter(NullFormatter())
