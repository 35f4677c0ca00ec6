"""The conversation so far, as much of its end as has room."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from llmops.types import Message

Fits = Callable[[Sequence[Message]], bool]


def keep_last_turns(messages: Iterable[Message], fits: Fits) -> tuple[Message, ...]:
    """The last whole turns that fit together, oldest dropped first. A turn begins with the user.

    Messages of other roles than user and assistant are left out: a release's instructions are its own. Several of one role
    in a row are one message, since many chat templates refuse them.
    """
    turns = _alternating(message for message in messages if message.role in ("user", "assistant"))
    starts = [place for place, message in enumerate(turns) if message.role == "user"]
    return next((tuple(turns[start:]) for start in starts if fits(turns[start:])), ())


def _alternating(messages: Iterable[Message]) -> list[Message]:
    return [
        Message(role, "\n\n".join(message.content for message in group))
        for role, group in groupby(messages, key=lambda message: message.role)
    ]
