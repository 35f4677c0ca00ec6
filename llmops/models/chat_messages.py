"""LangChain's messages as ours: text, in the three roles that every model knows."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from llmops.errors import DataError
from llmops.types import Message

_ROLES = {"system": "system", "human": "user", "ai": "assistant"}


def to_messages(messages: Sequence[BaseMessage]) -> tuple[Message, ...]:
    """Turn a chat into ours. What a tool found is told by the user: few models have a role for tools.

    Raises:
        DataError: a message is of another kind, or holds more than text.
    """
    return tuple(_to_message(message, i) for i, message in enumerate(messages))


def _to_message(message: BaseMessage, place: int) -> Message:
    text = _text(message, place)
    if message.type == "tool":
        return Message("user", f"Result of {message.name or 'the tool'}: {text}")
    kind = message.type.removesuffix("MessageChunk").lower()  # a streamed message may be part of a chat as it is
    if kind not in _ROLES:
        raise DataError(f"message {place} is of kind {message.type!r}; expected system, human, ai or tool.")
    return Message(_ROLES[kind], text)


def _text(message: BaseMessage, place: int) -> str:
    """The text, also where it comes in blocks."""
    for block in [] if isinstance(message.content, str) else message.content:
        kind = "text" if isinstance(block, str) else block.get("type")
        if kind != "text":
            raise DataError(f"message {place} holds {kind!r}; engines read text alone. Say in words what it shows.")
    return str(message.text)
