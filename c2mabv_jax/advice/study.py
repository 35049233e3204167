"""C2MAB-V on a log: every budget and every pair of alphas, through one compiled program."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from scipy import stats
from tqdm import tqdm

from c2mabv_jax.advice.known import Known, known_sets
from c2mabv_jax.array import listing
from c2mabv_jax.engine import block
from c2mabv_jax.environments.replay import Replay
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.sweep import execute
from c2mabv_jax.sweep.grid import Point
from c2mabv_jax.sweep.plan import Plan, make_plan

# (alpha_reward, alpha_cost): what practice tries; reconstructed, not from the paper's text.
ALPHA_PAIRS = ((0.3, 0.05), (1.0, 0.05), (0.3, 0.01), (1.0, 0.01))
TOLERANCE = 0.05  # how near the oracle and the budget counts as learned
WORTH_ANOTHER = 0.01  # another LLM a query must add this share to the best set's quality
MOST_TRIED = 5  # sizes of an any-win set that are tried
_POINTS = 40  # recorded rounds


@dataclasses.dataclass(frozen=True)
class Run:
    """C2MAB-V at one budget with one pair of alphas; money in the log's unit.

    Attributes:
      budget, alpha_reward, alpha_cost: what was asked.
      queries: recorded rounds, int `[R]`.
      quality, cost: mean over runs of the average so far, `[R]`.
      quality_interval, cost_interval: 95 % intervals of those means, `[R, 2]`.
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
    """

    budget: float
    alpha_reward: float
    alpha_cost: float
    queries: np.ndarray
    quality: np.ndarray
    cost: np.ndarray
    quality_interval: np.ndarray
    cost_interval: np.ndarray
    quality_range: np.ndarray
    cost_range: np.ndarray
    window_quality: np.ndarray
    window_cost: np.ndarray
    share: np.ndarray
    oracle: float
    shortfall: float
    learned_after: int | None
    ahead_after: int | None

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
      runs: one per budget and pair, budgets ascending within a pair.
      horizon, num_seeds: size of every run.
    """

    log: Replay
    problem: Problem
    known: Known
    runs: tuple[Run, ...]
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
    horizon: int = 10_000,
    num_seeds: int = 64,
    pairs: Sequence[tuple[float, float]] = ALPHA_PAIRS,
    seed: int = 0,
    progress: bool = False,
) -> Study:
    """Replay the log under C2MAB-V at every budget with every pair of alphas.

    Budgets and alphas are traced: the whole study is one compiled program, and every run
    meets the same queries (common random numbers).

    Args:
      log: made by `environments.replay`.
      reward_model: "SUC", "AWC" or "AIC".
      budgets: see `budgets_from`; or the budgets themselves.
      num_selected: N; see `default_size`.
      billing: of an any-win cascade, "selected" or "queried".
      horizon: queries per run. num_seeds: runs per budget and pair.
      pairs: (alpha_reward, alpha_cost) to try.
      seed: root of all random numbers.
      progress: show a bar on standard error.

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
    if budgets is None or isinstance(budgets, str):
        values = budgets_from(budgets, known)
    else:
        values = np.sort(np.asarray(budgets, np.float64))
    if values[0] < known.cheapest * (1 - 1e-9):
        raise ProblemError(
            f"budgets = {values[0]:g}: the cheapest legal set costs {known.cheapest:.3g} "
            f"{log.cost_unit}; begin there, or ask fewer LLMs with --num-selected"
        )
    spaced = np.geomspace(max(horizon // 200, 10), horizon, _POINTS)
    asked = list(itertools.product(pairs, values))
    points = [
        Point(
            problem.replace(budget=float(budget)),
            log,
            C2MABV(alpha_reward=float(alpha_reward), alpha_cost=float(alpha_cost)),
            horizon,
            {},
        )
        for (alpha_reward, alpha_cost), budget in asked
    ]
    plan = make_plan(
        points,
        num_seeds,
        seed=seed,
        record_at=sorted({int(t) for t in spaced}),
        tile=block.lanes(),
    )
    runs = [
        _summary(plan.recorded(horizon), *paths, known, float(budget), *pair)
        for (pair, budget), paths in zip(asked, _play(plan, progress), strict=True)
    ]
    return Study(
        log, problem.replace(budget=float(values[0])), known, tuple(runs), horizon, num_seeds
    )


def _play(plan: Plan, progress: bool) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every point of a plan of one program, on all cores: reward and cost, `[S, R]` averages so
    far, and pulls `[R, K]`, means over runs."""
    tiles: dict[int, dict[str, np.ndarray]] = {}
    width = execute.Width()

    def work(number: int) -> None:
        tiles[number] = execute.run_tile(plan, number, width)

    numbers = list(range(len(plan.tiles)))
    for _ in tqdm(
        execute.each_done(work, numbers), "C2MAB-V", len(numbers), disable=not progress, leave=False
    ):
        pass
    lanes = {
        name: np.concatenate([tiles[n][name] for n in numbers], axis=-1)
        for name in ("reward", "cost")
    }
    (batch,) = plan.batches
    rounds = plan.recorded(batch.horizon)
    pulls = np.zeros((len(plan.points), len(rounds), plan.points[0].problem.num_arms))
    for n in numbers:
        np.add.at(pulls, tiles[n]["points"], tiles[n]["pulls"])
    found = []
    for index in range(len(plan.points)):
        start = batch.points.index(index) * plan.num_seeds
        mine = slice(start, start + plan.num_seeds)
        reward, cost = (lanes[name][:, mine].T / rounds for name in ("reward", "cost"))
        found.append((reward, cost, pulls[index] / plan.num_seeds))
    return found


def _summary(
    queries: np.ndarray,
    rewards: np.ndarray,
    costs: np.ndarray,
    pulls: np.ndarray,
    known: Known,
    budget: float,
    alpha_reward: float,
    alpha_cost: float,
) -> Run:
    queries = np.asarray(queries, np.int64)
    quality, quality_interval = _mean_interval(rewards)
    cost, cost_interval = _mean_interval(costs)
    oracle = float(known.oracle(budget))
    window_quality, window_cost = _per_window(queries, quality), _per_window(queries, cost)
    fine = (window_quality >= (1 - TOLERANCE) * oracle) & (window_cost <= (1 + TOLERANCE) * budget)
    single = np.array([known.best_single(money) for money in cost])
    return Run(
        budget=budget,
        alpha_reward=alpha_reward,
        alpha_cost=alpha_cost,
        queries=queries,
        quality=quality,
        cost=cost,
        quality_interval=quality_interval,
        cost_interval=cost_interval,
        quality_range=np.quantile(rewards[:, -1], [0.025, 0.975]),
        cost_range=np.quantile(costs[:, -1], [0.025, 0.975]),
        window_quality=window_quality,
        window_cost=window_cost,
        share=np.diff(pulls, axis=0, prepend=0) / np.diff(queries, prepend=0)[:, None],
        oracle=oracle,
        shortfall=oracle + known.price(budget) * (cost[-1] - budget) - quality[-1],
        learned_after=_from_where_on(fine, np.concatenate([[0], queries[:-1]])),
        ahead_after=_from_where_on(quality > single, queries),
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
