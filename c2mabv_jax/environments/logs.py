"""Reading logs: a table of query x model with score and cost, from CSV or Parquet.

Two forms. Wide: one row per query, columns `score|MODEL` and `cost|MODEL` (or
`cost_usd|MODEL`, any unit), optionally `query_id` and `group`. Long: one row per query and
model, columns query, model, score, cost (or `cost_usd`), optionally group. Whatever is
wrong with a file is one `LogError` line.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from c2mabv_jax.errors import ProblemError

MISSING = frozenset({"", "na", "n/a", "null", "none"})
ALIASES = {
    "query": ("query", "query_id", "prompt_id", "question_id", "sample_id", "id"),
    "model": ("model", "model_name", "model_id", "llm", "arm"),
    "score": ("score", "reward", "performance", "quality", "correct"),
    "cost": ("cost", "total_cost", "price"),
    "group": ("group", "task", "dataset", "eval_name", "category"),
}
_WIDE = re.compile(r"(score|cost)(?:_([A-Za-z]+))?\|(.+)", re.DOTALL)
_LONG_COST = re.compile(r"(?:total_)?cost_([a-z]+)")


class LogError(ProblemError):
    """A log that cannot be read; one line that names file, place and fix."""


@dataclasses.dataclass(frozen=True)
class LogReport:
    """What was read and what was left out.

    Attributes:
      file: path as given.
      form: "wide" or "long".
      rows_read: queries in the file.
      rows_kept: queries replayed.
      rows_other_group: left out because their group was not asked for.
      rows_missing: left out because a score or cost of a chosen model is missing.
      missing_cells: scores or costs missing among the chosen models (and groups).
      duplicate_cells: repeated, identical (query, model) lines of a long log, ignored.
      repeated_queries: rows of a wide log whose query id occurred before; they are kept.
      models: the chosen models.
      other_models: models of the file that were not chosen.
      groups: (group, rows kept) pairs; empty without a group column.
      cost_unit: unit of the file's money.
      cost_scale: money per unit of scaled cost.
      score_range, cost_range: smallest and largest among rows kept; cost in money.
    """

    file: str
    form: str
    rows_read: int
    rows_kept: int
    rows_other_group: int
    rows_missing: int
    missing_cells: int
    duplicate_cells: int
    repeated_queries: int
    models: tuple[str, ...]
    other_models: tuple[str, ...]
    groups: tuple[tuple[str, int], ...]
    cost_unit: str
    cost_scale: float
    score_range: tuple[float, float]
    cost_range: tuple[float, float]


class Log(NamedTuple):
    """A log in memory.

    Attributes:
      score: float64 `[R, K]`, in [0, 1].
      cost: float64 `[R, K]`, money.
      query: query ids, `[R]`.
      group: group of each row, `[R]`; empty strings without a group column.
      report: what was read and left out.
    """

    score: np.ndarray
    cost: np.ndarray
    query: tuple[str, ...]
    group: tuple[str, ...]
    report: LogReport


class _Sheet(NamedTuple):
    """Header and numbered lines of a file, before anything is understood."""

    file: str
    header: list[str]
    lines: Iterator[tuple[int, Sequence[Any]]]

    def error(self, what: str, line: int | None = None, column: str | None = None) -> LogError:
        place = "" if line is None else f", line {line}"
        place += "" if column is None else f", column {_short(column)}"
        return LogError(" ".join(f"{self.file}{place}: {what}".split()))


class _Grid(NamedTuple):
    """Cells by query and chosen model; NaN where missing."""

    score: np.ndarray
    cost: np.ndarray
    query: list[str]
    group: list[str]
    rows_read: int
    other_group: int
    duplicates: int
    repeated: int


def read_log(
    path: str | os.PathLike[str],
    models: Sequence[str] | None = None,
    group: str | Sequence[str] | None = None,
    on_missing: str = "drop",
    cost_scale: float | None = None,
    cost_unit: str | None = None,
) -> Log:
    """Read a log; arguments as in `replay`.

    Raises:
      LogError: one line that names file, place and fix.
    """
    if on_missing not in ("drop", "error"):
        raise LogError(f"on_missing = {on_missing!r}: choose drop or error")
    groups = (group,) if isinstance(group, str) else None if group is None else tuple(group)
    if isinstance(models, str):
        models = (models,)
    with _Source(path) as sheet:
        wide = _wide_columns(sheet)
        if wide is not None:
            form, (known, unit, columns) = "wide", wide
            chosen = _choose(sheet, models, known, "models")
            grid = _read_wide(sheet, chosen, columns, groups)
        else:
            form = "long"
            chosen, known, unit, grid = _read_long(sheet, models, groups)
        return _finish(sheet, form, chosen, known, grid, on_missing, cost_scale, cost_unit or unit)


class _Source:
    """Opens a file as a sheet, and turns whatever goes wrong in reading it into a LogError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path = os.fspath(path)
        except TypeError:
            raise LogError(f"path = {path!r}: give the path of a CSV or Parquet file") from None
        self.file = _printable(str(self.path))
        self.stream: Any = None
        self.reader: Any = None

    def __enter__(self) -> _Sheet:
        try:
            if str(self.path).lower().endswith((".parquet", ".pq")):
                return self._parquet()
            return self._text()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.stream is not None:
            self.stream.close()
        line = f", line {self.reader.line_num + 1}" if self.reader is not None else ""
        what = None
        if isinstance(error, UnicodeDecodeError):
            what = f"not UTF-8 text (byte {error.start}); save it as UTF-8 CSV"
        elif isinstance(error, csv.Error):
            what = f"not a CSV table ({error}); check quotes and field sizes"
        elif isinstance(error, OSError):
            what, line = f"{error.strerror or error}; give a readable CSV or Parquet file", ""
        elif isinstance(error, ValueError) and not isinstance(error, LogError):
            what = f"cannot be read ({error}); give a CSV or Parquet file"
        if what is not None:
            raise LogError(" ".join(f"{self.file}{line}: {what}".split())) from None

    def _text(self) -> _Sheet:
        self.stream = open(self.path, encoding="utf-8-sig", newline="")  # noqa: SIM115
        delimiter = "\t" if str(self.path).lower().endswith(".tsv") else ","
        self.reader = csv.reader(self.stream, delimiter=delimiter, strict=True)
        header = next((row for row in self.reader if row), None)
        if header is None:
            raise LogError(f"{self.file}: empty file; give a header line and one row per query")
        lines = ((self.reader.line_num, row) for row in self.reader if row)
        return _check_header(_Sheet(self.file, [name.strip() for name in header], lines))

    def _parquet(self) -> _Sheet:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise LogError(
                f"{self.file}: reading Parquet needs pyarrow; pip install c2mabv_jax[logs]"
            ) from None
        try:
            with open(self.path, "rb") as stream:
                table = pyarrow.parquet.read_table(stream)
            columns = [column.to_pylist() for column in table.columns]
        except pyarrow.ArrowException as error:
            raise LogError(
                " ".join(f"{self.file}: not a Parquet table ({error}); check the file".split())
            ) from None
        lines = enumerate(zip(*columns, strict=True), start=1)
        return _check_header(_Sheet(self.file, [str(n).strip() for n in table.schema.names], lines))


def _check_header(sheet: _Sheet) -> _Sheet:
    seen = set()
    for name in sheet.header:
        if name in seen:
            raise sheet.error("occurs twice in the header; name each column once", column=name)
        seen.add(name)
    return sheet


def _wide_columns(sheet: _Sheet) -> tuple[list[str], str, dict[str, dict[str, int]]] | None:
    """Models in file order, money unit, and column indices; None for a long log."""
    columns: dict[str, dict[str, int]] = {"score": {}, "cost": {}}
    units = set()
    for index, name in enumerate(sheet.header):
        match = _WIDE.fullmatch(name)
        if match is None or (match[1] == "score" and match[2]):
            continue
        kind, unit, model = match.groups()
        if model in columns[kind]:
            raise sheet.error("this model has two such columns; keep one", column=name)
        columns[kind][model] = index
        if kind == "cost":
            units.add(unit.lower() if unit else "")
    if not columns["score"] and not columns["cost"]:
        return None
    for kind, other in (("score", "cost"), ("cost", "score")):
        lacking = [model for model in columns[other] if model not in columns[kind]]
        if lacking:
            raise sheet.error(
                f"model {_short(lacking[0])} has a {other} but no {kind}; "
                f"add a column {_short(kind + '|' + lacking[0])}"
            )
    if len(units) > 1:
        raise sheet.error(f"costs in several units ({', '.join(sorted(units))}); use one")
    return list(columns["score"]), _unit(units.pop()), columns


def _find(sheet: _Sheet, role: str) -> int | None:
    lower = [name.lower() for name in sheet.header]
    for alias in ALIASES[role]:
        if alias in lower:
            return lower.index(alias)
    return None


def _read_wide(
    sheet: _Sheet,
    chosen: Sequence[str],
    columns: dict[str, dict[str, int]],
    groups: tuple[str, ...] | None,
) -> _Grid:
    query_at, group_at = _find(sheet, "query"), _group_column(sheet, groups)
    query: list[str] = []
    group: list[str] = []
    score: list[list[float]] = []
    cost: list[list[float]] = []
    seen: set[str] = set()
    rows_read = repeated = 0
    all_groups: dict[str, None] = {}
    for line, row in _rows(sheet):
        rows_read += 1
        name = "" if group_at is None else str(row[group_at]).strip()
        all_groups[name] = None
        if groups is not None and name not in groups:
            continue
        query.append(str(rows_read) if query_at is None else str(row[query_at]).strip())
        repeated += query[-1] in seen
        seen.add(query[-1])
        group.append(name)
        for kind, values in (("score", score), ("cost", cost)):
            at = columns[kind]
            values.append([_number(sheet, line, at[m], row[at[m]], kind) for m in chosen])
    _known_groups(sheet, groups, all_groups)
    shape = (len(query), len(chosen))
    return _Grid(
        np.array(score, np.float64).reshape(shape),
        np.array(cost, np.float64).reshape(shape),
        query,
        group,
        rows_read,
        rows_read - len(query),
        0,
        repeated,
    )


def _read_long(
    sheet: _Sheet, models: Sequence[str] | None, groups: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[str], str, _Grid]:
    at = {role: _find(sheet, role) for role in ("query", "model", "score", "cost")}
    unit = ""
    if at["cost"] is None:
        for index, name in enumerate(sheet.header):
            match = _LONG_COST.fullmatch(name.lower())
            if match:
                at["cost"], unit = index, match[1]
                break
    lacking = [role for role, index in at.items() if index is None]
    if lacking:
        raise sheet.error(
            f"no column {lacking[0]!r}; give columns score|MODEL and cost|MODEL (wide), "
            "or query, model, score, cost (long); a unit may follow: cost_usd"
        )
    query_at, model_at, score_at, cost_at = (int(i) for i in at.values() if i is not None)
    group_at = _group_column(sheet, groups)
    rows: dict[str, int] = {}
    group: list[str] = []
    known: dict[str, int] = {}
    cells: dict[tuple[int, int], tuple[float, float]] = {}
    duplicates = 0
    for line, row in _rows(sheet):
        query, model = str(row[query_at]).strip(), str(row[model_at]).strip()
        for value, index in ((query, query_at), (model, model_at)):
            if row[index] is None or value.lower() in MISSING:
                raise sheet.error("missing; name it", line, sheet.header[index])
        name = "" if group_at is None else str(row[group_at]).strip()
        r = rows.setdefault(query, len(rows))
        if r == len(group):
            group.append(name)
        elif group[r] != name:
            raise sheet.error(
                f"query {_short(query)} is in two groups ({_short(group[r])}, {_short(name)}); "
                "give one",
                line,
            )
        k = known.setdefault(model, len(known))
        if models is not None and model not in models:
            continue
        cell = (
            _number(sheet, line, score_at, row[score_at], "score"),
            _number(sheet, line, cost_at, row[cost_at], "cost"),
        )
        before = cells.setdefault((r, k), cell)
        if before is not cell:
            same = all(a == b or (a != a and b != b) for a, b in zip(before, cell, strict=True))
            if not same:
                raise sheet.error(
                    f"query {_short(query)} and model {_short(model)} occur twice with "
                    "different values; keep one",
                    line,
                )
            duplicates += 1
    if not rows:
        raise sheet.error("no rows; give at least one query")
    chosen = _choose(sheet, models, list(known), "models")
    _known_groups(sheet, groups, dict.fromkeys(group))
    place = {known[model]: k for k, model in enumerate(chosen)}
    values = np.full((2, len(rows), len(chosen)), np.nan)
    for (r, k), cell in cells.items():
        values[:, r, place[k]] = cell
    keep = [r for r in range(len(rows)) if groups is None or group[r] in groups]
    ids = list(rows)
    grid = _Grid(
        values[0, keep],
        values[1, keep],
        [ids[r] for r in keep],
        [group[r] for r in keep],
        len(rows),
        len(rows) - len(keep),
        duplicates,
        0,
    )
    return chosen, list(known), _unit(unit), grid


def _finish(
    sheet: _Sheet,
    form: str,
    chosen: Sequence[str],
    known: Sequence[str],
    grid: _Grid,
    on_missing: str,
    cost_scale: float | None,
    unit: str,
) -> Log:
    if not grid.rows_read:
        raise sheet.error("no rows; give at least one query")
    missing = np.isnan(grid.score).sum() + np.isnan(grid.cost).sum()
    lacks = np.isnan(grid.score) | np.isnan(grid.cost)
    whole = ~lacks.any(axis=1)
    if missing and (on_missing == "error" or not whole.any()):
        r, k = (int(i) for i in np.argwhere(lacks)[0])
        why = "no row is complete" if not whole.any() else "a cell is missing"
        raise sheet.error(
            f"{why}: query {_short(grid.query[r])} has no score or cost of model "
            f"{_short(chosen[k])}; fill it in, choose other models, or allow rows to be dropped"
        )
    if not whole.any():
        raise sheet.error("no rows in the chosen group; choose another")
    score, cost = grid.score[whole], grid.cost[whole]
    largest = float(cost.max())
    if cost_scale is None:
        cost_scale = largest if largest > 0 else 1.0
    try:
        cost_scale = float(cost_scale)
    except (TypeError, ValueError):
        raise LogError(f"cost_scale = {cost_scale!r}: give a number") from None
    if not (math.isfinite(cost_scale) and cost_scale > 0 and cost_scale >= largest):
        raise sheet.error(
            f"cost_scale = {cost_scale!r}: the dearest answer costs {largest!r}; "
            "give a finite number above 0 and at least that"
        )
    group = [name for name, kept in zip(grid.group, whole, strict=True) if kept]
    counts = Counter(name for name in group if name)  # in order of appearance
    report = LogReport(
        file=sheet.file,
        form=form,
        rows_read=grid.rows_read,
        rows_kept=int(whole.sum()),
        rows_other_group=grid.other_group,
        rows_missing=int((~whole).sum()),
        missing_cells=int(missing),
        duplicate_cells=grid.duplicates,
        repeated_queries=grid.repeated,
        models=tuple(chosen),
        other_models=tuple(model for model in known if model not in chosen),
        groups=tuple(counts.items()),
        cost_unit=unit,
        cost_scale=cost_scale,
        score_range=(float(score.min()), float(score.max())),
        cost_range=(float(cost.min()), largest),
    )
    query = tuple(name for name, kept in zip(grid.query, whole, strict=True) if kept)
    return Log(score, cost, query, tuple(group), report)


def _rows(sheet: _Sheet) -> Iterator[tuple[int, Sequence[Any]]]:
    width = len(sheet.header)
    for line, row in sheet.lines:
        if len(row) != width:
            raise sheet.error(
                f"{len(row)} fields, but the header has {width}; give every column a value", line
            )
        yield line, row


def _number(sheet: _Sheet, line: int, index: int, cell: Any, kind: str) -> float:
    """A score in [0, 1] or a cost of 0 or more; NaN where the cell is missing."""
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
        return math.nan
    try:
        if isinstance(cell, str) and "_" in cell:  # Python reads 1_0 as ten
            raise ValueError
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise sheet.error(
            f"{_short(cell)} is not a number; give one, or leave the cell empty",
            line,
            sheet.header[index],
        ) from None
    if kind == "score" and not 0 <= value <= 1:
        fix = "scores lie in [0, 1]; divide by the largest possible score"
    elif kind == "cost" and not 0 <= value < math.inf:
        fix = "costs are finite and 0 or more; correct it"
    else:
        return value
    if math.isnan(value):
        fix = "not a number; leave the cell empty if the value is missing"
    raise sheet.error(f"{_short(cell)}: {fix}", line, sheet.header[index])


def _choose(
    sheet: _Sheet, wanted: Sequence[str] | None, known: list[str], field: str
) -> tuple[str, ...]:
    chosen = tuple(known) if wanted is None else tuple(wanted)
    if not chosen:
        raise sheet.error(f"{field}: none chosen; name at least one")
    for name in chosen:
        if name not in known:
            raise sheet.error(f"{field}: no {_short(name)} in the log{_near(name, known)}")
    if len(set(chosen)) < len(chosen):
        raise sheet.error(f"{field}: a name is given twice; give each once")
    return chosen


def _group_column(sheet: _Sheet, groups: tuple[str, ...] | None) -> int | None:
    index = _find(sheet, "group")
    if groups is not None and index is None:
        raise sheet.error("group: the log has no column 'group'; leave the option out")
    if groups is not None and not groups:
        raise sheet.error("group: none chosen; name at least one")
    return index


def _known_groups(sheet: _Sheet, groups: tuple[str, ...] | None, known: dict[str, None]) -> None:
    for name in groups or ():
        if name not in known:
            raise sheet.error(f"group: no {_short(name)} in the log{_near(name, list(known))}")


def _near(name: Any, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    listed = ", ".join(_short(n) for n in (near or known[:8]))
    return f"; did you mean {listed}?" if near else f"; it has {listed}"


def _unit(unit: str) -> str:
    return f"{unit.upper() or 'cost'}/query"


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else "?" for c in text).split())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[0]}"
