"""Peer (a): NumPy, and SciPy's HiGHS for the linear programme of every round; one core. SUC."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from c2mabv_jax.bench.case import ALPHA_COST, ALPHA_REWARD, Case, Contestant, Outcome


def numpy_highs(case: Case) -> Contestant:
    """One run after another, one `linprog` a round."""

    def play(num_seeds: int, root: int) -> Outcome:
        return Outcome(*np.array([_run(case, [root, seed]) for seed in range(num_seeds)]).T)

    return Contestant("NumPy + SciPy HiGHS", case, play, 1, 1)


def _run(case: Case, seed: list[int]) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    num_arms, num, rho = case.num_arms, case.num_selected, case.rho
    width = case.sqrt_half_log()
    count, reward, cost = (np.zeros(num_arms) for _ in range(3))
    worst_gap = worst_feasibility = 0.0
    fallbacks = 0
    ones = np.ones((1, num_arms))
    for t in range(1, case.horizon + 1):
        seen, n = count > 0, np.maximum(count, 1)
        radius = width[t] / np.sqrt(n)
        ucb = np.where(seen, np.minimum(1, reward / n + ALPHA_REWARD * radius), 1)
        lcb = np.where(seen, np.maximum(0, cost / n - ALPHA_COST * radius), 0)
        answer = linprog(-ucb, lcb[None], [rho], ones, [num], bounds=(0, 1), method="highs")
        if answer.status == 2:
            z = np.zeros(num_arms)
            z[np.argsort(lcb, kind="stable")[:num]] = 1
            fallbacks += 1
        else:
            z = answer.x
            price, level = -answer.ineqlin.marginals[0], -answer.eqlin.marginals[0]
            bound = price * rho + level * num + np.maximum(ucb - price * lcb - level, 0).sum()
            worst_gap = max(worst_gap, bound - ucb @ z)
            off = max(abs(z.sum() - num), lcb @ z - rho, -z.min(), z.max() - 1)
            worst_feasibility = max(worst_feasibility, off)
        selected = z > 1 - 1e-9
        fractional = np.flatnonzero((z > 1e-9) & ~selected)
        if len(fractional):  # a vertex: two of them, which sum to one
            first = random.random() < z[fractional[0]]
            selected[fractional[0 if first else 1]] = True
        outcome = random.random((2, num_arms)) < (case.mean_reward, case.mean_cost)
        count += selected
        reward += selected & outcome[0]
        cost += selected & outcome[1]
    rounds = case.horizon
    return reward.sum() / rounds, cost.sum() / rounds, worst_gap, worst_feasibility, fallbacks
