"""Plain text to go on pretraining with: text files, or rows with a text."""

from collections.abc import Mapping
from pathlib import Path

from llmops.datasets.rows import Format, Parsed, parse_rows, refuse_none, text_of
from llmops.datasets.tables import RejectedRow
from llmops.documents import folder
from llmops.errors import ConfigError, DataError

_SUFFIXES = (".txt", ".md")


def read_texts(path: Path, columns: Mapping[str, str] = {}) -> Parsed[str]:
    """Read a .txt or .md file, a folder of them, or the rows of a file with a column `text`, which `columns` may map.

    Raises:
        DataError: the path is missing or of an unknown kind, there is no column `text`, or nothing usable.
        ConfigError: `columns` has a name other than text, or is given for text files.
    """
    if not path.exists():
        raise DataError(f"{str(path)!r} does not exist. Give a text file, a folder of them, or rows with a column 'text'.")
    if not path.is_dir() and path.suffix.lower() not in _SUFFIXES:
        return parse_rows(path, columns, [Format("text", ("text",), lambda fields: text_of(fields, "text"))])
    if columns:
        raise ConfigError(f"columns: {str(path)!r} is text without columns. Leave them out.")
    return _read_files(path)


def _read_files(path: Path) -> Parsed[str]:
    files, unread = folder.scan(path)
    texts: dict[str, str] = {}
    rejected = [RejectedRow(found.doc_id, found.reason) for found in unread]
    for file in files:
        try:
            texts[file.name] = _read_file(file.path)
        except DataError as error:
            rejected.append(RejectedRow(file.name, str(error)))
    refuse_none(path, len(texts), rejected)
    return Parsed(tuple(texts.values()), tuple(texts), tuple(rejected), "files")


def _read_file(path: Path) -> str:
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"neither {' nor '.join(_SUFFIXES)}, so not read. Convert it to text, or remove it.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(folder.why(error)) from error
    if not text.strip():
        raise DataError("empty, expected text.")
    return text
