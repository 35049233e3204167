"""CUCB as CascadeUCB1 and CascadeKL-UCB on the family B_LB(L, K, p, Delta) of its authors.

Kveton, Szepesvari, Wen, Ashkan 2015 ("Cascading bandits", arXiv 1502.02763): L items, K
positions; K items attract with probability p, the others with p - Delta. A list is read from
the top until the first attractive item; regret is in f(A) = 1 - prod(1 - w). Items are listed
by descending upper bound, and every item is sampled once before the first round. Their Table 1
is about these instances at n = 1e5; numbers below are this simulator's own.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from c2mabv_jax.array.sums import value
from c2mabv_jax.engine.block import Point
from c2mabv_jax.engine.runner import Runs
from c2mabv_jax.environments.generators import cascading_instance
from c2mabv_jax.policies import CUCB
from c2mabv_jax.simulation import accounting_for
from experiments.setting import Setting

ITEMS, ATTRACTION, GAP = 16, 0.2, 0.15
POLICIES = {
    "CascadeUCB1": CUCB(clip=False),
    "CascadeKL-UCB": CUCB(index="kl", loglog=3.0),
}


def regret(policy: CUCB, positions: int, horizon: int, seeds: int, root: int = 0) -> np.ndarray:
    """Regret of each seed after `horizon` rounds, `[seeds]`."""
    problem, world = cascading_instance(ITEMS, positions, ATTRACTION, GAP)
    means = np.asarray(world.mean_reward)
    best = horizon * (1 - (1 - ATTRACTION) ** positions)
    # The initial sample is the world's, so every run has its own.
    looks = (np.random.default_rng(root).random((seeds, ITEMS)) < means).astype(np.float32)
    points = [Point(problem, world, dataclasses.replace(policy, first_look=look)) for look in looks]
    runs = Runs(points, [accounting_for(problem, world)] * seeds, [horizon])
    tally = runs.play(np.arange(seeds), np.arange(seeds), root)
    return best - value(tally.expected)[-1]


def run(setting: Setting) -> None:
    """Print and tabulate the regret for two lengths of the list."""
    horizon, seeds = setting.pick((5_000, 64), (100_000, 256))
    rows = []
    for name, policy in POLICIES.items():
        for positions in (2, 4):
            found = regret(policy, positions, horizon, seeds)
            error = found.std(ddof=1) / np.sqrt(seeds)
            rows.append([name, ITEMS, positions, GAP, horizon, found.mean(), error])
            print(
                f"  {name}: L = {ITEMS}, K = {positions}, Delta = {GAP}: "
                f"regret {found.mean():.1f} ± {error:.1f} (standard error, {seeds} seeds)"
            )
    says = f"B_LB(L, K, p = {ATTRACTION}, Delta), {seeds} seeds; ± is the standard error."
    setting.table(("policy", "L", "K", "Delta", "rounds", "regret", "±"), rows, says)
