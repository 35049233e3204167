"""Thompson sampling and KL-UCB without a budget against the lower bound on regret.

For the N best of K arms and any consistent policy (Anantharam, Varaiya, Walrand 1987)

    liminf R(T) / ln T >= sum over k outside the top N of (mu_(N) - mu_k) / kl(mu_k, mu_(N)),

which both policies attain in the limit (Komiyama, Honda, Nakagawa 2015, arXiv 1506.00779, for
Thompson sampling). What is shown is the slope dR / d ln T between recorded rounds. KL-UCB with
the level ln t + 3 ln ln t of its theorem is above it by about 3 / ln T in relative terms, still
20 % at a million rounds; with the level ln t of practice it is not.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.policies import CUCB, ThompsonSampling
from experiments.setting import Setting

MEANS, NUM_SELECTED = np.array([0.7, 0.7, 0.4, 0.4, 0.4, 0.4]), 2
POLICIES = {
    "thompson-top": ThompsonSampling(choice="top"),
    "cucb-kl, level ln t": CUCB(index="kl", loglog=0.0),
    "cucb-kl, level ln t + 3 ln ln t": CUCB(index="kl", loglog=3.0),
}


def lowest_slope(means: np.ndarray, num_selected: int) -> float:
    """The lower bound on dR / d ln T."""
    ordered = np.sort(means)[::-1]
    least, others = ordered[num_selected - 1], ordered[num_selected:]
    others = others[others < least]
    divergence = others * np.log(others / least) + (1 - others) * np.log((1 - others) / (1 - least))
    return float(((least - others) / divergence).sum())


def slopes(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the intervals of rounds `[R - 1]`, mean slope between them and its standard error."""
    regret, rounds = result["regret"].values, result["round"].values
    slope = np.diff(regret, axis=1) / np.diff(np.log(rounds))
    return rounds[1:], slope.mean(0), slope.std(0, ddof=1) / np.sqrt(len(slope))


def run(setting: Setting) -> None:
    """Print and tabulate the slopes."""
    horizon, seeds = setting.pick((10_000, 64), (1_000_000, 256))
    decades = [10**d for d in range(2, int(np.log10(horizon)) + 1)]
    problem = Problem(
        num_arms=MEANS.size,
        num_selected=NUM_SELECTED,
        budget=float(NUM_SELECTED),
        reward_model="SUC",
    )
    world = environments.synthetic(MEANS, np.zeros(MEANS.size), cost="constant")
    bound = lowest_slope(MEANS, NUM_SELECTED)
    print(f"  lower bound on dR/dlnT: {bound:.3f}")
    rows = []
    for name, policy in POLICIES.items():
        result = simulate(problem, world, policy, horizon, seeds, decades)
        regret = result["regret"].values
        for i, (end, slope, error) in enumerate(zip(*slopes(result), strict=True)):
            last, wide = regret[:, i + 1], 1.96 * error
            rows.append(
                [name, f"{decades[i]} to {end}", slope, wide, slope / bound, last.mean(),
                 1.96 * last.std(ddof=1) / np.sqrt(seeds)]
            )  # fmt: skip
            print(f"  {name}: {decades[i]} to {end}: slope {slope:.2f} ± {wide:.2f} (95 %)")
    says = (
        f"Means {', '.join(map(str, MEANS))}, N = {NUM_SELECTED}, no budget, {seeds} seeds; ± is "
        f"half of a 95 % interval. The lower bound on the slope is {bound:.3f}."
    )
    head = ("policy", "rounds", "dR/dlnT", "±", "over bound", "regret at the end", "± ")
    setting.table(head, rows, says)
