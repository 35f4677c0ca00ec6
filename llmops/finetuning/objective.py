"""What examples are for: to answer as they do, or to prefer one answer to another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmops.datasets.conversations import Render, read_conversations
from llmops.datasets.preferences import read_preferences
from llmops.datasets.rows import Parsed
from llmops.errors import ConfigError
from llmops.finetuning.callbacks import Report
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import Pair, Row, conversation_row, preference_pair
from llmops.finetuning.training import Training, train, train_preferences
from llmops.types import Conversation, Message, Preference


class Objective(Protocol):
    """How a file of examples is read and learned from."""

    def read(self, path: Path, columns: Mapping[str, str]) -> Parsed[Any]:
        """Read examples; errors as those of the readers."""

    def tokenise(self, example: Any, tokenizer: Any) -> Any:
        """A `Row` or a `Pair`; errors as those of `conversation_row`."""

    def asked(self, example: Any) -> str:
        """What the user says in an example."""

    def train(
        self, model: Any, tokenizer: Any, rows: Sequence[Any], held_out: Sequence[Any], recipe: Recipe, folder: Path,
        report: Report,
    ) -> Training:  # fmt: skip
        """Train in place; errors as those of `llmops.finetuning.training`."""


@dataclass(frozen=True)
class Instruction:
    """Learn the answers. `render` makes the two messages of a question, its context passages and an answer."""

    render: Render

    def read(self, path: Path, columns: Mapping[str, str]) -> Parsed[Conversation]:
        return read_conversations(path, self.render, columns)

    def tokenise(self, example: Conversation, tokenizer: Any) -> Row:
        return conversation_row(example, tokenizer)

    def asked(self, example: Conversation) -> str:
        return _of_the_user(example.messages)

    def train(
        self, model: Any, tokenizer: Any, rows: Sequence[Row], held_out: Sequence[Row], recipe: Recipe, folder: Path,
        report: Report,
    ) -> Training:  # fmt: skip
        return train(model, tokenizer, rows, held_out, recipe, folder, report)


@dataclass(frozen=True)
class Preferring:
    """Learn which answer is better, by DPO; `beta` is how dearly leaving the starting model is paid for."""

    beta: float

    def read(self, path: Path, columns: Mapping[str, str]) -> Parsed[Preference]:
        return read_preferences(path, columns)

    def tokenise(self, example: Preference, tokenizer: Any) -> Pair:
        return preference_pair(example, tokenizer)

    def asked(self, example: Preference) -> str:
        return _of_the_user(example.prompt)

    def train(
        self, model: Any, tokenizer: Any, rows: Sequence[Pair], held_out: Sequence[Pair], recipe: Recipe, folder: Path,
        report: Report,
    ) -> Training:  # fmt: skip
        return train_preferences(model, tokenizer, rows, held_out, recipe, self.beta, folder, report)


def make_objective(name: str, render: Render, beta: float) -> Objective:
    """The objective of this name.

    Raises:
        ConfigError: there is none, or `beta` is not above 0.
    """
    if beta <= 0:
        raise ConfigError(f"beta is {beta}, expected more than 0.")
    known: dict[str, Callable[[], Objective]] = {
        "instruction": lambda: Instruction(render), "preference": lambda: Preferring(beta)
    }  # fmt: skip
    if name not in known:
        raise ConfigError(f"objective is {name!r}, expected one of {', '.join(known)}.")
    return known[name]()


def _of_the_user(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages if message.role == "user")
