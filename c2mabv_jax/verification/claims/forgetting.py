"""Memories that fade: bounds recomputed from what is still held, and a jump that is followed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from c2mabv_jax.environments.changing import changing
from c2mabv_jax.environments.synthetic import synthetic
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.simulation import simulate
from c2mabv_jax.verification import ledger
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.claims.audit import RUNS, tolerance, written
from c2mabv_jax.verification.instances import CATALOGUE, Instance
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.statistic import Exact, Mean

DISCOUNT, WINDOW = 0.95, 12  # a window below 16 is held to the round
JUMP, SETTLED, HORIZON, JUMP_RUNS = 500, 1000, 4000, 64
RETURNED = 0.9
MEMORIES = ("discount", "window")
JUMP_MEMORIES: dict[str, dict[str, Any]] = {
    "discount": {"discount": 0.98},
    "window": {"window": 200},
}


@functools.cache
def jump() -> Instance:
    """Two arms without a budget; after `JUMP` rounds the worse one becomes the better."""
    base = synthetic([0.6, 0.2], [0.5, 0.5])
    problem = Problem(num_arms=2, num_selected=1, budget=1.0, reward_model="SUC")
    world = changing(base, quality={1: (0.9, JUMP + 1)})
    return Instance("jump-2", problem, world, "arm 1 goes from .2 to .9 at t = 501")


def _bounds(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    memories: dict[str, tuple[C2MABV, dict[str, Any], float]] = {
        "discount": (
            C2MABV(alpha_reward=0.3, alpha_cost=0.1, discount=DISCOUNT),
            {"discount": DISCOUNT},
            1 / (1 - DISCOUNT),
        ),
        "window": (
            C2MABV(alpha_reward=0.3, alpha_cost=0.1, window=WINDOW),
            {"window": WINDOW},
            float(WINDOW),
        ),
    }
    for name in laboratory.among(["dear-6"]):
        for what in laboratory.among(MEMORIES):
            policy, options, memory = memories[what]
            seen = written(laboratory, CATALOGUE[name], policy)
            held = ledger.known(seen.observed, seen.reward, seen.billed, seen.cost, **options)
            upper, lower = ledger.bounds(held, 0.3, 0.1, float(policy.delta), memory)
            off = max(np.abs(seen.reward_ucb - upper).max(), np.abs(seen.cost_lcb - lower).max())
            faded = float((held.seen < 0.5).mean())
            comparisons.append(
                Comparison(
                    f"{name}, {what} {options[what]:g}: largest error "
                    f"({faded:.0%} of counts below 1/2)",
                    Exact(float(off), RUNS),
                    ceiling=16 * tolerance(),
                )
            )
    return comparisons


def _follows(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for name in laboratory.among([jump().name]):
        for what in laboratory.among(MEMORIES):
            memory = JUMP_MEMORIES[what]
            policy = C2MABV(alpha_reward=0.1, **memory)
            run = simulate(
                *laboratory.under_test(jump(), policy),
                HORIZON,
                JUMP_RUNS,
                [SETTLED, HORIZON],
                seed=laboratory.seed,
            )
            late = np.diff(run["pulls"].to_numpy(), axis=1)[:, 0, 1] / (HORIZON - SETTLED)
            comparisons.append(
                Comparison(
                    f"{name}, {what} {memory[what]:g}: share of the new best arm, "
                    f"t in ({SETTLED}, {HORIZON}]",
                    Mean(late),
                    floor=RETURNED,
                )
            )
    return comparisons


CLAIMS = (
    Claim(
        name="bounds-that-forget",
        statement="The bounds of a policy that forgets are those of discounted sums, or of the "
        "rounds in its window, with the logarithm of its memory; a count below 1 divides as it is",
        assumptions=("none: every round",),
        instances=("dear-6",),
        statistic="largest difference from the formula",
        test="the worst of every round, without sampling error",
        power="a count raised to 1 moves a bound by tenths",
        measure=_bounds,
        brief=True,
        source="Garivier and Moulines 2011; the logarithm is this project's",
    ),
    Claim(
        name="re-exploration",
        statement="After a jump a policy that forgets plays the arm that has become the best in "
        f"at least {RETURNED:.0%} of the later rounds",
        assumptions=("two arms, .6 against .2 that becomes .9; alpha = .1",),
        instances=("jump-2",),
        statistic="mean share of later plays",
        test="lower confidence limit above the share (Student's t)",
        power="a width that stops growing leaves the arm at .04",
        measure=_follows,
        brief=True,
    ),
)
