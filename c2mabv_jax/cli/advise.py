"""`c2mabv advise`: replay a log of your own and say which budget buys which quality."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from c2mabv_jax.cli import cache, folder
from c2mabv_jax.cli.log import (
    ENOUGH_ROWS,
    Columns,
    CostScale,
    FromMeans,
    Group,
    LogOptions,
    MinRows,
    Models,
    Prices,
    Types,
    billed,
    described,
)
from c2mabv_jax.cli.output import AsJson, Output, Quiet
from c2mabv_jax.errors import ProblemError, rounded_up


def advise(
    log: Annotated[
        Path,
        typer.Option(
            help="Your log: CSV, JSON or Parquet, a row per query, or per query and model."
        ),
    ],
    reward_model: Annotated[
        str, typer.Option(help="SUC (scores add up), AWC (any win) or AIC (all in).")
    ] = "SUC",
    budgets: Annotated[
        str | None,
        typer.Option(
            help="LO:HI:N, average costs per query in the log's money, spaced evenly by ratio; "
            "by default 16 from the cheapest choice to the best one."
        ),
    ] = None,
    group: Group = None,
    types: Types = None,
    models: Models = None,
    columns: Columns = None,
    prices: Prices = None,
    cost_scale: CostScale = None,
    from_means: FromMeans = False,
    min_rows: MinRows = ENOUGH_ROWS,
    num_selected: Annotated[
        int | None,
        typer.Option(
            help="N, LLMs per query; by default 1 for SUC, 2 for AIC, and for AWC as many as "
            "each add 1 % to the best quality."
        ),
    ] = None,
    billing: Annotated[
        str, typer.Option(help="Of an AWC cascade: selected (all chosen) or queried LLMs.")
    ] = "selected",
    target: Annotated[
        float | None,
        typer.Option(
            help="Quality to reach; by default the advice is about the bend of the curve of "
            "quality against money."
        ),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="Money per query to spend at most, instead of --target.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Queries per run.")] = 10_000,
    seeds: Annotated[int, typer.Option(help="Runs per budget and pair of alphas.")] = 64,
    seed: Annotated[int, typer.Option(help="Root of all random numbers.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the advice; by default results/advise (or advise-2, ...)."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a former result in --out.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Whether one fixed model is as good, or what a mix pays; which budget buys which quality.

    Replays the log under C2MAB-V over budgets; writes a report, advice.csv and figures.
    """
    target_folder = folder.choose(out, "results/advise", force)
    cache.enable()
    from c2mabv_jax import advice
    from c2mabv_jax.advice.play import to_stderr
    from c2mabv_jax.advice.report import contents, printed, rows

    read = LogOptions(log, models, group, columns, prices, cost_scale, from_means, min_rows, types)
    world = read.open()
    output = Output(as_json, quiet)
    told(world, log, output)
    progress, say = sys.stderr.isatty() and not quiet, silent if quiet else to_stderr
    command = shlex.join(["c2mabv", *sys.argv[1:]])
    if types is not None:
        check_adds_up(world, reward_model, num_selected or 1)
        from c2mabv_jax.advice import typed, typed_report

        both = typed.typed_study(
            world, budgets, num_selected or 1, horizon=horizon, num_seeds=seeds, seed=seed,
            target=target, max_cost=max_cost, progress=progress, say=say,
        )  # fmt: skip
        with folder.reserved(target_folder, "advise") as publish:
            files = typed_report.contents(both, command)
            written = publish(files)
        output.show(typed_report.printed(both))
        output.document(document(files, typed_report.rows(both), written))
        output.say(
            f"\nWritten to {written}: report.html, advice.md, advice.csv, summary.json, types.png."
        )
        return
    done = advice.study(
        world,
        reward_model,
        budgets,
        num_selected,
        billing=billing,
        target=target,
        max_cost=max_cost,
        horizon=horizon,
        num_seeds=seeds,
        seed=seed,
        progress=progress,
        say=say,
    )
    recommended = advice.recommend(done)
    with folder.reserved(target_folder, "advise") as publish:
        files = contents(done, recommended, command)
        written = publish(files)
    output.show(printed(done, recommended))
    output.document(document(files, rows(done), written))
    output.say(
        f"\nWritten to {written}: report.html, advice.md, advice.csv, quality_cost.png, "
        "learning.png, usage.png."
    )
    again = ["c2mabv", "run", *read.arguments(), "--reward-model", reward_model]
    again += billed(done.problem)
    again += ["--num-selected", str(done.problem.num_selected)]
    again += ["--budget", rounded_up(recommended.run.budget)]
    output.say(f"Next: `{shlex.join(again)}` compares it with baselines.")


def document(files: dict[str, bytes], rows: list[dict[str, Any]], written: Path) -> dict[str, Any]:
    """The advice as data: summary.json, the rows of advice.csv and where it was written."""
    table = [{key: None if x == "" else x for key, x in row.items()} for row in rows]
    return {**json.loads(files["summary.json"]), "rows": table, "written": str(written)}


def silent(_: str) -> None:
    """Say nothing."""


def told(world: Any, log: Path, output: Output) -> None:
    """Say what was read of the log; refuse one that no budget can be found for."""
    if not any(world.mean_cost):
        best = max(range(len(world.names)), key=lambda k: world.mean_reward[k])
        raise ProblemError(
            f"{log}: every answer is free, so no budget needs advice: ask {world.names[best]!r} "
            f"(mean score {world.mean_reward[best]:.3f}), or give --prices if tokens cost money"
        )
    output.say(described(world.log_report))
    for note in world.log_report.notes:
        output.say(f"note: {note}")
    output.say("")


def check_adds_up(world: Any, reward_model: str, num_selected: int) -> None:
    """Raise unless rewards of types add up: SUC, or one LLM per query."""
    from c2mabv_jax.problem import Problem
    from c2mabv_jax.relaxation.typed import check_additive

    check_additive(
        Problem(
            num_arms=world.num_arms,
            num_selected=num_selected,
            budget=0.0,
            reward_model=reward_model,  # type: ignore[arg-type]
        )
    )
