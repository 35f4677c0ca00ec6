"""Tokens of a model whose tokenizer isn't here: never fewer than it counts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmops.types import Message

_SPECIAL = re.compile(r"<\|(?=[\w-]+\|>)|\[(?=/?INST\])|<(?=/?s>)")
_TURN = 8  # tokens that a chat template may put around a message
_CHAT = 64  # and before all, such as a system message of its own


@dataclass(frozen=True)
class ByteCounter:
    """Counts bytes: a token of a byte-level BPE is at least one (Sennrich et al. 2016), of English text about four."""

    window: int

    def count_prompt(self, messages: Sequence[Message]) -> int:
        return _CHAT + sum(_TURN + self.count_text(message.content) for message in messages)

    def fits(self, messages: Sequence[Message], room: int) -> bool:
        return self.count_prompt(messages) + room <= self.window

    def count_text(self, text: str) -> int:
        return len(text.encode(errors="replace"))

    def defuse(self, text: str) -> str:
        """The special tokens of common chat templates, broken up by a space."""
        return _SPECIAL.sub(lambda found: f"{found[0]} ", text)
