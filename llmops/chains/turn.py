"""A question on its way to its answer."""

from dataclasses import dataclass, replace

from llmops.chains.context import Context
from llmops.guards.finding import Verdict
from llmops.types import Completion, GenerationRequest, Message, Query


@dataclass(frozen=True)
class Turn:
    """A question as the guards let it through, what is shown with it, and what the model is asked, if it is.

    `question` is what is searched for and asked, `parts` what it was taken apart into, itself first.
    """

    query: Query
    verdict: Verdict
    question: str
    history: tuple[Message, ...] = ()
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

    def after(self, completion: Completion, **changes: object) -> "Turn":
        return replace(self, spent=(*self.spent, completion), **changes)  # type: ignore[arg-type]
