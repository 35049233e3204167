"""Types of query: every round has a type, seen before the decision, with its own truth.

A type is drawn with fixed frequencies from a stream of its own (`by_type`), or is that of the
row of a log (`replay(..., types="group")`). To whoever does not look at the type, such a
world is an ordinary one with the means over all types.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.arms import lift, total
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.base import Environment, Outcome
from c2mabv_jax.environments.laws import Bernoulli, Constant, Uniform
from c2mabv_jax.environments.logs import LogError
from c2mabv_jax.environments.replay import Replay
from c2mabv_jax.environments.synthetic import Synthetic
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.problem import Problem


class Means(NamedTuple):
    """The truth of every type.

    Attributes:
      frequencies: p, `[G]` (or `[G, B]`), adding up to 1.
      mean_reward, mean_cost: `[G, K]` (or `[G, K, B]`), cost scaled.
    """

    frequencies: Any
    mean_reward: Any
    mean_cost: Any


class TypedEnvironment(Environment):
    """An environment whose queries have types."""

    types: tuple[str, ...]

    @property
    @abc.abstractmethod
    def by_type(self) -> Means:
        """The truth of every type."""

    @abc.abstractmethod
    def type_of(self, key: Array, t: Array | int) -> Array:
        """Type of the query that `sample(key, t)` answers, int32 `[...]`, from 0."""


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Mixture(TypedEnvironment):
    """A world for every type; build it with `by_type`.

    Attributes:
      worlds: G environments with the same LLMs, in one money.
      frequencies: p, `[G]` (or `[G, B]`).
      types: names of the types.
    """

    worlds: tuple[Any, ...]
    frequencies: Any
    types: tuple[str, ...] = dataclasses.field(metadata={"static": True})

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.worlds[0].names

    @property
    def cost_scale(self) -> float:  # type: ignore[override]
        return self.worlds[0].cost_scale

    @property
    def cost_unit(self) -> str:  # type: ignore[override]
        return self.worlds[0].cost_unit

    @property
    def dependent(self) -> bool:
        return True  # the type couples the rewards of all arms

    @property
    def binary_reward(self) -> bool:
        return all(world.binary_reward for world in self.worlds)

    @property
    def mean_reward(self) -> Any:  # type: ignore[override]
        return _pooled(self.frequencies, [world.mean_reward for world in self.worlds])

    @property
    def mean_cost(self) -> Any:  # type: ignore[override]
        return _pooled(self.frequencies, [world.mean_cost for world in self.worlds])

    @property
    def by_type(self) -> Means:
        reward, cost = (
            [getattr(world, mean) for world in self.worlds] for mean in ("mean_reward", "mean_cost")
        )
        stack = jnp.stack if isinstance(reward[0], Array) else np.stack  # float64 on the host
        return Means(self.frequencies, stack(reward), stack(cost))

    def type_of(self, key: Array, t: Array | int) -> Array:
        del t
        if len(self.worlds) == 1:
            return jnp.zeros(streams.words(key)[0].shape, jnp.int32)
        dtype = jnp.result_type(float)
        uniform = streams.uniforms(key, 1, dtype, streams.TYPE)[0]
        share = jnp.asarray(self.frequencies, dtype)
        share = share.reshape(share.shape + (1,) * (uniform.ndim + 1 - share.ndim))
        edges = jnp.cumsum(share, axis=0)[:-1]  # the last type takes what rounding leaves
        return total((uniform >= edges).astype(jnp.int32))

    def sample(self, key: Array, t: Array | int) -> Outcome:
        """What the LLMs answer in the world of the round's type.

        All worlds take the same uniforms, so that what differs between types is the types.
        """
        here = self.type_of(key, t)
        if _differ_in_means(self.worlds):
            reward, cost = (
                dataclasses.replace(laws[0], mean=_of_type([law.mean for law in laws], here))
                for laws in zip(*((w.reward, w.cost) for w in self.worlds), strict=True)
            )
            return dataclasses.replace(self.worlds[0], reward=reward, cost=cost).sample(key, t)
        outcome = self.worlds[0].sample(key, t)
        for g, world in enumerate(self.worlds[1:], 1):
            other = world.sample(key, t)
            outcome = Outcome(
                *(jnp.where(here == g, b, a) for a, b in zip(outcome, other, strict=True))
            )
        return outcome

    def set_reward(self, reward_model: str, sets: np.ndarray) -> np.ndarray:
        """Expected rewards of sets over all types, float64 `[M]`."""
        values = [world.set_reward(reward_model, sets) for world in self.worlds]
        return _pooled(np.asarray(self.frequencies, np.float64), values)

    def cost_after(self, problem: Problem, before: np.ndarray) -> np.ndarray | None:
        """What asking an arm adds to the bill of a cascade, over all types, `[M, K]`."""
        costs = [world.cost_after(problem, before) for world in self.worlds]
        if any(cost is None for cost in costs):
            return None
        return _pooled(np.asarray(self.frequencies, np.float64), costs)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "typed",
            "names": list(self.names),
            "types": list(self.types),
            "frequencies": np.asarray(self.frequencies, np.float64).tolist(),
            "worlds": [world.describe() for world in self.worlds],
        }


def by_type(
    worlds: Sequence[Environment],
    frequencies: Sequence[float] | np.ndarray,
    types: Sequence[str] | None = None,
) -> Mixture:
    """Queries of several types, each with a world of its own.

    Args:
      worlds: one environment a type, with the same LLMs, cost scale and unit; none that
        changes or has types itself.
      frequencies: probability of each type, `[G]`, adding up to 1.
      types: their names; "type 0", "type 1", ... by default.

    Raises:
      ProblemError: naming the field and the fix.

    Example:
      >>> code, trivia = (synthetic(m, cost) for m in ([0.9, 0.5], [0.9, 0.8]))
      >>> env = by_type([code, trivia], [0.3, 0.7], types=["code", "trivia"])
    """
    worlds = tuple(worlds)
    if not worlds:
        raise ProblemError("worlds: none given; give an environment for every type")
    for field in ("names", "cost_scale", "cost_unit"):
        kinds = {getattr(world, field) for world in worlds}
        if len(kinds) > 1:
            raise ProblemError(f"worlds: their {field} differ; give the same in every world")
    for g, world in enumerate(worlds):
        if world.changes or world.num_types is not None:
            raise ProblemError(
                f"worlds[{g}]: {type(world).__name__}; give a plain world, which neither changes "
                "nor has types"
            )
    share = np.asarray(frequencies, np.float64)
    if share.shape != (len(worlds),):
        raise ProblemError(
            f"frequencies: shape {share.shape}; give {len(worlds)} numbers, one per world"
        )
    if not (np.isfinite(share).all() and (share >= 0).all() and abs(share.sum() - 1) < 1e-6):
        raise ProblemError(
            f"frequencies = {share.tolist()}: give probabilities, 0 or more, that add up to 1"
        )
    if types is None:
        types = [f"type {g}" for g in range(len(worlds))]
    if isinstance(types, str) or len(types) != len(worlds) or len(set(types)) != len(worlds):
        raise ProblemError(f"types = {types!r}: give {len(worlds)} different names")
    return Mixture(worlds, share / share.sum(), tuple(str(name) for name in types))


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class TypedReplay(Replay, TypedEnvironment):
    """Rows of a log with their types; build it with `replay(..., types="group")`.

    Attributes:
      row_type: type of every row, int32 `[R]`.
      means: over the rows of each type.
      types: names of the types, in alphabetical order.
      others: see `Replay`.
    """

    row_type: Any = dataclasses.field(metadata={"shared": True})
    means: Means
    types: tuple[str, ...] = dataclasses.field(metadata={"static": True})

    @property
    def by_type(self) -> Means:
        return self.means

    def type_of(self, key: Array, t: Array | int) -> Array:
        return jnp.take(jnp.asarray(self.row_type), self.row(key, t), mode="clip")

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "types": list(self.types),
            **{
                f"type_{name}": np.asarray(value, np.float64).tolist()
                for name, value in self.means._asdict().items()
            },
        }


def with_types(
    log: Replay, labels: Sequence[str], score: np.ndarray, cost: np.ndarray
) -> TypedReplay:
    """A replayed log in which every row has a type.

    Args:
      log: rows of scores and costs.
      labels: type of every row, `[R]`.
      score, cost: the rows in float64, `[R, K]`, cost scaled; for the means.
    """
    if not any(labels):
        raise LogError(
            f"{log.log_report.file}: no column group; add one that says which type a query has"
        )
    labels = [label or "(no group)" for label in labels]
    types = tuple(sorted(set(labels)))
    place = {name: g for g, name in enumerate(types)}
    row_type = np.array([place[label] for label in labels], np.int32)
    rows = [row_type == g for g in range(len(types))]
    means = Means(
        np.array([mine.mean() for mine in rows]),
        *(np.stack([x[mine].mean(axis=0) for mine in rows]) for x in (score, cost)),
    )
    fields = {f.name: getattr(log, f.name) for f in dataclasses.fields(log)}
    return TypedReplay(**fields, row_type=jnp.asarray(row_type), means=means, types=types)


def _differ_in_means(worlds: Sequence[Any]) -> bool:
    """Whether the worlds are one but for their means: then one sample serves all types."""
    kinds = {
        (type(world), *(type(getattr(world, law, None)) for law in ("reward", "cost")))
        for world in worlds
    }
    first = worlds[0]
    return (
        len(kinds) == 1
        and isinstance(first, Synthetic)
        and all(
            isinstance(law, Bernoulli | Constant | Uniform) for law in (first.reward, first.cost)
        )
        and all(world.correlation is None for world in worlds)
    )


def _of_type(means: Sequence[Any], here: Array) -> Array:
    """The means of the type of each round, `[K, ...]`."""
    mine, *others = (lift(mean, here.ndim + 1) for mean in means)
    for g, other in enumerate(others, 1):
        mine = jnp.where(here == g, other, mine)
    return mine


def _pooled(frequencies: Any, means: Sequence[Any]) -> Any:
    """Mean over types, in their order."""
    pooled = frequencies[0] * means[0]
    for share, mean in zip(frequencies[1:], means[1:], strict=True):
        pooled = pooled + share * mean
    return pooled
