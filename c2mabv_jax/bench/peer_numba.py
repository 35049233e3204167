"""Peer (c): a hand-written numba loop, one seed per iteration, threads over seeds. SUC, K <= 64.

The same algorithm as the package: bounds, exact linear programme by a secant search on the
budget multiplier with early exit and a warm start from the last edge, one uniform to round
the vertex. Written as a scalar program should be: means and radii are updated only for arms
that were selected, numbers are drawn only when used, one pass over the arms confirms the warm
edge, and the far ends of the search are computed only when it fails.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np

from c2mabv_jax.bench.case import ALPHA_COST, ALPHA_REWARD, Case, Contestant, Outcome

UNIT = 256
MOST_ARMS = 64  # a set is the bits of one word


def available() -> bool:
    """Whether numba is installed (extra `bench`)."""
    return importlib.util.find_spec("numba") is not None


def numba_loop(case: Case, certificate: bool = True) -> Contestant:
    """The loop, with or without the certificate of every round (gap, feasibility, fallbacks)."""
    import numba

    def play(num_seeds: int, root: int) -> Outcome:
        seeds = np.arange(num_seeds, dtype=np.uint64) + np.uint64(root) * np.uint64(1 << 32)
        outcome = _loop()(
            case.mean_reward.astype("f4"), case.mean_cost.astype("f4"), case.num_selected,
            np.float32(case.rho), np.float32(ALPHA_REWARD), np.float32(ALPHA_COST),
            case.sqrt_half_log(), seeds, certificate,
        )  # fmt: skip
        return Outcome(*outcome) if certificate else Outcome(*outcome[:2])

    name = "numba loop" if certificate else "numba loop, no certificate"
    return Contestant(name, case, play, UNIT, numba.get_num_threads())


@functools.cache
def _loop() -> Any:
    """The compiled loop; numba is imported here, for it is optional."""
    import numba as nb

    f4, u8 = nb.float32, nb.uint64
    minus_infinity = np.float32(-np.inf)

    @nb.njit(inline="always")
    def draw(state):
        """splitmix64: one multiply-shift chain per number, enough for a peer."""
        state = state + u8(0x9E3779B97F4A7C15)
        z = state
        z = (z ^ (z >> u8(30))) * u8(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> u8(27))) * u8(0x94D049BB133111EB)
        z = z ^ (z >> u8(31))
        return state, f4(z >> u8(40)) * f4(2.0**-24)

    @nb.njit(inline="always")
    def top(scores, num_arms, num_selected):
        """Bits of the N largest scores; ties to the lower index."""
        mask = u8(0)
        for _ in range(num_selected):
            best, arm = minus_infinity, 0
            for k in range(num_arms):
                if not (mask >> u8(k)) & u8(1) and scores[k] > best:
                    best, arm = scores[k], k
            mask |= u8(1) << u8(arm)
        return mask

    @nb.njit(inline="always")
    def value(mask, values, num_arms):
        total = f4(0)
        for k in range(num_arms):
            if (mask >> u8(k)) & u8(1):
                total += values[k]
        return total

    @nb.njit(parallel=True)
    def loop(
        mean_reward, mean_cost, num_selected, budget, alpha_r, alpha_c, width, seeds, certificate
    ):
        num_arms, num_seeds, horizon = mean_reward.size, seeds.size, width.size - 1
        out_reward, out_cost = np.zeros(num_seeds), np.zeros(num_seeds)
        out_gap, out_off = np.zeros(num_seeds, np.float32), np.zeros(num_seeds, np.float32)
        out_fallbacks = np.zeros(num_seeds, np.int64)
        for s in nb.prange(num_seeds):
            state = u8(seeds[s]) * u8(0xD1342543DE82EF95) + u8(1)
            count = np.zeros(num_arms, np.int64)  # pulls too: every selected arm is observed
            sum_r, sum_c = np.zeros(num_arms, np.int64), np.zeros(num_arms, np.int64)
            mean_r, mean_c = np.zeros(num_arms, np.float32), np.zeros(num_arms, np.float32)
            per_root = np.full(num_arms, np.float32(1e9))  # 1 / sqrt(n); never seen: wide open
            ucb, lcb = np.empty(num_arms, np.float32), np.empty(num_arms, np.float32)
            score = np.empty(num_arms, np.float32)
            upper = u8((1 << num_selected) - 1)
            lower = upper
            worst_gap, worst_off, fallbacks = f4(0), f4(0), 0
            for t in range(1, horizon + 1):
                w_r, w_c = alpha_r * width[t], alpha_c * width[t]
                cost_up, cost_low, val_up, val_low = f4(0), f4(0), f4(0), f4(0)
                for k in range(num_arms):
                    u = min(f4(1), mean_r[k] + w_r * per_root[k])
                    c = max(f4(0), mean_c[k] - w_c * per_root[k])
                    ucb[k], lcb[k] = u, c
                    if (upper >> u8(k)) & u8(1):
                        cost_up += c
                        val_up += u
                    if (lower >> u8(k)) & u8(1):
                        cost_low += c
                        val_low += u
                theta, gap, search = f4(1), f4(0), True
                if cost_up <= budget:
                    upper = top(ucb, num_arms, num_selected)
                    cost_up, val_up = value(upper, lcb, num_arms), value(upper, ucb, num_arms)
                    if cost_up <= budget:
                        search, lower, cost_low = False, upper, cost_up
                if search and cost_low > budget:
                    for k in range(num_arms):
                        score[k] = -lcb[k]
                    lower = top(score, num_arms, num_selected)
                    cost_low = value(lower, lcb, num_arms)
                    val_low = value(lower, ucb, num_arms)
                    if cost_low > budget:
                        search, upper, cost_up = False, lower, cost_low
                        fallbacks += 1
                if search:
                    for _ in range(64):
                        rise, run = max(val_up - val_low, f4(0)), cost_up - cost_low
                        # No arm outside beats one inside: the edge is optimal.
                        inside, outside = f4(np.inf), minus_infinity
                        for k in range(num_arms):
                            x = run * ucb[k] - rise * lcb[k]
                            score[k] = x
                            if (upper >> u8(k)) & u8(1):
                                inside = min(inside, x)
                            else:
                                outside = max(outside, x)
                        excess = outside - inside
                        if excess <= f4(2e-7) * run:
                            gap = max(excess, f4(0)) * f4(num_selected) / run
                            break
                        best = top(score, num_arms, num_selected)
                        cost_b = value(best, lcb, num_arms)
                        val_b = value(best, ucb, num_arms)
                        above = run * (val_b - val_low) - rise * (cost_b - cost_low)
                        gap = max(above, f4(0)) / run
                        if above <= f4(1e-6) * run:
                            break
                        if cost_b > budget:
                            upper, cost_up, val_up = best, cost_b, val_b
                        else:
                            lower, cost_low, val_low = best, cost_b, val_b
                    theta = (budget - cost_low) / (cost_up - cost_low)
                    if val_up <= val_low:  # costs more and is worth no more
                        upper, cost_up, theta = lower, cost_low, f4(0)
                    if certificate:
                        off = theta * cost_up + (f4(1) - theta) * cost_low - budget
                        worst_gap = max(worst_gap, gap)
                        worst_off = max(worst_off, max(off, max(-theta, theta - f4(1))))
                state, u = draw(state)
                chosen = upper if u < theta else lower
                for k in range(num_arms):
                    if (chosen >> u8(k)) & u8(1):
                        state, u = draw(state)
                        state, v = draw(state)
                        count[k] += 1
                        sum_r[k] += u < mean_reward[k]
                        sum_c[k] += v < mean_cost[k]
                        inverse = f4(1) / f4(count[k])
                        mean_r[k] = f4(sum_r[k]) * inverse
                        mean_c[k] = f4(sum_c[k]) * inverse
                        per_root[k] = np.sqrt(inverse)
            out_reward[s] = sum_r.sum() / horizon
            out_cost[s] = sum_c.sum() / horizon
            out_gap[s], out_off[s], out_fallbacks[s] = worst_gap, worst_off, fallbacks
        return out_reward, out_cost, out_gap, out_off, out_fallbacks

    return loop
