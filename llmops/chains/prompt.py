"""The prompt: a text file with {context} and {question}, and the phrase that means "I don't know"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmops import digests
from llmops.chains import citations
from llmops.chains.template import check_template
from llmops.errors import ConfigError
from llmops.types import Message

ABSTENTION = "I don't know"
NO_CONTEXT = "(none)"


@dataclass(frozen=True)
class Prompt:
    """A template with exactly the placeholders {context} and {question}.

    One that explains citing by an example, such as [1], is shown numbered passages, and its answers may cite them.
    """

    template: str

    @property
    def digest(self) -> str:
        return digests.of_bytes(self.template.encode())

    @property
    def instructions(self) -> str:
        """What the template says itself, without its placeholders."""
        return self.template.format(context="", question="")

    @property
    def cites(self) -> bool:
        return bool(citations.cited(self.template))

    def message(self, question: str, passages: Sequence[str]) -> Message:
        """Fill the template: a blank line between passages, and where there is none, that is said."""
        context = "\n\n".join(citations.number(passages) if self.cites else passages) or NO_CONTEXT
        return Message("user", self.template.format(context=context, question=question.strip()))

    def worked(self, question: str, passages: Sequence[str], answer: str) -> tuple[Message, Message]:
        """A worked example: what is asked, and the answer, which cites where the prompt has it cite."""
        said = citations.mark(answer, passages) if self.cites and not is_abstention(answer) else answer
        return self.message(question, passages), Message("assistant", said)


def parse_prompt(template: str) -> Prompt:
    """Check a template's placeholders.

    Raises:
        ConfigError: a placeholder is missing, or one too many.
    """
    return Prompt(check_template(template, ("context", "question")))


def read_prompt(path: Path) -> Prompt:
    try:
        return parse_prompt(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt file {str(path)!r} can't be read ({error}).") from error


def is_abstention(text: str) -> bool:
    """Whether an answer begins by saying that it doesn't know; case, quotes and apostrophes don't matter."""
    plain = re.sub(r"[^a-z ]", "", text.lower().replace("do not", "dont")).strip()
    return plain.startswith("i dont know")
