"""What a tally by type of query says: expectations, the optimum on the same types, spending."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from c2mabv_jax.array import sums
from c2mabv_jax.engine.tally import TypeTally
from c2mabv_jax.theory.typed import money_by_type


class ByType(NamedTuple):
    """Quantities of runs in a world with types; sums over rounds `[R, B]`, in money.

    Attributes:
      expected, expected_cost: of the sets played, under the true means.
      ideal, ideal_cost: of the optimum on the types that the run met. Their expectations are t
        times the optimum and what it spends; without the luck of the draw of types.
      variables: what the dataset holds by type.
    """

    expected: np.ndarray
    expected_cost: np.ndarray
    ideal: np.ndarray
    ideal_cost: np.ndarray
    variables: dict[str, tuple]


def of_types(tally: TypeTally, best: Any, environment: Any, rounds: np.ndarray) -> ByType:
    """See `ByType`; `tally` has entries `[R, G, (K,) B]`, `best` is the `TypedOptimum`."""
    mean_reward, mean_cost, frequencies = money_by_type(environment)
    met, pulls = np.asarray(tally.rounds), np.asarray(tally.pulls)
    spent = sums.value(tally.cost) * float(environment.cost_scale)
    money = environment.cost_unit
    by_type, by_arm = ("seed", "round", "type"), ("seed", "round", "type", "arm")
    t = rounds.astype(np.float64)[:, None, None]
    variables: dict[str, tuple] = {
        "type_rounds": (by_type, met.transpose(2, 0, 1), {"units": "rounds"}),
        "type_pulls": (by_arm, pulls.transpose(3, 0, 1, 2), {"units": "rounds"}),
        # Money per round of the whole stream, so that the types add up to `cost`.
        "type_cost": (by_type, (spent / t).transpose(2, 0, 1), {"units": money}),
        "type_frequency": (("type",), frequencies, {"units": "share of rounds"}),
        "type_mean_reward": (("type", "arm"), mean_reward, {"units": "reward"}),
        "type_mean_cost": (("type", "arm"), mean_cost, {"units": money}),
        "type_optimum": (("type", "arm"), best.marginals, {"units": "share of the type's rounds"}),
    }
    return ByType(
        weighted(pulls, mean_reward),
        weighted(pulls, mean_cost),
        weighted(met[:, :, None], best.value_by_type[:, None]),
        weighted(met[:, :, None], best.cost_by_type[:, None]),
        variables,
    )


def weighted(pulls: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Sum over types and arms of pulls `[R, G, K, B]` x means `[G, K]` (or `[G, K, B]`).

    One after another: a matrix product adds up in an order that depends on how many runs there
    are.
    """
    total = np.zeros((pulls.shape[0], pulls.shape[-1]))
    for g, of_type in enumerate(means):
        for k, mean in enumerate(of_type):
            total += pulls[:, g, k] * mean
    return total
