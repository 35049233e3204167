"""Peer (b): NumPy, all seeds at once, the exact linear programme by a secant search. SUC."""

from __future__ import annotations

import numpy as np

from c2mabv_jax.bench.case import ALPHA_COST, ALPHA_REWARD, Case, Contestant, Outcome

BATCH = 1024


def numpy_batch(case: Case) -> Contestant:
    """Arrays `[S, K]`, float32, one core; S = 1024 keeps them in the cache."""

    def play(num_seeds: int, root: int) -> Outcome:
        parts = [_run(case, [root, first]) for first in range(0, num_seeds, BATCH)]
        return Outcome(*(np.concatenate(numbers) for numbers in zip(*parts, strict=True)))

    return Contestant("NumPy over seeds", case, play, BATCH, 1)


def _top(scores: np.ndarray, num: int) -> np.ndarray:
    mask = np.zeros(scores.shape, bool)
    best = np.argpartition(-scores, num - 1, axis=1)[:, :num]
    np.put_along_axis(mask, best, True, axis=1)
    return mask


def _sum(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.einsum("sk,sk->s", mask.astype(np.float32), values)


def _relax(ucb: np.ndarray, lcb: np.ndarray, num: int, rho: float, warm):
    """Ends of the edge `[S, K]`, share of the upper one, gap, infeasible, `[S]` each."""
    upper, lower = warm
    done = np.zeros(len(ucb), bool)
    infeasible = done.copy()
    lost = np.flatnonzero(_sum(upper, lcb) <= rho)
    upper[lost] = _top(ucb[lost], num)
    slack = lost[_sum(upper[lost], lcb[lost]) <= rho]
    lower[slack], done[slack] = upper[slack], True
    lost = np.flatnonzero(_sum(lower, lcb) > rho)
    lower[lost] = _top(-lcb[lost], num)
    none = lost[_sum(lower[lost], lcb[lost]) > rho]
    upper[none], done[none], infeasible[none] = lower[none], True, True
    gap = np.zeros(len(ucb), np.float32)
    active = np.flatnonzero(~done)
    for _ in range(64):
        if not len(active):
            break
        u, c, up, low = ucb[active], lcb[active], upper[active], lower[active]
        low_cost, low_value = _sum(low, c), _sum(low, u)
        run, rise = _sum(up, c) - low_cost, np.maximum(_sum(up, u) - low_value, 0)
        best = _top(run[:, None] * u - rise[:, None] * c, num)
        cost, value = _sum(best, c), _sum(best, u)
        above = run * (value - low_value) - rise * (cost - low_cost)
        gap[active] = np.maximum(above, 0) / run
        found = above > 2e-6 * run
        dear = cost > rho
        upper[active[found & dear]] = best[found & dear]
        lower[active[found & ~dear]] = best[found & ~dear]
        active = active[found]
    worthless = _sum(upper, ucb) <= _sum(lower, ucb)  # costs more and is worth no more
    upper[worthless] = lower[worthless]
    low_cost = _sum(lower, lcb)
    run = _sum(upper, lcb) - low_cost
    share = np.clip((rho - low_cost) / np.where(run > 0, run, 1), 0, 1)
    return upper, lower, share, gap, infeasible


def _run(case: Case, seed: list[int]) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    shape, num, rho = (BATCH, case.num_arms), case.num_selected, case.rho
    width = case.sqrt_half_log()
    mean_reward, mean_cost = case.mean_reward.astype("f4"), case.mean_cost.astype("f4")
    count, reward, cost = (np.zeros(shape, np.float32) for _ in range(3))
    edge = np.zeros(shape, bool), np.zeros(shape, bool)
    for end in edge:
        end[:, :num] = True
    worst_gap, worst_feasibility, fallbacks = (np.zeros(BATCH, np.float32) for _ in range(3))
    for t in range(1, case.horizon + 1):
        seen, n = count > 0, np.maximum(count, 1)
        radius = width[t] / np.sqrt(n)
        ucb = np.where(seen, np.minimum(1, reward / n + np.float32(ALPHA_REWARD) * radius), 1)
        lcb = np.where(seen, np.maximum(0, cost / n - np.float32(ALPHA_COST) * radius), 0)
        upper, lower, share, gap, infeasible = _relax(ucb, lcb, num, rho, edge)
        z = np.where(upper, np.where(lower, 1, share[:, None]), lower * (1 - share[:, None]))
        off = np.maximum(np.abs(z.sum(1) - num), np.einsum("sk,sk->s", lcb, z) - rho)
        np.maximum(worst_gap, gap, out=worst_gap)
        np.maximum(worst_feasibility, np.where(infeasible, 0, off), out=worst_feasibility)
        fallbacks += infeasible
        takes_upper = random.random(BATCH, np.float32) < share
        selected = np.where(takes_upper[:, None], upper, lower)
        count += selected
        reward += selected & (random.random(shape, np.float32) < mean_reward)
        cost += selected & (random.random(shape, np.float32) < mean_cost)
        edge = upper, lower
    totals = (x.sum(1, np.float64) / case.horizon for x in (reward, cost))
    return (*totals, worst_gap, worst_feasibility, fallbacks)
