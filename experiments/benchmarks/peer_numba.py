"""Peer (c): a hand-written numba loop, one seed per iteration, threads over seeds.

The same algorithm as the package (SUC, semi-bandit, exactly N): bounds, exact LP by a secant
search on the budget multiplier with early exit and a warm start from the last edge, one
uniform to round the vertex. Written as a scalar program should be: nothing is done for arms
that are not selected, numbers are drawn only when used, and the far ends of the search are
computed only when the warm edge fails.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

_INF = np.float32(np.inf)


@nb.njit(inline="always")
def _next(state):
    """splitmix64: one multiply-shift chain per number, enough for a benchmark peer."""
    state = state + nb.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> nb.uint64(30))) * nb.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> nb.uint64(27))) * nb.uint64(0x94D049BB133111EB)
    z = z ^ (z >> nb.uint64(31))
    return state, nb.float32(z >> nb.uint64(40)) * nb.float32(2.0**-24)


@nb.njit(inline="always")
def _top(scores, num_arms, num_selected):
    """Bit mask of the N largest scores; ties to the lower index."""
    mask = nb.uint64(0)
    for _ in range(num_selected):
        best, arm = -_INF, 0
        for k in range(num_arms):
            if not (mask >> nb.uint64(k)) & nb.uint64(1) and scores[k] > best:
                best, arm = scores[k], k
        mask |= nb.uint64(1) << nb.uint64(arm)
    return mask


@nb.njit(inline="always")
def _value(mask, values, num_arms):
    total = nb.float32(0)
    for k in range(num_arms):
        if (mask >> nb.uint64(k)) & nb.uint64(1):
            total += values[k]
    return total


@nb.njit(parallel=True, fastmath=False, cache=False)
def simulate(mean_reward, mean_cost, num_selected, budget, alpha_r, alpha_c, delta, horizon, seeds):
    """Mean reward and cost per round of each seed, float64 `[S]` each."""
    num_arms = mean_reward.shape[0]
    num_seeds = seeds.shape[0]
    out_reward = np.zeros(num_seeds)
    out_cost = np.zeros(num_seeds)
    constant = np.float32(math.log(2 * math.pi**2 * num_arms / (3 * delta)))
    half_log = np.empty(horizon + 1, np.float32)
    for t in range(1, horizon + 1):
        half_log[t] = (constant + np.float32(3) * np.float32(math.log(t))) / np.float32(2)
    for s in nb.prange(num_seeds):
        state = nb.uint64(seeds[s]) * nb.uint64(0xD1342543DE82EF95) + nb.uint64(1)
        count = np.zeros(num_arms, np.float32)
        sum_r = np.zeros(num_arms, np.float32)
        sum_c = np.zeros(num_arms, np.float32)
        ucb = np.empty(num_arms, np.float32)
        lcb = np.empty(num_arms, np.float32)
        score = np.empty(num_arms, np.float32)
        upper = nb.uint64((1 << num_selected) - 1)
        lower = upper
        total_r, total_c = 0.0, 0.0
        for t in range(1, horizon + 1):
            for k in range(num_arms):
                n = max(count[k], np.float32(1))
                w = math.sqrt(half_log[t] / n)
                u = min(np.float32(1), sum_r[k] / n + alpha_r * w)
                c = max(np.float32(0), sum_c[k] / n - alpha_c * w)
                ucb[k] = u if count[k] > 0 else np.float32(1)
                lcb[k] = c if count[k] > 0 else np.float32(0)
            # Warm edge: still around the budget?
            cost_up, cost_low = _value(upper, lcb, num_arms), _value(lower, lcb, num_arms)
            val_up, val_low = _value(upper, ucb, num_arms), _value(lower, ucb, num_arms)
            theta = np.float32(1)
            search = True
            if not (cost_up > budget >= cost_low and val_up > val_low):
                upper = _top(ucb, num_arms, num_selected)
                cost_up, val_up = _value(upper, lcb, num_arms), _value(upper, ucb, num_arms)
                if cost_up <= budget:
                    search = False
                else:
                    for k in range(num_arms):
                        score[k] = -lcb[k]
                    lower = _top(score, num_arms, num_selected)
                    cost_low, val_low = _value(lower, lcb, num_arms), _value(lower, ucb, num_arms)
                    if cost_low > budget:
                        search, theta = False, np.float32(0)
            if search:
                for _ in range(64):
                    rise, run = val_up - val_low, cost_up - cost_low
                    for k in range(num_arms):
                        score[k] = run * ucb[k] - rise * lcb[k]
                    best = _top(score, num_arms, num_selected)
                    if best == upper or best == lower:
                        break
                    cost_b, val_b = _value(best, lcb, num_arms), _value(best, ucb, num_arms)
                    above = run * (val_b - val_low) - rise * (cost_b - cost_low)
                    if above <= np.float32(1e-6) * run:
                        break
                    if cost_b > budget:
                        upper, cost_up, val_up = best, cost_b, val_b
                    else:
                        lower, cost_low, val_low = best, cost_b, val_b
                theta = (budget - cost_low) / (cost_up - cost_low)
            state, u = _next(state)
            chosen = upper if u < theta else lower
            for k in range(num_arms):
                if (chosen >> nb.uint64(k)) & nb.uint64(1):
                    state, u = _next(state)
                    state, v = _next(state)
                    count[k] += np.float32(1)
                    if u < mean_reward[k]:
                        sum_r[k] += np.float32(1)
                        total_r += 1.0
                    if v < mean_cost[k]:
                        sum_c[k] += np.float32(1)
                        total_c += 1.0
        out_reward[s] = total_r / horizon
        out_cost[s] = total_c / horizon
    return out_reward, out_cost
