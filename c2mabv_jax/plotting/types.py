"""Types of query in one figure: the two fronts with what was reached, and which type asks what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from c2mabv_jax.plotting import style
from c2mabv_jax.problem import Problem
from c2mabv_jax.results.summary import estimate
from c2mabv_jax.theory import typed_front

_TINTS = ("blue", "orange", "green", "sky", "purple", "vermilion", "black")
_MOST_NAMED = len(_TINTS)  # LLMs with a colour of their own
_MOST_TYPES = 12  # bars; the most frequent ones
_NEXT = {"c2mabv": "oracle, types not seen", "c2mabv-types": "oracle, types seen"}


class Reached(NamedTuple):
    """What a policy reached: means and half widths of their 95 % intervals, `[B]` each."""

    policy: str
    cost: np.ndarray
    quality: np.ndarray
    cost_half: np.ndarray
    quality_half: np.ndarray


class Allocation(NamedTuple):
    """Which type asks what.

    Attributes:
      types, names: of the types and the LLMs.
      queries: share of the queries that are of each type, `[G]`.
      money: share of the money that each type spends, `[G]`.
      asked: share of a type's queries that ask each LLM, `[G, K]`.
    """

    types: Sequence[str]
    names: Sequence[str]
    queries: np.ndarray
    money: np.ndarray
    asked: np.ndarray


def seen_best(results: xr.Dataset) -> str:
    """The policy whose allocation is shown: C2MAB-V by type if it ran, else the first."""
    names = [str(name) for name in results["policy"].to_numpy()]
    return "c2mabv-types" if "c2mabv-types" in names else names[0]


def allocation_of(results: xr.Dataset, policy: str) -> Allocation:
    """Which type asks what over all rounds of a run, mean over seeds."""
    last = results.isel(round=-1).sel(policy=policy)
    met = last["type_rounds"].mean("seed").to_numpy()
    money = last["type_cost"].mean("seed").to_numpy()
    return Allocation(
        [str(name) for name in results["type"].to_numpy()],
        [str(name) for name in results["arm"].to_numpy()],
        met / met.sum(),
        money / max(money.sum(), 1e-300),
        last["type_pulls"].mean("seed").to_numpy() / np.maximum(met, 1e-300)[:, None],
    )


def of_run(results: xr.Dataset) -> Figure:
    """The figure of what `c2mabv run --types` stores."""
    options = json.loads(results.attrs["configuration"])["problem"]
    problem = Problem(**options)
    mu, c, share = (
        results[f"type_{name}"].to_numpy() for name in ("mean_reward", "mean_cost", "frequency")
    )
    fronts = {
        "c2mabv": typed_front(problem, (share @ mu)[None], (share @ c)[None], [1.0]),
        "c2mabv-types": typed_front(problem, mu, c, share),
    }
    reached, last = [], results.isel(round=-1)
    for policy in results["policy"].to_numpy():
        cost, quality = (
            estimate(last[x].sel(policy=policy).to_numpy()) for x in ("cost", "reward")
        )
        ends = [np.array([x]) for x in (cost.mean, quality.mean, cost.half, quality.half)]
        reached.append(Reached(str(policy), *ends))
    chosen = allocation_of(results, seen_best(results))
    return fronts_and_allocation(fronts, reached, chosen, results.attrs["cost_unit"])


def fronts_and_allocation(
    fronts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    reached: Sequence[Reached],
    allocation: Allocation,
    unit: str,
) -> Figure:
    """Left: quality against cost, seen and unseen types. Right: the LLMs of every type.

    Args:
      fronts: (costs, values) of "c2mabv" (types not seen) and "c2mabv-types" (seen).
      reached: points with their intervals.
      allocation: of one policy at one budget.
      unit: of money.
    """
    shown = np.argsort(-allocation.queries, kind="stable")[:_MOST_TYPES]
    height = max(2.9, 1.2 + 0.32 * len(shown))
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=height)
    ax = axes[0, 0]
    ends = [costs[-1] for costs, _ in fronts.values()] + [one.cost.max() for one in reached]
    for policy, (costs, values) in fronts.items():
        _, colour, _, _ = style.look(policy)
        far = [*costs, max(ends)], [*values, values[-1]]
        ax.plot(*far, color=colour, linestyle="--", linewidth=1.0, label=_NEXT[policy])
    for one in reached:
        name, colour, _, marker = style.look(one.policy)
        ax.errorbar(
            one.cost, one.quality, xerr=one.cost_half, yerr=one.quality_half, color=colour,
            marker=marker, markersize=3.6, linewidth=1.2 if len(one.cost) > 1 else 0,
            elinewidth=0.8, capsize=1.5, label=name, zorder=3,
        )  # fmt: skip
    ax.set_xlim(left=0)
    style.label(ax, style.with_unit("average cost", unit), "quality", style.BARS)
    _bars(axes[0, 1], allocation, shown)
    style.legend(drawing, ncols=4)
    return drawing


def _bars(ax: Axes, allocation: Allocation, shown: np.ndarray) -> None:
    asked, place = allocation.asked, np.arange(len(shown))[::-1]
    weight = allocation.queries @ asked
    order = np.argsort(-weight, kind="stable")[:_MOST_NAMED]
    order = order[weight[order] > 0]
    left = np.zeros(len(shown))
    for k, tint in zip(order, _TINTS, strict=False):
        name = allocation.names[k].rsplit("/", 1)[-1]
        part = 100 * asked[shown, k]
        ax.barh(place, part, left=left, color=style.PALETTE[tint], height=0.7, label=name[:22])
        left = left + part
    rest = 100 * asked[shown].sum(axis=1) - left
    if (rest > 0.05).any():
        ax.barh(place, rest, left=left, color="0.8", height=0.7, label="others")
    labels = [
        f"{allocation.types[g][:18]}\n{100 * allocation.queries[g]:.0f} % of queries, "
        f"{100 * allocation.money[g]:.0f} % of money"
        for g in shown
    ]
    ax.set_yticks(place, labels, fontsize=style.SIZE["note"])
    ax.grid(False)
    style.label(ax, "share of the type's queries (%)", None, "which type asks which LLM")
