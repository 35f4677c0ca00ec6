"""A question on its way to its answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmops.chains.context import Context
from llmops.guards.finding import Verdict
from llmops.types import Completion, GenerationRequest, Message, Query


@dataclass(frozen=True)
class Turn:
    """A question as the guards let it through, what is shown with it, and what the model is asked, if it is.

    `question` is what is searched for and asked, `parts` what it was taken apart into, itself first. `dropped` tells which
    messages of the conversation before it, counted from 1, are not in `history`, and why.
    """

    query: Query
    verdict: Verdict
    question: str
    history: tuple[Message, ...] = ()
    dropped: tuple[tuple[int, str], ...] = ()
    parts: tuple[str, ...] = ()
    context: Context = Context()
    request: GenerationRequest | None = None
    spent: tuple[Completion, ...] = ()  # on what was asked before the answer

    @property
    def is_open(self) -> bool:
        return self.verdict.action != "block" and bool(self.question.strip())

    @property
    def searched(self) -> tuple[str, ...]:
        return self.parts or (self.question,)

    def keeping(self, kept: Sequence[Message]) -> "Turn":
        """The turn with only these last messages of its history."""
        gone = [place for place, _ in self.dropped]
        left = [place for place in range(1, len(self.query.history) + 1) if place not in gone]
        without_room = [(place, "no room") for place in left[: len(left) - len(kept)]]
        return replace(self, history=tuple(kept), dropped=tuple(sorted([*self.dropped, *without_room])))

    def after(self, completion: Completion, **changes: object) -> "Turn":
        return replace(self, spent=(*self.spent, completion), **changes)  # type: ignore[arg-type]
