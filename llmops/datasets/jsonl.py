"""JSON Lines files, with errors that name the line."""

import json
from collections.abc import Iterator
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
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: no valid JSON ({error.msg}, column {error.colno}). Mend the line.") from error
        if not isinstance(value, dict):
            raise DataError(f"{where}: found a {type(value).__name__}, expected an object such as {{...}}.")
        yield where, value


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
