"""Worlds that change: an LLM's quality or price drifts or jumps, a model joins or leaves.

A wrapper around any environment. Quality moves to a new mean by thinning: a reward is kept
with probability m'/m where the new mean m' is smaller, and made 1 with probability
1 - (1 - m')/(1 - m) where it is larger, so that 0/1 rewards stay 0/1 and the mean is exact. Prices
are multiplied. An LLM that is not there (yet, or any more) is masked: policies see the mask
in `available` and bound its reward by 0 and its cost by 1; whoever selects it all the
same is not answered and not charged, so its set is that much smaller.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.base import Environment, Outcome, lift
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem

NEVER = 2**31 - 1


class Course(NamedTuple):
    """One change per LLM, linear from round `first` to round `last`; entries `[K]`.

    Attributes:
      start, end: levels before `first` and from `last` on.
      first, last: rounds; equal for a jump, `NEVER` for none.
    """

    start: Any
    end: Any
    first: Any
    last: Any

    def at(self, t: Array | int) -> Array:
        """Level in round t, `[K, ...]`."""
        since = jnp.asarray(t, jnp.int32) - jnp.asarray(self.first, jnp.int32) + 1
        length = jnp.asarray(self.last, jnp.int32) - jnp.asarray(self.first, jnp.int32) + 1
        share = jnp.clip(since / jnp.maximum(length, 1), 0, 1)
        start = jnp.asarray(self.start, jnp.result_type(float))
        return start + (jnp.asarray(self.end, jnp.result_type(float)) - start) * share


class Now(NamedTuple):
    """The truth of one round: what accounting reads. An absent LLM counts as worthless."""

    mean_reward: Array
    mean_cost: Array


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Changing(Environment):
    """A changing world; build it with `changing`.

    `mean_reward` and `mean_cost` are those of the first round, of all LLMs that ever are.

    Attributes:
      base: the world that changes.
      quality: course of the mean rewards.
      price: course of the factors on cost (relative to `cost_scale`, so at most 1).
      joins, leaves: first round with the LLM, and first round without it again, int32 `[K]`.
      cost_scale: see `Environment`.
    """

    base: Any
    quality: Course
    price: Course
    joins: Any
    leaves: Any
    cost_scale: float = dataclasses.field(metadata={"static": True})

    changes = True  # the simulator asks for the truth round by round

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.base.names

    @property
    def cost_unit(self) -> str:  # type: ignore[override]
        return self.base.cost_unit

    @property
    def dependent(self) -> bool:
        return self.base.dependent

    @property
    def binary_reward(self) -> bool:
        return self.base.binary_reward

    @property
    def mean_reward(self) -> Any:  # type: ignore[override]
        return np.asarray(self.quality.at(1), np.float64)

    @property
    def mean_cost(self) -> Any:  # type: ignore[override]
        return np.asarray(self.base.mean_cost, np.float64) * np.asarray(self.price.at(1))

    def available(self, t: Array | int) -> Array:
        """Which LLMs there are in round t, bool `[K]` (or `[K, B]`)."""
        return (jnp.asarray(self.joins) <= t) & (t < jnp.asarray(self.leaves))

    def at(self, t: Array | int) -> Now:
        """The truth of round t."""
        here = self.available(t)
        cost = jnp.asarray(self.base.mean_cost, jnp.result_type(float)) * self.price.at(t)
        return Now(jnp.where(here, self.quality.at(t), 0), jnp.where(here, cost, 1))

    def sample(self, key: Array, t: Array | int) -> Outcome:
        """Outcomes of round t; an absent LLM's are 0."""
        outcome = self.base.sample(key, t)
        ndim = outcome.reward.ndim
        mean = lift(self.base.mean_reward, ndim)
        goal, factor = lift(self.quality.at(t), ndim), lift(self.price.at(t), ndim)
        coins, _ = streams.of_arms(key, self.num_arms, purpose=streams.CHANGE)
        worse = coins < goal / jnp.maximum(mean, 1e-30)
        better = coins < (1 - goal) / jnp.maximum(1 - mean, 1e-30)
        reward = jnp.where(
            goal <= mean,
            jnp.where(worse, outcome.reward, 0),
            jnp.where(better, outcome.reward, 1),
        )
        here = self.available(t)
        here = here.reshape(here.shape + (1,) * (ndim - here.ndim))
        return Outcome(jnp.where(here, reward, 0), jnp.where(here, outcome.cost * factor, 0))

    def cost_after(self, problem: Problem, before: np.ndarray) -> None:
        """Not known: no one truth serves all rounds."""

    def pieces(self, horizon: int) -> np.ndarray:
        """First rounds of the pieces in which every course is constant or linear, int64."""
        marks = [np.asarray(x, np.int64) for x in (self.joins, self.leaves)]
        for course in (self.quality, self.price):
            marks += [np.asarray(course.first, np.int64), np.asarray(course.last, np.int64) + 1]
        rounds = np.unique(np.concatenate([[1], *(x.ravel() for x in marks)]))
        return rounds[(rounds >= 1) & (rounds <= horizon)]

    def describe(self) -> dict[str, Any]:
        courses = {"quality": self.quality, "price": self.price}
        listed = {
            name: {field: np.asarray(x).tolist() for field, x in course._asdict().items()}
            for name, course in courses.items()
        }
        return {
            "kind": "changing",
            "base": self.base.describe(),
            **listed,
            "joins": np.asarray(self.joins).tolist(),
            "leaves": np.asarray(self.leaves).tolist(),
            "cost_scale": self.cost_scale,
        }


def changing(
    base: Environment,
    quality: Mapping[str | int, tuple] | None = None,
    price: Mapping[str | int, tuple] | None = None,
    joins: Mapping[str | int, int] | None = None,
    leaves: Mapping[str | int, int] | None = None,
) -> Changing:
    """A world that changes.

    Args:
      base: any environment with one column of means.
      quality: by name or index of the LLM, (new mean reward, round) for a jump or (new mean
        reward, first round, last round) for a drift.
      price: the same with a factor on the cost.
      joins: first round in which the LLM can be asked; before, it is absent.
      leaves: first round in which it cannot be asked any more.

    Raises:
      ProblemError: naming the field and the fix.

    Example:
      >>> changing(env, quality={"gpt-4-8k": (0.5, 2000)}, price={0: (0.1, 1000, 3000)})
    """
    mean = np.asarray(base.mean_reward, np.float64)
    if mean.ndim != 1:
        raise ProblemError("base: has one column per run; give a world with single means")
    num_arms = len(mean)
    worth = _course(base, "quality", quality, mean, 1.0)
    cost = _course(base, "price", price, np.ones(num_arms), np.inf)
    # The dearest prices of all times are within the scale, so that scaled costs stay below 1.
    largest = max(1.0, float(np.max(cost.end)))
    presence = []
    for field, rounds, usual in (("joins", joins, 1), ("leaves", leaves, NEVER)):
        values = np.full(num_arms, usual, np.int64)
        for name, when in (rounds or {}).items():
            values[_index(base, field, name)] = _round(field, when)
        presence.append(values.astype(np.int32))
    return Changing(
        base,
        worth,
        cost._replace(start=cost.start / largest, end=cost.end / largest),
        joins=presence[0],
        leaves=presence[1],
        cost_scale=float(base.cost_scale) * largest,
    )


def _course(
    base: Environment, field: str, changes: Mapping | None, start: np.ndarray, high: float
) -> Course:
    end, first, last = start.copy(), np.full(len(start), NEVER), np.full(len(start), NEVER)
    for name, change in (changes or {}).items():
        k = _index(base, field, name)
        if not isinstance(change, tuple | list) or len(change) not in (2, 3):
            raise ProblemError(
                f"{field} = {change!r}: give (new level, round) or (new level, first, last round)"
            )
        level, begin, finish = (*change, change[-1])[:3]
        if not (np.isfinite(level) and 0 <= level <= high):
            raise ProblemError(f"{field} = {level!r}: give a number from 0 to {high:g}")
        end[k], first[k], last[k] = level, _round(field, begin), _round(field, finish)
        if last[k] < first[k]:
            raise ProblemError(f"{field} = {change!r}: the last round comes before the first")
    return Course(start, end, first.astype(np.int32), last.astype(np.int32))


def _round(field: str, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or not 1 <= value < NEVER:
        raise ProblemError(f"{field} = {value!r}: give a round, 1 or more")
    return int(value)


def _index(base: Environment, field: str, name: str | int) -> int:
    if name in base.names:
        return base.names.index(str(name))
    if isinstance(name, int) and 0 <= name < base.num_arms:
        return name
    raise ProblemError(f"{field}: no LLM {name!r}; choose among {', '.join(base.names)}")
