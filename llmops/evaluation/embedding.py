"""What embeddings say of answers: how near they are to the right ones, and whether passages hold what they say.

Both are shown and decide nothing: an answer that is wrong by one number is as near as a right one.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from statistics import fmean

from llmops.chains.citations import without_marks
from llmops.guards.sentences import sentences
from llmops.retrieval.embedder import Embedder
from llmops.retrieval.passage import passage_text
from llmops.types import Answer, Question

_Texts = tuple[Sequence[str], Sequence[str]]

NEAR = 0.35
"""The cosine from which on a sentence counts as held by its nearest passage sentence.

With MiniLM on the sample handbook 81 % of its examples' short answers are that near to their own context, and to a context
without a passage in common 15 % of other answers and 20 % of other contexts' sentences.
"""


def embedding_values(
    questions: Sequence[Question], answers: Sequence[Answer], embedder: Embedder
) -> dict[str, dict[str, float]]:
    """Similarity and grounding by question id, for the questions they apply to; answers in the order of the questions.

    `answer/similarity` is the cosine of an answer to the nearest reference, where there is one, below 0 and of an abstention
    taken for 0. `grounding/embedding` is the share of an answer's sentences that are `NEAR` a sentence of a passage that was
    shown, of answers that have passages and don't abstain. Each text is embedded once.
    """
    cut = cache(_cut)  # many answers are shown the same passages
    near: dict[str, _Texts] = {}
    held: dict[str, _Texts] = {}
    for question, answer in zip(questions, answers, strict=True):
        said = "" if answer.abstained else without_marks(answer.text) if answer.citations else answer.text.strip()
        if question.answers:
            near[question.question_id] = ([said] if said else [], question.answers)
        if said and answer.hits:
            held[question.question_id] = (cut(said), [text for hit in answer.hits for text in cut(passage_text(hit.chunk))])
    best = _nearest([*near.values(), *held.values()], embedder)
    return {
        "answer/similarity": {name: max([0.0, *best(texts)]) for name, texts in near.items()},
        "grounding/embedding": {name: fmean(cosine >= NEAR for cosine in best(texts)) for name, texts in held.items()},
    }


def _cut(text: str) -> list[str]:
    return [sentence.strip() for sentence in sentences(text) if sentence.strip()]


def _nearest(found: Iterable[_Texts], embedder: Embedder) -> Callable[[_Texts], list[float]]:
    """A function that tells for each of some texts its cosine to the nearest of the others."""
    texts = dict.fromkeys(text for pair in found for side in pair for text in side)
    rows = {text: row for row, text in enumerate(texts)}
    vectors = embedder.embed_passages(list(texts))

    def best(pair: _Texts) -> list[float]:
        some, others = (vectors[[rows[text] for text in side]] for side in pair)
        return [float(cosine) for cosine in (some @ others.T).max(axis=1)] if len(others) else [0.0] * len(some)

    return best
