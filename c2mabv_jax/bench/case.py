"""The problem that every contestant plays, and what it hands back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ALPHA_REWARD, ALPHA_COST, DELTA = 0.3, 0.05, 0.05


@dataclasses.dataclass(frozen=True)
class Case:
    """One problem: Bernoulli rewards and costs, the better LLM the dearer one.

    Attributes:
      reward_model: "AWC", "SUC" or "AIC", each with its own cardinality and feedback.
      num_arms, num_selected: K and N.
      budget: "binding" (halfway between the N cheapest and the N dearest) or "slack" (N).
      horizon: T, rounds per run.
    """

    reward_model: str = "SUC"
    num_arms: int = 9
    num_selected: int = 4
    budget: str = "binding"
    horizon: int = 1000

    @property
    def mean_reward(self) -> np.ndarray:
        """mu, float64 `[K]`: far from 1, so that few upper bounds are cut at 1.

        Bounds cut at 1 are tied, and contestants may choose among tied optima differently.
        """
        return np.linspace(0.5, 0.1, self.num_arms)

    @property
    def mean_cost(self) -> np.ndarray:
        """c, float64 `[K]`: convex in mu, so that the best mixture is of neighbours."""
        return 3.0 * self.mean_reward**2

    @property
    def rho(self) -> float:
        """The budget per round."""
        if self.budget == "slack":
            return float(self.num_selected)
        dear, cheap = self.mean_cost[: self.num_selected], self.mean_cost[-self.num_selected :]
        return float((dear.sum() + cheap.sum()) / 2)

    def sqrt_half_log(self) -> np.ndarray:
        """sqrt(ell_t / 2) for t = 0..T (entry 0 unused): the radius times sqrt(n), float32."""
        t = np.maximum(np.arange(self.horizon + 1), 1)
        log = np.log(2 * np.pi**2 * self.num_arms / (3 * DELTA)) + 3 * np.log(t)
        return np.sqrt(log / 2).astype(np.float32)

    def build(self, solver: str = "exact") -> tuple[Any, Any, Any]:
        """Problem, environment and policy of the package."""
        import c2mabv_jax as c2

        problem = c2.Problem(
            num_arms=self.num_arms,
            num_selected=self.num_selected,
            budget=self.rho,
            reward_model=self.reward_model,  # type: ignore[arg-type]
        )
        environment = c2.environments.synthetic(self.mean_reward, self.mean_cost)
        policy = c2.policies.C2MABV(
            alpha_reward=ALPHA_REWARD,
            alpha_cost=ALPHA_COST,
            delta=DELTA,
            solver=solver,  # type: ignore[arg-type]
        )
        return problem, environment, policy


class Outcome(NamedTuple):
    """What runs came to; None where a contestant does not keep the number.

    Attributes:
      reward, cost: mean per round of each run, float64 `[S]`.
      gap, feasibility: worst certificate of each run, `[S]`.
      fallbacks: rounds without a feasible relaxed point, `[S]`.
    """

    reward: np.ndarray
    cost: np.ndarray
    gap: np.ndarray | None = None
    feasibility: np.ndarray | None = None
    fallbacks: np.ndarray | None = None


class Contestant(NamedTuple):
    """Someone who plays a case.

    Attributes:
      name: what tables call it.
      case: what it plays.
      play: from a number of runs and a root seed to an `Outcome` (None for a floor, which
        plays nothing).
      unit: it plays multiples of so many runs.
      cores: "all", or how many it uses.
      solver: of the relaxed problem.
    """

    name: str
    case: Case
    play: Callable[[int, int], Outcome | None]
    unit: int
    cores: int
    solver: str = "exact"
