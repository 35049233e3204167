"""C2MAB-V over alpha_reward and alpha_cost: reward, violation, Lagrangian regret as heat maps."""

from __future__ import annotations

import numpy as np
import xarray as xr

from c2mabv_jax.plotting import style
from experiments.setting import Setting


def run(setting: Setting) -> None:
    """Three heat maps at the horizon, and their numbers."""
    last = setting.sweep("alphas").isel(round=-1)
    rows, columns = (np.unique(last[name]) for name in ("alpha_reward", "alpha_cost"))
    drawing, axes = style.figure(1, 3, width=style.DOUBLE, height=2.9)
    for ax, quantity, name, digits in (
        (axes[0, 0], "reward", "reward per round", 2),
        (axes[0, 1], "violation", "violation (% of the budget)", 1),
        (axes[0, 2], "lagrangian_regret", "Lagrangian regret per round", 3),
    ):
        values = _grid(last, quantity, rows, columns)
        _heat(ax, values, rows, columns, digits)
        style.label(ax, r"$\alpha_c$ (costs)", title=name)
    style.label(axes[0, 0], y=r"$\alpha_\mu$ (rewards)")
    setting.figure(drawing)
    table = [
        [float(point[name]) for name in ("alpha_reward", "alpha_cost")]
        + [float(point[f"{q}_mean"]) for q in ("reward", "cost", "violation", "lagrangian_regret")]
        for point in (last.isel(point=i) for i in range(last.sizes["point"]))
    ]
    head = ("alpha_reward", "alpha_cost", "reward", "cost (USD/query)", "violation (USD/query)",
            "Lagrangian regret")  # fmt: skip
    best = min(table, key=lambda row: row[-1])
    says = (
        f"C2MAB-V, SUC, nine LLMs, N = 4, budget {float(last['budget'][0]):g} USD/query, "
        f"{int(last['round']):,} rounds, {int(last.attrs['num_seeds'])} seeds. Smallest Lagrangian "
        f"regret at alpha_reward = {best[0]:g}, alpha_cost = {best[1]:g}."
    )
    setting.table(head, table, says)


def _grid(last: xr.Dataset, quantity: str, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    values = np.full((len(rows), len(columns)), np.nan)
    for i in range(last.sizes["point"]):
        point = last.isel(point=i)
        value = float(point[f"{quantity}_mean"])
        if quantity == "violation":
            value *= 100 / float(point["budget"])
        if quantity == "lagrangian_regret":
            value /= int(last["round"])
        place = (
            np.searchsorted(rows, point["alpha_reward"]),
            np.searchsorted(columns, point["alpha_cost"]),
        )
        values[place] = value
    return values


def _heat(ax, values: np.ndarray, rows: np.ndarray, columns: np.ndarray, digits: int) -> None:
    ax.grid(False)
    ax.imshow(values, cmap=style.SEQUENTIAL, aspect="auto", origin="lower")
    size = 4.8 if values.size > 30 else style.SIZE["note"]
    middle = (values.min() + values.max()) / 2
    for i, j in np.ndindex(values.shape):
        ax.text(
            j, i, f"{values[i, j]:.{digits}f}", ha="center", va="center", fontsize=size,
            color="black" if values[i, j] > middle else "white",
        )  # fmt: skip
    ax.set_xticks(range(len(columns)), [f"{x:g}" for x in columns], rotation=45)
    ax.set_yticks(range(len(rows)), [f"{x:g}" for x in rows])
    ax.tick_params(length=0)
