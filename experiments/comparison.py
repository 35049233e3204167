"""All policies on nine LLMs under three reward models, and four pairs of alphas of C2MAB-V.

Reward and violation are averages so far; their ratio is that of the means over seeds, and is
not defined where no seed overspends.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from c2mabv_jax.plotting import style
from experiments.setting import Setting, curve, half_width, log_axis, select

MODELS = ("AWC", "SUC", "AIC")
FIRST = 10  # averages over fewer rounds are noise
MAIN = (0.3, 0.05)  # the pair that stands for C2MAB-V beside other policies
SHOWN = ("thompson", "cucb", "epsilon-greedy", "lyapunov", "omega-ucb", "always-dearest", "uniform")
PAIRS = ((0.3, 0.05), (1.0, 0.05), (0.3, 0.01), (1.0, 0.01))
_PAIR_COLOURS = ("vermilion", "blue", "green", "purple")


def run(setting: Setting) -> None:
    """Figures against rounds, and a table of everything at the horizon."""
    results = {model: setting.sweep(f"comparison-{model.lower()}") for model in MODELS}
    setting.figure(_grid(results, _policies, f"C2MAB-V with {style.BAND}"), "policies")
    setting.figure(_grid(results, _pairs, style.BAND), "alphas")
    for model, result in results.items():
        rows = [_row(result.isel(point=i)) for i in range(result.sizes["point"])]
        horizon, seeds = int(result["round"][-1]), int(result.attrs["num_seeds"])
        budget = float(result["budget"][0])
        says = (
            f"{model}, nine LLMs, N = 4, budget {budget:g} USD/query, {seeds:,} seeds, "
            f"{horizon:,} rounds; ± is the 95 % interval of the mean. Regret is against the best "
            "mixed policy that keeps the budget, so overspending lowers it; the Lagrangian regret "
            "charges overspending at the price of the budget."
        )
        setting.table(HEAD, rows, says, model.lower())


HEAD = (
    "policy", "reward", "±", "cost (USD/query)", "of budget (%)", "violation (USD/query)", "±",
    "reward / violation", "regret", "Lagrangian regret", "±",
)  # fmt: skip


def _row(point: xr.Dataset) -> list[str | float]:
    last = point.isel(round=-1)
    value = {
        q: float(last[f"{q}_mean"])
        for q in ("reward", "cost", "violation", "regret", "lagrangian_regret")
    }
    half = {q: float(half_width(last, q)) for q in ("reward", "violation", "lagrangian_regret")}
    ratio: str | float = "no violation"
    if value["violation"] > 0:
        ratio = value["reward"] / value["violation"]
    return [
        _label(point), value["reward"], half["reward"], value["cost"],
        100 * value["cost"] / float(point["budget"]), value["violation"], half["violation"], ratio,
        value["regret"], value["lagrangian_regret"], half["lagrangian_regret"],
    ]  # fmt: skip


def _label(point: xr.Dataset) -> str:
    name = str(point["policy"].item())
    if name != "c2mabv":
        return name
    return f"c2mabv ({float(point['alpha_reward']):g}, {float(point['alpha_cost']):g})"


def _grid(results: dict[str, xr.Dataset], draw, bands: str) -> Figure:
    """Rows: reward, violation, their ratio. Columns: reward models."""
    drawing, axes = style.figure(3, len(results), width=style.DOUBLE, height=6.0, sharex=True)
    for column, (model, result) in enumerate(results.items()):
        draw(axes[:, column], result)
        for row, name in enumerate(
            ("reward per round", "violation (USD/query)", "reward / violation")
        ):
            ax = axes[row, column]
            style.log_axis(ax)
            style.label(ax, y=name if column == 0 else None)
            ax.set_xlim(left=min(FIRST, float(result["round"][-1]) / 10))
            if row > 0:
                _decades(ax)
                log_axis(ax)
        style.label(axes[0, column], title=f"({'abc'[column]}) {model}")
        style.label(axes[2, column], x="round")
    style.legend(drawing, title=bands)
    return drawing


def _decades(ax, most: float = 4.0) -> None:
    """At most so many decades: what lies below is as good as no violation."""
    values = [line.get_ydata() for line in ax.lines]
    finite = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in map(np.asarray, values)])
    if finite.size:
        top, bottom = finite.max(), finite.min()
        ax.set_ylim(max(bottom / 1.5, top / 10**most), top * 1.5)


def _three(axes, point: xr.Dataset, policy: str, band: bool = True, **line) -> None:
    point = point.sel(round=slice(min(FIRST, int(point["round"][-1]) // 10), None))
    curve(axes[0], point, "reward", policy, band, **line)
    violation = point["violation_mean"].where(point["violation_mean"] > 0)
    if int(np.isfinite(violation).sum()) > 2:  # a policy may overspend for a moment only
        curve(axes[1], point, "violation", policy, band, **line)
        ratio = (point["reward_mean"] / violation).values
        style.curve(axes[2], point["round"].values, ratio, policy, **line)


def _policies(axes, result: xr.Dataset) -> None:
    for policy in SHOWN:
        found = select(result, policy=policy)
        if found.sizes["point"]:
            _three(axes, found.isel(point=0), policy, band=False)
    main = select(result, policy="c2mabv", alpha_reward=MAIN[0], alpha_cost=MAIN[1])
    _three(axes, main.isel(point=0), "c2mabv")


def _pairs(axes, result: xr.Dataset) -> None:
    for pair, colour, dashes in zip(PAIRS, _PAIR_COLOURS, style.LINES.values(), strict=False):
        point = select(result, policy="c2mabv", alpha_reward=pair[0], alpha_cost=pair[1])
        _three(
            axes, point.isel(point=0), "c2mabv", color=style.PALETTE[colour], linestyle=dashes,
            label=rf"$\alpha_\mu$ = {pair[0]:g}, $\alpha_c$ = {pair[1]:g}",
        )  # fmt: skip
