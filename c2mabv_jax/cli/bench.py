"""`c2mabv bench`: policy-rounds per second against peers, in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from c2mabv_jax.cli.output import AsJson, Output, Quiet


def bench(
    full: Annotated[
        bool,
        typer.Option("--full/--quick", help="Every case (minutes), or the main ones (below two)."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write MACHINE.json into this folder.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Throughput of this package and of its peers, medians of interleaved turns.

    Every peer must reach the same mean reward and cost within five standard errors; one that
    does not ends the command with status 1. Peers: NumPy with HiGHS, NumPy over seeds, a numba
    loop (`pip install 'c2mabv_jax[bench]'`), plain vmap; floor: random numbers alone.
    """
    from c2mabv_jax import files
    from c2mabv_jax.bench import run, table
    from c2mabv_jax.bench.agreement import DisagreementError

    if out is not None:
        files.check_free(out, [run.file_name(run.machine())], "--out")
    try:
        results = run.measure(full, progress=not quiet)
    except DisagreementError as error:
        print(f"c2mabv: a peer disagrees: {error}", file=sys.stderr)
        return 1
    output = Output(as_json, quiet)
    output.show(table.section(results))
    output.document(results)
    if out is not None:
        output.say(f"\nWritten to {run.write(results, out)}.")
    return 0
