"""Which column of a table means what, by its name: one meaning a column, one column a meaning.

Two forms. Long: one row per query and model. Wide: one row per query, with columns named by a
model and a meaning in any of these ways: `score|M`, `M|score`, or (without bars) `M_score`,
`score_M`; a score may be called by the model alone where `M|cost` or `M_cost` is there too.
Where two columns could mean the same, nothing is guessed: a `LogError` names both and the
option that decides.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from c2mabv_jax.environments.tables import LogError, Table, one_line, short

# Accepted names by meaning, in ranks: a name of a later rank counts only without earlier ones.
NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "query": (
        (
            "query_id", "prompt_id", "question_id", "sample_id", "doc_id", "example_id", "item_id",
            "instance_id", "qid",
        ),
        ("id", "request_id", "task_id", "uid", "uuid"),
        ("query", "prompt", "question", "instruction"),
    ),
    "model": (
        ("model",),
        ("model_name", "model_id", "llm", "llm_name", "arm", "model_permaslug"),
    ),
    "score": (
        (
            "score", "reward", "performance", "quality", "correct", "is_correct", "accuracy", "acc",
            "effect", "eval_score", "success", "passed",
        ),
    ),
    "cost": (("cost", "total_cost", "cost_total", "spend", "response_cost"), ("price",)),
    "group": (("group",), ("task", "dataset", "eval_name", "category", "benchmark", "subject")),
    "input_cost": (("input_cost", "cost_input", "prompt_cost", "cost_prompt"),),
    "output_cost": (("output_cost", "cost_output", "completion_cost", "cost_completion"),),
    "input_tokens": (
        ("input_tokens", "prompt_tokens", "tokens_in", "tokens_prompt", "tokens_input"),
    ),
    "output_tokens": (
        ("output_tokens", "completion_tokens", "tokens_out", "tokens_completion", "tokens_output"),
    ),
}  # fmt: skip
ROW_IDS = NAMES["query"][1]  # often number the rows of a long table instead of the queries
SHOWN = 20  # columns that a message names
CELLS = ("score", "cost", "input_cost", "output_cost", "input_tokens", "output_tokens")
MONEY = frozenset(
    ("usd", "eur", "cny", "rmb", "gbp", "jpy", "chf", "cad", "aud", "inr", "krw", "brl", "cents")
)
_COST = re.compile(r"((?:total_)?cost|price|spend)(?:_in)?_([a-z]+)|(?:total_)?([a-z]+)_cost")
_PART = re.compile(r"(.*(?:cost|input|output|prompt|completion))_([a-z]+)")


class Named(NamedTuple):
    """A column that may have a meaning.

    Attributes:
      column: its name.
      rank: among candidates; the smallest wins.
      unit: of money, by its name.
      word: the part of its name that says the meaning; "" where that is all of it.
    """

    column: str
    rank: int
    unit: str
    word: str = ""


class Cell(NamedTuple):
    """Columns that hold one model's score and cost (in a long table, every model's).

    Attributes:
      score: column of scores.
      cost: columns that add up to the cost; empty where only tokens are there.
      tokens: columns of input and output tokens; None without them.
    """

    score: str
    cost: tuple[str, ...]
    tokens: tuple[str, str] | None


class Layout(NamedTuple):
    """What the columns of a table mean.

    Attributes:
      form: "wide" or "long".
      query: columns that may identify a query, the best first; empty if there is none.
      group: column of groups, or None.
      model: column of models in a long table, or None.
      cells: columns of each model, in file order; of a long table under "".
      unit: unit of money by the names of the cost columns, such as "usd"; "" without one.
      left_out: models of a wide table that lack a score or a cost, and so are not read.
    """

    form: str
    query: tuple[str, ...]
    group: str | None
    model: str | None
    cells: dict[str, Cell]
    unit: str
    left_out: tuple[str, ...] = ()


def read_choice(choice: str | Mapping[str, str] | None) -> dict[str, tuple[str, ...]]:
    """`--columns score=...,cost=a+b,query=...` as columns by meaning.

    A name with a comma is put in double quotes with its meaning: `"score=right, or not"`.

    Raises:
      LogError: not of this form, or of no known meaning.
    """
    if choice is None:
        return {}
    if isinstance(choice, str):
        fields = next(csv.reader([choice], skipinitialspace=True), [])
        pairs = [field.partition("=") for field in fields]
        if not all(equals for _, equals, _ in pairs):
            raise LogError(f"columns = {choice!r}: give score=NAME,cost=NAME and so on")
        choice = {role.strip(): column.strip() for role, _, column in pairs}
    for role in choice:
        if role not in NAMES:
            raise LogError(f"columns: no meaning {role!r}; it has {', '.join(NAMES)}")
    return {role: (column,) if column else () for role, column in choice.items()}


def understand(
    table: Table,
    choice: str | Mapping[str, str] | None = None,
    priced: bool = False,
    by_query: bool = True,
) -> Layout:
    """What the columns of `table` mean.

    Args:
      table: the table.
      choice: columns that were named by the user; see `read_choice`.
      priced: whether costs are to come from tokens and prices.
      by_query: whether answers to one query belong together, so that queries must be named.

    Raises:
      LogError: a meaning without a column or with several; names the columns and the fix.
    """
    reader = _Reader(table, read_choice(choice), priced, by_query)
    return reader.bars() or reader.long() or reader.words() or reader.nothing()


class _Reader:
    """One table, and what its user said about its columns."""

    def __init__(
        self, table: Table, chosen: dict[str, tuple[str, ...]], priced: bool, by_query: bool
    ) -> None:
        self.table, self.priced, self.by_query = table, priced, by_query
        self.chosen: dict[str, tuple[str, ...]] = {}
        for role, columns in chosen.items():
            self.chosen[role] = tuple(
                part for column in columns for part in self._parts(role, column)
            )

    def _parts(self, role: str, column: str) -> list[str]:
        """The columns in `a+b`, which only a cost may be; or a word of a wide form."""
        if column in self.table.header:
            return [column]
        parts = [part.strip() for part in column.split("+")] if role == "cost" else [column]
        names = [*self.table.header, *(w for n in self.table.header for w in _words(n))]
        for part in parts:
            if part not in names:
                raise self.table.error(
                    f"columns: no {short(part)} for {role}{near(part, self.table.header)}"
                )
        return parts

    def meanings(self, word: str) -> dict[str, Named]:
        """What a name may mean, among score, cost and tokens."""
        found = {}
        for role in CELLS:
            named = self.meaning(role, word)
            if named is not None:
                found[role] = named
        return found

    def meaning(self, role: str, word: str) -> Named | None:
        """The rank and unit of a name for a meaning; None where it has another."""
        if role in self.chosen:
            return Named(word, 0, _unit_of(word)) if word in self.chosen[role] else None
        if role in ("input_cost", "output_cost") and "cost" in self.chosen:
            return None
        for name in dict.fromkeys((_plain(word), _plain(word.rsplit(".", 1)[-1]))):
            rank = _rank(role, name)
            if rank is not None:
                return Named(word, rank, "")
            if role == "cost" and (match := _COST.fullmatch(name)):
                unit = match[2] or match[3]
                if unit in MONEY:
                    return Named(word, int(match[1] == "price"), unit)
                if match[2] and f"{match[1]}_{unit}" not in _PARTS:
                    return Named(word, 2, unit)
            if role in ("input_cost", "output_cost") and (match := _PART.fullmatch(name)):
                rank = _rank(role, match[1])
                if rank is not None and match[2] in MONEY:
                    return Named(word, rank, match[2])
        return None

    def one(self, role: str, found: Iterable[Named]) -> Named | None:
        """The candidate of the best rank; several of it are an error."""
        found = list(found)
        best = [named for named in found if named.rank == min(n.rank for n in found)]
        if len(best) > 1:
            columns = " and ".join(short(named.column) for named in best)
            raise self.table.error(
                f"columns {columns} could both be the {role}; say which with "
                f"--columns {role}={best[0].word or best[0].column}"
            )
        return best[0] if best else None

    def candidates(self, role: str) -> list[Named]:
        """Columns of a long table for a meaning, in file order."""
        named = (self.meaning(role, column) for column in self.table.header)
        return [one for one in named if one is not None]

    def cell(self, by_role: Mapping[str, list[Named]]) -> tuple[Cell, set[str]] | str:
        """The columns of one model and their units; or what it lacks."""
        score = self.one("score", by_role.get("score", ()))
        parts = [self.one(role, by_role.get(role, ())) for role in CELLS[2:]]
        inputs, outputs, tokens_in, tokens_out = parts
        costs = by_role.get("cost", [])
        if "cost" in self.chosen and costs:
            cost = costs
        elif inputs and outputs and all(named.rank > 0 for named in costs):
            cost = [inputs, outputs]
        else:
            one = self.one("cost", costs)
            cost = [one] if one else []
            half = inputs or outputs
            if not one and half and not self.priced:
                raise self.table.error(
                    f"column {short(half.column)} is only a part of the cost; add the other, or "
                    f"say that it is all with --columns cost={half.column}"
                )
        tokens = None
        if tokens_in and tokens_out:
            tokens = tokens_in.column, tokens_out.column
        if score is None:
            return "score"
        if self.priced and tokens is None:
            return "input_tokens" if tokens_in is None else "output_tokens"
        if not self.priced and not cost:
            return "cost"
        columns = tuple(named.column for named in cost)
        return Cell(score.column, columns, tokens), {named.unit for named in cost}

    def query(self) -> tuple[str, ...]:
        """Columns that may identify a query: ids before texts."""
        found = self.candidates("query")
        ranked = []
        for rank in sorted({named.rank for named in found}):
            same = [named for named in found if named.rank == rank]
            if rank == 1:  # whether they number rows or queries, the cells tell
                order = {name: place for place, name in enumerate(ROW_IDS)}
                ranked += sorted(same, key=lambda n: order.get(_plain(n.column), len(order)))
            elif not ranked:
                one = self.one("query", same)
                ranked += [one] if one else []
            else:
                ranked += same
        return tuple(named.column for named in ranked)

    def group(self) -> str | None:
        one = self.one("group", self.candidates("group"))
        return one.column if one else None

    def long(self) -> Layout | None:
        """The layout of a long table, or None where it is none."""
        model = self.one("model", self.candidates("model"))
        query = self.query() if self.by_query else ()
        by_role = {role: self.candidates(role) for role in CELLS}
        if model is None or (self.by_query and not query) or not by_role["score"]:
            return None
        cell = self.cell(by_role)
        if isinstance(cell, str):
            if cell == "cost" and by_role["input_tokens"] and by_role["output_tokens"]:
                raise self.table.error(
                    "has token counts but no column 'cost'; give the prices with --prices FILE "
                    "(TOML, or LiteLLM's JSON)"
                )
            raise self.lacking(cell)
        return Layout("long", query, self.group(), model.column, {"": cell[0]}, self.unit(cell[1]))

    def unit(self, units: set[str]) -> str:
        """The one unit of all costs."""
        if len(units) > 1:
            named = ", ".join(sorted(unit or "none named" for unit in units))
            raise self.table.error(f"costs in several units ({named}); use one")
        return min(units, default="")

    def lacking(self, role: str) -> LogError:
        columns = [short(column) for column in self.table.header]
        found = ", ".join(columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
        found += " alone (is it separated by something else?)" if len(columns) == 1 else ""
        names = [name for rank in NAMES[role] for name in rank][:6]
        price = " (or token counts and --prices)" if role == "cost" else ""
        return self.table.error(
            f"no column {role!r}{price}; the {self.table.looks} has {found}. Give query, model, "
            f"score, cost (long) or score|MODEL, cost|MODEL (wide); a {role} may also be called "
            f"{', '.join(names[1:])}, or name it with --columns {role}=..."
        )

    def nothing(self) -> Layout:
        """Say what is missing."""
        for role in (*(("query",) if self.by_query else ()), "model", "score", "cost"):
            if not self.candidates(role):
                raise self.lacking(role)
        raise AssertionError("a table with all four meanings is long")

    def bars(self) -> Layout | None:
        """The layout of a wide table whose columns are named with a bar, or None."""
        models: dict[str, dict[str, list[Named]]] = {}
        for column in self.table.header:
            prefix, _, rest = (part.strip() for part in column.partition("|"))
            before, _, suffix = (part.strip() for part in column.rpartition("|"))
            if prefix and rest and self.meanings(prefix):
                self.add(models, rest, prefix, column)
            elif before and suffix and self.meanings(suffix):
                self.add(models, before, suffix, column)
        if not models:
            return None
        for model, roles in models.items():
            if "score" not in roles and model in self.table.header:
                roles["score"] = [Named(model, 0, "")]
        return self.wide(models, strict=True)

    def words(self) -> Layout | None:
        """The layout of a wide table whose columns are named M_cost or cost_M, or None."""
        suffix: dict[str, dict[str, list[Named]]] = {}
        prefix: dict[str, dict[str, list[Named]]] = {}
        for column in self.table.header:
            whole_name = self.meanings(column).values()
            if any(named.rank < 2 for named in whole_name) and "." not in column:
                continue  # total_cost is not the cost of a model called total
            cuts = [i for i, letter in enumerate(column) if letter in "_. " and i > 0]
            ends = [i for i in cuts if i + 1 < len(column) and self.meanings(column[i + 1 :])]
            if ends:  # of M_total_cost the longest meaning
                self.add(suffix, column[: ends[0]], column[ends[0] + 1 :], column)
            starts = [i for i in cuts if i + 1 < len(column) and self.meanings(column[:i])]
            if starts:
                self.add(prefix, column[starts[-1] + 1 :], column[: starts[-1]], column)
        for model, roles in suffix.items():
            if "score" not in roles and model in self.table.header:
                roles["score"] = [Named(model, 0, "")]

        def whole(models: dict[str, dict[str, list[Named]]]) -> int:
            return sum("score" in roles and len(roles) > 1 for roles in models.values())

        best = max((suffix, prefix), key=whole)
        return self.wide(best, strict=False) if whole(best) else None

    def add(
        self, models: dict[str, dict[str, list[Named]]], model: str, word: str, column: str
    ) -> None:
        for role, named in self.meanings(word).items():
            same = models.setdefault(model, {}).setdefault(role, [])
            same.append(named._replace(column=column, word=word))

    def wide(self, models: dict[str, dict[str, list[Named]]], strict: bool) -> Layout:
        cells: dict[str, Cell] = {}
        units: set[str] = set()
        left_out = []
        for model, roles in models.items():
            cell = self.cell(roles)
            if not isinstance(cell, str):
                cells[model] = cell[0]
                units |= cell[1]
            elif strict:
                have = next(role for role in CELLS if role in roles).replace("_", " ")
                raise self.table.error(
                    f"model {short(model)} has a {have} but no {cell.replace('_', ' ')}; "
                    f"add a column {short(f'{cell}|{model}')}"
                )
            else:
                left_out.append(model)
        query = tuple(named.column for named in self.candidates("query"))
        return Layout("wide", query, self.group(), None, cells, self.unit(units), tuple(left_out))


_PARTS = frozenset(
    name for role in ("input_cost", "output_cost") for rank in NAMES[role] for name in rank
)


def _rank(role: str, name: str) -> int | None:
    for rank, names in enumerate(NAMES[role]):
        if name in names or (role in CELLS and name.removesuffix("s") in names):
            return rank
    return None


def _plain(name: str) -> str:
    """A name in one way of writing: promptTokens, Prompt Tokens, prompt-tokens are one."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", apart.lower())


def _unit_of(word: str) -> str:
    last = _plain(word).rsplit("_", 1)[-1]
    return last if last in MONEY else ""


def _words(name: str) -> list[str]:
    """The words of a wide column's name that may say what it means."""
    parts = [part.strip() for part in name.split("|")]
    cuts = [i for i, letter in enumerate(name) if letter in "_. "]
    return [parts[0], parts[-1], *(name[:i] for i in cuts), *(name[i + 1 :] for i in cuts)]


def near(name: str, known: Sequence[str]) -> str:
    """A hint: what of `known` looks like `name`, or else what there is."""
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    listed = ", ".join(short(n) for n in (close or list(known)[:8]))
    return one_line(f"; did you mean {listed}?" if close else f"; it has {listed}")
