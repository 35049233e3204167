"""Every derived quantity, defined once: money, regret and violation, in float64 on the host.

From a tally to totals of every run (`totals`), from totals to what is reported (`quantities`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from c2mabv_jax.array import sums
from c2mabv_jax.engine.tally import Tally
from c2mabv_jax.theory.dynamic import dynamic_optimum
from c2mabv_jax.theory.optimum import Optimum
from c2mabv_jax.theory.typed import TypedOptimum, best_of, money_by_type

Arrays = dict[str, np.ndarray]
Best = Optimum | TypedOptimum

MONEY = "money"  # stands for the environment's own unit
UNITS = {
    "reward": "reward/round",
    "expected_reward": "reward/round",
    "cost": MONEY,
    "expected_cost": MONEY,
    "violation": MONEY,
    "signed_violation": MONEY,
    "regret": "reward",
    "regret_fixed_set": "reward",
    "lagrangian_regret": "reward",
    "fallback": "rounds",
    "unconverged": "rounds",
    "messages": "messages",
    "gap": "relaxed objective",
    "feasibility": "scaled cost or arms",
}


def totals(tally: Tally, points: Sequence[Any], which: np.ndarray, rounds: np.ndarray) -> Arrays:
    """Totals of runs up to the recorded rounds, float64 `[R, B]`; money.

    `reward`, `cost`: realised set reward, billed cost. `expected_reward`, `expected_cost`: of the
    sets played, under the true means; NaN where that is not known. Where the optimum is not the
    same in every round also `ideal`, what it earns; where queries have types also `ideal_cost`,
    what it spends: on the types that the run met, so without the luck of the draw of types.

    Args:
      tally: entries `[R, ..., B]`.
      points: with `problem` (its budget in money) and `environment`.
      which: index into `points` of every run, int `[B]`.
      rounds: the recorded ones, `[R]`.
    """
    problem, world = points[0].problem, points[0].environment

    def of_runs(value: Callable[[Any], Any]) -> np.ndarray:
        """A value of every point's, as one of every run's, `[..., B]`."""
        values = np.stack([np.asarray(value(point), np.float64) for point in points], axis=-1)
        return values[..., which]

    scale = of_runs(lambda point: point.environment.cost_scale)
    pulls = np.asarray(tally.pulls)
    if tally.by_type is not None:
        pulls = np.asarray(tally.by_type.pulls)
        mean_reward = of_runs(lambda point: money_by_type(point.environment)[0])
        mean_cost = of_runs(lambda point: money_by_type(point.environment)[1])
    else:
        mean_reward = of_runs(lambda point: point.environment.mean_reward)
        mean_cost = of_runs(lambda point: point.environment.mean_cost) * scale
    found = {"reward": sums.value(tally.reward), "cost": sums.value(tally.cost) * scale}
    unknown = np.full_like(found["reward"], np.nan)
    if tally.expected is not None:
        found["expected_reward"] = sums.value(tally.expected)
    else:
        additive = problem.reward_model == "SUC" or tally.by_type is not None
        found["expected_reward"] = weighted(pulls, mean_reward) if additive else unknown
    found["expected_cost"] = unknown if world.changes else weighted(pulls, mean_cost)
    if tally.by_type is not None:
        best = [best_of(point.problem, point.environment) for point in points]
        met = np.asarray(tally.by_type.rounds)
        for name, part in (("ideal", "value_by_type"), ("ideal_cost", "cost_by_type")):
            found[name] = weighted(met, np.stack([getattr(b, part) for b in best], -1)[..., which])
    if world.changes:
        found["ideal"] = of_runs(lambda p: dynamic_optimum(p.problem, p.environment, rounds))
    return found


def averages(found: Arrays, rounds: np.ndarray) -> Arrays:
    """Per round so far, `[R, B]`: `reward`, `cost`, and those expected where they are there."""
    t = rounds.astype(np.float64)[:, None]
    names = ("reward", "cost", "expected_reward", "expected_cost")
    return {name: found[name] / t for name in names if name in found}


def quantities(found: Arrays, rounds: np.ndarray, budget: float, best: Best) -> Arrays:
    """What is reported of runs of one point, float64 `[R, B]`.

    Args:
      found: from `totals`.
      rounds: the recorded ones, `[R]`.
      budget: in money per round.
      best: the optimum, from `theory.typed.best_of`.

    Returns:
      `averages`; signed_violation: cost - budget, and violation: its positive part;
      regret: expected reward short of the optimum of mixed sets; regret_fixed_set: of the best
      fixed set within the budget; lagrangian_regret: regret + multiplier x (expected cost - what
      the optimum spends, at most the budget). NaN where it is not known.
    """
    t = rounds.astype(np.float64)[:, None]
    mean, expected = averages(found, rounds), found["expected_reward"]
    signed = mean["cost"] - budget
    regret = found.get("ideal", t * best.relaxed) - expected
    excess = found["expected_cost"] - found.get("ideal_cost", t * budget)
    fixed = np.nan if best.fixed_value is None else best.fixed_value
    return {
        **mean,
        "violation": np.maximum(signed, 0),
        "signed_violation": signed,
        "regret": regret,
        "regret_fixed_set": t * fixed - expected,
        "lagrangian_regret": regret + best.multiplier * excess,
    }


def weighted(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum over arms (and types) of counts `[R, ..., B]` x values `[..., B]`: `[R, B]`.

    One after another: a matrix product adds up in an order that depends on how many runs there
    are.
    """
    total = np.zeros((counts.shape[0], counts.shape[-1]))
    for index in np.ndindex(values.shape[:-1]):
        total += counts[:, *index] * values[index]
    return total
