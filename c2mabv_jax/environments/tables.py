"""Tables as people save them: what a file is, is told by its content, not by its name.

CSV (separated by commas, semicolons or tabs; UTF-8, or UTF-16 with its mark), JSON Lines, a
JSON array of objects and Parquet; each of them may be gzipped. Whatever cannot be read is one
`LogError` line that says what the file looks like and how to make it readable. Nothing that
could run code is opened.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple, cast

import pandas as pd

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError

MOST_CHARACTERS = 1 << 27  # of one cell
MOST_BYTES = 1 << 31  # of a JSON file, which is parsed as a whole
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}
_PEEK = 1 << 16  # bytes by which a file is recognised

_MARKS = (  # byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_TABLES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook; save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"),
    (b"BZh", "compressed by bzip2; unpack it, or use gzip"),
    (b"\xfd7zXZ", "compressed by xz; unpack it, or use gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it, or use gzip"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
    (b"ARROW1", "an Arrow (Feather) file; save it as Parquet"),
    (b"\x89HDF", "an HDF5 file; save the table as CSV"),
)
_PICKLED = re.compile(rb"\x80[\x02-\x05]")
_JSON = re.compile(r'\s*(\{\s*"|\[\s*[\[\{\]])')


class LogError(ProblemError):
    """A log that cannot be read; one line that names file, place and fix."""


class Table(NamedTuple):
    """A file that is known to be a table, before its columns are understood.

    Attributes:
      file: path as given, printable.
      looks: what the file is, in words.
      header: names of the columns that have one, in order.
      read: the cells of the named columns as they are written (text, or the values of JSON and
        Parquet), one row per line of the file; the index holds the lines.
      line: what a row is called: "line", "record" or "row".
      decimal_comma: whether a comma inside a number is its decimal point.
    """

    file: str
    looks: str
    header: list[str]
    read: Callable[[Sequence[str]], pd.DataFrame]
    line: str = "line"
    decimal_comma: bool = False

    def error(self, what: str, line: Any = None, column: str | None = None) -> LogError:
        """A complaint about this file."""
        place = "" if line is None else f", {self.line} {line}"
        place += "" if column is None else f", column {short(column)}"
        return LogError(one_line(f"{self.file}{place}: {what}"))


def open_table(path: str | os.PathLike[str]) -> Table:
    """The table in a file.

    Raises:
      LogError: one line that says what the file looks like and what to do.
    """
    try:
        name = os.fspath(path)
    except TypeError:
        raise LogError(f"path = {path!r}: give the path of a table (CSV, JSON, Parquet)") from None
    name = os.fsdecode(name)
    file = printable(name)
    with _one_line_errors([file]):
        with _opened(name) as stream:
            head = stream.read(_PEEK)
        suffix = name.lower().removesuffix(".gz")
        if head[:4] == b"PAR1" or suffix.endswith((".parquet", ".pq")):
            return _parquet(name, file)
        _refuse(file, suffix, head)
        encoding = _encoding(file, head)
        start = codecs.getincrementaldecoder(encoding)().decode(head)
        if _JSON.match(start) or suffix.endswith((".json", ".jsonl", ".ndjson")):
            return _json(name, file, encoding)
        return _text(name, file, encoding)


def _refuse(file: str, suffix: str, head: bytes) -> None:
    """Complain about what is no table."""
    for mark, what in _NOT_TABLES:
        if head.startswith(mark):
            raise LogError(f"{file}: {what}")
    if _PICKLED.match(head) or suffix.endswith((".pkl", ".pickle")):
        raise LogError(
            f"{file}: a pickle, which may run any code when it is opened, so it is not; if you "
            "trust it: python -c \"import pandas; pandas.read_pickle('log.pkl')"
            ".to_csv('log.csv', index=False)\""
        )


def _encoding(file: str, head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        even = head[:512:2].count(0), head[1:512:2].count(0)
        kind = "looks like UTF-16 without its mark" if max(even) > 4 * min(even) else "binary"
        raise LogError(f"{file}: {kind}, not UTF-8 text; save it as UTF-8 CSV")
    return "utf-8"


def _opened(name: str) -> IO[bytes]:
    """The file's bytes, unpacked if it is gzipped."""
    with files.opened(name) as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(name, "rb") if packed else files.opened(name))


def _text(name: str, file: str, encoding: str) -> Table:
    with _rows(name, file, encoding, None) as rows:
        first = next(rows, None)
        if first is None:
            raise LogError(f"{file}: empty file; give a header line and one row per query")
        separator, names = first[1]
    header = [column.strip() for column in names]
    table = Table(
        file,
        f"CSV separated by {SEPARATORS[separator]}",
        _named(file, header),
        lambda columns: _read_text(name, file, encoding, separator, header, columns),
        decimal_comma=separator == ";",
    )
    return table


@contextlib.contextmanager
def _rows(name: str, file: str, encoding: str, separator: str | None) -> Iterator[Iterator]:
    """Numbered rows of a text; without a separator, only (separator, header)."""
    limit = csv.field_size_limit(MOST_CHARACTERS)
    place = [file]  # for a complaint, which names the line that was being read
    try:
        with (
            _one_line_errors(place),
            _opened(name) as binary,
            io.TextIOWrapper(binary, encoding, newline="") as stream,
        ):
            if separator is None:
                yield iter(_header(stream))
            else:
                yield _numbered(csv.reader(stream, delimiter=separator, strict=True), place)
    finally:
        csv.field_size_limit(limit)


def _numbered(reader: Any, place: list[str]) -> Iterator[tuple[int, list[str]]]:
    file = place[0]
    while True:
        place[0] = f"{file}, line {reader.line_num + 1}"
        row = next(reader, None)
        if row is None:
            break
        if row:
            yield reader.line_num, row


def _header(stream: io.TextIOWrapper) -> list[tuple[int, tuple[str, list[str]]]]:
    """The separator that makes most of the first row, and the names between it."""
    start = stream.tell()
    found: list[tuple[str, list[str]]] = []
    for separator in SEPARATORS:
        stream.seek(start)
        rows = csv.reader(stream, delimiter=separator)
        row = next((row for row in rows if row), None)
        if row is not None and row[0].startswith("sep=") and len("".join(row)) <= 5:
            row = next(rows, None)  # a line by which Excel is told the separator
        if row:
            found.append((separator, row))
    return [(1, max(found, key=lambda pair: len(pair[1])))] if found else []


def _read_text(
    name: str,
    file: str,
    encoding: str,
    separator: str,
    header: list[str],
    columns: Sequence[str],
) -> pd.DataFrame:
    places = [header.index(column) for column in columns]
    lines: list[int] = []
    cells: list[list[str]] = []
    with _rows(name, file, encoding, separator) as rows:
        for _, row in rows:
            if [column.strip() for column in row] == header:
                break
        for line, row in rows:
            if not row[0].strip() and not any(map(str.strip, row)):
                continue  # spreadsheets leave rows of separators behind
            if len(row) != len(header):
                raise LogError(
                    f"{file}, line {line}: {len(row)} fields, but the header has {len(header)}; "
                    "give every column a value, and quote cells that hold the separator"
                )
            lines.append(line)
            cells.append([row[place] for place in places])
    return pd.DataFrame(cells, index=lines, columns=list(columns), dtype=object)


def _json(name: str, file: str, encoding: str) -> Table:
    with _opened(name) as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise LogError(f"{file}: more than {MOST_BYTES >> 30} GiB of JSON; save it as CSV")
    text = content.decode(encoding).lstrip("\ufeff")
    if text.lstrip().startswith("["):
        looks, word = "a JSON array", "record"
        values = _parsed(file, text, "")
        numbered = list(enumerate(values, start=1))
    else:
        looks, word = "JSON Lines", "line"
        lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
        if len(lines) > 1 and not _is_json(lines[0][1]) and _is_json(text):
            looks, lines = "one JSON object", [(1, text)]
        numbered = [(n, _parsed(file, line, f", line {n}")) for n, line in lines]
        if len(numbered) == 1 and isinstance(numbered[0][1], dict):
            keys = ", ".join(short(key) for key in list(numbered[0][1])[:6])
            raise LogError(
                one_line(
                    f"{file}: one JSON object (keys {keys}); give an array of objects or one "
                    "object a line, each an answer: query, model, score, cost"
                )
            )
    header: dict[str, None] = {}
    index, records = [], []
    for number, value in numbered:
        if not isinstance(value, dict):
            raise LogError(f"{file}, {word} {number}: not a JSON object; give one per answer")
        record = dict(_flat(value))
        header.update(dict.fromkeys(record))
        index.append(number)
        records.append(record)
    if not records:
        raise LogError(f"{file}: empty file; give one JSON object per answer")

    def read(columns: Sequence[str]) -> pd.DataFrame:
        cells = {column: [record.get(column) for record in records] for column in columns}
        return pd.DataFrame(cells, index=index, columns=list(columns), dtype=object)

    return Table(file, looks, _named(file, list(header)), read, word)


def _parsed(file: str, text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise LogError(f"{file}{place}: JSON nested too deeply; give flat objects") from None
    except ValueError as error:
        raise LogError(one_line(f"{file}{place}: not JSON ({error}); correct it")) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"{short(twice)} occurs twice in one object")
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Inner objects as columns of their own: `usage.prompt_tokens`."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}".strip(), value


def _parquet(name: str, file: str) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise LogError(
            f"{file}: reading Parquet needs pyarrow; pip install c2mabv_jax[logs]"
        ) from None

    def load(columns: list[str] | None) -> Any:
        with _one_line_errors([file]):
            with _opened(name) as stream:
                source = pyarrow.BufferReader(stream.read())
            try:
                if columns is None:
                    return pyarrow.parquet.read_schema(source)
                return pyarrow.parquet.read_table(source, columns=columns)
            except (pyarrow.ArrowException, OSError) as error:
                what = f"not a Parquet table ({error}); check the file"
                raise LogError(one_line(f"{file}: {what}")) from None

    names = [str(column) for column in load(None).names]
    stored = {column.strip(): column for column in names}

    def read(columns: Sequence[str]) -> pd.DataFrame:
        table = load([stored[column] for column in columns])
        try:
            cells = {column: table.column(stored[column]).to_pylist() for column in columns}
        except (UnicodeDecodeError, pyarrow.ArrowException) as error:
            what = f"not a Parquet table ({error}); check the file"
            raise LogError(one_line(f"{file}: {what}")) from None
        index = range(1, table.num_rows + 1)
        return pd.DataFrame(cells, index=index, columns=list(columns), dtype=object)

    return Table(file, "Parquet", _named(file, [n.strip() for n in names]), read, "row")


def _named(file: str, header: list[str]) -> list[str]:
    """The columns that have a name (indices that pandas writes have none), each once."""
    names = [name for name in header if name]
    for name in names:
        if names.count(name) > 1:
            raise LogError(
                f"{file}, column {short(name)}: occurs twice in the header; name each column once"
            )
    return names


@contextlib.contextmanager
def _one_line_errors(place: list[str]) -> Iterator[None]:
    """Whatever goes wrong in reading a file, as a LogError; `place` may change on the way."""
    try:
        yield
    except LogError:
        raise
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise LogError(one_line(f"{place[0]}: {_why(error)}")) from None


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return (
            f"not UTF-8 text (byte {error.start}); save it as UTF-8, such as by "
            "iconv -f LATIN1 -t UTF-8"
        )
    if isinstance(error, UnicodeError):
        return f"not text ({error}); save it as UTF-8 CSV"
    if isinstance(error, csv.Error):
        return f"not a CSV table ({error}); check quotes and field sizes"
    if isinstance(error, (gzip.BadGzipFile, EOFError, zlib.error)):
        return f"a damaged gzip file ({error}); pack it again"
    if isinstance(error, OSError):
        return f"{error.strerror or error}; give a readable table (CSV, JSON, Parquet)"
    return f"cannot be read ({error}); give a table (CSV, JSON, Parquet)"


def printable(text: str) -> str:
    """Text for a message, without control characters."""
    return one_line("".join(c if c.isprintable() else "?" for c in text))


def one_line(text: str) -> str:
    return " ".join(text.split())


def short(value: Any) -> str:
    """A value for a message, quoted and not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[0]}"
