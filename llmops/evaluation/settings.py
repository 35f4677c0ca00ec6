"""Choosing a release's settings on development questions, never on the held-out ones."""

from collections.abc import Sequence

import numpy as np

from llmops.evaluation.metrics import score_row
from llmops.types import Answer, Hit, Question


def choose_k(questions: Sequence[Question], hits: Sequence[Sequence[Hit]], largest: int, tolerance: float = 0.02) -> int:
    """Choose how many chunks to retrieve: the smallest k whose recall is within `tolerance` of that at `largest`.

    `hits` holds at least `largest` hits for each question, best first. Fewer chunks are faster, and confuse less.
    """
    pairs = [(q, found) for q, found in zip(questions, hits, strict=True) if q.answerable]

    def recall(k: int) -> float:
        right = [any(hit.chunk.doc_id in q.documents for hit in found[:k]) for q, found in pairs]
        return sum(right) / len(right) if right else 0.0

    enough = recall(largest) - tolerance
    return next(k for k in range(1, largest + 1) if recall(k) >= enough)


def choose_min_score(questions: Sequence[Question], answers: Sequence[Answer]) -> float:
    """Choose the similarity below which a release abstains: the one with the best mean score on these answers.

    `answers` were given without a threshold. Applying one later only turns answers into abstentions, so nothing is
    generated again. Of equal thresholds the lowest is taken, and -1.0 means none.
    """
    best = np.array([max((hit.score for hit in answer.hits), default=-1.0) for answer in answers])
    given = np.array([score_row(q, a, True).score for q, a in zip(questions, answers, strict=True)])
    abstaining = np.array([0.0 if q.answerable else 1.0 for q in questions])
    thresholds = [-1.0, *np.unique(np.round(best, 3) + 0.001)]
    means = [float(np.where(best < t, abstaining, given).mean()) for t in thresholds]
    return float(thresholds[int(np.argmax(means))])
