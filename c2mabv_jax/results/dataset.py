"""From tallies to a labelled dataset: money, regret and violation in float64."""

from __future__ import annotations

import dataclasses
import json
import platform
from typing import Any

import jax
import numpy as np
import xarray as xr

import c2mabv_jax
from c2mabv_jax.array import sums
from c2mabv_jax.engine.block import Point
from c2mabv_jax.engine.tally import Tally
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.two_tier import message_bytes
from c2mabv_jax.problem import Problem
from c2mabv_jax.results.quantities import MONEY, UNITS, quantities, totals
from c2mabv_jax.results.typed import of_types
from c2mabv_jax.theory.optimum import true_optimum
from c2mabv_jax.theory.typed import best_of


def to_dataset(
    tally: Tally,
    problem: Problem,
    environment: Any,
    policy: Any,
    rounds: np.ndarray,
    seeds: np.ndarray,
    root_seed: int,
) -> xr.Dataset:
    """Label a tally `[R, ..., B]` as a dataset with dims `seed`, `round`, `arm`.

    Variables (cumulative up to the recorded round unless said otherwise):
      reward: realised set reward per round, mean so far. cost: billed money per round, mean
      so far. signed_violation: cost - budget; violation: its positive part. regret: expected
      reward shortfall against the mixed (relaxed) optimum; regret_fixed_set: against the
      best fixed set within the budget. lagrangian_regret: regret + multiplier x (expected
      cost of the selected sets - t x budget). expected_cost: mean cost of the selected sets
      under the true means, per round. pulls: rounds in which an LLM was selected; count: in
      which its reward was observed. fallback, unconverged: rounds; messages: from the local
      server to the cloud; message_traffic: their bytes and those of the served outcomes that
      come back, from `two_tier.message_bytes`; gap, feasibility: worst certificate so far. In
      a world that changes, regret is against the mixed optimum of every round, and there is no
      expected cost. Where queries have types, regret is against the optimum that sees them, on
      the types that the run met, and `type_rounds`, `type_pulls` and `type_cost` (dim `type`)
      say what went where; the attribute `optimum_pooled` is the best without seeing types.
    """
    scale, budget, money = (
        float(environment.cost_scale),
        float(problem.budget),
        environment.cost_unit,
    )
    mean_reward = np.asarray(environment.mean_reward, np.float64)
    mean_cost = np.asarray(environment.mean_cost, np.float64) * scale
    best = best_of(problem, environment)
    pulls = np.asarray(tally.pulls)  # [R, K, B]
    only = Point(problem, environment, policy)
    runs = totals(tally, [only], np.zeros(len(seeds), int), rounds)

    # Every served outcome goes back to the local server, of policies that work in two tiers.
    to_cloud, back = message_bytes(problem)
    messages = np.asarray(tally.messages).astype(np.int64)
    rounds_back = np.where(messages > 0, rounds.astype(np.int64)[:, None] * back, 0)

    of_runs = {
        **quantities(runs, rounds, budget, best),
        "fallback": np.asarray(tally.fallbacks),
        "unconverged": np.asarray(tally.unconverged),
        "messages": messages,
        "gap": np.asarray(tally.gap),
        "feasibility": np.asarray(tally.feasibility),
    }
    if best.fixed_value is None or environment.changes:
        del of_runs["regret_fixed_set"]
    dims = ("seed", "round")
    variables: dict[str, tuple] = {
        name: (dims, of_runs[name].T, {"units": money if unit == MONEY else unit})
        for name, unit in UNITS.items()
        if name in of_runs
    }
    traffic = messages * to_cloud + rounds_back
    variables["message_traffic"] = (dims, traffic.T, {"units": "bytes"})
    arms = ("seed", "round", "arm")
    variables["pulls"] = (arms, pulls.transpose(2, 0, 1), {"units": "rounds"})
    observed = pulls if tally.observed is None else np.asarray(tally.observed)
    variables["count"] = (arms, observed.transpose(2, 0, 1), {"units": "observations"})
    if tally.uncovered is not None:
        variables["uncovered"] = (dims, np.asarray(tally.uncovered).T, {"units": "rounds"})
    if tally.marginals is not None:
        z = sums.value(tally.marginals).transpose(2, 0, 1)
        variables["marginals"] = (arms, z, {"units": "rounds"})
    variables["mean_reward"] = (("arm",), mean_reward, {"units": "reward"})
    variables["mean_cost"] = (("arm",), mean_cost, {"units": money})

    coordinates: dict[str, Any] = {
        "seed": ("seed", seeds),
        "round": ("round", rounds.astype(np.int64), {"units": "rounds"}),
        "arm": ("arm", np.asarray(environment.names, dtype=str)),
    }
    attributes = {
        "policy": type(policy).__name__,
        "configuration": json.dumps(configuration(problem, environment, policy)),
        "budget": budget,
        "cost_unit": money,
        "cost_scale": scale,
        "optimum": float(best.relaxed),
        "optimum_exact": int(best.exact),
        "optimum_fixed_set": np.nan if best.fixed_value is None else float(best.fixed_value),
        "budget_multiplier": float(best.multiplier),
        "binding": int(best.binding),
        "feasible": int(best.feasible),
        "message_bytes": to_cloud,
        "outcome_bytes": back,
        "root_seed": root_seed,
        **provenance(),
    }
    if tally.by_type is not None:
        variables |= of_types(tally.by_type, best, environment, rounds)
        coordinates["type"] = ("type", np.asarray(environment.types, dtype=str))
        attributes["optimum_pooled"] = float(true_optimum(problem, environment).relaxed)
    return xr.Dataset(variables, coordinates, attributes)


def of_observer(kept: Any, data: xr.Dataset) -> dict[str, xr.Variable]:
    """Variables of an observer of a user's own: entries `[R, B]` or `[R, K, B]` by name.

    Raises:
      ProblemError: no dictionary, a name that the results have, or another shape.
    """
    if not isinstance(kept, dict):
        raise ProblemError(f"observer: keeps a {type(kept).__name__}; let `begin` give a dict")
    variables = {}
    for name, values in kept.items():
        if name in data.variables:
            raise ProblemError(f"observer: the results have a {name!r} already; name it otherwise")
        dims = ("seed", "round", "arm")[: np.ndim(values)]
        fits = np.ndim(values) in (2, 3)
        values = np.moveaxis(values, -1, 0) if fits else values
        if not fits or np.shape(values) != tuple(data.sizes[dim] for dim in dims):
            raise ProblemError(f"observer: {name!r} is neither a scalar nor `[K]`; keep such")
        variables[name] = xr.Variable(dims, values)
    return variables


def provenance() -> dict[str, str]:
    """What ran, and on what: enough to repeat it."""
    return {
        "package": f"c2mabv_jax {c2mabv_jax.__version__}",
        "jax": jax.__version__,
        "jaxlib": jax.lib.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{jax.devices()[0].platform}: {jax.devices()[0].device_kind}",
        "float": np.dtype(jax.numpy.result_type(float)).name,
    }


def configuration(problem: Problem, environment: Any, policy: Any) -> dict[str, Any]:
    """The configuration as plain JSON types."""
    return {
        "problem": plain(problem),
        "environment": environment.describe(),
        "policy": plain(policy),
    }


def plain(thing: Any) -> Any:
    """A value as plain JSON types; dataclasses become tables of their fields."""
    if dataclasses.is_dataclass(thing):
        table = {} if isinstance(thing, Problem) else {"name": type(thing).__name__}
        fields = {f.name: plain(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {**table, **fields}
    if isinstance(thing, tuple | list):
        return [plain(item) for item in thing]
    return np.asarray(thing).tolist() if hasattr(thing, "tolist") else thing
