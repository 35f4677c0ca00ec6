"""What rows of training files mean: the formats they may have, and what is made of each row."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from llmops.datasets.tables import Fields, RejectedRow, listed, read_rows
from llmops.errors import ConfigError, DataError

T = TypeVar("T")

_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Format(Generic[T]):
    """A way to write a T as a row: the columns it needs, those it may have, and what reads it or raises DataError."""

    name: str
    columns: tuple[str, ...]
    parse: Callable[[Fields], T]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """What was made of a file's rows; `wheres` has a "file:line", "file:row N" or, of text files, the file for each item."""

    items: tuple[T, ...]
    wheres: tuple[str, ...]
    rejected: tuple[RejectedRow, ...]
    format: str


def parse_columns(text: str) -> dict[str, str]:
    """Read "prompt=ask,completion=reply": our names for the columns of a file. Empty text is no columns.

    Raises:
        ConfigError: a pair is malformed, or a name stands twice.
    """
    columns: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, _, column = (part.strip() for part in pair.partition("="))
        if not name or not column:
            raise ConfigError(f"columns: found {pair!r}, expected name=column, as in prompt=ask,completion=reply.")
        if name in columns:
            raise ConfigError(f"columns: {name!r} stands twice. Name one column for it.")
        columns[name] = column
    return columns


def parse_rows(path: Path, columns: Mapping[str, str], formats: Sequence[Format[T]]) -> Parsed[T]:
    """Make a T of every row. The first row that fits a format decides which it is, for the whole file.

    `columns` maps our names to the file's columns; only formats that have all these names come into question.

    Raises:
        DataError: the file can't be read, fits no format, lacks a column named, or holds no usable row.
        ConfigError: no format has the names in `columns`.
    """
    possible = [form for form in formats if columns.keys() <= {*form.columns, *form.optional}]
    if not possible:
        raise ConfigError(f"columns: no format has {listed(columns)}. Expected names of {_described(formats)}.")
    form: Format[T] | None = None
    first = ""
    found: dict[str, T] = {}
    rejected: list[RejectedRow] = []
    for row in read_rows(path, columns):
        if not isinstance(row, RejectedRow):
            first = first or listed(row[1])
            form = form or next((form for form in possible if row[1].keys() >= set(form.columns)), None)
        item = row if isinstance(row, RejectedRow) else _parsed(form, *row)
        if isinstance(item, RejectedRow):
            rejected.append(item)
        else:
            found.update([item])
    if first and form is None:
        raise DataError(f"{str(path)!r} has the columns {first}, expected {_described(possible)}.")
    refuse_none(path, len(found), rejected)
    return Parsed(tuple(found.values()), tuple(found), tuple(rejected), form.name if form else "")


def _parsed(form: Format[T] | None, where: str, fields: Fields) -> tuple[str, T] | RejectedRow:
    if form is None:
        return RejectedRow(where, f"has the columns {listed(fields)}, which fit no format.")
    try:
        return where, form.parse(fields)
    except DataError as error:
        return RejectedRow(where, str(error))


def refuse_none(path: Path, count: int, rejected: Sequence[RejectedRow]) -> None:
    """Raise DataError if the `count` of usable rows is 0, with the first reasons."""
    if not count and not rejected:
        raise DataError(f"{str(path)!r} holds no rows. Give a file with at least one.")
    if not count:
        reasons = " ".join(f"{row.where}: {row.reason}" for row in rejected[:3])
        raise DataError(f"{str(path)!r} holds no usable row, {len(rejected):,} were rejected. {reasons}")


def text_of(fields: Fields, name: str) -> str:
    """Return a field as it is written, if it is text with something in it; raises DataError as `checked_text` does."""
    text = checked_text(fields.get(name), repr(name))
    if not text.strip():
        raise DataError(f"{name!r} is empty, expected text.")
    return text


def checked_text(value: object, what: str) -> str:
    """Return `value`, text that may be empty.

    Raises:
        DataError: it is no text, or holds half a character, which no tokenizer takes.
    """
    if not isinstance(value, str):
        raise DataError(f"{what} is {value!r:.60}, expected text.")
    if not value.isascii() and _HALF.search(value):
        raise DataError(f"{what} holds half a character, such as \\ud83d. Remove it.")
    return value


def _described(formats: Sequence[Format[T]]) -> str:
    return " or ".join(f"{form.name} ({', '.join(form.columns)})" for form in formats)
