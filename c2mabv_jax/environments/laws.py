"""Outcome distributions ("laws") of the arms, each a function of one uniform per arm.

One uniform in, one outcome out, and monotone: policies that see the same uniforms see the
same world (common random numbers), and a shared difficulty can couple the arms through
their uniforms without changing any marginal. Parameters are leaves `[K]` or `[K, B]`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import optimize, special, stats

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.environments.base import lift
from c2mabv_jax.errors import ProblemError

TABLE_CELLS = 1024  # equiprobable cells of a tabulated law


def _static(**options: Any) -> Any:
    return dataclasses.field(metadata={"static": True}, **options)


class Difficulty(NamedTuple):
    """Values of the shared difficulty, and how strongly it moves the arms' uniforms.

    An arm's uniform is Phi(Z), Z = sqrt(correlation) g + sqrt(1 - correlation) e, with the
    shared g and its own e standard normal.

    Attributes:
      g: float64 `[M]`.
      correlation: in [0, 1).
    """

    g: np.ndarray
    correlation: float

    def below(self, x: np.ndarray) -> np.ndarray:
        """P(U < x | g), `[M, ...]` for x `[...]`."""
        g = self.g.reshape(self.g.shape + (1,) * x.ndim)
        own = np.sqrt(1 - self.correlation)
        return special.ndtr((special.ndtri(x) - np.sqrt(self.correlation) * g) / own)

    def mean_uniform(self) -> np.ndarray:
        """E[U | g], `[M]`."""
        return special.ndtr(np.sqrt(self.correlation / (2 - self.correlation)) * self.g)


class Law(abc.ABC):
    """The distribution of all arms' outcomes, in [0, 1].

    Attributes:
      mean: exact means, `[K]` or `[K, B]`.
      random: whether outcomes need a uniform at all.
      binary: whether every outcome is 0 or 1.
      scale, unit: money per unit of outcome and its unit, where the law is one of money.
    """

    mean: Any
    random = True
    binary = False
    scale = 1.0
    unit = "1"

    @abc.abstractmethod
    def value(self, uniform: Array) -> Array:
        """Outcomes `[K, ...]` from uniforms `[K, ...]` in [0, 1)."""

    @abc.abstractmethod
    def conditional_mean(self, given: Difficulty) -> np.ndarray:
        """Mean outcomes given each value of the shared difficulty, float64 `[M, K]`; host."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain JSON types."""

    def with_mean(self, mean: Any) -> Law:
        """The same kind of law with another mean (traceable)."""
        if not isinstance(self, Bernoulli | Constant | Uniform):
            raise ProblemError(
                f"mean: a {self.describe()['law']} law is not fixed by its mean; "
                "build a new environment with synthetic(...)"
            )
        return dataclasses.replace(self, mean=check_means(mean, "mean"))


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Bernoulli(Law):
    """1 with probability `mean`, else 0."""

    mean: Any
    binary = True

    def value(self, uniform: Array) -> Array:
        return (uniform < lift(self.mean, uniform.ndim)).astype(uniform.dtype)

    def conditional_mean(self, given: Difficulty) -> np.ndarray:
        return given.below(np.asarray(self.mean, np.float64))

    def describe(self) -> dict[str, Any]:
        return {"law": "bernoulli", "mean": plain(self.mean)}


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Law):
    """Always `mean`; draws nothing."""

    mean: Any
    random = False

    def value(self, uniform: Array) -> Array:
        return jnp.broadcast_to(lift(self.mean, uniform.ndim), uniform.shape)

    def conditional_mean(self, given: Difficulty) -> np.ndarray:
        mean = np.asarray(self.mean, np.float64)
        return np.broadcast_to(mean, given.g.shape + mean.shape)

    def describe(self) -> dict[str, Any]:
        return {"law": "constant", "mean": plain(self.mean)}


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Uniform(Law):
    """Uniform on mean ± min(mean, 1 - mean)/2: noise of width min(mean, 1 - mean)."""

    mean: Any

    def value(self, uniform: Array) -> Array:
        mean = lift(self.mean, uniform.ndim)
        return mean + (uniform - 0.5) * jnp.minimum(mean, 1 - mean)

    def conditional_mean(self, given: Difficulty) -> np.ndarray:
        mean = np.asarray(self.mean, np.float64)
        shift = given.mean_uniform()[:, None] - 0.5
        return mean + shift * np.minimum(mean, 1 - mean)

    def describe(self) -> dict[str, Any]:
        return {"law": "uniform", "mean": plain(self.mean)}


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Levels(Law):
    """Finitely many levels, such as 0 wrong, 0.1 empty, 0.5 right; see `levels`.

    Attributes:
      probabilities: of each level, `[K, L]` or `[K, L, B]`.
      values: the levels, ascending, static.
    """

    mean: Any
    probabilities: Any
    values: tuple[float, ...] = _static()

    @property
    def binary(self) -> bool:  # type: ignore[override]
        return set(self.values) <= {0.0, 1.0}

    def value(self, uniform: Array) -> Array:
        outcome = jnp.full(uniform.shape, self.values[0], uniform.dtype)
        for j in range(1, len(self.values)):
            # Summed from the top: a top level of probability 0 then has threshold 1 exactly.
            threshold = 1 - lift(self.probabilities[:, j:].sum(axis=1), uniform.ndim)
            outcome = jnp.where(uniform >= threshold, self.values[j], outcome)
        return outcome

    def conditional_mean(self, given: Difficulty) -> np.ndarray:
        chance = np.asarray(self.probabilities, np.float64)
        threshold = 1 - np.cumsum(chance[:, :0:-1], axis=1)[:, ::-1]
        steps = np.diff(self.values)
        return self.values[0] + (1 - given.below(np.clip(threshold, 0, 1))) @ steps

    def describe(self) -> dict[str, Any]:
        return {
            "law": "levels",
            "levels": list(self.values),
            "probabilities": plain(self.probabilities),
            "mean": plain(self.mean),
        }


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Tabulated(Law):
    """A law cut into equiprobable cells, each represented by its conditional mean.

    The mean is that of the law itself; the variance falls short by the (tiny) variance
    inside the cells. A gather from a table is fast, exactly reproducible, and needs one
    uniform where rejection sampling needs an unknown number.

    Attributes:
      table: value of each cell, ascending, `[K, Q]` or `[K, Q, B]`; shared by a block.
      details: what the table was made from, static, as (name, value) pairs.
      scale, unit: money per unit of outcome, and its unit.
    """

    mean: Any
    table: Any = dataclasses.field(metadata={"shared": True})
    details: tuple[tuple[str, Any], ...] = _static()
    scale: float = _static(default=1.0)
    unit: str = _static(default="1")

    def value(self, uniform: Array) -> Array:
        table = jnp.asarray(self.table, uniform.dtype)
        num_arms, cells = table.shape[:2]
        cell = jnp.clip((uniform * cells).astype(jnp.int32), 0, cells - 1)
        if table.ndim == 2:
            flat = cell.reshape(num_arms, -1)
            return jnp.take_along_axis(table, flat, axis=1).reshape(cell.shape)
        return jnp.take_along_axis(table, cell[:, None], axis=1)[:, 0]

    def conditional_mean(self, given: Difficulty) -> np.ndarray:
        table = np.asarray(self.table, np.float64)
        num_arms, cells = table.shape
        steps = np.diff(table, axis=1)
        edges = np.broadcast_to(np.arange(1, cells) / cells, (num_arms, cells - 1))
        return table[:, 0] + np.einsum("mkq,kq->mk", 1 - given.below(edges), steps)

    def describe(self) -> dict[str, Any]:
        details = {k: list(v) if isinstance(v, tuple) else v for k, v in self.details}
        return {**details, "mean": plain(self.mean)}


def beta(mean: Any, concentration: Any = 4.0) -> Tabulated:
    """Beta(mean * concentration, (1 - mean) * concentration), variance m(1-m)/(1+conc.).

    Args:
      mean: `[K]` or `[K, B]` in [0, 1]; 0 and 1 are the constants.
      concentration: a + b > 0, scalar or `[K]`.

    The mean of each cell is exact: x times the Beta(a, b) density is, up to a factor, the
    Beta(a + 1, b) density. With 1024 cells the variance is right to about 1e-6.
    """
    mean = check_means(mean, "mean")
    total = np.asarray(concentration, np.float64)
    if not (np.isfinite(total).all() and (total > 0).all() and total.ndim <= 1):
        raise ProblemError(f"concentration = {concentration!r}: give numbers above 0, one or [K]")
    if total.ndim == 1 and total.size != mean.shape[0]:
        raise ProblemError(f"concentration: {total.size} values for {mean.shape[0]} LLMs")
    inner = np.clip(mean, 1e-12, 1 - 1e-12)
    spread = total.reshape(total.shape + (1,) * (mean.ndim - 1)) if total.ndim else total
    a, b = (inner * spread)[:, None], ((1 - inner) * spread)[:, None]
    edges = (np.arange(TABLE_CELLS + 1) / TABLE_CELLS).reshape((1, -1) + (1,) * (mean.ndim - 1))
    cut = stats.beta.ppf(edges, a, b)
    table = np.diff(special.betainc(a + 1, b, cut), axis=1) * TABLE_CELLS * inner[:, None]
    table = np.maximum.accumulate(np.clip(table, 0, 1), axis=1)
    constant = ((mean == 0) | (mean == 1))[:, None]
    table = np.where(constant, mean[:, None], table)
    details = (("law", "beta"), ("concentration", _hashable(total)))
    return Tabulated(mean, table, details)


def levels(values: Sequence[float], probabilities: Any = None, mean: Any = None) -> Levels:
    """Discrete levels, by their probabilities or by their mean.

    Args:
      values: the levels, ascending, in [0, 1].
      probabilities: `[K, L]`, each row summing to 1.
      mean: `[K]` or `[K, B]`; the probabilities are then those of largest entropy.
    """
    level = np.asarray(values, np.float64)
    if level.ndim != 1 or level.size < 2 or not ((level >= 0) & (level <= 1)).all():
        raise ProblemError(f"levels = {values!r}: give at least two numbers in [0, 1]")
    if not (np.diff(level) > 0).all():
        raise ProblemError(f"levels = {values!r}: give them in ascending order")
    if (probabilities is None) == (mean is None):
        raise ProblemError("levels: give either probabilities or the mean, not both")
    if probabilities is None:
        wanted = check_means(mean, "mean", low=level[0], high=level[-1])
        flat = np.array([_largest_entropy(level, m) for m in wanted.reshape(-1)])
        chance = np.moveaxis(flat.reshape(*wanted.shape, level.size), -1, 1)
        return Levels(wanted, chance, tuple(level.tolist()))
    chance = np.asarray(probabilities, np.float64)
    if chance.ndim != 2 or chance.shape[1] != level.size:
        raise ProblemError(
            f"probabilities: shape {chance.shape}; give one row per LLM, {level.size} columns"
        )
    if not (np.isfinite(chance).all() and (chance >= 0).all()):
        raise ProblemError("probabilities: give numbers of 0 or more")
    if not np.allclose(chance.sum(axis=1), 1, rtol=0, atol=1e-6):
        raise ProblemError("probabilities: every row must sum to 1")
    chance = chance / chance.sum(axis=1, keepdims=True)
    return Levels(np.clip(chance @ level, 0, 1), chance, tuple(level.tolist()))


def _largest_entropy(level: np.ndarray, mean: float) -> np.ndarray:
    """Probabilities proportional to exp(tilt * level) with the given mean, `[L]`."""
    low, high = level[0], level[-1]
    position = (mean - low) / (high - low)
    if position <= 1e-9 or position >= 1 - 1e-9:  # the tilt runs off to infinity
        ends = np.zeros_like(level)
        ends[[0, -1]] = 1 - position, position
        return ends
    tilted = lambda tilt: special.softmax(tilt * level)  # noqa: E731
    limit = 50 / np.diff(level).min()
    tilt = optimize.brentq(lambda x: tilted(x) @ level - mean, -limit, limit, xtol=1e-12)
    return tilted(tilt)


def token_cost(
    input_price: Any,
    output_price: Any,
    input_tokens: Any,
    output_tokens: Any,
    *,
    spread: float = 0.5,
    max_output_tokens: int = 512,
    unit: str = "USD/query",
) -> Tabulated:
    """Cost of a query by its tokens: input price x input + output price x random length.

    The length of the answer is log-normal, rounded and cut to 1..max_output_tokens, with
    the stated mean after rounding and cutting. Outcomes are scaled by the largest possible
    cost of the dearest LLM, which becomes `scale`.

    Args:
      input_price, output_price: money per token, `[K]`.
      input_tokens: tokens of the question, scalar or `[K]`.
      output_tokens: mean tokens of the answer, scalar or `[K]`, in 1..max_output_tokens.
      spread: standard deviation of the logarithm of the length.
      max_output_tokens: longest answer.
      unit: unit of the money.
    """
    num_arms = np.size(input_price)
    figures = {}
    for name, given in (
        ("input_price", input_price),
        ("output_price", output_price),
        ("input_tokens", input_tokens),
        ("output_tokens", output_tokens),
    ):
        figure = np.asarray(given, np.float64)
        if not (np.isfinite(figure).all() and (figure >= 0).all()):
            raise ProblemError(f"{name} = {given!r}: give finite numbers of 0 or more")
        if figure.ndim > 1 or (figure.ndim == 1 and figure.size != num_arms):
            raise ProblemError(f"{name}: give one number, or one for each of {num_arms} LLMs")
        figures[name] = np.broadcast_to(figure, (num_arms,))
    if not 0 <= spread < 10:
        raise ProblemError(f"spread = {spread!r}: give a number of 0 or more, below 10")
    if not 1 <= max_output_tokens <= 1_000_000:
        raise ProblemError(f"max_output_tokens = {max_output_tokens!r}: give 1 to 1000000")
    quantiles = {
        mean: token_lengths(mean, spread, max_output_tokens)
        for mean in set(figures["output_tokens"].tolist())
    }
    lengths = np.stack([quantiles[mean] for mean in figures["output_tokens"].tolist()])
    fixed = figures["input_price"] * figures["input_tokens"]
    scale = float((fixed + figures["output_price"] * max_output_tokens).max())
    if not scale > 0:
        raise ProblemError("output_price: every LLM is free; give some price above 0")
    money = fixed[:, None] + figures["output_price"][:, None] * lengths
    mean = fixed + figures["output_price"] * figures["output_tokens"]
    details = (
        ("law", "tokens"),
        *((name, _hashable(figure)) for name, figure in figures.items()),
        ("spread", float(spread)),
        ("max_output_tokens", int(max_output_tokens)),
    )
    return Tabulated(mean / scale, np.clip(money / scale, 0, 1), details, scale, unit)


def token_lengths(mean: float, spread: float, longest: int) -> np.ndarray:
    """Mean length in each equiprobable cell of the cut log-normal, float64 `[Q]`."""
    if not 1 <= mean <= longest:
        raise ProblemError(
            f"output_tokens = {mean!r}: give a mean from 1 to max_output_tokens = {longest}"
        )
    edges = np.log(np.arange(1, longest) + 0.5)  # between length l and l + 1

    def lengths_below(centre: float) -> np.ndarray:
        return special.ndtr((edges - centre) / spread)  # P(length <= l), l = 1..longest-1

    def excess(centre: float) -> float:
        return longest - lengths_below(centre).sum() - mean

    if spread == 0 or longest == 1 or mean in (1, longest):
        return np.full(TABLE_CELLS, float(mean))
    bounds = -40 * spread, np.log(longest) + 40 * spread
    below = lengths_below(optimize.brentq(excess, *bounds, xtol=1e-13))
    # The quantile function jumps by 1 at every P(length <= l); this is its integral.
    cell = np.arange(TABLE_CELLS + 1) / TABLE_CELLS
    jumps = np.searchsorted(below, cell, side="left")
    total = cell * (1 + jumps) - np.concatenate([[0], np.cumsum(below)])[jumps]
    table = np.diff(total) * TABLE_CELLS
    return np.maximum.accumulate(np.clip(table, 1, longest))


def check_means(values: Any, field: str, low: float = 0.0, high: float = 1.0) -> Any:
    """Means as float64 `[K]` or `[K, B]`, or a `ProblemError` that names the entry."""
    if isinstance(values, jax.core.Tracer):
        return values
    try:
        means = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ProblemError(f"{field} = {values!r}: give a list of numbers") from None
    if means.ndim not in (1, 2) or means.size == 0:
        raise ProblemError(f"{field}: shape {means.shape}; give one number per LLM, [K] or [K, B]")
    wrong = ~((means >= low) & (means <= high))  # true for NaN
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = ", ".join(map(str, where))
        raise ProblemError(
            f"{field}[{place}] = {float(means[where])!r}: give a number in [{low:g}, {high:g}]"
        )
    return means


def plain(values: Any) -> Any:
    """An array as nested lists; traced values by their shape."""
    if isinstance(values, jax.core.Tracer):
        return f"traced {values.shape}"
    return np.asarray(values, np.float64).tolist()


def _hashable(figure: np.ndarray) -> float | tuple[float, ...]:
    return float(figure) if figure.ndim == 0 else tuple(figure.tolist())
