"""How often confidence bounds fail: simulated against exact values, at reduced alpha.

With N = K every LLM is observed in every round, so an exact dynamic programme over
(observations, successes) gives the probability that some bound has failed by round T. At
alpha = 1 the bounds fail about once in 1e8 runs; small alphas make failures visible.
"""

from __future__ import annotations

import numpy as np

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.plotting import style
from c2mabv_jax.policies import C2MABV
from c2mabv_jax.theory.exact import coverage_failure, some_arm_fails
from c2mabv_jax.theory.statistics import binomial_interval
from experiments.setting import Setting

MEAN_REWARD, MEAN_COST = (0.85, 0.6, 0.3), (0.7, 0.4, 0.15)
DELTA, LEVEL = 0.05, 0.05


def run(setting: Setting) -> None:
    """Probability of a failure by round T against alpha."""
    horizon, seeds = setting.pick((100, 512), (1000, 20_000))
    alphas = setting.pick((0.2, 0.3, 0.4), (0.2, 0.3, 0.4, 0.5, 0.6, 0.7))
    arms = len(MEAN_REWARD)
    world = environments.synthetic(MEAN_REWARD, MEAN_COST)
    problem = Problem(num_arms=arms, num_selected=arms, budget=float(arms), reward_model="SUC")
    rows = []
    for alpha in alphas:
        policy = C2MABV(alpha_reward=float(alpha), alpha_cost=float(alpha), delta=DELTA)
        result = simulate(problem, world, policy, horizon, seeds, 2, coverage=True)
        failed = int((result["uncovered"].isel(round=-1) > 0).sum())
        # U fails below mu, L fails above c: one side of each stream.
        sides = [(mean, "upper") for mean in MEAN_REWARD] + [(c, "lower") for c in MEAN_COST]
        each = [coverage_failure(m, horizon, arms, DELTA, alpha, side)[-1] for m, side in sides]
        found = binomial_interval(failed, seeds, LEVEL)
        rows.append(
            [
                alpha,
                failed / seeds,
                float(found.lower),
                float(found.upper),
                float(some_arm_fails(each)),
            ]
        )
    values = np.array(rows)
    drawing, axes = style.figure(width=style.COLUMN, height=2.7)
    ax = axes[0, 0]
    ax.plot(values[:, 0], values[:, 4], color="black", linewidth=1, label="exact")
    bars = np.abs(values[:, 2:4].T - values[:, 1])
    ax.errorbar(
        values[:, 0], values[:, 1], yerr=bars, color=style.look("c2mabv").colour, marker="o",
        markersize=3.5, linestyle="", capsize=2, label="simulated, 95 % interval",
    )  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(values[:, 4].min() / 4, 1.6)
    ax.set_xticks(values[:, 0])
    style.label(ax, r"$\alpha$ of both radii", f"P(a bound failed by T = {horizon:,})")
    style.legend(drawing)
    setting.figure(drawing)
    says = (
        f"K = N = {arms}, Bernoulli rewards and costs, {horizon:,} rounds, {seeds:,} seeds, "
        f"delta = {DELTA}; 95 % Clopper-Pearson intervals."
    )
    setting.table(("alpha", "simulated", "low", "high", "exact"), rows, says)
