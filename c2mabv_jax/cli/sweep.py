"""`c2mabv sweep`: a grid of problems times thousands of seeds, resumable."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from c2mabv_jax import interrupts
from c2mabv_jax.cli.output import Quiet
from c2mabv_jax.errors import ProblemError

EXAMPLE = Path(__file__).parent.parent / "sweep" / "example.toml"


def sweep(
    spec: Annotated[
        Path | None, typer.Argument(help="Sweep file (TOML); --example shows one.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the sweep; required, except with --dry-run."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep in --out; mend what is damaged.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what it takes: points, memory, disk, time."),
    ] = False,
    example: Annotated[
        bool,
        typer.Option("--example", help="Print a sweep file with every key explained, and end."),
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(help="Runs per unit of work, a multiple of 64; no result depends on it."),
    ] = None,
    quiet: Quiet = False,
    coordinator: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of process 0, for a sweep over several processes (automatic under "
            "Slurm and on TPU pods)."
        ),
    ] = None,
    num_processes: Annotated[int | None, typer.Option(help="How many processes there are.")] = None,
    process_id: Annotated[int | None, typer.Option(help="Which of them this is: 0, 1, ...")] = None,
) -> int:
    """A grid of problems times thousands of seeds, in tiles: it can be killed and resumed."""
    if example:
        print(EXAMPLE.read_text(encoding="utf-8"), end="")
        return 0
    if spec is None:
        raise ProblemError(
            "SPEC: missing; give a sweep file (`c2mabv sweep --example > sweep.toml` makes one)"
        )
    if out is None and not dry_run:
        raise ProblemError("--out: missing; give the folder of the sweep (or --dry-run)")
    from c2mabv_jax.cli import cache
    from c2mabv_jax.sweep import distributed

    cache.enable()
    distributed.connect(coordinator, num_processes, process_id)
    from c2mabv_jax import sweep as engine

    if dry_run:
        print("\n".join(engine.dry_run(spec, tile).lines()))
        return 0
    assert out is not None
    before = _terminate_like_interrupt()
    try:
        engine.sweep(spec, out, resume=resume, tile=tile, quiet=quiet)
    except engine.Interrupted as stop:
        print(f"c2mabv: interrupted: {stop}", file=sys.stderr, flush=True)
        return 130
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    if not quiet and (process_id or 0) == 0:
        place = shlex.quote(str(out))
        print(f"Next: `c2mabv plot {place}` draws the figures.", file=sys.stderr)
    return 0


def _terminate_like_interrupt() -> Any:
    """Let a polite kill, as batch systems send before the hard one, stop as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, interrupts.handle)
