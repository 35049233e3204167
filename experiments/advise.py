"""What `c2mabv advise` says of a log of real LLMs: one group of it, and all of it."""

from __future__ import annotations

from c2mabv_jax import advice, environments
from c2mabv_jax.advice.pictures import quality_against_cost
from c2mabv_jax.advice.report import queries
from experiments.setting import Setting

GROUPS = ("arc-challenge", None)


def run(setting: Setting) -> None:
    """The figure of quality against cost, and the table of budgets, for each."""
    if not setting.log.exists():
        print(f"  no log at {setting.log}: nothing to advise on (give --log)")
        return
    for group in setting.pick(GROUPS[:1], GROUPS):
        log = environments.replay(setting.log, group=group)
        horizon, seeds, budgets = setting.pick((300, 8, "0.0004:0.004:2"), (10_000, 64, None))
        done = advice.study(log, "SUC", budgets, horizon=horizon, num_seeds=seeds)
        chosen = advice.recommend(done)
        name = group or "all"
        setting.figure(quality_against_cost(done, chosen), name)
        rows = [
            [
                run.budget, run.quality[-1], *run.quality_interval[-1], run.cost[-1],
                100 * run.overspend / run.budget, run.oracle, done.known.best_single(run.budget),
                queries(run.learned_after, horizon),
            ]
            for run in done.of_pair(chosen.pair)
        ]  # fmt: skip
        head = (
            "budget (USD/query)", "quality", "low", "high", "cost (USD/query)",
            "cost over budget (%)", "oracle", "best single LLM", "queries to learn",
        )  # fmt: skip
        says = (
            f"{log.num_rows:,} logged queries ({name}), {log.num_arms} LLMs, one LLM per query, "
            f"first {horizon:,} queries, {seeds} runs, alphas {chosen.pair[0]:g} and "
            f"{chosen.pair[1]:g}; low to high is the 95 % interval of the mean. Recommended "
            f"budget: {chosen.run.budget:.3g}."
        )
        setting.table(head, rows, says, name)
