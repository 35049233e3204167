"""`c2mabv run`: C2MAB-V and baselines on one world; a table, stored results, figures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import c2mabv_jax
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
    Types,
    billed,
    described,
    listed,
)
from c2mabv_jax.cli.output import AsJson, Output, Quiet

if TYPE_CHECKING:
    from c2mabv_jax.cli.jobs import Job

BASELINES = "c2mabv,always-dearest,always-cheapest,uniform,oracle"
BY_TYPE = "c2mabv-types,c2mabv-split,c2mabv,oracle,oracle-types"


def run(
    scenario: Annotated[
        str, typer.Option(help="World of known prices and accuracies.")
    ] = "nine-llms",
    prices: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of prices and accuracies of your own; with --log, of prices of tokens "
            "(TOML or LiteLLM's JSON)."
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Replay this log (CSV, JSON or Parquet) instead of a scenario."),
    ] = None,
    models: Models = None,
    group: Group = None,
    types: Types = None,
    columns: Columns = None,
    cost_scale: CostScale = None,
    from_means: FromMeans = False,
    min_rows: MinRows = ENOUGH_ROWS,
    order: Annotated[
        str, typer.Option(help="Rows of the log: shuffled (i.i.d.), permuted or logged.")
    ] = "shuffled",
    reward_model: Annotated[
        str, typer.Option(help="AWC (any win), SUC (sum up) or AIC (all in).")
    ] = "AWC",
    billing: Annotated[
        str, typer.Option(help="Of an AWC cascade: selected (all chosen) or queried LLMs.")
    ] = "selected",
    num_selected: Annotated[
        int | None,
        typer.Option(
            help="N, LLMs asked per query; by default half of them, at most 4; 1 with --types."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Average cost per query, in the world's money (USD/query); by default what "
            "buys the best mixture 80 % of the way from the cheapest set to the best one."
        ),
    ] = None,
    alpha_reward: Annotated[
        float, typer.Option(help="Factor on the reward radius; theory: 1, practice: small.")
    ] = 0.3,
    alpha_cost: Annotated[
        float, typer.Option(help="Factor on the cost radius; theory: 1, practice: small.")
    ] = 0.05,
    delta: Annotated[str, typer.Option(help="Confidence parameter in (0, 1), or 1/T.")] = "0.05",
    solver: Annotated[str, typer.Option(help="exact or projected_gradient.")] = "exact",
    radius: Annotated[
        str, typer.Option(help="hoeffding, anytime, ucb1, bernstein or kl.")
    ] = "hoeffding",
    policies: Annotated[
        str | None,
        typer.Option(
            help="Comma separated; `c2mabv policies` lists them; or all, or file.py:Class."
        ),
    ] = None,
    horizon: Annotated[int, typer.Option(help="T, rounds per run.")] = 5000,
    seeds: Annotated[int, typer.Option(help="Independent runs of each policy.")] = 1000,
    seed: Annotated[int, typer.Option(help="Root of all random numbers.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results; by default results/run (or run-2, run-3, ...)."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a former result in --out.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate, print the table, store results, a report and figures.

    The options alpha, delta, solver and radius are those of C2MAB-V and its variants; the
    baselines keep their own. Everything is written beside --out first and renamed at the end,
    so there is never half a result.
    """
    target = folder.choose(out, "results/run", force)
    options = {
        "alpha_reward": alpha_reward,
        "alpha_cost": alpha_cost,
        "delta": number_or_rule(delta),
        "solver": solver,
        "radius": radius,
    }
    cache.enable()
    from c2mabv_jax.cli import jobs, report, world

    about: dict[str, Any] = {
        "models": models, "group": group, "columns": columns, "prices": prices,
        "cost_scale": cost_scale, "from_means": from_means, "types": types,
    }  # fmt: skip
    replayed = None if log is None else LogOptions(log, min_rows=min_rows, **about)
    environment = world.world(scenario, replayed, order, seed, **about)
    if types is not None and num_selected is None:
        num_selected = 1  # more only with SUC: other rewards of sets do not add up over types
    policies = policies or (BASELINES if types is None else BY_TYPE)
    job = jobs.prepare(
        environment, reward_model, num_selected, budget, listed("--policies", policies) or (),
        options, horizon, seeds, seed, billing,
    )  # fmt: skip
    told = announcement(job)
    output = Output(as_json, quiet)
    output.say("\n".join(told) + "\n")
    with folder.reserved(target, "run") as publish:
        results = jobs.simulate_all(job, quiet)
        output.show(report.shown(results))
        written = publish(report.contents(results, told))
    output.document({**report.summary(results), "written": str(written)})
    output.say(
        f"\nWritten to {written}: report.html (open it in a browser), report.md, results.zarr "
        "(xarray.open_zarr), summary.json, figures/ (PNG and PDF; overview.png shows all)."
    )
    output.say("Next: " + next_step(job, replayed, written))


def number_or_rule(delta: str) -> float | str:
    """delta as a number, or "1/T"."""
    if delta.replace(" ", "") == "1/T":
        return "1/T"
    try:
        return float(delta)
    except ValueError:
        raise c2mabv_jax.ProblemError(
            f"--delta = {delta!r}: give a number in (0, 1) or 1/T"
        ) from None


def announcement(job: Job) -> list[str]:
    """What will run, by line."""
    problem, environment = job.problem, job.environment
    unit = "" if environment.cost_unit == "1" else f" {environment.cost_unit}"
    rule = "at most" if problem.at_most else "exactly"
    return [
        *origin(environment).splitlines(),
        f"{problem.num_arms} LLMs, {rule} {problem.num_selected} asked per query, reward model "
        f"{problem.reward_model}, budget {float(problem.budget):g}{unit}",
        f"{len(job.policies)} policies, {job.seeds:,} seeds, {job.horizon:,} rounds",
        *(f"note: {remark}" for remark in job.remarks),
    ]


def origin(environment: Any) -> str:
    """Where the world comes from; of a log also how it was read and what was left out."""
    report = getattr(environment, "log_report", None)
    if report is None:
        title = getattr(environment, "title", "") or "synthetic LLMs"
        guesses = sum(figure.guess for figure in getattr(environment, "figures", ()))
        return f"{title}; {guesses} of its figures are guesses" if guesses else title
    return described(report)


def next_step(job: Job, log: LogOptions | None, target: Path) -> str:
    """A command worth trying after this one."""
    plot = f"`c2mabv plot {shlex.quote(str(target))}` draws the figures again"
    if log is not None:
        advise = ["c2mabv", "advise", *log.arguments(), "--reward-model", job.problem.reward_model]
        advise += billed(job.problem)
        return f"`{shlex.join(advise)}` compares budgets; {plot}."
    if len(job.policies) > len(BASELINES.split(",")):
        return f"{plot}."
    return f"`c2mabv run --policies all` compares every policy; {plot}."
