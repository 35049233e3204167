"""The options of a log, which `run` and `advise` share: how it is read, and said again."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from c2mabv_jax.errors import ProblemError

Models = Annotated[
    str | None,
    typer.Option(
        help="Models of the log to choose from, comma separated (a name that holds a comma in "
        "double quotes); by default all."
    ),
]
Group = Annotated[
    str | None, typer.Option(help="Groups of the log to replay, written as --models.")
]
Types = Annotated[
    str | None,
    typer.Option(
        help="group: the group of a query is its type, which is seen before an LLM is chosen; "
        "one budget for all types."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Which column of the log means what, where names leave it open: "
        "score=NAME,cost=NAME+NAME,query=NAME,model=NAME,group=NAME."
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        help="Prices of tokens (TOML or LiteLLM's JSON): a log's costs are then its token counts "
        "times these."
    ),
]
CostScale = Annotated[
    float | None,
    typer.Option(
        help="Money that counts as a cost of 1; by default the log's dearest answer, a few far "
        "dearer ones set aside."
    ),
]
FromMeans = Annotated[
    bool,
    typer.Option(
        "--from-means",
        help="Draw each model's answers from its own, independently: for a log in which a query "
        "was put to one model only.",
    ),
]
MinRows = Annotated[
    int, typer.Option(help="Queries with an answer of every model below which a log is refused.")
]
ENOUGH_ROWS = 30


class LogOptions(NamedTuple):
    """What a user said about a log, as it was typed."""

    path: Path
    models: str | None = None
    group: str | None = None
    columns: str | None = None
    prices: Path | None = None
    cost_scale: float | None = None
    from_means: bool = False
    min_rows: int = ENOUGH_ROWS
    types: str | None = None

    def open(self, order: str = "shuffled", seed: int = 0) -> Any:
        """The environment that replays it.

        Raises:
          ProblemError: one line that names file or option, and the fix.
        """
        from c2mabv_jax import environments

        if self.min_rows < 1:
            raise ProblemError(f"--min-rows = {self.min_rows}: give 1 or more")
        return environments.replay(
            self.path,
            models=listed("--models", self.models),
            group=listed("--group", self.group),
            order=order,  # type: ignore[arg-type]
            cost_scale=self.cost_scale,
            seed=seed,
            columns=self.columns,
            prices=self.prices,
            from_means=self.from_means,
            min_rows=self.min_rows,
            types=self.types,
        )

    def arguments(self) -> list[str]:
        """The same options for another command."""
        given = ["--log", str(self.path)]
        for option, value, default in (
            ("--models", self.models, None),
            ("--group", self.group, None),
            ("--types", self.types, None),
            ("--columns", self.columns, None),
            ("--prices", self.prices, None),
            ("--cost-scale", self.cost_scale, None),
            ("--min-rows", self.min_rows, ENOUGH_ROWS),
        ):
            given += [option, str(value)] if value != default else []
        return [*given, *(["--from-means"] if self.from_means else [])]


def listed(option: str, text: str | None) -> tuple[str, ...] | None:
    """A comma separated option as a tuple; None when it was not given.

    A name that holds a comma stands in double quotes: `--group '"a, b",c'`.
    """
    if text is None:
        return None
    try:
        rows = list(csv.reader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error:
        rows = []
    names = tuple(part.strip() for part in rows[0]) if len(rows) == 1 else ()
    if not names or not all(names):
        raise ProblemError(f"{option} = {text!r}: give names separated by single commas")
    return names


def billed(problem: Any) -> list[str]:
    """The option of billing, where it is not the usual one."""
    return [] if problem.billing == "selected" else ["--billing", problem.billing]


def described(report: Any) -> str:
    """What was read, in two lines."""
    groups = ", ".join(f"{name} {rows:,}" for name, rows in report.groups)
    left_out = (
        f", {report.rows_missing:,} left out for missing cells (a failed call counts with score 0)"
        if report.rows_missing
        else ""
    )
    read_as = ", ".join(f"{meaning} = {column}" for meaning, column in report.read_as)
    drawn = ", each model's own answers drawn independently" if report.from_means else ""
    return (
        f"{report.file}: {report.rows_kept:,} queries{f' ({groups})' if groups else ''}{left_out}"
        f"{drawn}\n{report.looks}, {report.form}: {read_as}"
    )
