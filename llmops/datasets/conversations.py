"""Conversations to learn from, in the formats that training files come in."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from llmops.datasets.rows import Format, Parsed, checked_text, parse_rows, text_of
from llmops.datasets.tables import Fields
from llmops.errors import DataError
from llmops.types import Conversation, Message

Render = Callable[[str, Sequence[str], str], tuple[Message, Message]]
"""Makes what is asked and what is answered of a question, its context passages and an answer."""

_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


def read_conversations(path: Path, render: Render, columns: Mapping[str, str] = {}) -> Parsed[Conversation]:
    """Read chat, ShareGPT, Alpaca, prompt-completion or our own examples; `columns` maps our names to the file's.

    Raises:
        DataError: the file can't be read, fits no format, lacks a column named, or holds no usable row.
        ConfigError: `columns` has a name that no format knows.
    """
    return parse_rows(path, columns, _formats(render))


def _formats(render: Render) -> list[Format[Conversation]]:
    return [
        Format("chat", ("messages",), lambda fields: checked(messages_of(fields, "messages"))),
        Format("sharegpt", ("conversations",), lambda fields: checked(messages_of(fields, "conversations"))),
        Format("alpaca", ("instruction", "output"), _alpaca, optional=("input",)),
        Format("prompt-completion", ("prompt", "completion"), _prompt_completion),
        Format("examples", ("question", "context", "answer"), partial(_example, render)),
    ]


def _alpaca(fields: Fields) -> Conversation:
    asked = text_of(fields, "instruction")
    given = checked_text(fields.get("input") or "", "'input'")
    asked += f"\n\n{given}" if given.strip() else ""
    return Conversation((Message("user", asked), Message("assistant", text_of(fields, "output"))))


def _prompt_completion(fields: Fields) -> Conversation:
    return checked((*turns_of(fields, "prompt", "user"), *turns_of(fields, "completion", "assistant")))


def _example(render: Render, fields: Fields) -> Conversation:
    passages = [checked_text(passage, "a passage of 'context'") for passage in _list_of(fields, "context")]
    return Conversation(render(text_of(fields, "question").strip(), passages, text_of(fields, "answer").strip()))


def turns_of(fields: Fields, name: str, role: str) -> tuple[Message, ...]:
    """A field that is one message's text, by `role`, or a list of messages; in JSON text where cells hold text only.

    Raises:
        DataError: it is neither, or is empty.
    """
    value = fields.get(name)
    if isinstance(value, list) or _is_list_of_messages(value):
        return messages_of(fields, name)
    return (Message(role, text_of(fields, name)),)


def messages_of(fields: Fields, name: str) -> tuple[Message, ...]:
    """A field that is a list of messages, {role, content} or {from, value}, or such a list as JSON text.

    Raises:
        DataError: it is no such list, or empty; a role is unknown; a content is no text.
    """
    messages = tuple(_message(item, number) for number, item in enumerate(_list_of(fields, name), start=1))
    if not messages:
        raise DataError(f"{name!r} is empty, expected messages.")
    return messages


def checked(messages: tuple[Message, ...]) -> Conversation:
    """A conversation: maybe a system message, then the user's and the assistant's by turns; the assistant's is last.

    Raises:
        DataError: another order, or a message of the user or the assistant is empty.
    """
    roles = [message.role for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if "system" in turns:
        raise DataError("a system message is not the first. Expected at most one, before all others.")
    if "user" not in turns:
        raise DataError("no user message, expected one before the assistant's.")
    if turns[-1] != "assistant":
        raise DataError(f"the last message is the {turns[-1]}'s, expected the assistant's.")
    if turns != ["user", "assistant"] * (len(turns) // 2):
        raise DataError(f"the roles {', '.join(turns[:6])} don't alternate, expected user, assistant and so on.")
    for number, message in enumerate(messages, start=1):
        if message.role != "system" and not message.content.strip():
            raise DataError(f"message {number}, the {message.role}'s, is empty. Expected text.")
    return Conversation(messages)


def _message(item: Any, number: int) -> Message:
    if not isinstance(item, dict):
        raise DataError(f"message {number} is {item!r:.60}, expected {{role, content}} or {{from, value}}.")
    role, content = ("from", "value") if "from" in item else ("role", "content")
    name = item.get(role)
    if not isinstance(name, str) or name not in _ROLES:
        raise DataError(f"message {number} has the unknown role {name!r:.60}, expected {', '.join(_ROLES)}.")
    return Message(_ROLES[name], checked_text(item.get(content), f"the {content} of message {number}"))


def _list_of(fields: Fields, name: str) -> list[Any]:
    """A field that is a list, or one as JSON text; blank text is the empty list."""
    value = fields.get(name)
    if isinstance(value, str):
        value = _json_list(value) if value.strip() else []
    if not isinstance(value, list):
        raise DataError(f"{name!r} is {fields.get(name)!r:.60}, expected a list.")
    return value


def _is_list_of_messages(value: Any) -> bool:
    items = _json_list(value) if isinstance(value, str) else None
    return bool(items) and all(isinstance(item, dict) and item.keys() >= {"role", "content"} for item in items or ())


def _json_list(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None
