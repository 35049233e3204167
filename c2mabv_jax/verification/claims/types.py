"""Types of query: bounds and optima recomputed by type, weak duality, what types gain and cost."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import linprog

from c2mabv_jax.environments.synthetic import synthetic
from c2mabv_jax.environments.typed import Mixture, by_type
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.typed import TypedC2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.simulation import simulate
from c2mabv_jax.theory import (
    money_by_type,
    optimum,
    predictions,
    typed_optimum,
    typed_regret_bound,
    typed_violation_bound,
)
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.claims.audit import tolerance
from c2mabv_jax.verification.claims.constants import leading_allowance, near_one
from c2mabv_jax.verification.instances import Instance
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import Exact, Mean
from c2mabv_jax.verification.transcript import Transcript

NAME, DELTA = "types-2x3", 0.05
RUNS, ROUNDS = 4, 150  # of the audit: every round is solved anew
GAIN_ROUNDS, GAIN_RUNS, RECORDED = 20_000, 64, [10, 100, 1000, 20_000]
SHARE = 0.25  # of the long runs: a round of types takes ten times as long, and varies less
EXACT = 1e-6  # of weak duality: sums of whole numbers times means in float64


@functools.cache
def world() -> Mixture:
    """Two types that want different LLMs."""
    worlds = [
        synthetic([0.9, 0.2, 0.2], [0.7, 0.5, 0.1]),
        synthetic([0.3, 0.8, 0.2], [0.7, 0.4, 0.1]),
    ]
    return by_type(worlds, [0.4, 0.6])


@functools.cache
def instance() -> Instance:
    """Two types, three LLMs, one per query: a dear LLM for one type, a cheap one for the other.

    The budget binds: the second type mixes its LLM and the cheapest one, the first type takes
    the cheapest.
    """
    problem = Problem(num_arms=3, num_selected=1, budget=0.25, reward_model="SUC")
    return Instance(NAME, problem, world(), "two types, one budget")


def policy(**options: Any) -> TypedC2MABV:
    """C2MAB-V by type, told the frequencies."""
    return TypedC2MABV(2, tuple(world().by_type.frequencies), delta=DELTA, **options)


def transcript(laboratory: Laboratory) -> Transcript:
    """Every round of a few runs."""
    return laboratory.transcript(
        instance(), policy(alpha_reward=0.3, alpha_cost=0.05), ROUNDS, RUNS
    )


def _bounds(laboratory: Laboratory) -> list[Comparison]:
    if not laboratory.among([NAME]):
        return []
    seen = transcript(laboratory)
    here = seen.context[:, :, None] == np.arange(2)
    asked = here[..., None] * seen.selected[:, :, None]  # [runs, T, G, K]

    def before(x: np.ndarray) -> np.ndarray:
        return np.cumsum(x, axis=1) - x

    count = before(asked)
    means = [before(asked * x[:, :, None]) / np.maximum(count, 1) for x in (seen.reward, seen.cost)]
    t = np.arange(1, ROUNDS + 1)[:, None, None]
    ell = np.log(2 * np.pi**2 * 6 * t**3 / (3 * DELTA))
    with np.errstate(divide="ignore"):
        width = np.sqrt(ell / (2 * count))
    off = max(
        np.abs(seen.reward_ucb - np.minimum(1, means[0] + 0.3 * width)).max(),
        np.abs(seen.cost_lcb - np.maximum(0, means[1] - 0.05 * width)).max(),
    )
    return [Comparison(f"{NAME}: largest error", Exact(float(off), RUNS), ceiling=tolerance())]


def _optimum(laboratory: Laboratory) -> list[Comparison]:
    if not laboratory.among([NAME]):
        return []
    shown = transcript(laboratory)
    upper, lower, objective = shown.reward_ucb, shown.cost_lcb, shown.objective
    share, budget = world().by_type.frequencies, instance().problem.budget
    worst, seen = 0.0, 0
    for run in range(RUNS):
        for t in range(ROUNDS):
            gain, cost = ((share[:, None] * x[run, t]).ravel() for x in (upper, lower))
            limits = {"A_ub": [cost], "b_ub": [budget]}
            places = {"A_eq": np.kron(np.eye(2), np.ones(3)), "b_eq": np.ones(2)}
            solved = linprog(-gain, bounds=(0, 1), **limits, **places)
            if solved.status == 0:  # now and then the bounds leave nothing affordable
                worst, seen = max(worst, abs(float(objective[run, t]) + solved.fun)), seen + 1
    return [
        Comparison(
            f"{NAME}: largest difference from HiGHS in {seen:,} rounds",
            Exact(worst, RUNS),
            ceiling=tolerance(),
        )
    ]


def learning(laboratory: Laboratory) -> xr.Dataset:
    """Runs with alphas of practice."""
    point = laboratory.under_test(instance(), policy(alpha_cost=0.3))
    return simulate(*point, GAIN_ROUNDS, GAIN_RUNS, RECORDED, seed=laboratory.seed)


def _duality(laboratory: Laboratory) -> list[Comparison]:
    if not laboratory.among([NAME]):
        return []
    plain = C2MABV(0.3, 0.05)
    unseen = simulate(instance().problem, world(), plain, 1000, GAIN_RUNS, [10, 100, 1000])
    return [
        Comparison(
            f"{NAME}, {what}: least Lagrangian regret",
            Exact(float(run.lagrangian_regret.min()), GAIN_RUNS),
            floor=-EXACT,
        )
        for what, run in (("by type", learning(laboratory)), ("types not seen", unseen))
    ]


def _gain(laboratory: Laboratory) -> list[Comparison]:
    """Value at the price of the budget, against the best that does not see types.

    The Lagrangian regret is counted on the types that a run met: without their luck.
    """
    if not laboratory.among([NAME]):
        return []
    mu, c, share = money_by_type(world())
    problem = instance().problem
    best = typed_optimum(problem, mu, c, share)
    pooled = optimum(problem, share @ mu, share @ c)
    missed = learning(laboratory).lagrangian_regret.isel(round=-1).to_numpy() / GAIN_ROUNDS
    return [
        Comparison(
            f"{NAME}, T = {GAIN_ROUNDS:,}: value a round",
            Mean(best.relaxed - missed),
            floor=pooled.relaxed,
            ceiling=best.relaxed,
        )
    ]


def _expected(laboratory: Laboratory) -> list[Comparison]:
    if not laboratory.among([NAME]) or not laboratory.preset.long_rounds:
        return []
    t = laboratory.preset.long_rounds[-1]
    run = laboratory.long(instance(), policy(), share=SHARE).sel(round=t)
    mu, c, share = money_by_type(world())
    best = typed_optimum(instance().problem, mu, c, share)
    regret = typed_regret_bound(t, 2, 3, 1, DELTA).value
    violation = typed_violation_bound(t, 2, 3, 1, DELTA, signed=True).value
    worst = best.relaxed - share @ mu.min(axis=1), share @ c.max(axis=1) - instance().problem.budget
    return [
        Comparison(
            f"{NAME}, T = {t:,}: regret", Mean(run.regret.to_numpy()),
            ceiling=regret, ratio=t * worst[0] / regret,
        ),
        Comparison(
            f"{NAME}, T = {t:,}: violation", Mean(run.signed_violation.to_numpy()),
            ceiling=violation, ratio=worst[1] / violation,
        ),
    ]  # fmt: skip


def _leading(laboratory: Laboratory) -> list[Comparison]:
    if not laboratory.among([NAME]) or not laboratory.preset.long_rounds:
        return []
    run = laboratory.long(instance(), policy(), share=SHARE)
    best = typed_optimum(instance().problem, *money_by_type(world()))
    comparisons = []
    for t in laboratory.preset.long_rounds:
        leading = predictions.violation_leading(t, 6, DELTA, best.visits)
        ratios = t * run.signed_violation.sel(round=t).to_numpy() / leading
        what = f"{NAME}, T = {t:,}: T V / leading"
        comparisons.append(near_one(what, ratios, leading_allowance(t)))
    return comparisons


_KNOWN = ("frequencies of the types are known", "SUC, one LLM per query")

CLAIMS = (
    Claim(
        name="types-bounds",
        statement="Bounds by type are those of the outcomes of that type alone, with the "
        "logarithm of G K arms",
        assumptions=("none: every round",),
        instances=(NAME,),
        statistic="largest difference from the formula",
        test="the worst of every round, without sampling error",
        power="an outcome put to another type moves a bound by tenths",
        measure=_bounds,
        brief=True,
    ),
    Claim(
        name="types-relaxed-optimum",
        statement="Every round solves the relaxed problem of all types under one budget",
        assumptions=_KNOWN,
        instances=(NAME,),
        statistic="largest difference of the objective from that of HiGHS",
        test="the worst of every round, without sampling error",
        power="wrong frequencies, or a price per type, move the objective by hundredths",
        measure=_optimum,
        brief=True,
    ),
    Claim(
        name="types-weak-duality",
        statement="sum_t mu_g.z*_g - mu_g(S_t) + lambda* (c_g(S_t) - c_g.z*_g) >= 0 for every "
        "policy, on every path",
        assumptions=("additive rewards",),
        instances=(NAME,),
        statistic="least Lagrangian regret of runs at recorded rounds",
        test="the least of all runs, without sampling error",
        power="any path",
        measure=_duality,
    ),
    Claim(
        name="types-gain",
        statement="C2MAB-V by type is worth more, at the price of the budget, than anything that "
        "does not see types, and less than the optimum that does",
        assumptions=(*_KNOWN, "alpha = (1, .3)"),
        instances=(NAME,),
        statistic="mean reward - lambda* (mean cost - budget), learning included",
        test="confidence interval between the two optima (Student's t)",
        power="mixed up types are worth less than the best without types",
        measure=_gain,
    ),
    Claim(
        name="types-expected-bounds",
        statement="Expected regret and violation by type keep the bounds of G K arms",
        assumptions=(*_KNOWN, "alpha = 1"),
        instances=(NAME,),
        statistic="means over runs",
        test="upper confidence limit below the bound (Student's t)",
        power="see the ratio of the worst policy to the bound",
        measure=_expected,
        horizon=10_000,
    ),
    Claim(
        name="types-leading-violation",
        statement="T V(T) ~ alpha_c sum over types and arms of sqrt(p_g z*_gk) sqrt(2 ell_T T)",
        assumptions=(*_KNOWN, "alpha = 1, a budget that binds, unique z*"),
        instances=(NAME,),
        statistic="mean of T V / leading order",
        test="confidence interval within what finite T leaves open",
        power="a type left out of the sum is 40 % off",
        measure=_leading,
        horizon=10_000,
    ),
)
