"""Files of rows: JSON lines, CSV and Parquet, read row by row. A row that can't be read is rejected with its reason."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llmops.datasets import jsonl
from llmops.errors import DataError

Fields = dict[str, Any]

_LONGEST_CELL = 16_000_000  # characters; bounds what a quote that is never closed swallows
_BATCH = 256  # rows of Parquet in memory at a time
_LISTED = 20  # columns that an error names
_UNDECODED = re.compile("[\udc80-\udcff]")
_NOT_UTF8 = "not UTF-8. Save the file as UTF-8."


@dataclass(frozen=True)
class RejectedRow:
    """A row that was left out, and why, in words a user can act on."""

    where: str
    reason: str


Row = tuple[str, Fields] | RejectedRow


def read_rows(path: Path, columns: Mapping[str, str] = {}) -> Iterator[Row]:
    """Yield ("file:line" or "file:row N", fields) or a RejectedRow for each row; fields in `columns` get our names.

    Raises:
        DataError: the file is missing, damaged, of an unknown kind, or has none of a column named.
    """
    seen: dict[str, None] = {}
    for row in _read(path):
        if isinstance(row, RejectedRow):
            yield row
            continue
        where, fields = row
        seen.update(dict.fromkeys(fields))
        own = {name: value for name, value in fields.items() if name not in columns}
        yield where, own | {name: fields[column] for name, column in columns.items() if column in fields}
    for column in columns.values() if seen else ():
        if column not in seen:
            raise DataError(f"{str(path)!r} has no column {column!r}, only {listed(seen)}. Name one of these.")


def _read(path: Path) -> Iterator[Row]:
    name = path.name.lower()
    readers = {".jsonl": _read_lines, ".json": _read_json, ".csv": _read_csv, ".tsv": _read_csv}
    reader = readers.get(Path(name.removesuffix(".gz")).suffix)
    if not path.is_file():
        raise DataError(f"{str(path)!r} is no file. Give one of JSON lines, CSV or Parquet.")
    if reader is None and not name.endswith(".parquet"):
        raise DataError(f"{path.name!r}: unknown kind of file, expected .jsonl, .json, .csv, .tsv (.gz or not) or .parquet.")
    try:
        if reader is None:
            yield from _read_parquet(path)
            return
        with gzip.open(path) if name.endswith(".gz") else path.open("rb") as file:
            yield from reader(file, path.name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{str(path)!r} can't be read ({error}). Make it again.") from error


def _read_json(file: Any, name: str) -> Iterator[Row]:
    """Lines, or one list of objects, which is read whole."""
    if not file.peek(64)[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        yield from _read_lines(file, name)
        return
    try:
        items = json.loads(file.read().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} begins with [ but is no list in JSON ({error}). Mend it.") from error
    for number, item in enumerate(items, start=1):
        where = f"{name}:row {number}"
        found = f"found a {type(item).__name__}, expected an object such as {{...}}."
        yield (where, item) if isinstance(item, dict) else RejectedRow(where, found)


def _read_lines(file: IO[bytes], name: str) -> Iterator[Row]:
    for number, found in jsonl.read_each(file):
        where = f"{name}:{number}"
        yield RejectedRow(where, str(found)) if isinstance(found, DataError) else (where, found)


def _read_csv(file: Any, name: str) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    first = file.peek(1).partition(b"\n")[0]
    delimiter = max(",;\t", key=lambda mark: first.count(mark.encode()))
    with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as lines:
        header: list[str] | None = None
        for begin, found in _records(csv.reader(lines, delimiter=delimiter, strict=True)):
            if isinstance(found, str):
                yield RejectedRow(f"{name}:{begin}", found)
            elif header is None:
                header = _header(name, [cell.strip() for cell in found]) if any(found) else None
            elif found:
                yield _from_cells(header, found, f"{name}:{begin}")


def _records(rows: Any) -> Iterator[tuple[int, list[str] | str]]:
    """The line on which each record begins, and its cells or what is wrong with it."""
    while True:
        begin = rows.line_num + 1
        try:
            yield begin, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            swallowed = f"lines {begin} to {rows.line_num}: " if rows.line_num > begin else ""
            yield begin, f"{swallowed}no valid CSV ({error}). Look for a quote too many or too few."


def _from_cells(header: list[str], cells: list[str], where: str) -> Row:
    if len(cells) != len(header):
        return RejectedRow(where, f"found {len(cells)} cells, expected {len(header)} as in the header.")
    if _UNDECODED.search("".join(cells)):
        return RejectedRow(where, _NOT_UTF8)
    return where, dict(zip(header, cells, strict=True))


def _header(name: str, columns: list[str]) -> list[str]:
    twice = [column for column in columns if column and columns.count(column) > 1]
    if twice:
        raise DataError(f"{name}: the column {twice[0]!r} stands twice. Rename one of them.")
    if _UNDECODED.search("".join(columns)):
        raise DataError(f"{name}: the header is {_NOT_UTF8}")
    return columns


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            _header(path.name, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_BATCH):
                for fields in _from_batch(batch):
                    where = f"{path.name}:row {(number := number + 1)}"
                    yield RejectedRow(where, _NOT_UTF8) if fields is None else (where, fields)
    except pyarrow.ArrowException as error:
        said = " ".join(str(error).split())
        raise DataError(f"{str(path)!r} is no Parquet file, or a damaged one ({said}). Write it again.") from error


def _from_batch(batch: Any) -> list[Fields | None]:
    """The rows of a record batch; None for one that is not UTF-8, which Arrow doesn't check on reading."""
    try:
        rows: list[Fields | None] = batch.to_pylist()
    except UnicodeDecodeError:
        rows = [None] if len(batch) == 1 else [row for i in range(len(batch)) for row in _from_batch(batch.slice(i, 1))]
    return rows


def listed(columns: Mapping[str, object]) -> str:
    """The names of columns, as an error shows them."""
    names = ", ".join(repr(name) for name in list(columns)[:_LISTED])
    return f"{names} and {len(columns) - _LISTED} more" if len(columns) > _LISTED else names or "none"
