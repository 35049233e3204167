"""Do types of query pay? C2MAB-V with and without them on one log, and on rows not seen.

A log has few rows of a rare type, and on few rows some LLM always looks best. So what types
gain is told twice: as learned in replay, exploration included, and on rows that were not used
to choose the LLMs (cross-validation). Types pay where both are above 0 beyond doubt.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Literal

import numpy as np
from scipy import stats

from c2mabv_jax.advice.aim import Aim, aim_of
from c2mabv_jax.advice.known import Known, known_sets
from c2mabv_jax.advice.play import Player, Say
from c2mabv_jax.advice.resample import Interval
from c2mabv_jax.advice.study import ALPHA_PAIRS, budgets_from, pose
from c2mabv_jax.advice.verdict import AS_GOOD
from c2mabv_jax.environments.typed import TypedReplay
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.typed import TypedC2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation.typed import check_additive
from c2mabv_jax.sweep.grid import Point
from c2mabv_jax.sweep.plan import Plan, make_plan, smallest_tile
from c2mabv_jax.theory import money_by_type, optimum, typed_front, typed_optimum

POLICIES = ("c2mabv", "c2mabv-types")
NUM_BUDGETS = 8
# With G times as many estimates exploration is dearer, so a smaller alpha is tried too.
PAIRS = (*ALPHA_PAIRS, (0.2, 0.01))
FOLDS = 10
APART = 0.05  # LLMs that differ by this much in quality should be told apart
_RESAMPLES = 1000  # of the seeds, for intervals of gains
_LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Learned:
    """C2MAB-V of one kind at every budget, with its best pair of alphas; money.

    Attributes:
      pair: (alpha_reward, alpha_cost) with the smallest shortfall from what is best for its
        kind, averaged over budgets.
      quality, cost: average over all queries of a run, `[B, S]`.
      pulls: queries of each type that asked each LLM, mean over runs, `[B, G, K]`.
      oracle: best quality of its kind at every budget, `[B]`.
    """

    pair: tuple[float, float]
    quality: np.ndarray
    cost: np.ndarray
    pulls: np.ndarray
    oracle: np.ndarray


@dataclasses.dataclass(frozen=True)
class TypedStudy:
    """Everything about one log.

    Attributes:
      log, problem: what is replayed, and sizes (the budget is the first one).
      budgets: `[B]`, money, ascending.
      learned: by policy name.
      fronts: (costs, values) of knowing everything, by policy name.
      gain: quality of typed above plain C2MAB-V at equal money, by budget.
      saving: share of the money that types save at equal quality, by budget; NaN where plain
        C2MAB-V reaches that quality at no budget tried.
      apparent: what types gain in quality at equal money for who knows the log by heart, mean
        over budgets.
      unseen: the same for LLMs chosen on other rows than those they are judged by, by budget.
      mean_gain, mean_unseen: averages over budgets.
      aim: the budget that the advice is about, on the front of who sees types.
      rows_needed: rows of a type that tell apart two LLMs `APART` from each other.
      horizon, num_seeds: size of every run.
    """

    log: TypedReplay
    problem: Problem
    budgets: np.ndarray
    learned: dict[str, Learned]
    fronts: dict[str, tuple[np.ndarray, np.ndarray]]
    gain: list[Interval]
    saving: list[Interval]
    apparent: float
    unseen: list[Interval]
    mean_gain: Interval
    mean_unseen: Interval
    aim: Aim
    rows_needed: int
    horizon: int
    num_seeds: int

    @property
    def pays(self) -> bool:
        """Whether types gain, both learned and on rows not seen, beyond doubt."""
        return self.mean_gain.low > 0 and self.mean_unseen.low > 0

    @property
    def kind(self) -> Literal["types", "plain", "unclear"]:
        """Types pay; they do not; or the log is too small to tell."""
        if self.pays:
            return "types"
        open_ = self.mean_unseen.low <= 0 and self.mean_unseen.high > AS_GOOD
        return "unclear" if open_ else "plain"

    @property
    def rows_of_type(self) -> np.ndarray:
        """Rows of each type, int `[G]`."""
        return np.bincount(np.asarray(self.log.row_type), minlength=len(self.log.types))

    @property
    def recommended(self) -> int:
        """The budget at which C2MAB-V that sees types does what `aim` says, an index."""
        typed = self.learned["c2mabv-types"]
        means = typed.cost.mean(axis=1), typed.quality.mean(axis=1)
        return self.aim.chosen(*means, self.budgets)[0]


def typed_study(
    log: TypedReplay,
    budgets: str | None = None,
    num_selected: int = 1,
    *,
    target: float | None = None,
    max_cost: float | None = None,
    horizon: int = 10_000,
    num_seeds: int = 64,
    pairs: tuple[tuple[float, float], ...] = PAIRS,
    seed: int = 0,
    progress: bool = False,
    say: Say | None = None,
) -> TypedStudy:
    """Replay the log under C2MAB-V with and without types at every budget.

    Both kinds meet the same queries. Arguments as in `study.study`; SUC, because rewards must
    add up over types.

    Raises:
      ProblemError: naming the field and the fix.
    """
    if horizon < 100:
        raise ProblemError(f"horizon = {horizon}: give at least 100 queries")
    if num_seeds < 2:
        raise ProblemError(f"seeds = {num_seeds}: intervals need at least 2 runs")
    problem = pose(log, "SUC", num_selected)
    check_additive(problem)
    known = known_sets(log, problem)
    values = budgets_from(budgets, known, NUM_BUDGETS)
    means = money_by_type(log)
    fronts = {
        "c2mabv": (known.cost[known.corners], known.quality[known.corners]),
        "c2mabv-types": typed_front(problem, *means),
    }
    if values[0] < known.cheapest * (1 - 1e-9):
        raise ProblemError(
            f"budgets = {values[0]:g}: the cheapest legal set costs {known.cheapest:.3g} "
            f"{log.cost_unit}; begin there"
        )
    aim = aim_of(fronts["c2mabv-types"], target, max_cost)
    if budgets is not None:
        aim = aim.within(values[0], values[-1])
    values = np.union1d(values, aim.budgets(fronts["c2mabv-types"]))
    player = Player(say, progress)
    learned = _learn(log, problem, known, values, pairs, horizon, num_seeds, seed, player)
    plain, typed = (learned[name] for name in POLICIES)
    rng = np.random.default_rng(seed)
    draws = rng.integers(num_seeds, size=(_RESAMPLES, num_seeds))
    gain, mean_gain = _gain(plain, typed, draws)
    unseen, mean_unseen = _cross_validated(log, problem, values, rng)
    ideal = np.array([learned[name].oracle for name in POLICIES])
    return TypedStudy(
        log=log,
        problem=problem.replace(budget=float(values[0])),
        budgets=values,
        learned=learned,
        fronts=fronts,
        gain=gain,
        saving=_saving(plain, typed, draws),
        apparent=float((ideal[1] - ideal[0]).mean()),
        unseen=unseen,
        mean_gain=mean_gain,
        mean_unseen=mean_unseen,
        aim=aim,
        rows_needed=_rows_needed(log),
        horizon=horizon,
        num_seeds=num_seeds,
    )


# --- replay --------------------------------------------------------------------------------


def _learn(
    log: TypedReplay,
    problem: Problem,
    known: Known,
    budgets: np.ndarray,
    pairs: tuple[tuple[float, float], ...],
    horizon: int,
    num_seeds: int,
    seed: int,
    player: Player,
) -> dict[str, Learned]:
    asked = list(itertools.product(pairs, budgets))
    means = money_by_type(log)
    best = [typed_optimum(problem.replace(budget=float(budget)), *means) for budget in budgets]
    found = {}
    for name in POLICIES:
        points = []
        for (alpha_reward, alpha_cost), budget in asked:
            alphas: dict[str, Any] = {"alpha_reward": alpha_reward, "alpha_cost": alpha_cost}
            policy = (
                C2MABV(**alphas) if name == "c2mabv" else TypedC2MABV(log.num_types, **alphas)  # type: ignore[arg-type]
            )
            problem_here = problem.replace(budget=float(budget))
            points.append(Point(problem_here, log, policy, horizon, {}))
        tile = smallest_tile()
        plan = make_plan(points, num_seeds, seed=seed, record_at=[horizon], tile=tile)
        quality, cost, pulls = _play(plan, name, player)
        oracle, price = (
            (known.oracle(budgets), np.array([known.price(b) for b in budgets]))
            if name == "c2mabv"
            else (np.array([b.relaxed for b in best]), np.array([b.multiplier for b in best]))
        )
        shape = (len(pairs), len(budgets))
        quality, cost = (x.reshape(*shape, num_seeds) for x in (quality, cost))
        pulls = pulls.reshape(*shape, *pulls.shape[1:])
        short = oracle + price * (cost.mean(axis=-1) - budgets) - quality.mean(axis=-1)
        which = int(np.argmin(np.nanmean(short, axis=1)))
        found[name] = Learned(
            tuple(map(float, pairs[which])),  # type: ignore[arg-type]
            quality[which],
            cost[which],
            pulls[which],
            oracle,
        )
    return found


def _play(plan: Plan, name: str, player: Player) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average quality and cost of every run, `[points, S]`, and mean pulls `[points, G, K]`."""
    tiles = player.play(plan, name)
    (batch,) = plan.batches
    lanes = [
        np.concatenate([tile[part][-1] for tile in tiles]) / batch.horizon
        for part in ("reward", "cost")
    ]
    pulls: np.ndarray = np.zeros(())
    for tile in tiles:
        for point, counts in zip(tile["points"], tile["type_pulls"], strict=True):
            if not pulls.ndim:
                pulls = np.zeros((len(plan.points), *counts.shape[1:]))
            pulls[point] += counts[-1]
    # A batch lists its points in their order, so its lanes are points x seeds.
    assert batch.points == tuple(range(len(plan.points)))
    shape = (len(plan.points), plan.num_seeds)
    return lanes[0].reshape(shape), lanes[1].reshape(shape), pulls / plan.num_seeds


# --- gains ---------------------------------------------------------------------------------


def _gain(plain: Learned, typed: Learned, draws: np.ndarray) -> tuple[list[Interval], Interval]:
    """Quality above what plain C2MAB-V has at the same money; seeds resampled together."""

    def gain(seeds: Any) -> np.ndarray:
        cost, quality = (x[:, seeds].mean(axis=1) for x in (plain.cost, plain.quality))
        order = np.argsort(cost)
        money, mine = (x[:, seeds].mean(axis=1) for x in (typed.cost, typed.quality))
        return mine - np.interp(money, cost[order], quality[order])

    value, again = gain(slice(None)), np.array([gain(seeds) for seeds in draws])
    return _percentiles(value, again), _percentiles(value.mean()[None], again.mean(1)[:, None])[0]


def _saving(plain: Learned, typed: Learned, draws: np.ndarray) -> list[Interval]:
    """Share of the money saved at equal quality; NaN beyond what plain C2MAB-V reaches."""

    def saving(seeds: Any) -> np.ndarray:
        cost, quality = (x[:, seeds].mean(axis=1) for x in (plain.cost, plain.quality))
        order = np.argsort(cost)
        best = np.maximum.accumulate(quality[order])
        money, mine = (x[:, seeds].mean(axis=1) for x in (typed.cost, typed.quality))
        needed = np.interp(mine, best, cost[order], right=np.nan)
        return 1 - money / needed

    return _percentiles(saving(slice(None)), np.array([saving(seeds) for seeds in draws]))


def _percentiles(value: np.ndarray, again: np.ndarray) -> list[Interval]:
    tail = 100 * (1 - _LEVEL) / 2
    low, high = np.percentile(again, [tail, 100 - tail], axis=0)
    return [Interval(*map(float, one)) for one in zip(value, low, high, strict=True)]


def _cross_validated(
    log: TypedReplay, problem: Problem, budgets: np.ndarray, rng: np.random.Generator
) -> tuple[list[Interval], Interval]:
    """Gain in quality at equal money on rows that were not used to choose, by budget.

    Every row is judged once, by LLMs chosen on the other folds; money is counted at the price
    that quality has without types. Intervals by the normal law over rows.
    """
    score = np.asarray(log.score, np.float64).T
    cost = np.asarray(log.scaled_cost, np.float64).T * log.cost_scale
    kind, num_types = np.asarray(log.row_type), len(log.types)
    fold = np.empty(len(kind), int)
    for g in range(num_types):
        mine = np.flatnonzero(kind == g)
        fold[rng.permutation(mine)] = (np.arange(len(mine)) + g) % FOLDS
    ahead = np.zeros((len(budgets), len(kind)))
    for f in np.unique(fold):
        train, test = fold != f, fold == f
        if not train.any():
            continue
        pooled = score[train].mean(axis=0), cost[train].mean(axis=0)
        rows = [train & (kind == g) for g in range(num_types)]
        mu, c = (
            np.stack([x[mine].mean(axis=0) if mine.any() else all_ for mine in rows])
            for x, all_ in zip((score, cost), pooled, strict=True)
        )
        share = np.array([mine.sum() for mine in rows]) / train.sum()
        for b, budget in enumerate(budgets):
            here = problem.replace(budget=float(budget))
            plain, typed = optimum(here, *pooled), typed_optimum(here, mu, c, share)
            worth = score[test] - plain.multiplier * cost[test]
            chosen = typed.marginals[kind[test]] - plain.marginals
            ahead[b, test] = (chosen * worth).sum(axis=1)
    return [_normal(row) for row in ahead], _normal(ahead.mean(axis=0))


def _normal(values: np.ndarray) -> Interval:
    half = stats.norm.isf((1 - _LEVEL) / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def _rows_needed(log: TypedReplay) -> int:
    """Rows on which the difference of two LLMs has a 95 % interval of half width `APART`.

    The variance of the difference is the mean over pairs of LLMs and over types.
    """
    score, kind = np.asarray(log.score, np.float64), np.asarray(log.row_type)
    spread = []
    for g in range(len(log.types)):
        mine = score[:, kind == g]
        if mine.shape[1] > 1:
            first, second = np.triu_indices(len(mine), 1)
            spread.append((mine[first] - mine[second]).var(axis=1, ddof=1).mean())
    if not spread:
        return 0
    return int(np.ceil(stats.norm.isf((1 - _LEVEL) / 2) ** 2 * np.mean(spread) / APART**2))
