"""C2MAB-V on a log: every budget and every pair of alphas, through one compiled program."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from c2mabv_jax.advice.aim import Aim, aim_of
from c2mabv_jax.advice.known import Known, known_sets
from c2mabv_jax.advice.play import Player, Say
from c2mabv_jax.advice.resample import LEVEL, Resampled, resample, with_log
from c2mabv_jax.advice.verdict import Verdict, judge
from c2mabv_jax.array import listing
from c2mabv_jax.environments.replay import Replay
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.results.quantities import averages
from c2mabv_jax.sweep.grid import Point
from c2mabv_jax.sweep.plan import Plan, make_plan, smallest_tile

# (alpha_reward, alpha_cost): what practice tries; reconstructed, not from the paper's text.
ALPHA_PAIRS = ((0.3, 0.05), (1.0, 0.05), (0.3, 0.01), (1.0, 0.01))
TOLERANCE = 0.05  # how near the oracle and the budget counts as learned
WORTH_ANOTHER = 0.01  # another LLM a query must add this share to the best set's quality
MOST_TRIED = 5  # sizes of an any-win set that are tried
FIRST_LOOK = 16  # runs a budget that choose the pair of alphas; the chosen one gets the others
_POINTS = 40  # recorded rounds


@dataclasses.dataclass(frozen=True)
class Run:
    """C2MAB-V at one budget with one pair of alphas; money in the log's unit.

    Attributes:
      budget, alpha_reward, alpha_cost: what was asked.
      queries: recorded rounds, int `[R]`.
      quality, cost: mean over runs of the average so far, `[R]`.
      quality_interval, cost_interval: 95 % intervals of those means, over runs, `[R, 2]`.
      quality_promise, cost_promise: 95 % intervals of the means at the end that also hold the
        error of the log, a sample of queries like any other, `[2]`.
      quality_range, cost_range: in which 95 % of single runs lie at the end, `[2]`.
      window_quality, window_cost: average since the recorded round before, over runs, `[R]`.
      share: share of queries since the recorded round before that asked each LLM, `[R, K]`.
      oracle: best quality that knowing everything could buy at this budget.
      shortfall: oracle - quality at the end, overspent money counted at the price of quality
        on the oracle front.
      learned_after: queries after which quality and cost of every later stretch lie within
        `TOLERANCE` of the oracle and of the budget; None if not by the end.
      ahead_after: queries after which the average quality so far stays above that of the best
        single LLM for the money spent so far; None if not by the end.
      num_seeds: runs.
    """

    budget: float
    alpha_reward: float
    alpha_cost: float
    queries: np.ndarray
    quality: np.ndarray
    cost: np.ndarray
    quality_interval: np.ndarray
    cost_interval: np.ndarray
    quality_promise: np.ndarray
    cost_promise: np.ndarray
    quality_range: np.ndarray
    cost_range: np.ndarray
    window_quality: np.ndarray
    window_cost: np.ndarray
    share: np.ndarray
    oracle: float
    shortfall: float
    learned_after: int | None
    ahead_after: int | None
    num_seeds: int

    @property
    def overspend(self) -> float:
        """Average cost over the whole run, above (or below, if negative) the budget."""
        return float(self.cost[-1]) - self.budget


@dataclasses.dataclass(frozen=True)
class Study:
    """All runs on one log.

    Attributes:
      log: what is replayed.
      problem: sizes and reward model (its budget is the first of the runs').
      known: fixed sets and the oracle front.
      resampled: the same sets on reweighted logs.
      aim: the budget that the advice is about.
      verdict: whether a fixed choice is as good there.
      runs: one per budget and pair, budgets ascending within a pair.
      pair: the alphas with the smallest shortfall in the first runs, averaged over budgets.
      horizon: queries of every run. num_seeds: runs per budget of the chosen pair.
    """

    log: Replay
    problem: Problem
    known: Known
    resampled: Resampled
    aim: Aim
    verdict: Verdict
    runs: tuple[Run, ...]
    pair: tuple[float, float]
    horizon: int
    num_seeds: int

    def of_pair(self, pair: tuple[float, float]) -> list[Run]:
        """The runs of one pair of alphas, by budget."""
        return [run for run in self.runs if (run.alpha_reward, run.alpha_cost) == pair]


def default_size(log: Replay, reward_model: str) -> int:
    """N where the user names none.

    SUC 1: one LLM a query, and quality is its score. AIC 2: the least that makes "all" a
    demand. AWC: another LLM as long as it adds 1 % to the best set's quality, up to 5.
    """
    if reward_model == "SUC":
        return 1
    if reward_model == "AIC":
        return min(2, log.num_arms)
    best = 0.0
    for size in range(1, min(MOST_TRIED, log.num_arms) + 1):
        quality = known_sets(log, pose(log, "AWC", size)).best_quality
        if quality <= best * (1 + WORTH_ANOTHER):
            return max(size - 1, 1)
        best = quality
    return min(MOST_TRIED, log.num_arms)


def pose(
    log: Replay,
    reward_model: str,
    num_selected: int,
    budget: float = 0.0,
    billing: str = "selected",
) -> Problem:
    """The problem of choosing among the log's models."""
    return Problem(
        num_arms=log.num_arms,
        num_selected=num_selected,
        budget=float(budget),
        reward_model=reward_model,  # type: ignore[arg-type]
        billing=billing,  # type: ignore[arg-type]
    )


def budgets_from(text: str | None, known: Known, number: int = 16) -> np.ndarray:
    """Budgets to try, ascending: "LO:HI:N" in the log's money, spaced evenly by ratio.

    Without a text: from just above the cheapest set to the best set, past which money buys
    nothing. "X" is one budget. Where LO is 0 the spacing is by difference.

    Raises:
      ProblemError: a text that is no range.
    """
    if text is None:
        low, high = max(known.cheapest, float(known.single_cost.min())), known.dearest_useful
        low, high = min(low * 1.1, (low + max(low, high)) / 2), max(low, high)
    else:
        parts = text.split(":")
        try:
            values = [float(part) for part in parts[:2]]
            number = int(parts[2]) if len(parts) == 3 else 1
            if len(parts) not in (1, 3):
                raise ValueError
        except ValueError:
            raise ProblemError(
                f"budgets = {text!r}: give LO:HI:N, such as 0.0002:0.005:10, or one number"
            ) from None
        low, high = values[0], values[-1]
        if not (np.isfinite(values).all() and 0 <= low <= high):
            raise ProblemError(f"budgets = {text!r}: give finite numbers, 0 <= LO <= HI")
        if not 1 <= number <= 100:
            raise ProblemError(f"budgets = {text!r}: give from 1 to 100 budgets")
    if number == 1 or low == high:
        return np.array([high])
    space = np.geomspace if low > 0 else np.linspace
    return space(low, high, number)


def study(
    log: Replay,
    reward_model: str = "SUC",
    budgets: str | Sequence[float] | None = None,
    num_selected: int | None = None,
    *,
    billing: str = "selected",
    target: float | None = None,
    max_cost: float | None = None,
    horizon: int = 10_000,
    num_seeds: int = 64,
    pairs: Sequence[tuple[float, float]] = ALPHA_PAIRS,
    seed: int = 0,
    progress: bool = False,
    say: Say | None = None,
) -> Study:
    """Replay the log under C2MAB-V at every budget with every pair of alphas.

    Budgets and alphas are traced: the whole study is one compiled program, and every run
    meets the same queries (common random numbers). A few runs choose the pair of alphas, the
    others are spent on it alone.

    Args:
      log: made by `environments.replay`.
      reward_model: "SUC", "AWC" or "AIC".
      budgets: see `budgets_from`; or the budgets themselves.
      num_selected: N; see `default_size`.
      billing: of an any-win cascade, "selected" or "queried".
      target, max_cost: quality to reach, or money to spend at most; neither: see `aim`.
      horizon: queries per run. num_seeds: runs per budget and pair.
      pairs: (alpha_reward, alpha_cost) to try.
      seed: root of all random numbers.
      progress: show a bar on standard error.
      say: told before it starts about how long it takes.

    Raises:
      ProblemError: naming the field and the fix.
    """
    if horizon < 100:
        raise ProblemError(f"horizon = {horizon}: give at least 100 queries")
    if num_seeds < 2:
        raise ProblemError(f"seeds = {num_seeds}: intervals need at least 2 runs")
    if num_selected is None:
        pose(log, reward_model, 1)  # an unknown reward model is complained of first
        num_selected = default_size(log, reward_model)
    if reward_model != "SUC" and not listing.listable(log.num_arms, num_selected):
        raise ProblemError(
            f"models: {log.num_arms} LLMs have too many sets of {num_selected} to enumerate for "
            f"{reward_model}; choose fewer with --models, or a smaller --num-selected"
        )
    problem = pose(log, reward_model, num_selected, billing=billing)
    known = known_sets(log, problem)
    aim = aim_of(known.front, target, max_cost)
    if budgets is None or isinstance(budgets, str):
        values = budgets_from(budgets, known)
    else:
        values = np.sort(np.asarray(budgets, np.float64))
    if values[0] < known.cheapest * (1 - 1e-9):
        raise ProblemError(
            f"budgets = {values[0]:g}: the cheapest legal set costs {known.cheapest:.3g} "
            f"{log.cost_unit}; begin there, or ask fewer LLMs with --num-selected"
        )
    if budgets is not None:
        aim = aim.within(values[0], values[-1])
    values = np.union1d(values, aim.budgets(known.front))
    resampled = resample(log, problem, known, seed)
    verdict = judge(known, resampled, aim, largest_quality(problem))

    spaced = np.geomspace(max(horizon // 200, 10), horizon, _POINTS)
    record_at = sorted({int(t) for t in spaced})

    def plan(asked: Sequence[tuple[float, float]], first: int, number: int) -> Plan:
        points = [
            Point(
                problem.replace(budget=float(budget)),
                log,
                C2MABV(alpha_reward=alpha_reward, alpha_cost=alpha_cost),
                horizon,
                {},
            )
            for (alpha_reward, alpha_cost), budget in itertools.product(asked, values)
        ]
        return make_plan(
            points, number, seed=seed, first_seed=first, record_at=record_at, tile=tile
        )

    tile = smallest_tile()
    pairs = [(float(a), float(b)) for a, b in pairs]
    look = num_seeds if len(pairs) == 1 else min(FIRST_LOOK, num_seeds)
    later = math.ceil(len(values) * (num_seeds - look) / tile)
    player = Player(say, progress)
    first = plan(pairs, 0, look)
    rounds = first.recorded(horizon)
    found = dict(
        zip(
            itertools.product(pairs, values),
            _play(first, player, f"replay of {len(values)} budgets", later),
            strict=True,
        )
    )
    summary = functools.partial(_summary, rounds, known, resampled, largest_quality(problem))
    runs = {key: summary(*paths, *key) for key, paths in found.items()}
    best = best_pair(list(runs.values()))
    if look < num_seeds:
        more = _play(plan([best], look, num_seeds - look), player, "the same, more runs")
        for budget, paths in zip(values, more, strict=True):
            key = (best, budget)
            quality, cost = (np.concatenate([found[key][i], paths[i]]) for i in (0, 1))
            runs[key] = summary(quality, cost, found[key][2] + paths[2], *key)
    return Study(
        log=log,
        problem=problem.replace(budget=float(values[0])),
        known=known,
        resampled=resampled,
        aim=aim,
        verdict=verdict,
        runs=tuple(runs.values()),
        pair=best,
        horizon=horizon,
        num_seeds=num_seeds,
    )


def largest_quality(problem: Problem) -> float:
    """The quality of nothing but right answers."""
    return float(problem.num_selected) if problem.reward_model == "SUC" else 1.0


def best_pair(runs: Sequence[Run]) -> tuple[float, float]:
    """The pair of alphas with the smallest shortfall, averaged over budgets."""
    short: dict[tuple[float, float], list[float]] = {}
    for run in runs:
        short.setdefault((run.alpha_reward, run.alpha_cost), []).append(run.shortfall)
    return min(short, key=lambda pair: float(np.mean(short[pair])))


Paths = tuple[np.ndarray, np.ndarray, np.ndarray]


def _play(plan: Plan, player: Player, name: str, later: int = 0) -> list[Paths]:
    """Every point of a plan of one program: reward and cost, `[S, R]` averages so far, and
    pulls `[R, K]`, sums over runs."""
    tiles = player.play(plan, name, later)
    lanes = {
        name: np.concatenate([tile[name] for tile in tiles], axis=-1) for name in ("reward", "cost")
    }
    (batch,) = plan.batches
    rounds = plan.recorded(batch.horizon)
    pulls = np.zeros((len(plan.points), len(rounds), plan.points[0].problem.num_arms))
    for tile in tiles:
        np.add.at(pulls, tile["points"], tile["pulls"])
    found = []
    for index in range(len(plan.points)):
        start = batch.points.index(index) * plan.num_seeds
        mine = slice(start, start + plan.num_seeds)
        mean = averages({name: total[:, mine] for name, total in lanes.items()}, rounds)
        found.append((mean["reward"].T, mean["cost"].T, pulls[index]))
    return found


def _summary(
    queries: np.ndarray,
    known: Known,
    resampled: Resampled,
    most: float,
    rewards: np.ndarray,
    costs: np.ndarray,
    pulls: np.ndarray,
    pair: tuple[float, float],
    budget: float,
) -> Run:
    queries, budget = np.asarray(queries, np.int64), float(budget)
    quality, quality_interval = _mean_interval(rewards)
    cost, cost_interval = _mean_interval(costs)
    oracle = float(known.oracle(budget))
    window_quality, window_cost = _per_window(queries, quality), _per_window(queries, cost)
    fine = (window_quality >= (1 - TOLERANCE) * oracle) & (window_cost <= (1 + TOLERANCE) * budget)
    single = np.array([known.best_single(money) for money in cost])
    quality_promise = with_log(
        quality[-1],
        np.ptp(quality_interval[-1]) / 2,
        resampled.mix(budget)[1:],
        resampled.rows,
        most,
    )
    # The budget is kept whatever the log's error; what is left of it is not known as well.
    spent = np.minimum(budget, resampled.price_of(np.inf))
    limits = np.quantile(spent[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - spent[0]
    below, above = np.hypot(np.ptp(cost_interval[-1]) / 2, np.maximum(limits * [-1, 1], 0))
    return Run(
        budget=budget,
        alpha_reward=pair[0],
        alpha_cost=pair[1],
        queries=queries,
        quality=quality,
        cost=cost,
        quality_interval=quality_interval,
        cost_interval=cost_interval,
        quality_promise=np.array(quality_promise),
        cost_promise=np.array([max(cost[-1] - below, 0), cost[-1] + above]),
        quality_range=np.quantile(rewards[:, -1], [0.025, 0.975]),
        cost_range=np.quantile(costs[:, -1], [0.025, 0.975]),
        window_quality=window_quality,
        window_cost=window_cost,
        share=np.diff(pulls / len(rewards), axis=0, prepend=0)
        / np.diff(queries, prepend=0)[:, None],
        oracle=oracle,
        shortfall=oracle + known.price(budget) * (cost[-1] - budget) - quality[-1],
        learned_after=_from_where_on(fine, np.concatenate([[0], queries[:-1]])),
        ahead_after=_from_where_on(quality > single, queries),
        num_seeds=len(rewards),
    )


def _mean_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs `[S, R]` and its 95 % Student interval `[R, 2]`."""
    mean = values.mean(axis=0)
    factor = stats.t.ppf(0.975, len(values) - 1) / np.sqrt(len(values))
    half = factor * values.std(axis=0, ddof=1)
    return mean, np.stack([mean - half, mean + half], axis=-1)


def _per_window(queries: np.ndarray, average: np.ndarray) -> np.ndarray:
    """Averages since the recorded round before, from averages so far."""
    return np.diff(average * queries, prepend=0) / np.diff(queries, prepend=0)


def _from_where_on(fine: np.ndarray, queries: np.ndarray) -> int | None:
    """First of `queries` from which on everything is fine."""
    bad = np.flatnonzero(~fine)
    first = 0 if bad.size == 0 else int(bad[-1]) + 1
    return int(queries[first]) if first < len(fine) else None
