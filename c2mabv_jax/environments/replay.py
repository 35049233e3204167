"""Replay of logs: one round is one query, with every model's score and cost as logged.

Whole rows are replayed. Scores of different models on one query are strongly correlated,
and drawing models independently would overstate "any win" and understate "all in".
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.base import (
    Environment,
    Outcome,
    going_on,
    products,
    set_rewards,
)
from c2mabv_jax.environments.logs import LogError, LogReport, read_log
from c2mabv_jax.problem import Problem

Order = Literal["shuffled", "permuted", "logged"]
ORDERS = ("shuffled", "permuted", "logged")
MOST_ROWS = 1 << 23  # uniforms lie on a grid of 2^-23, so no more rows can be told apart


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Replay(Environment):
    """Rows of a log as rounds; build it with `replay`.

    Attributes:
      score: float32 `[K, R]`, in [0, 1]. Arms first, because gathering columns for a batch
        of rounds then writes the layout that is wanted.
      scaled_cost: float32 `[K, R]`, in [0, 1].
      mean_reward, mean_cost: means over rows, float64 `[K]` (cost scaled).
      names, cost_scale, cost_unit: see `Environment`.
      order: "shuffled" (rows i.i.d. with replacement), or "logged" and "permuted" (columns
        in turn, from the first again after the last; a permuted log is stored permuted).
      binary: whether every score is 0 or 1.
      log_report: what was read and what was left out.
    """

    score: Any = dataclasses.field(metadata={"shared": True})
    scaled_cost: Any = dataclasses.field(metadata={"shared": True})
    mean_reward: Any
    mean_cost: Any
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    cost_scale: float = dataclasses.field(metadata={"static": True})
    cost_unit: str = dataclasses.field(metadata={"static": True})
    order: Order = dataclasses.field(metadata={"static": True})
    binary: bool = dataclasses.field(metadata={"static": True})
    log_report: LogReport = dataclasses.field(metadata={"static": True})

    @property
    def dependent(self) -> bool:
        return self.num_arms > 1

    @property
    def binary_reward(self) -> bool:
        return self.binary

    @property
    def num_rows(self) -> int:
        """R."""
        return self.score.shape[1]

    def row(self, key: Array, t: Array | int) -> Array:
        """Index of the row that round `t` replays, int32 `[...]` for keys `[...]`."""
        batch = streams.words(key)[0].shape
        if self.order == "shuffled":
            uniform = streams.uniforms(key, 1)[0]
            # A product may round up to R, so the last row also bounds it.
            index = (uniform * np.float32(self.num_rows)).astype(jnp.int32)
            return jnp.minimum(index, self.num_rows - 1)
        index = (jnp.asarray(t, jnp.int32) - 1) % self.num_rows
        return jnp.broadcast_to(index, batch)

    def sample(self, key: Array, t: Array | int) -> Outcome:
        """The row of this round."""
        row = self.row(key, t)
        dtype = jnp.result_type(float)
        score, cost = (
            jnp.take(jnp.asarray(x), row, axis=1, mode="clip").astype(dtype)
            for x in (self.score, self.scaled_cost)
        )
        return Outcome(score, cost)

    def set_reward(self, reward_model: str, sets: np.ndarray) -> np.ndarray:
        """Exact mean set rewards over the rows, float64 `[M]`."""
        score = np.asarray(self.score, np.float64).T
        return set_rewards(score, np.ones(len(score)), reward_model, sets)

    def cost_after(self, problem: Problem, before: np.ndarray) -> np.ndarray:
        """Exact over the rows, whose scores and costs belong together."""
        score, cost = (np.asarray(x, np.float64).T for x in (self.score, self.scaled_cost))
        going = products(going_on(problem, score), before)
        return np.concatenate([part @ cost for part in going]) / len(score)

    def describe(self) -> dict[str, Any]:
        report = {k: _listed(v) for k, v in dataclasses.asdict(self.log_report).items()}
        return {
            "kind": "replay",
            "names": list(self.names),
            "order": self.order,
            "cost_scale": self.cost_scale,
            "cost_unit": self.cost_unit,
            "mean_reward": np.asarray(self.mean_reward, np.float64).tolist(),
            "mean_cost": np.asarray(self.mean_cost, np.float64).tolist(),
            "log": report,
        }


def replay(
    path: str | os.PathLike[str],
    models: Sequence[str] | None = None,
    group: str | Sequence[str] | None = None,
    order: Order = "shuffled",
    cost_scale: float | None = None,
    *,
    cost_unit: str | None = None,
    on_missing: Literal["drop", "error"] = "drop",
    seed: int = 0,
) -> Replay:
    """An environment that replays a log of query x model with score and cost.

    Args:
      path: CSV (UTF-8; `.tsv` for tabs) or Parquet, wide or long; see `logs`.
      models: which models are the arms, and in which order; by default all, in file order.
      group: replay only this group (or these).
      order: "shuffled": every round draws a row with replacement, so rounds are i.i.d.;
        "permuted": one fixed permutation of the rows, chosen by `seed`, the same for all
        runs, then around again; "logged": stored order, then around again (rounds are then
        not stationary where the log is not).
      cost_scale: money that becomes a scaled cost of 1; by default the dearest answer.
      cost_unit: unit of the money, by default from the column (`cost_usd|M`: "USD/query").
      on_missing: "drop" rows in which a chosen model lacks a score or cost, or "error".
      seed: of "permuted".

    Raises:
      LogError: one line that names file, place and fix.
    """
    if order not in ORDERS:
        raise LogError(f"order = {order!r}: choose one of {', '.join(ORDERS)}")
    log = read_log(path, models, group, on_missing, cost_scale, cost_unit)
    report = log.report
    if report.rows_kept > MOST_ROWS:
        raise LogError(
            f"{report.file}: {report.rows_kept} rows; more than {MOST_ROWS} cannot be replayed "
            "evenly, so give a part of it"
        )
    score, cost = log.score, log.cost / report.cost_scale
    if order == "permuted":
        shuffle = np.random.default_rng(seed).permutation(len(score))
        score, cost = score[shuffle], cost[shuffle]
    return Replay(
        score=jnp.asarray(score.T, jnp.float32),
        scaled_cost=jnp.asarray(np.minimum(cost, 1).T, jnp.float32),
        mean_reward=score.mean(axis=0),
        mean_cost=cost.mean(axis=0),
        names=report.models,
        cost_scale=report.cost_scale,
        cost_unit=report.cost_unit,
        order=order,
        binary=bool(np.isin(score, (0, 1)).all()),
        log_report=report,
    )


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value
