"""What a tally by type of query says: what went where, beside the optimum of each type."""

from __future__ import annotations

from typing import Any

import numpy as np

from c2mabv_jax.array import sums
from c2mabv_jax.engine.tally import TypeTally
from c2mabv_jax.theory.typed import money_by_type


def of_types(tally: TypeTally, best: Any, environment: Any, rounds: np.ndarray) -> dict[str, tuple]:
    """Variables by type; `tally` has entries `[R, G, (K,) B]`, `best` is the `TypedOptimum`."""
    mean_reward, mean_cost, frequencies = money_by_type(environment)
    met, pulls = np.asarray(tally.rounds), np.asarray(tally.pulls)
    spent = sums.value(tally.cost) * float(environment.cost_scale)
    money = environment.cost_unit
    by_type, by_arm = ("seed", "round", "type"), ("seed", "round", "type", "arm")
    t = rounds.astype(np.float64)[:, None, None]
    return {
        "type_rounds": (by_type, met.transpose(2, 0, 1), {"units": "rounds"}),
        "type_pulls": (by_arm, pulls.transpose(3, 0, 1, 2), {"units": "rounds"}),
        # Money per round of the whole stream, so that the types add up to `cost`.
        "type_cost": (by_type, (spent / t).transpose(2, 0, 1), {"units": money}),
        "type_frequency": (("type",), frequencies, {"units": "share of rounds"}),
        "type_mean_reward": (("type", "arm"), mean_reward, {"units": "reward"}),
        "type_mean_cost": (("type", "arm"), mean_cost, {"units": money}),
        "type_optimum": (("type", "arm"), best.marginals, {"units": "share of the type's rounds"}),
    }
