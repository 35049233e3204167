"""What C2MAB-V spends over the budget at this horizon, and what theory says of longer ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory.optimum import optimum
from c2mabv_jax.theory.predictions import violation_refined

POLICY = "c2mabv"
LONGER = (1, 10, 100)  # times this horizon


def overspending(results: xr.Dataset) -> dict[str, Any] | None:
    """Measured and predicted mean cost over the budget of C2MAB-V; None where it keeps it.

    Returns:
      `measured` and `predicted`: dicts of `rounds` and `overspent`, money per query. The
      prediction is `theory.predictions.violation_refined` and empty where that does not apply:
      rewards that add up (SUC), Hoeffding's radius, a budget that binds, a unique optimum,
      queries in random order and without types.
    """
    if POLICY not in results["policy"].to_numpy():
        return None
    excess = results["signed_violation"].sel(policy=POLICY).mean("seed")
    horizon = int(results["round"][-1])
    early = excess.sel(round=max(1, horizon // 10), method="nearest")
    last = excess.isel(round=-1)
    if float(last) <= 0:
        return None
    seen = [early, last] if int(early["round"]) < horizon else [last]
    rounds = [horizon * factor for factor in LONGER]
    predicted = predictions_at(results, rounds)
    return {
        "policy": POLICY,
        "measured": {
            "rounds": [int(at["round"]) for at in seen],
            "overspent": [float(at) for at in seen],
        },
        "predicted": {"rounds": rounds if predicted else [], "overspent": predicted},
    }


def predictions_at(results: xr.Dataset, rounds: list[int]) -> list[float]:
    """Predicted overspending in money per query at each horizon; empty where there is none."""
    made = json.loads(results.attrs["configuration"])
    problem, policy, world = made["problem"], made["policy"][POLICY], made["environment"]
    applies = (
        problem["reward_model"] == "SUC"
        and policy["radius"] == "hoeffding"
        and policy["discount"] is None
        and policy["window"] is None
        and policy["alpha_cost"] > 0
        and world.get("order", "shuffled") == "shuffled"
        and "type" not in results.dims
    )
    if not applies:
        return []
    scale = float(results.attrs["cost_scale"])
    scaled = Problem(
        num_arms=problem["num_arms"],
        num_selected=problem["num_selected"],
        budget=problem["budget"] / scale,
        reward_model="SUC",
    )
    delta = policy["delta"] if policy["delta"] != "1/T" else 1 / int(results["round"][-1])
    reward, cost = results["mean_reward"].to_numpy(), results["mean_cost"].to_numpy() / scale
    best = optimum(scaled, reward, cost)
    if best.degenerate:
        return []
    alphas = policy["alpha_reward"], policy["alpha_cost"]
    try:
        total = violation_refined(rounds, scaled.num_arms, delta, best, reward, cost, *alphas)
    except ProblemError:  # a slack budget, or none that can be kept
        return []
    return (scale * np.asarray(total) / np.asarray(rounds)).tolist()


def sentence(found: dict[str, Any], unit: str, budget: float) -> str:
    """The same for people."""
    money = "" if unit in ("", "1") else f" {unit}"

    def at(part: dict[str, Any]) -> str:
        pairs = zip(part["overspent"], part["rounds"], strict=True)
        return ", ".join(f"{x:.3g} at {t:,}" for x, t in pairs)

    share = ""
    if budget > 0:
        share = f" ({100 * found['measured']['overspent'][-1] / budget:.3g} % of the budget)"
    text = f"{found['policy']} overspends while it learns, on average per query up to a round:"
    text += f" measured {at(found['measured'])}{share}"
    if found["predicted"]["rounds"]:
        text += f"; predicted by theory {at(found['predicted'])}"
    return f"{text}{money and f' (in{money})'}."
