"""CSV and JSON lines: a file of any size as a stream of records."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from llmops import digests
from llmops.documents.folder import Rejected, printable
from llmops.documents.parsed import Draft, Parsed
from llmops.documents.text import SAMPLE, clean, clean_metadata, find_encoding, refuse_misspelt_groups
from llmops.errors import DataError
from llmops.types import Document, Section

_TEXT_FIELDS = ("text", "content", "body", "page_content")
_ID_FIELDS = ("_id", "id")
_NO_NUMBERS = (*_TEXT_FIELDS, *_ID_FIELDS, "title", "metadata", "groups")
_NUMBER = re.compile("-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][+-][0-9]+)?")  # not 007 or 1e5, which are codes
_UNDECODED = re.compile("[\udc80-\udcff]")
_TOO_LONG = "\udcff"  # stands for a line above the limit; no text holds it
_MAX_LISTED = 100  # bad lines of one file that are listed one by one


def read_jsonl(stream: io.BufferedReader, name: str, max_bytes: int) -> Iterator[Document | Rejected]:
    """Yield a document for each line, an object with a text; `max_bytes` bounds a line. A bad line is rejected."""
    lines: Any = gzip.GzipFile(fileobj=stream) if name.lower().endswith(".gz") else stream
    return _list_few(_read_lines(lines, name, max_bytes), name)


def _list_few(records: Iterator[Document | Rejected], name: str) -> Iterator[Document | Rejected]:
    rejected = 0
    for record in records:
        rejected += isinstance(record, Rejected)
        if isinstance(record, Document) or rejected <= _MAX_LISTED:
            yield record
    if rejected > _MAX_LISTED:
        yield Rejected(name, f"{rejected - _MAX_LISTED:,} more lines can't be read.")


def _read_lines(lines: Any, name: str, max_bytes: int) -> Iterator[Document | Rejected]:
    number = 0
    try:
        while line := lines.readline(max_bytes + 1):
            number += 1
            try:
                if line.strip():
                    yield _from_line(line, f"{name}#{number}", name, max_bytes)
            except DataError as error:
                yield Rejected(name, f"line {number}: {error}")
            while len(line) > max_bytes and not line.endswith(b"\n"):
                line = lines.readline(max_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield Rejected(name, f"the gzip archive is damaged after line {number}. Compress it again.")


def _from_line(line: bytes, fallback_id: str, name: str, max_bytes: int) -> Document:
    if len(line) > max_bytes:
        raise DataError(f"longer than {max_bytes / 1e6:g} MB. Split it.")
    try:
        fields = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise DataError("not JSON in UTF-8. Expected an object on each line.") from error
    if not isinstance(fields, dict):
        raise DataError('expected an object such as {"_id": "1", "text": "..."}.')
    return _document(fields, fallback_id, name)


def _document(fields: dict[str, Any], fallback_id: str, name: str) -> Document:
    text = next((fields[field] for field in _TEXT_FIELDS if fields.get(field) is not None), "")
    title = fields.get("title") or ""
    doc_id = next((fields[field] for field in _ID_FIELDS if fields.get(field) not in (None, "")), fallback_id)
    if not isinstance(text, str) or not isinstance(title, str) or not isinstance(doc_id, str | int):
        raise DataError("the id, title and text must be text.")
    text, title = clean(text), " ".join(clean(title).split())
    text = text if text.strip() else title
    if not text:
        raise DataError(f"no text. Expected a field {', '.join(_TEXT_FIELDS)}.")
    nested = {} if fields.get("metadata") is None else fields["metadata"]
    if not isinstance(nested, dict):
        raise DataError(f"metadata must be an object, got {nested!r:.50}. Or give each of its fields beside the text.")
    own = {key: value for key, value in fields.items() if key not in (*_TEXT_FIELDS, *_ID_FIELDS, "title", "metadata")}
    metadata = clean_metadata(own | nested)
    doc_id = printable(str(doc_id))
    digest = digests.of_data({"id": doc_id, "title": title, "text": text, "metadata": metadata})
    return Document(doc_id, title, text, (Section(0, len(text)),), digest, name, (), metadata)


def read_csv(stream: io.BufferedReader, name: str, max_bytes: int) -> Iterator[Document | Rejected | Parsed]:
    """Yield a document for each row if a column is called text, content, body or page_content, else the table.

    Rows are counted as in a spreadsheet, the header is row 1. Cells that are plain numbers are numbers in the metadata.
    """
    csv.field_size_limit(max_bytes)
    sample = stream.peek(SAMPLE)
    encoding = find_encoding(sample)
    delimiter = _delimiter(sample.decode(encoding, errors="replace"), name)
    lines = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")
    rows = csv.reader(_lines(lines, max_bytes), delimiter=delimiter)
    header = next((row for row in rows if any(row)), [])
    if any(column.strip().lower() in _TEXT_FIELDS for column in header):
        refuse_misspelt_groups(column.strip() for column in header)
        yield from _list_few(_read_rows(rows, header, name), name)
    else:
        draft = Draft()
        draft.table(_bounded(header, rows, max_bytes))
        yield draft.parsed()
    lines.detach()


def _lines(lines: io.TextIOWrapper, max_bytes: int) -> Iterator[str]:
    while line := lines.readline(max_bytes):
        yield line if len(line) < max_bytes else _TOO_LONG + "\n"
        while len(line) == max_bytes and not line.endswith("\n"):
            line = lines.readline(max_bytes)


def _delimiter(sample: str, name: str) -> str:
    if name.lower().endswith(".tsv"):
        return "\t"
    header = sample.lstrip().partition("\n")[0]
    return max(",;\t|", key=header.count)


def _read_rows(rows: Iterator[list[str]], header: list[str], name: str) -> Iterator[Document | Rejected]:
    known = (*_TEXT_FIELDS, *_ID_FIELDS, "title")
    names = [column.strip().lower() if column.strip().lower() in known else clean(column.strip()) for column in header]
    number = 1
    while True:
        number += 1
        try:
            row = next(rows)
            if row == [_TOO_LONG]:
                raise DataError("longer than a file may be. Split it.")
            if _UNDECODED.search("".join(row)):
                raise DataError("not in the encoding of the rest. Save the file as UTF-8.")
            cells = [(column, cell) for column, cell in zip(names, row, strict=False) if column and cell.strip()]
            fields = {column: cell if column in _NO_NUMBERS else _number(cell) for column, cell in cells}
            if fields:
                yield _document(fields, f"{name}#{number}", name)
        except StopIteration:
            return
        except (csv.Error, DataError) as error:
            yield Rejected(name, f"row {number}: {error}")


def _number(cell: str) -> str | int | float:
    """The number that a cell is, else its text, as where it has more digits than metadata can hold."""
    if not _NUMBER.fullmatch(cell.strip()) or abs(value := float(cell)) >= 2**63:
        return cell
    return int(cell) if cell.strip().removeprefix("-").isdigit() else value


def _bounded(header: list[str], rows: Iterator[list[str]], max_bytes: int) -> Iterator[list[str]]:
    yield header
    length = 0
    for row in rows:
        length += sum(map(len, row))
        if length > max_bytes or row == [_TOO_LONG]:
            raise DataError(f"a table of more than {max_bytes / 1e6:g} MB. Split it, or call the text's column 'text'.")
        yield row
