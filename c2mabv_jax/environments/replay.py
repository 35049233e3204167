"""Replay of logs: one round is one query, with every model's score and cost as logged.

Whole rows are replayed. Scores of different models on one query are strongly correlated,
and drawing models independently would overstate "any win" and understate "all in". Where a log
has no common queries, its user may ask for just that, knowingly: `OwnAnswers`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
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
      scaled_cost: float32 `[K, R]`, 0 or more. An answer far dearer than the others may lie
        above 1 (`log_report.dear_cells` counts them); it is billed and learned in full.
      mean_reward, mean_cost: means over rows, float64 `[K]` (cost scaled), in [0, 1].
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

    @property
    def num_answers(self) -> np.ndarray:
        """Answers of each model, int `[K]`."""
        return np.full(self.num_arms, self.num_rows)

    def row(self, key: Array, t: Array | int) -> Array:
        """Index of the row that round `t` replays, int32 `[...]` for keys `[...]`."""
        batch = streams.words(key)[0].shape
        if self.order == "shuffled":
            uniform = streams.uniforms(key, 1, purpose=streams.ENVIRONMENT)[0]
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

    def cost_after(self, problem: Problem, before: np.ndarray) -> np.ndarray | None:
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


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class OwnAnswers(Replay):
    """Every model's own answers, drawn independently of the other models'; see `from_means`.

    An answer keeps its score and cost together. `score` and `scaled_cost` repeat the answers of
    models that have fewer than others; only the first `own_rows` of a model are drawn.

    Attributes:
      own_rows: answers of each model, int32 `[K]`.
    """

    own_rows: Any = dataclasses.field(metadata={"shared": True})

    set_reward = Environment.set_reward  # by the formulas of independent arms
    cost_after = Environment.cost_after

    @property
    def dependent(self) -> bool:
        return False

    @property
    def num_answers(self) -> np.ndarray:
        return np.asarray(self.own_rows)

    def sample(self, key: Array, t: Array | int) -> Outcome:
        """An answer of each model."""
        del t
        batch = streams.words(key)[0].shape
        uniform, _ = streams.of_arms(key, self.num_arms)
        uniform = uniform.reshape(self.num_arms, -1)
        rows = jnp.asarray(self.own_rows, jnp.int32)[:, None]
        index = jnp.minimum((uniform * rows).astype(jnp.int32), rows - 1)
        dtype = jnp.result_type(float)
        score, cost = (
            jnp.take_along_axis(jnp.asarray(x), index, axis=1).astype(dtype).reshape(-1, *batch)
            for x in (self.score, self.scaled_cost)
        )
        return Outcome(score, cost)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "kind": "each model's own answers, drawn independently"}


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
    columns: str | Mapping[str, str] | None = None,
    prices: str | os.PathLike[str] | None = None,
    from_means: bool = False,
    min_rows: int = 1,
    types: str | None = None,
) -> Replay:
    """An environment that replays a log of query x model with score and cost.

    Args:
      path: CSV, JSON Lines, a JSON array or Parquet, gzipped or not; wide or long. See
        `tables` for files and `columns` for names.
      models: which models are the arms, and in which order; by default all, in file order.
      group: replay only this group (or these).
      order: "shuffled": every round draws a row with replacement, so rounds are i.i.d.;
        "permuted": one fixed permutation of the rows, chosen by `seed`, the same for all
        runs, then around again; "logged": stored order, then around again (rounds are then
        not stationary where the log is not).
      cost_scale: money that becomes a scaled cost of 1, at least what the dearest model costs
        on average; by default the dearest answer, answers set aside that are more than 3 times
        as dear as 99 % of the dearest model's (they then exceed 1, and the report says so).
      cost_unit: unit of the money, by default from the column (`cost_usd|M`: "USD/query").
      on_missing: "drop" rows in which a chosen model lacks a score or cost, or "error".
      seed: of "permuted".
      columns: which column means what where names leave it open, by meaning: a mapping, or
        text such as "score=correct,cost=input_usd+output_usd".
      prices: a file of prices of tokens (TOML or LiteLLM's JSON); costs are then token counts
        times prices, in USD.
      from_means: draw each model's reward and cost from its own answers, independently of the
        others, for a log in which a query was put to one model only.
      min_rows: complete rows below which the log is refused.
      types: "group": the group of a row is the type of its query, which policies see before
        they decide.

    Raises:
      LogError: one line that names file, place and fix.
    """
    if order not in ORDERS:
        raise LogError(f"order = {order!r}: choose one of {', '.join(ORDERS)}")
    if types not in (None, "group"):
        raise LogError(f"types = {types!r}: only the column group says what type a query has")
    if types is not None and from_means:
        raise LogError(f"types = {types!r}: rows from means have no type; leave out from_means")
    log = read_log(
        path, models, group, on_missing, cost_scale, cost_unit, columns=columns, prices=prices,
        from_means=from_means, min_rows=min_rows,
    )  # fmt: skip
    report = log.report
    if len(log.score) > MOST_ROWS:
        raise LogError(
            f"{report.file}: {len(log.score)} rows; more than {MOST_ROWS} cannot be replayed "
            "evenly, so give a part of it"
        )
    score, cost, labels = log.score, log.cost / report.cost_scale, log.group
    if from_means:
        if order != "shuffled":
            raise LogError(
                f"order = {order!r}: models have no common rows from means; leave it out"
            )
        return _own_answers(score, cost, report, seed)
    if order == "permuted":
        shuffle = np.random.default_rng(seed).permutation(len(score))
        score, cost = score[shuffle], cost[shuffle]
        labels = tuple(labels[row] for row in shuffle)
    world = Replay(
        score=jnp.asarray(score.T, jnp.float32),
        scaled_cost=jnp.asarray(cost.T, jnp.float32),
        mean_reward=score.mean(axis=0),
        mean_cost=np.minimum(cost.mean(axis=0), 1),  # but for rounding it is
        **_stated(score, order, report),
    )
    if types is None:
        return world
    from c2mabv_jax.environments.typed import with_types  # which builds on this module

    return with_types(world, labels, score, cost)


def _own_answers(score: np.ndarray, cost: np.ndarray, report: LogReport, seed: int) -> OwnAnswers:
    """Columns `[R, K]`, NaN below a model's last answer, filled up with its own in mixed order."""
    rng = np.random.default_rng(seed)
    rows = (~np.isnan(score)).sum(axis=0)
    means = np.nanmean(score, axis=0), np.minimum(np.nanmean(cost, axis=0), 1)
    score, cost = score.copy(), cost.copy()
    for k, count in enumerate(rows):
        mixed = np.resize(rng.permutation(count), len(score))
        score[:, k], cost[:, k] = score[mixed, k], cost[mixed, k]
    return OwnAnswers(
        score=jnp.asarray(score.T, jnp.float32),
        scaled_cost=jnp.asarray(cost.T, jnp.float32),
        mean_reward=means[0],
        mean_cost=means[1],
        **_stated(score, "shuffled", report),
        own_rows=rows.astype(np.int32),
    )


def _stated(score: np.ndarray, order: Order, report: LogReport) -> dict[str, Any]:
    """The static fields."""
    return {
        "names": report.models,
        "cost_scale": report.cost_scale,
        "cost_unit": report.cost_unit,
        "order": order,
        "binary": bool(np.isin(score, (0, 1)).all()),
        "log_report": report,
    }


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value
