"""Few-shot examples: which of the training examples are shown in the prompt."""

from collections.abc import Sequence

import numpy as np

from llmops.chains.prompt import is_abstention
from llmops.retrieval.embedder import Embedder
from llmops.types import Example


def choose_shots(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    """Choose `count` short examples, the last of them one that abstains, so that both behaviours are shown.

    The shortest are chosen: every shot is paid for with each question.
    """
    by_length = sorted(examples, key=lambda e: (sum(map(len, e.context)) + len(e.question) + len(e.answer), e.question))
    abstaining = [e for e in by_length if is_abstention(e.answer)][: 1 if count > 1 else 0]
    answering = [e for e in by_length if not is_abstention(e.answer)][: count - len(abstaining)]
    return (*answering, *abstaining)


class SimilarExamples:
    """Examples whose questions are nearest to the one asked, by cosine similarity (Liu et al. 2022, KATE)."""

    def __init__(self, examples: Sequence[Example], embedder: Embedder, count: int) -> None:
        self._examples = tuple(examples)
        self._embedder, self._count = embedder, count
        self._vectors = embedder.embed_queries([example.question for example in self._examples])

    def choose(self, questions: Sequence[str]) -> list[tuple[Example, ...]]:
        """The shots for each question, nearest first; of equally near ones the first of the set."""
        if not questions:
            return []
        similarities = self._embedder.embed_queries(questions) @ self._vectors.T
        nearest = np.argsort(-similarities, axis=1, kind="stable")[:, : self._count]
        return [tuple(self._examples[place] for place in places) for places in nearest]
