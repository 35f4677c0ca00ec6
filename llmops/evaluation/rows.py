"""One question, what a candidate said to it, and what that scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from llmops.chains.citations import without_marks
from llmops.evaluation import ranking
from llmops.evaluation.metrics import exact_match, rouge_l, token_f1
from llmops.types import Answer, Hit, Question

Values = Mapping[str, float]
"""What something is for each question it applies to, by the question's id."""


@dataclass(frozen=True)
class Row:
    """One question answered and scored. `scores` holds the KPIs that apply to this question and candidate, by name."""

    question_id: str
    question: str
    expected: tuple[str, ...]
    expected_documents: tuple[str, ...]
    answer: str
    abstained: bool
    documents: tuple[str, ...]
    chunks: tuple[str, ...]
    scores: Mapping[str, float]
    slices: Mapping[str, str] = field(default_factory=dict)
    blocked: str = ""
    error: str = ""  # why there is no answer

    @property
    def answerable(self) -> bool:
        return bool(self.expected or self.expected_documents)

    @property
    def score(self) -> float:
        """How right the answer is; 0 where the question has no reference to tell by."""
        return self.scores.get("answer/score", 0.0)

    @property
    def cluster(self) -> str:
        """What is alike comes together: questions on the same document. One without a document is like no other."""
        return self.expected_documents[0] if self.expected_documents else f"question {self.question_id}"


def score_row(question: Question, answer: Answer, has_retriever: bool, error: str = "") -> Row:
    """Score one answer. Abstaining from an answerable question scores 0, whatever words it shares; citing costs nothing."""
    scores = _scores(question, answer, has_retriever) | {"answer/failed": float(bool(error))}
    return Row(
        question.question_id, question.text, question.answers, question.documents, answer.text, answer.abstained,
        tuple(hit.chunk.doc_id for hit in answer.hits), tuple(hit.chunk.chunk_id for hit in answer.hits), scores,
        question.slices, answer.blocked, error,
    )  # fmt: skip


def failed_row(question: Question, error: str, has_retriever: bool) -> Row:
    """The row of a question that a candidate crashed on: it scores as what is answered wrongly."""
    return score_row(question, Answer("", abstained=False), has_retriever, error)


def _scores(question: Question, answer: Answer, has_retriever: bool) -> dict[str, float]:
    scores = {"tokens/prompt": float(answer.prompt_tokens), "tokens/completion": float(answer.completion_tokens)}
    scores["abstention/coverage"] = float(not answer.abstained)
    if question.answerable:
        scores["abstention/false_rate"] = float(answer.abstained)
        if question.answers:
            scores |= _text_scores(question, answer)
        if question.documents:
            scores |= _document_scores(question, answer, has_retriever)
    else:
        scores |= {"abstention/recall": float(answer.abstained), "answer/score": float(answer.abstained)}
    if "answer/score" in scores:
        scores["abstention/wrong_rate"] = float(not answer.abstained and scores["answer/score"] < 0.5)
    return scores


def _text_scores(question: Question, answer: Answer) -> dict[str, float]:
    text = without_marks(answer.text) if answer.citations else answer.text
    measures = {"answer/f1": token_f1, "answer/exact_match": exact_match, "answer/rouge_l": rouge_l}
    scores = {name: 0.0 if answer.abstained else measure(text, question.answers) for name, measure in measures.items()}
    return {**scores, "answer/score": scores["answer/f1"]}


def _document_scores(question: Question, answer: Answer, has_retriever: bool) -> dict[str, float]:
    right = [not documents_of(hit).isdisjoint(question.documents) for hit in answer.hits]
    scores = {"grounding/citation": _cited_rightly(answer, right)} if answer.citations else {}
    return {**scores, **_retrieval_scores(question, answer.hits, right)} if has_retriever else scores


def _retrieval_scores(question: Question, hits: Sequence[Hit], right: Sequence[bool]) -> dict[str, float]:
    ranked, relevant = _ranked_documents(hits, question.documents), dict.fromkeys(question.documents, 1)
    return {
        "retrieval/recall": ranking.recall_at(ranked, relevant, len(ranked)),
        "retrieval/mrr": ranking.reciprocal_rank(ranked, relevant),
        "retrieval/ndcg": ranking.ndcg_at(ranked, relevant, len(ranked) + len(relevant)),
        "retrieval/precision": _context_precision(right),
    }


def _context_precision(right: Sequence[bool]) -> float:
    """The mean, over the right passages, of the share of right ones down to each (average precision; Ragas' name)."""
    precisions = [sum(right[:place]) / place for place, is_right in enumerate(right, start=1) if is_right]
    return sum(precisions) / len(precisions) if precisions else 0.0


def _ranked_documents(hits: Iterable[Hit], wanted: Sequence[str]) -> list[str]:
    """Documents by the rank of their first passage; a passage that stands in several counts for the wanted one."""
    found = (next((d for d in (hit.chunk.doc_id, *hit.also) if d in wanted), hit.chunk.doc_id) for hit in hits)
    return list(dict.fromkeys(found))


def _cited_rightly(answer: Answer, right: Sequence[bool]) -> float:
    """The share of the cited passages that hold a hit of a right document."""
    good = {place for place, is_right in zip(answer.places, right, strict=False) if is_right}
    return sum(place in good for place in answer.citations) / len(answer.citations)


def documents_of(hit: Hit) -> set[str]:
    """The documents that hold a retrieved passage."""
    return {hit.chunk.doc_id, *hit.also}


def values(rows: Iterable[Row], kpi: str) -> dict[str, float]:
    """The values of a KPI, by question id; questions it doesn't apply to are left out."""
    return {row.question_id: row.scores[kpi] for row in rows if kpi in row.scores}
