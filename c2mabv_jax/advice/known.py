"""What the log itself settles: every fixed set's quality and cost, and the oracle front.

Nothing is simulated here. A set's quality is its mean set reward over the rows of the log,
its cost the mean over the rows of what it would have charged, in the log's money.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from c2mabv_jax.environments.replay import Replay
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem
from c2mabv_jax.theory import billed_table
from c2mabv_jax.theory.sets import subsets


@dataclasses.dataclass(frozen=True)
class Known:
    """Every legal fixed set on the rows of a log.

    Attributes:
      sets: bool `[M, K]`.
      quality: mean set reward over rows, float64 `[M]`.
      cost: mean cost over rows, money per query, float64 `[M]`.
      single_quality, single_cost: of asking one LLM alone, `[K]`.
      single_error: half width of the 95 % interval of `single_quality` that the number of
        rows leaves (normal approximation), `[K]`.
      corners: indices of the sets at the corners of the oracle front, cheapest first.
      orders: positions in which a cascade is asked, where its bill depends on them, `[M, K]`.
    """

    sets: np.ndarray
    quality: np.ndarray
    cost: np.ndarray
    single_quality: np.ndarray
    single_cost: np.ndarray
    single_error: np.ndarray
    corners: np.ndarray
    orders: np.ndarray | None = None

    @property
    def cheapest(self) -> float:
        """Cost of the cheapest legal set."""
        return float(self.cost[self.corners[0]])

    @property
    def dearest_useful(self) -> float:
        """Cost of the best set: a larger budget buys nothing more."""
        return float(self.cost[self.corners[-1]])

    @property
    def best_quality(self) -> float:
        """Quality of the best set, whatever it costs."""
        return float(self.quality[self.corners[-1]])

    @property
    def front(self) -> tuple[np.ndarray, np.ndarray]:
        """Cost and quality of the corners of the oracle front, cheapest first."""
        return self.cost[self.corners], self.quality[self.corners]

    def oracle(self, budget: float | np.ndarray) -> np.ndarray:
        """Best quality of any mix of sets whose mean cost keeps the budget.

        NaN below the cheapest set, where no policy can keep the budget.
        """
        budget = np.asarray(budget, np.float64)
        value = np.interp(budget, self.cost[self.corners], self.quality[self.corners])
        return np.where(budget < self.cheapest * (1 - 1e-9), np.nan, value)

    def price(self, budget: float) -> float:
        """Quality that one more unit of money buys on the front; 0 past the best set."""
        cost, quality = self.cost[self.corners], self.quality[self.corners]
        if len(cost) < 2 or budget >= cost[-1]:
            return 0.0
        segment = int(np.clip(np.searchsorted(cost, budget, "right") - 1, 0, len(cost) - 2))
        rise = quality[segment + 1] - quality[segment]
        return float(rise / (cost[segment + 1] - cost[segment]))

    def best_single(self, money: float) -> float:
        """Quality of the best single LLM that costs at most `money`; NaN where none does."""
        affordable = self.single_cost <= money * (1 + 1e-9)
        return float(self.single_quality[affordable].max()) if affordable.any() else np.nan


def known_sets(log: Replay, problem: Problem) -> Known:
    """Quality and cost of every legal set on the rows of `log`.

    A cascade that bills only queried LLMs is asked in the order that costs least, and stops as
    in the simulation.

    Raises:
      ProblemError: more sets than can be enumerated.
    """
    table = billed_table(problem, log)
    if table is None:
        subsets(problem.num_arms, problem.num_selected, at_most=True)  # says how many they are
        raise ProblemError("satisfaction: give bernoulli, or a log with scores of 0 and 1")
    score = np.asarray(log.score, np.float64).T
    return Known(
        sets=table.sets,
        quality=table.values,
        cost=table.costs,
        single_quality=np.asarray(log.mean_reward, np.float64),
        single_cost=np.asarray(log.mean_cost, np.float64) * log.cost_scale,
        single_error=1.96 * score.std(axis=0) / np.sqrt(log.num_answers),
        corners=upper_envelope(table.costs, table.values),
        orders=table.orders,
    )


def upper_envelope(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Corners of the upper concave envelope, up to the best value: indices, ascending cost."""
    corners: list[int] = []
    for i in np.lexsort((-value, cost)):
        if corners and value[i] <= value[corners[-1]]:
            continue  # costs no less and is worth no more
        while len(corners) >= 2:
            a, b = corners[-2], corners[-1]
            area = (cost[b] - cost[a]) * (value[i] - value[a]) - (value[b] - value[a]) * (
                cost[i] - cost[a]
            )
            if area < 0:
                break
            corners.pop()
        corners.append(int(i))
    return np.array(corners)
