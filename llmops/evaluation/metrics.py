"""How good one answer is, and how good many are."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmops.chains.citations import without_marks
from llmops.types import Answer, Hit, Metrics, Question


def normalize(text: str) -> list[str]:
    """Lower-case words without articles and punctuation (SQuAD 1.1: Rajpurkar et al. 2016)."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best token F1 of an answer over acceptable answers, in [0, 1] (SQuAD 1.1)."""
    return max((_f1(normalize(answer), normalize(reference)) for reference in references), default=0.0)


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:  # an answer such as "a" is an article and nothing else
        return 0.0
    common = sum((Counter(found) & Counter(wanted)).values())
    return 2 * common / (len(found) + len(wanted)) if common else 0.0


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1.0 if the normalised answer equals an acceptable one, else 0.0."""
    return float(any(normalize(answer) == normalize(reference) != [] for reference in references))


@dataclass(frozen=True)
class Row:
    """One question answered and scored. `None` means that the metric doesn't apply to this question or release."""

    question_id: str
    question: str
    expected: tuple[str, ...]
    expected_documents: tuple[str, ...]
    answer: str
    abstained: bool
    documents: tuple[str, ...]
    chunks: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    score: float  # F1 where there is an answer, 1 or 0 for abstaining or not where there is none
    f1: float | None
    exact_match: float | None
    recall: float | None  # 1 if a retrieved chunk comes from a document that holds the answer
    reciprocal_rank: float | None


def documents_of(hit: Hit) -> set[str]:
    """The documents that hold a retrieved passage."""
    return {hit.chunk.doc_id, *hit.also}


def score_row(question: Question, answer: Answer, has_retriever: bool) -> Row:
    """Score one answer. Abstaining from an answerable question scores 0, whatever words it shares; citing costs nothing."""
    f1 = exact = recall = rank = None
    text = without_marks(answer.text) if answer.citations else answer.text
    documents = tuple(hit.chunk.doc_id for hit in answer.hits)
    if question.answerable:
        f1 = 0.0 if answer.abstained else token_f1(text, question.answers)
        exact = 0.0 if answer.abstained else exact_match(text, question.answers)
        if has_retriever:
            found = enumerate(map(documents_of, answer.hits), start=1)
            ranks = [rank for rank, documents_found in found if not documents_found.isdisjoint(question.documents)]
            recall, rank = float(bool(ranks)), 1 / ranks[0] if ranks else 0.0
    return Row(
        question.question_id, question.text, question.answers, question.documents, answer.text, answer.abstained, documents,
        tuple(hit.chunk.chunk_id for hit in answer.hits), answer.prompt_tokens, answer.completion_tokens,
        float(answer.abstained) if f1 is None else f1, f1, exact, recall, rank,
    )  # fmt: skip


METRICS = {
    "answer.score": "score", "answer.f1": "f1", "answer.exact_match": "exact_match", "retrieval.recall": "recall",
    "retrieval.mrr": "reciprocal_rank", "abstention.recall": "abstained", "abstention.false_rate": "abstained",
}  # fmt: skip
"""Every per-question metric, and the field of `Row` it averages."""


def values(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """The per-question values of a metric, by question id; questions it doesn't apply to are left out.

    `abstention.recall` looks at unanswerable questions, `abstention.false_rate` at answerable ones.
    """
    if metric.startswith("abstention."):
        rows = [row for row in rows if bool(row.expected) == (metric == "abstention.false_rate")]
    found = {row.question_id: getattr(row, METRICS[metric]) for row in rows}
    return {question_id: float(value) for question_id, value in found.items() if value is not None}


def mean_tokens(rows: Sequence[Row]) -> Metrics:
    """Average prompt and completion length in tokens."""
    count = len(rows)
    return {
        "tokens.prompt": sum(row.prompt_tokens for row in rows) / count,
        "tokens.completion": sum(row.completion_tokens for row in rows) / count,
    }
