"""`c2mabv verify`: every claim of the theory, tested; exit 1 if one is contradicted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from c2mabv_jax.cli import cache, folder
from c2mabv_jax.cli.output import Output, Quiet


def verify(
    spec: Annotated[
        Path | None,
        typer.Argument(help="TOML file: preset, seed, and sizes to change.", show_default=False),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="tiny (seconds), quick (2 min on two cores), constants (leading constants to "
            "T = 1e6, minutes), full (25 min) or gpu; quick by default.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Claims to test, comma separated; no controls.", show_default=False),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(help="Error level of the whole report.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Root of all random numbers.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report; by default results/verify (or -2, -3, ...)."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a former result in --out.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Test every claim; write report.html, report.md, report.json and figures.

    Exit status 0 if no claim is contradicted and every negative control is caught, else 1;
    2 on bad input. Everything is written beside --out and renamed at the end.
    """
    target = folder.choose(out, "results/verify", force)
    overrides: dict[str, Any] = {"preset": preset, "level": level, "seed": seed}
    if only is not None:
        names = tuple(name.strip() for name in only.split(","))
        overrides |= {"claims": names, "controls": False}
    from c2mabv_jax.verification.presets import read_spec

    chosen = read_spec(spec, **overrides)
    cache.enable()
    from c2mabv_jax.verification import report as reports
    from c2mabv_jax.verification import verify as run_verification
    from c2mabv_jax.verification.run import claims_of
    from c2mabv_jax.verification.work import planned

    sizes = chosen.resolve()
    total = planned(sizes, [claim.name for claim in claims_of(sizes)])
    with folder.reserved(target, "verify") as publish:
        with tqdm(total=total, unit="round", unit_scale=True, disable=quiet) as bar:

            def step(name: str) -> None:
                bar.set_description(name)

            def progress(done: int) -> None:
                bar.total = max(bar.total, bar.n + done)
                bar.update(done)

            found = run_verification(chosen, step=step, progress=progress)
        written = publish(reports.contents(found))
    output = Output(quiet=quiet)
    output.show(summary(found))
    output.say(
        f"Written to {written}: report.html, report.md, report.json, figures/ (PNG and PDF)."
    )
    return found.status


def summary(found: Any) -> str:
    """The verdicts, one line each."""
    from c2mabv_jax.verification.report import headline, sentence

    width = max(len(verdict.claim.name) for verdict in found.verdicts)
    lines = []
    for verdict in found.verdicts:
        line = f"{verdict.claim.name:{width}}  {verdict.outcome.value}"
        if verdict.outcome.value != "holds":
            line += f"  ({sentence(verdict.decisive)})"
        lines.append(line)
    for control in found.controls:
        if not control.caught:
            lines.append(f"control {control.control.name} was NOT caught: {control.control.what}")
    return "\n".join([*lines, headline(found)])
