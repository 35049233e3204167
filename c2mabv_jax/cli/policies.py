"""`c2mabv policies`: what `--policies` may name."""

from __future__ import annotations

import typer


def policies() -> None:
    """Name and one line of every policy."""
    from c2mabv_jax.policies.catalogue import POLICIES, TYPED

    width = max(len(entry.name) for entry in (*POLICIES, *TYPED))
    for entry in (*POLICIES, *TYPED):
        typer.echo(f"{entry.name:<{width}}  {entry.description}")
