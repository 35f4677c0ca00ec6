"""Preferences: a better and a worse answer to the same messages."""

from collections.abc import Mapping
from pathlib import Path

from llmops.datasets.conversations import checked, turns_of
from llmops.datasets.rows import Format, Parsed, parse_rows
from llmops.datasets.tables import Fields
from llmops.errors import DataError
from llmops.types import Message, Preference


def read_preferences(path: Path, columns: Mapping[str, str] = {}) -> Parsed[Preference]:
    """Read prompt, chosen and rejected, or whole conversations as chosen and rejected that differ in the last message.

    Raises:
        DataError: the file can't be read, fits no format, lacks a column named, or holds no usable row.
        ConfigError: `columns` has a name other than prompt, chosen and rejected.
    """
    return parse_rows(path, columns, _FORMATS)


def _prompted(fields: Fields) -> Preference:
    prompt = turns_of(fields, "prompt", "user")
    (before, chosen), (other, rejected) = (_split(fields, name) for name in ("chosen", "rejected"))
    if any(repeated and repeated != prompt for repeated in (before, other)):
        raise DataError("'chosen' or 'rejected' begins with other messages than 'prompt' has. Expected the same, or none.")
    return _preference(prompt, chosen, rejected)


def _whole(fields: Fields) -> Preference:
    (before, chosen), (other, rejected) = (_split(fields, name) for name in ("chosen", "rejected"))
    if before != other:
        raise DataError("the prompts of 'chosen' and 'rejected' differ, expected the same messages before the last.")
    return _preference(before, chosen, rejected)


def _split(fields: Fields, name: str) -> tuple[tuple[Message, ...], Message]:
    """What stands before the last message, and that."""
    messages = turns_of(fields, name, "assistant")
    return messages[:-1], messages[-1]


def _preference(prompt: tuple[Message, ...], chosen: Message, rejected: Message) -> Preference:
    for answer in (chosen, rejected):
        checked((*prompt, answer))
    if chosen.content.strip() == rejected.content.strip():
        raise DataError("'chosen' and 'rejected' are equal, so neither is better. Expected two answers.")
    return Preference(prompt, chosen.content, rejected.content)


_FORMATS = (
    Format("preference", ("prompt", "chosen", "rejected"), _prompted),
    Format("preference-conversations", ("chosen", "rejected"), _whole),
)
