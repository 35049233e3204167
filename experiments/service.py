"""A day of a live service: the selector, one query at a time, against `simulate` on the same law.

The queries of a day come by the hour: few at night, most in the afternoon. Nine LLMs answer, one
a query, as in the scenario; feedback comes 20 s later on average, in any order, and one in a
hundred never. Nothing of that is in `simulate`; means of reward and cost agree all the same.
"""

from __future__ import annotations

import heapq
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.array import streams
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV
from c2mabv_jax.service import Report, Selector
from experiments.setting import Setting

BUDGET = 0.003  # USD per query
DAY, DELAY, LOST = 86_400.0, 20.0, 0.01  # seconds, seconds, share
HOURS = 1 - 0.8 * np.cos((np.arange(24) + 0.5 - 3) * np.pi / 12)  # load by hour, least at three


class Day(NamedTuple):
    """What happened, query by query.

    Attributes:
      at: when each query came, seconds, `[T]`.
      reward, cost: of the answers, cost in money, `[T]`.
      report: the selector's, in the evening.
      median: seconds that `choose` and `feedback` took together.
    """

    at: np.ndarray
    reward: np.ndarray
    cost: np.ndarray
    report: Report
    median: float


def serve(world: Any, num_queries: int, seed: int = 0) -> Day:
    """The day, with the outcomes of every LLM at every query drawn from the world's law."""
    rng = np.random.default_rng(seed)
    hour = rng.choice(24, num_queries, p=HOURS / HOURS.sum())
    at = np.sort(3600 * (hour + rng.random(num_queries)))
    keys = streams.run_keys(jax.random.key(seed, impl="threefry2x32"), jnp.arange(num_queries))
    outcome = jax.jit(lambda keys: world.sample(keys, 1))(keys)
    rewards = np.asarray(outcome.reward, np.float64).T
    costs = np.asarray(outcome.cost, np.float64).T * world.cost_scale

    clock = [0.0]
    models = dict.fromkeys(world.names, float(world.cost_scale))
    selector = Selector(
        models, BUDGET, seed=seed, cost_unit=world.cost_unit, clock=lambda: clock[0]
    )
    place = {name: k for k, name in enumerate(world.names)}
    late: list[tuple[float, int, str, str]] = []  # feedback under way, by when it arrives
    reward, cost, took = np.zeros(num_queries), np.zeros(num_queries), np.zeros(num_queries)
    for query in range(num_queries):
        start = time.perf_counter()
        while late and late[0][0] <= at[query]:
            clock[0], which, ticket, name = heapq.heappop(late)
            k = place[name]
            selector.feedback(ticket, {name: rewards[which, k]}, {name: costs[which, k]})
        clock[0] = at[query]
        (name,), ticket, _ = selector.choose()
        took[query] = time.perf_counter() - start
        reward[query], cost[query] = rewards[query, place[name]], costs[query, place[name]]
        if rng.random() >= LOST:
            heapq.heappush(late, (at[query] + rng.exponential(DELAY), query, ticket, name))
    clock[0] = DAY + 3600
    return Day(at, reward, cost, selector.report(), float(np.median(took)))


def run(setting: Setting) -> None:
    """The day, the simulation, a table of both and a figure of spending against the budget."""
    num_queries, seeds = setting.pick((4000, 64), (100_000, 256))
    world = environments.scenario("nine-llms")
    problem = Problem(num_arms=world.num_arms, num_selected=1, budget=BUDGET, reward_model="SUC")
    policy = C2MABV(alpha_reward=0.3, alpha_cost=0.05)
    simulated = simulate(problem, world, policy, num_queries, seeds, 40)
    day = serve(world, num_queries)
    head = ("quantity", "selector", "simulate", "standard error", "difference in standard errors")
    found = rows(day, simulated)
    says = (
        f"{num_queries} queries of one day, nine LLMs, SUC, N = 1, budget {BUDGET} "
        f"{world.cost_unit}; simulate: {seeds} seeds; the standard error is that of one run and "
        f"the mean of {seeds}. {day.report.answered} answers came back, {day.report.expired} "
        f"tickets expired."
    )
    for name, here, there, _, apart in found:
        print(f"  {name}: {here:.6g} selector, {there:.6g} simulate, {apart:+.2f} standard errors")
    print(f"  choose and feedback: {day.median * 1e3:.2f} ms a query (median)")
    setting.table(head, found, says)
    _draw(setting, day, simulated)


def rows(day: Day, simulated: xr.Dataset) -> list[list[Any]]:
    """Mean reward and cost of both, and how many standard errors they are apart."""
    found = []
    for quantity, here in (("reward", day.reward), ("cost", day.cost)):
        runs = simulated[quantity].isel(round=-1).values
        error = float(runs.std(ddof=1) * np.sqrt(1 + 1 / len(runs)))
        mean, there = float(here.mean()), float(runs.mean())
        found.append([f"mean {quantity}", mean, there, error, (mean - there) / error])
    return found


def _draw(setting: Setting, day: Day, simulated: xr.Dataset) -> None:
    drawing, axes = style.figure(1, 2, width=style.DOUBLE, height=2.6)
    hours, count = day.at / 3600, np.arange(1, len(day.at) + 1)
    spent, allowed = np.cumsum(day.cost), BUDGET * count
    some = np.unique(np.linspace(0, len(count) - 1, 400).astype(int))
    left, right = axes[0]
    left.plot(hours[some], allowed[some], color="0.3", ls="dashed", label="budget")
    left.plot(hours[some], spent[some], color=style.PALETTE["blue"], label="selector")
    left.set_xticks(range(0, 25, 6))
    style.label(left, "hour of the day", "spent so far (USD)", "spending against the budget")
    rounds = simulated["round"].values
    runs = simulated["cost"].transpose("round", "seed").values / BUDGET
    low, high = np.quantile(runs, (0.025, 0.975), axis=1)
    orange = style.PALETTE["orange"]
    right.fill_between(rounds, low, high, color=orange, alpha=0.25, lw=0)
    right.plot(rounds, runs.mean(axis=1), color=orange, label="simulate (middle 95 % of seeds)")
    from_ten = np.unique(np.geomspace(9, len(count) - 1, 400).astype(int))
    right.plot(count[from_ten], (spent / allowed)[from_ten], color=style.PALETTE["blue"])
    right.axhline(1, color="0.3", ls="dashed", lw=1)
    right.set_xlim(10, count[-1])
    style.log_axis(right)
    style.label(right, "query", "mean cost / budget", "mean cost so far")
    style.legend(drawing)
    setting.figure(drawing)
