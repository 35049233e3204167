"""Which budget is advised: the bend of the curve, or what the user asks for.

The curve is the oracle front: the best quality that a mix of sets has for every budget, read off
the log. The *bend* is the corner of the front farthest above the straight line from its cheapest
end to its best one. Up to the bend a unit of money buys more quality than on average over the
whole front, past it less. The rule needs no logarithm (a model may be free), does not depend on
the unit of money, and a dear end that adds little leaves the bend where it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from c2mabv_jax.errors import ProblemError

Kind = Literal["bend", "straight", "edge", "target", "max-cost"]
# C2MAB-V learns, so it needs a little more than the oracle for the same quality, and spends a
# little more than its budget: budgets near the one asked for are tried too.
_NEAR = {"bend": (1.0,), "straight": (1.0,), "edge": (1.0,), "target": (1.0, 1.03, 1.1, 1.25),
         "max-cost": (0.9, 0.95, 0.98, 1.0)}  # fmt: skip

_KEPT = 1.002  # cost over --max-cost that is rounding and luck of the runs
Front = tuple[np.ndarray, np.ndarray]


class Aim(NamedTuple):
    """What is aimed at.

    Attributes:
      kind: "bend"; "straight": the front has none, and halfway in money is taken; "edge":
        of the budgets that may be tried the nearest to the bend; "target": a quality;
        "max-cost": money.
      budget: at which the oracle does what is aimed at, money.
      asked: the quality or the money that the user asked for, else None.
    """

    kind: Kind
    budget: float
    asked: float | None = None

    def within(self, low: float, high: float) -> Aim:
        """The same among budgets from `low` to `high`; what the user asked for stays."""
        if self.asked is not None or low <= self.budget <= high:
            return self
        return Aim("edge", float(np.clip(self.budget, low, high)))

    def budgets(self, front: Front) -> list[float]:
        """Budgets to try so that one of them serves."""
        tried = [self.budget * near for near in _NEAR[self.kind]]
        return [budget for budget in tried if budget >= front[0][0] * (1 - 1e-9)]

    def chosen(
        self, cost: np.ndarray, quality: np.ndarray, budgets: np.ndarray
    ) -> tuple[int, bool]:
        """Which of the budgets tried serves, and whether it does what was asked for.

        For a quality the smallest budget with which C2MAB-V has it, for money the budget with
        the best quality among those whose cost keeps it, both with learning; else the nearest.

        Args:
          cost, quality: of C2MAB-V at the budgets tried, `[B]`, ascending.
        """
        enough = np.ones(len(budgets), bool)
        order = np.abs(budgets - self.budget)
        if self.kind == "target" and self.asked is not None:
            enough = quality >= self.asked
            order = budgets if enough.any() else -quality
        elif self.kind == "max-cost" and self.asked is not None:
            enough = cost <= self.asked * _KEPT
            order = -quality if enough.any() else cost
        some = bool(enough.any())
        return int(np.where(enough | (not some), order, np.inf).argmin()), some


def aim_of(front: Front, target: float | None = None, max_cost: float | None = None) -> Aim:
    """The aim: what was asked for, or the bend.

    Args:
      front: cost and quality of the corners of the oracle front, cheapest first.
      target: quality to reach. max_cost: money per query to spend at most.

    Raises:
      ProblemError: both, or what no choice can do.
    """
    if target is not None and max_cost is not None:
        raise ProblemError(
            f"--target = {target:g}, --max-cost = {max_cost:g}: give one of them; the other is "
            "what the advice finds"
        )
    cost, quality = front
    if target is not None:
        if not 0 < target <= quality[-1] * (1 + 1e-9):
            raise ProblemError(
                f"--target = {target:g}: a quality above 0 and at most "
                f"{quality[-1]:.4g}, the best that this log has"
            )
        return Aim("target", float(np.interp(target, quality, cost)), target)
    if max_cost is not None:
        if not cost[0] * (1 - 1e-9) <= max_cost < np.inf:
            raise ProblemError(
                f"--max-cost = {max_cost:g}: the cheapest legal choice costs {cost[0]:.3g}"
            )
        return Aim("max-cost", max_cost, max_cost)
    return bend(front)


def bend(front: Front) -> Aim:
    """The bend of the front, or halfway where it is straight (at most two corners)."""
    cost, quality = front
    if len(cost) < 3:
        return Aim("straight" if len(cost) == 2 else "bend", float((cost[0] + cost[-1]) / 2))
    line = np.interp(cost, cost[[0, -1]], quality[[0, -1]])
    return Aim("bend", float(cost[np.argmax(quality - line)]))
