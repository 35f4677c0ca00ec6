"""The prompt: a text file with {context} and {question}, and the phrase that means "I don't know"."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmops import digests
from llmops.errors import ConfigError
from llmops.types import Message

ABSTENTION = "I don't know"
NO_CONTEXT = "(none)"
_PLACEHOLDERS = {"context", "question"}


@dataclass(frozen=True)
class Prompt:
    """A template with exactly the placeholders {context} and {question}."""

    template: str

    @property
    def digest(self) -> str:
        return digests.of_bytes(self.template.encode())

    @property
    def instructions(self) -> str:
        """What the template says itself, without its placeholders."""
        return self.template.format(context="", question="")

    def message(self, question: str, passages: Sequence[str]) -> Message:
        """Fill the template: a blank line between passages, and where there is none, that is said."""
        context = "\n\n".join(passages) or NO_CONTEXT
        return Message("user", self.template.format(context=context, question=question.strip()))


def parse_prompt(template: str) -> Prompt:
    """Check a template's placeholders.

    Raises:
        ConfigError: a placeholder is missing, or one too many.
    """
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise ConfigError(f"the prompt is no valid template ({error}). Write a literal brace twice.") from error
    found = {str(name) for _, name, _, _ in fields}
    if found != _PLACEHOLDERS or any(spec or conversion for _, _, spec, conversion in fields):
        raise ConfigError(f"the prompt has placeholders {sorted(found)}, expected exactly {{context}} and {{question}}.")
    return Prompt(template.strip())


def read_prompt(path: Path) -> Prompt:
    try:
        return parse_prompt(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt file {str(path)!r} can't be read ({error}).") from error


def is_abstention(text: str) -> bool:
    """Whether an answer begins by saying that it doesn't know; case, quotes and apostrophes don't matter."""
    plain = re.sub(r"[^a-z ]", "", text.lower().replace("do not", "dont")).strip()
    return plain.startswith("i dont know")
