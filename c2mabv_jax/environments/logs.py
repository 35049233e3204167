"""Logs: what every model scored and cost on every query, from a table in a file.

`tables` reads the file, `columns` says what its columns mean, `cells` what is written in them,
`prices` what tokens cost; here they become arrays of queries and models. Whatever is wrong
with a file is one `LogError` line.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from c2mabv_jax.environments.cells import MISSING, factorized, numbers
from c2mabv_jax.environments.columns import ROW_IDS, Cell, Layout, near, understand
from c2mabv_jax.environments.prices import price_of, read_prices
from c2mabv_jax.environments.tables import LogError, Table, open_table, printable, short

__all__ = ["Log", "LogError", "LogReport", "read_log"]

_NAMELESS = MISSING - {"-", "?"}  # no query or model is called that
FEW_ROWS = 200  # common rows below which a log says little
TYPICAL = 0.99  # quantile of a model's costs that no single answer moves
FAR = 3.0  # an answer dearer than this many times the typical one does not set the scale


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
      looks: what the file is, such as "CSV separated by commas".
      read_as: (meaning, column) pairs; a wide log has patterns such as "score|MODEL".
      from_means: whether every model has rows of its own instead of common ones.
      rows_of: complete answers of each model among the chosen groups.
      dear_cells: answers that cost more than `cost_scale`.
      notes: what its reader should know, one sentence each.
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
    looks: str = ""
    read_as: tuple[tuple[str, str], ...] = ()
    from_means: bool = False
    rows_of: tuple[int, ...] = ()
    dear_cells: int = 0
    notes: tuple[str, ...] = ()


class Log(NamedTuple):
    """A log in memory.

    Attributes:
      score: float64 `[R, K]`, in [0, 1].
      cost: float64 `[R, K]`, money.
      query: query ids, `[R]`.
      group: group of each row, `[R]`; empty strings without a group column.
      report: what was read and left out.

    From means, column k holds the answers of model k alone, in its first `rows_of[k]` rows
    (NaN below), and `query` and `group` are empty.
    """

    score: np.ndarray
    cost: np.ndarray
    query: tuple[str, ...]
    group: tuple[str, ...]
    report: LogReport


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
    currency: str
    read_as: tuple[tuple[str, str], ...]


class _Wishes(NamedTuple):
    """What a user asked for: see `read_log`."""

    models: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    prices: Any
    table: dict[str, Any] | None


def read_log(
    path: str | os.PathLike[str],
    models: Sequence[str] | None = None,
    group: str | Sequence[str] | None = None,
    on_missing: str = "drop",
    cost_scale: float | None = None,
    cost_unit: str | None = None,
    *,
    columns: str | Mapping[str, str] | None = None,
    prices: str | os.PathLike[str] | None = None,
    from_means: bool = False,
    min_rows: int = 1,
) -> Log:
    """Read a log; arguments as in `replay`.

    Raises:
      LogError: one line that names file, place and fix.
    """
    if on_missing not in ("drop", "error"):
        raise LogError(f"on_missing = {on_missing!r}: choose drop or error")
    wishes = _Wishes(
        models=(models,) if isinstance(models, str) else None if models is None else tuple(models),
        groups=(group,) if isinstance(group, str) else None if group is None else tuple(group),
        prices=prices,
        table=None if prices is None else read_prices(prices),
    )
    table = open_table(path)
    layout = understand(table, columns, priced=prices is not None, by_query=not from_means)
    if layout.form == "wide":
        known = list(layout.cells)
        chosen = _choose(table, wishes.models, known)
        grid = _read_wide(table, layout, chosen, wishes)
    else:
        chosen, known, grid = _read_long(table, layout, wishes)
    if not grid.rows_read:
        raise table.error("no rows; give at least one query")
    unit = cost_unit or _unit(table, layout.unit, grid.currency, prices is not None)
    counted = _Counted(table, layout, chosen, known, grid, unit, min_rows)
    return counted.own(cost_scale) if from_means else counted.common(on_missing, cost_scale)


def _read_wide(table: Table, layout: Layout, chosen: Sequence[str], wishes: _Wishes) -> _Grid:
    cells = [layout.cells[model] for model in chosen]
    names = [layout.query[0] if layout.query else None, layout.group]
    wanted = [name for name in names if name] + [n for cell in cells for n in _columns(cell)]
    frame = table.read(list(dict.fromkeys(wanted)))
    rows_read = len(frame)
    rows = np.arange(rows_read)
    group = _texts(frame[layout.group]) if layout.group else np.full(rows_read, "", object)
    _check_groups(table, wishes.groups, layout.group, group)
    if wishes.groups is not None:
        rows = np.flatnonzero(np.isin(group, wishes.groups))
    frame, group = frame.iloc[rows], group[rows]
    if layout.query:
        query = _texts(frame[layout.query[0]]).tolist()
    else:
        query = [str(row + 1) for row in rows]
    price = price_of(wishes.table, chosen, wishes.prices) if wishes.table is not None else {}
    score = np.empty((len(frame), len(chosen)))
    cost = np.empty((len(frame), len(chosen)))
    signs = set()
    for k, (model, cell) in enumerate(zip(chosen, cells, strict=True)):
        rates = np.tile(price[model], (len(frame), 1)) if price else None
        score[:, k], cost[:, k], sign = _values(table, frame, cell, rates)
        signs.add(sign)
    first = layout.cells[chosen[0]]
    # The model's name ends the column's name, begins it or is all of it.
    name = re.escape(chosen[0])
    place = re.compile(rf"(?:^|(?<=[|_. ])){name}$|^{name}(?=[|_. ])")
    pattern = [(role, place.sub("MODEL", column, 1)) for role, column in _roles(first, bool(price))]
    named = [("query", names[0]), ("group", names[1])]
    return _Grid(
        score,
        cost,
        query,
        group.tolist(),
        rows_read,
        rows_read - len(frame),
        0,
        len(query) - len(set(query)),
        _one_sign(table, signs),
        tuple((role, name) for role, name in [*named, *pattern] if name),
    )


def _read_long(
    table: Table, layout: Layout, wishes: _Wishes
) -> tuple[tuple[str, ...], list[str], _Grid]:
    assert layout.model is not None
    cell = layout.cells[""]
    wanted = [*layout.query, layout.model, layout.group, *_columns(cell)]
    frame = table.read(list(dict.fromkeys(name for name in wanted if name)))
    if frame.empty:
        raise table.error("no rows; give at least one query")
    model = _texts(frame[layout.model])
    query_column, group_column = None, layout.group
    query = np.array([str(line) for line in frame.index], object)  # every line by itself
    if layout.query:
        query_column, group_column = _identify(frame, layout, model)
        query = _texts(frame[query_column])
    for column, values in ((query_column, query), (layout.model, model)):
        nameless = np.isin(np.char.lower(values.astype(str)), list(_NAMELESS))
        if nameless.any():
            raise table.error("missing; name it", frame.index[int(np.argmax(nameless))], column)
    group = _texts(frame[group_column]) if group_column else np.full(len(frame), "", object)
    known = list(dict.fromkeys(model))
    chosen = _choose(table, wishes.models, known)
    row = _numbered(group, query)  # ids may begin anew in every group
    first = np.unique(row, return_index=True)[1]
    ids, groups = query[first], group[first]
    _check_groups(table, wishes.groups, group_column, group)
    mine = np.isin(model, chosen)
    if wishes.groups is not None:
        mine &= np.isin(group, wishes.groups)
    frame, row, model = frame[mine], row[mine], model[mine]
    places = {name: k for k, name in enumerate(chosen)}
    arm = np.array([places[name] for name in model], int)
    rates = None
    if wishes.table is not None:
        price = price_of(wishes.table, chosen, wishes.prices)
        rates = np.array([price[name] for name in chosen])[arm]
    score, cost, sign = _values(table, frame, cell, rates)
    new = _first_of_each(table, frame, row, arm, score, cost, ids, chosen)
    values = np.full((2, len(ids), len(chosen)), np.nan)
    values[:, row[new], arm[new]] = score[new], cost[new]
    keep = np.ones(len(ids), bool)
    if wishes.groups is not None:
        keep = np.isin(groups, wishes.groups)
    named = [("query", query_column), ("model", layout.model), ("group", group_column)]
    grid = _Grid(
        values[0, keep],
        values[1, keep],
        ids[keep].tolist(),
        groups[keep].tolist(),
        len(ids),
        len(ids) - int(keep.sum()),
        len(frame) - int(new.sum()),
        0,
        sign,
        tuple((role, name) for role, name in [*named, *_roles(cell, rates is not None)] if name),
    )
    return chosen, known, grid


def _identify(frame: pd.DataFrame, layout: Layout, model: np.ndarray) -> tuple[str, str | None]:
    """The columns of queries and groups of a long table.

    An id that numbers rows, so that no two models share one, identifies no query where another
    column does. A `task_id` (or another such id) under which a model answers several times
    names a group of queries.
    """
    group = layout.group
    for name in layout.query[:-1]:
        key = [_texts(frame[name]), *([_texts(frame[group])] if group else [])]
        numbers_rows = _distinct(*key) == len(frame) and len(set(model)) > 1
        pairs = _distinct(*key, model)
        many = _plain(name) in ROW_IDS and pairs < len(frame)
        if many:
            after = layout.query[layout.query.index(name) + 1]
            many = _distinct(_texts(frame[after]), *key[1:], model) > pairs
        if many and group is None and _plain(name) == "task_id":
            group = name
        if not numbers_rows and not many:
            return name, group
    shared = _distinct(_texts(frame[layout.query[-1]])) < len(frame)
    return (layout.query[-1] if shared or len(set(model)) == 1 else layout.query[0]), group


def _numbered(*columns: np.ndarray) -> np.ndarray:
    """Rows that agree in all columns by one number, in order of appearance."""
    code = np.zeros(len(columns[0]), int)
    for column in columns:
        more, distinct = pd.factorize(column)
        code = pd.factorize(code * len(distinct) + more)[0]
    return code


def _distinct(*columns: np.ndarray) -> int:
    return int(_numbered(*columns).max(initial=-1)) + 1


def _plain(name: str) -> str:
    return name.strip().lower()


def _first_of_each(
    table: Table,
    frame: pd.DataFrame,
    row: np.ndarray,
    arm: np.ndarray,
    score: np.ndarray,
    cost: np.ndarray,
    ids: np.ndarray,
    chosen: Sequence[str],
) -> np.ndarray:
    """Which lines are the first of their query and model; the others must say the same."""
    code = row * len(chosen) + arm
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    leader = first[which]
    for values in (score, cost):
        other = ~((values == values[leader]) | (np.isnan(values) & np.isnan(values[leader])))
        if other.any():
            at = int(np.argmax(other))
            raise table.error(
                f"query {short(ids[row[at]])} and model {short(chosen[arm[at]])} occur "
                "twice with different values; keep one, or name the column that tells queries "
                "apart with --columns query=...",
                frame.index[at],
            )
    return leader == np.arange(len(code))


def _columns(cell: Cell) -> list[str]:
    return [cell.score, *cell.cost, *(cell.tokens or ())]


def _roles(cell: Cell, priced: bool) -> list[tuple[str, str]]:
    tokens = cell.tokens or ("", "")
    cost = [("tokens", " + ".join(tokens))] if priced else [("cost", " + ".join(cell.cost))]
    return [("score", cell.score), *cost]


def _values(
    table: Table, frame: pd.DataFrame, cell: Cell, rates: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, str]:
    """Scores, costs and the currency written beside them; `rates` `[rows, 2]` price tokens."""
    score = numbers(table, frame[cell.score], "score").values
    if rates is not None:
        assert cell.tokens is not None
        counts = [numbers(table, frame[name], "tokens").values for name in cell.tokens]
        return score, counts[0] * rates[:, 0] + counts[1] * rates[:, 1], ""
    parts = [numbers(table, frame[name], "cost") for name in cell.cost]
    cost = np.sum([part.values for part in parts], axis=0)
    return score, cost, _one_sign(table, {part.currency for part in parts})


def _one_sign(table: Table, signs: set[str]) -> str:
    signs = signs - {""}
    if len(signs) > 1:
        raise table.error(f"costs in several currencies ({', '.join(sorted(signs))}); use one")
    return min(signs, default="")


def _unit(table: Table, named: str, written: str, priced: bool) -> str:
    """Unit of money, by the name of the column or the sign in its cells."""
    if priced:
        return "USD/query"
    if named and written and named.upper() != written:
        raise table.error(f"costs in {written}, but the column is named {named}; use one")
    return f"{named.upper() or written or 'cost'}/query"


@dataclasses.dataclass(frozen=True)
class _Counted:
    """A grid with all that a report tells about it."""

    table: Table
    layout: Layout
    chosen: tuple[str, ...]
    known: list[str]
    grid: _Grid
    unit: str
    min_rows: int

    def common(self, on_missing: str, cost_scale: float | None) -> Log:
        """The queries that every chosen model answered."""
        grid = self.grid
        lacks = np.isnan(grid.score) | np.isnan(grid.cost)
        whole = ~lacks.any(axis=1)
        if not len(whole):
            raise self.table.error("no rows in the chosen group; choose another")
        if lacks.any() and on_missing == "error":
            r, k = (int(i) for i in np.argwhere(lacks)[0])
            raise self.table.error(
                f"a cell is missing: query {short(grid.query[r])} has no score or cost of model "
                f"{short(self.chosen[k])}; fill it in, choose other models, or allow rows to be "
                "dropped"
            )
        kept = int(whole.sum())
        if not kept or kept < self.min_rows:
            raise self.table.error(self.too_few(lacks, kept))
        notes = []
        if kept < FEW_ROWS or lacks.any():
            notes += self.few(lacks, kept)
        score, cost = grid.score[whole], grid.cost[whole]
        group = tuple(name for name, keep in zip(grid.group, whole, strict=True) if keep)
        query = tuple(name for name, keep in zip(grid.query, whole, strict=True) if keep)
        return Log(score, cost, query, group, self.report(score, cost, group, cost_scale, notes))

    def own(self, cost_scale: float | None) -> Log:
        """Every model's own answers, whoever else was asked."""
        whole = ~(np.isnan(self.grid.score) | np.isnan(self.grid.cost))
        rows = whole.sum(axis=0)
        for model, count in zip(self.chosen, rows.tolist(), strict=True):
            if count < max(self.min_rows, 1):
                raise self.table.error(
                    f"model {short(model)} has {count} complete answers; leave it out with "
                    f"--models, or lower --min-rows (now {self.min_rows})"
                )
        score = np.full((rows.max(), len(rows)), np.nan)
        cost = score.copy()
        for k, count in enumerate(rows):
            score[:count, k] = self.grid.score[whole[:, k], k]
            cost[:count, k] = self.grid.cost[whole[:, k], k]
        group = tuple(
            name for name, some in zip(self.grid.group, whole.any(axis=1), strict=True) if some
        )
        notes = [
            "drawn from each model's own answers, independently of the other models (--from-means)"
            ": how models fail together is not in it, and if they were asked about different "
            "queries, they are compared on different queries"
        ]
        if rows.min() < FEW_ROWS:
            k = int(rows.argmin())
            answers = _many(int(rows[k]), "answer", "answers")
            notes.append(f"{self.chosen[k]} has only {answers}; its figures are vague")
        report = dataclasses.replace(
            self.report(score, cost, group, cost_scale, notes),
            from_means=True,
            rows_kept=len(group),
            rows_missing=len(whole) - len(group),
            missing_cells=int((np.isnan(self.grid.score) != np.isnan(self.grid.cost)).sum()),
        )
        return Log(score, cost, (), (), report)

    def few(self, lacks: np.ndarray, kept: int) -> list[str]:
        """What to know about dropped and few rows."""
        said = []
        total = len(lacks)
        lost, rest, gain = _costly(lacks, self.chosen)
        if lost and gain > 1.1 * kept:
            said.append(
                f"{kept:,} of {total:,} queries have an answer of every model; without "
                f"{', '.join(lost)} there are {gain:,}: --models {_quoted(rest)}"
            )
        if kept < FEW_ROWS:
            said.append(
                f"{_many(kept, 'query is', 'queries are')} few (under {FEW_ROWS}); take figures as "
                "rough"
            )
        return said

    def too_few(self, lacks: np.ndarray, kept: int) -> str:
        """Why too few rows are left, and what to do."""
        answers = Counter((~lacks).sum(axis=1).tolist())
        most = ", ".join(f"{n:,} have {k}" for k, n in sorted(answers.items()))
        total, num = len(lacks), len(self.chosen)
        if not lacks.any():
            return (
                f"{kept} queries, too few to say anything; give more, or go on with "
                f"--min-rows {kept}"
            )
        lost, rest, gain = _costly(lacks, self.chosen)
        ways = []
        if lost and gain > max(kept, self.min_rows - 1) and len(rest) > 1:
            who = ", ".join(
                f"{short(m)} answered {total - int(lacks[:, self.chosen.index(m)].sum()):,}"
                for m in lost
            )
            ways.append(f"--models {_quoted(rest)} keeps {gain:,} ({who})")
        ways.append("--from-means draws from each model's own answers")
        if kept:
            ways.append(f"--min-rows {kept} goes on")
        start = f"only {kept:,} of {total:,} rows are complete" if kept else "no row is complete"
        if set(answers) == {1}:
            start = "no row is complete, as every query was put to one model only"
        return (
            f"{start}: each query needs an answer of every model, with score and cost; of "
            f"{total:,} queries {most} of {num}. {'; '.join(ways)}"
        )

    def report(
        self,
        score: np.ndarray,
        cost: np.ndarray,
        group: tuple[str, ...],
        cost_scale: float | None,
        notes: list[str],
    ) -> LogReport:
        grid, chosen = self.grid, self.chosen
        scale = _cost_scale(self.table, cost, cost_scale)
        dear = int((cost > scale).sum())
        if dear:
            notes = [*notes, self.dear(cost, scale, dear)]
        if self.layout.left_out:
            left = ", ".join(self.layout.left_out)
            notes = [*notes, f"not read, for want of a score or a cost: {left}"]
        if grid.duplicates:
            notes = [
                *notes,
                f"{_many(grid.duplicates, 'line repeats', 'lines repeat')} another one, and counts "
                "once",
            ]
        lacks = np.isnan(grid.score) | np.isnan(grid.cost)
        answered = (~lacks).sum(axis=0)
        return LogReport(
            file=self.table.file,
            form=self.layout.form,
            rows_read=grid.rows_read,
            rows_kept=len(score),
            rows_other_group=grid.other_group,
            rows_missing=len(lacks) - len(score),
            missing_cells=int(np.isnan(grid.score).sum() + np.isnan(grid.cost).sum()),
            duplicate_cells=grid.duplicates,
            repeated_queries=grid.repeated,
            models=chosen,
            other_models=tuple(model for model in self.known if model not in chosen),
            groups=tuple(Counter(name for name in group if name).items()),  # as they appear
            cost_unit=self.unit,
            cost_scale=scale,
            score_range=(float(np.nanmin(score)), float(np.nanmax(score))),
            cost_range=(float(np.nanmin(cost)), float(np.nanmax(cost))),
            looks=self.table.looks,
            read_as=grid.read_as,
            rows_of=tuple(int(n) for n in answered),
            dear_cells=dear,
            notes=tuple(notes),
        )

    def dear(self, cost: np.ndarray, scale: float, number: int) -> str:
        largest = float(np.nanmax(cost))
        k = int(np.nanargmax(cost) % cost.shape[1])
        many = "1 answer costs" if number == 1 else f"{number:,} answers cost"
        return (
            f"{many} more than the scale of costs, {scale:.3g} (the dearest {largest:.3g}, of "
            f"{self.chosen[k]}); they are billed and learned in full, but confidence bounds are "
            f"proven only for costs below the scale: --cost-scale {largest:.4g} would bound all"
        )


def _costly(lacks: np.ndarray, models: Sequence[str]) -> tuple[list[str], list[str], int]:
    """Models without which most rows are whole: those, the others, and how many rows then."""
    best: tuple[list[str], list[str], int] = ([], list(models), int((~lacks.any(axis=1)).sum()))
    rest = list(range(len(models)))
    while len(rest) > 2:
        rest.remove(max(rest, key=lambda k: lacks[:, k].sum()))
        rows = int((~lacks[:, rest].any(axis=1)).sum())
        if rows > 1.1 * best[2]:
            lost = [model for k, model in enumerate(models) if k not in rest]
            best = (lost, [models[k] for k in rest], rows)
    return best


def _cost_scale(table: Table, cost: np.ndarray, given: float | None) -> float:
    """Money per unit of scaled cost: the largest cost, a few far dearer answers set aside.

    Radii are as wide as the scale, so a single dear answer would make every policy that trusts
    its bounds blind to costs. Far dearer is more than `FAR` times the `TYPICAL` quantile of the
    dearest model. No mean may exceed the scale.
    """
    means = np.nanmean(cost, axis=0)
    least = float(means.max())
    if given is None:
        largest = float(np.nanmax(cost))
        typical = float(np.nanquantile(cost, TYPICAL, axis=0, method="lower").max())
        ordinary = cost[cost <= FAR * typical]
        if typical > 0 and largest > FAR * typical:
            largest = max(float(ordinary.max()), least)
        return largest if largest > 0 else 1.0
    try:
        scale = float(given)
    except (TypeError, ValueError):
        raise LogError(f"cost_scale = {given!r}: give a number") from None
    if not (math.isfinite(scale) and scale > 0 and scale >= least):
        raise table.error(
            f"cost_scale = {scale!r}: the dearest model costs {least!r} on average; give a finite "
            "number above 0 and at least that"
        )
    return scale


def _choose(table: Table, wanted: Sequence[str] | None, known: list[str]) -> tuple[str, ...]:
    chosen = tuple(known) if wanted is None else tuple(wanted)
    if not chosen:
        raise table.error("models: none chosen; name at least one")
    for name in chosen:
        if name not in known:
            raise table.error(f"models: no {short(name)} in the log{near(name, known)}")
    if len(set(chosen)) < len(chosen):
        raise table.error("models: a name is given twice; give each once")
    return chosen


def _check_groups(
    table: Table, wanted: Sequence[str] | None, column: str | None, group: np.ndarray
) -> None:
    """Complain about groups that the log does not have."""
    if wanted is None:
        return
    if column is None:
        raise table.error(
            "group: the log has no column 'group'; leave the option out, or name the column with "
            "--columns group=..."
        )
    if not wanted:
        raise table.error("group: none chosen; name at least one")
    known = list(dict.fromkeys(group))
    for name in wanted if known else ():
        if name not in known:
            raise table.error(f"group: no {short(name)} in the log{near(name, known)}")


def _texts(cells: pd.Series) -> np.ndarray:
    """Names in cells, as text without spaces around it; missing ones are empty."""
    codes, distinct = factorized(cells)
    names = np.array([*(str(cell).strip() for cell in distinct), ""], dtype=object)
    return names[codes]


def _many(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def _quoted(names: Iterable[str]) -> str:
    """Names as `--models` takes them."""
    text = ",".join(f'"{name}"' if "," in name else name for name in names)
    return f"'{printable(text)}'" if set(text) & set("\"' |()&;$") else text
