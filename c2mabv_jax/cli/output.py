"""Who hears what: a table for people or one JSON document on standard output; messages."""

from __future__ import annotations

import json
from typing import Annotated, Any, NamedTuple

import typer

AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON document instead of the table; messages to stderr."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no messages but errors.")]


class Output(NamedTuple):
    """Where a command's words go.

    Attributes:
      as_json: standard output is one JSON document and nothing else.
      quiet: nothing but the table, or the document, and errors.
    """

    as_json: bool = False
    quiet: bool = False

    def say(self, text: str) -> None:
        """A message: beside the table, or on standard error beside a document."""
        if not self.quiet:
            typer.echo(text, err=self.as_json)

    def show(self, text: str) -> None:
        """What was asked for, in words."""
        if not self.as_json:
            typer.echo(text)

    def document(self, value: Any) -> None:
        """What was asked for, as data."""
        if self.as_json:
            typer.echo(json.dumps(plain(value), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """Plain JSON types; what is not finite becomes null, estimates become tables."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if finite else None
