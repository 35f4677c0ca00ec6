"""JSON Lines files, with errors that name the line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llmops.errors import DataError


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", object) for every line that isn't blank.

    Raises:
        DataError: the file is missing or not UTF-8, or a line is no JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} can't be read ({error}). Give a UTF-8 file of JSON lines.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            value = parse_object(line)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        yield where, value


def read_each(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    """Yield (line number, object) for every line that isn't blank, or (line number, what is wrong with it)."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _object_or_error(line)


def _object_or_error(line: bytes) -> dict[str, Any] | DataError:
    try:
        return parse_object(line.decode("utf-8-sig"))
    except DataError as error:
        return error
    except UnicodeDecodeError:
        return DataError("not UTF-8. Save the file as UTF-8.")
    except (ValueError, RecursionError):
        return DataError("nested too deeply, or a number of too many digits. Mend the line.")


def parse_object(line: str) -> dict[str, Any]:
    """Read one line.

    Raises:
        DataError: it is no JSON, or no object; the place is left to the caller.
    """
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"no valid JSON ({error.msg}, column {error.colno}). Mend the line.") from error
    if not isinstance(value, dict):
        raise DataError(f"found a {type(value).__name__}, expected an object such as {{...}}.")
    return value


def text_field(where: str, value: dict[str, Any], name: str) -> str:
    """Return a field that must be text with something in it."""
    text = value.get(name)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: {name!r} is {text!r}, expected text.")
    return text.strip()


def list_field(where: str, value: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return a field that must be a list of texts, maybe empty."""
    items = value.get(name)
    if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
        raise DataError(f"{where}: {name!r} is {items!r}, expected a list of texts.")
    return tuple(items)
