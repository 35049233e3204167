"""`c2mabv policies`: what `--policies` may name."""

from __future__ import annotations

import typer


def policies() -> None:
    """Name and one line of every policy."""
    from c2mabv_jax.policies.catalogue import POLICIES

    width = max(len(entry.name) for entry in POLICIES)
    for entry in POLICIES:
        typer.echo(f"{entry.name:<{width}}  {entry.description}")
