"""Few-shot examples: which of the training examples are shown in the prompt."""

from collections.abc import Sequence

from llmops.chains.prompt import is_abstention
from llmops.chains.release import Shot
from llmops.types import Example


def choose_shots(examples: Sequence[Example], count: int) -> tuple[Shot, ...]:
    """Choose `count` short examples, the last of them one that abstains, so that both behaviours are shown.

    The shortest are chosen: every shot is paid for with each question.
    """
    by_length = sorted(examples, key=lambda e: (sum(map(len, e.context)) + len(e.question) + len(e.answer), e.question))
    abstaining = [e for e in by_length if is_abstention(e.answer)][: 1 if count > 1 else 0]
    answering = [e for e in by_length if not is_abstention(e.answer)][: count - len(abstaining)]
    return tuple(Shot(e.question, e.context, e.answer) for e in [*answering, *abstaining])
