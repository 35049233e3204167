"""`c2mabv policies`: what `--policies` may name."""

from __future__ import annotations

from c2mabv_jax.cli.output import AsJson, Output


def policies(as_json: AsJson = False) -> None:
    """Name and one line of every policy."""
    from c2mabv_jax.policies.catalogue import POLICIES, TYPED

    entries, output = (*POLICIES, *TYPED), Output(as_json)
    width = max(len(entry.name) for entry in entries)
    output.show("\n".join(f"{entry.name:<{width}}  {entry.description}" for entry in entries))
    output.document(
        [
            {
                "name": entry.name,
                "description": entry.description,
                "options": entry.options,
                "sees_types": entry in TYPED,
            }
            for entry in entries
        ]
    )
