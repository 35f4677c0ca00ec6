"""The conversation so far, as much of its end as has room."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from llmops.types import Message

Fits = Callable[[Sequence[Message]], bool]


def keep_last_turns(messages: Sequence[Message], fits: Fits) -> tuple[Message, ...]:
    """The last whole turns that fit together, oldest dropped first. A turn begins with what the user says."""
    roles = ["", *(message.role for message in messages)]
    starts = [place for place in range(len(messages)) if roles[place] != roles[place + 1] == "user"]
    return next((tuple(messages[start:]) for start in starts if fits(messages[start:])), ())


def alternating(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Several messages of one role in a row as one, since many chat templates refuse them."""
    return tuple(
        Message(role, "\n\n".join(message.content for message in group))
        for role, group in groupby(messages, key=lambda message: message.role)
    )
