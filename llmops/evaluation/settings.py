"""Choosing a release's settings on development questions, never on the held-out ones."""

from collections.abc import Sequence

import numpy as np

from llmops.chains.parts import Abstention
from llmops.errors import ConfigError
from llmops.evaluation.rows import documents_of, score_row
from llmops.retrieval.search import nearness
from llmops.types import Answer, Hit, Question

NO_CONFIDENCE = -1e9  # nats; no answer has less


def choose_k(questions: Sequence[Question], hits: Sequence[Sequence[Hit]], largest: int, tolerance: float = 0.02) -> int:
    """Choose how many chunks to retrieve: the smallest k whose recall is within `tolerance` of that at `largest`.

    `hits` holds at least `largest` hits for each question, best first. Fewer chunks are faster, and confuse less.
    """
    pairs = [(q, found) for q, found in zip(questions, hits, strict=True) if q.documents]

    def recall(k: int) -> float:
        right = [any(not documents_of(hit).isdisjoint(q.documents) for hit in found[:k]) for q, found in pairs]
        return sum(right) / len(right) if right else 0.0

    enough = recall(largest) - tolerance
    return next(k for k in range(1, largest + 1) if recall(k) >= enough)


def choose_min_score(questions: Sequence[Question], answers: Sequence[Answer], keep: float = 0.95) -> float:
    """Choose the similarity below which a release abstains.

    It is the threshold with the best mean score among those that keep at least the share `keep` of the F1 on
    answerable questions: without that floor a weak answerer scores best by abstaining from nearly everything.
    `answers` were given without a threshold. Applying one later only turns answers into abstentions, so nothing is
    generated again. Of equal thresholds the lowest is taken, and -1.0 means none.
    """
    questions, answers = _scorable(questions, answers)
    best = np.array([nearness(answer.hits) for answer in answers])
    given = np.array([score_row(q, a, True).score for q, a in zip(questions, answers, strict=True)])
    answerable = np.array([q.answerable for q in questions])
    floor = keep * given[answerable].sum()
    chosen, chosen_mean = -1.0, float(given.mean())
    for threshold in np.unique(np.round(best, 3) + 0.001):
        scores = np.where(best < threshold, np.where(answerable, 0.0, 1.0), given)
        if scores[answerable].sum() >= floor and scores.mean() > chosen_mean:
            chosen, chosen_mean = float(threshold), float(scores.mean())
    return round(chosen, 3)


def calibrate_abstention(questions: Sequence[Question], answers: Sequence[Answer], max_wrong: float) -> Abstention:
    """Choose the confidence below which a release abstains, for at most a share of `max_wrong` of wrong answers.

    An answer is wrong that scores below a half; to an unanswerable question each is. The threshold is the lowest at which
    (wrong answers + 1) / (questions + 1) keeps to the rate: so does then the expected rate on questions like these
    (conformal risk control, Angelopoulos et al. 2024). `answers` were given without a threshold.

    Raises:
        ConfigError: there are too few questions to show a rate so low, or a wrong answer has no confidence.
    """
    questions, answers = _scorable(questions, answers)
    count = len(questions)
    allowed = int(max_wrong * (count + 1) + 1e-9) - 1
    if allowed < 0:
        least = int(np.ceil(1 / max_wrong)) - 1
        raise ConfigError(
            f"{count} questions can't show a share of wrong answers of {max_wrong:g}, expected at least {least}."
        )
    pairs = zip(questions, answers, strict=True)
    wrong = [a.confidence for q, a in pairs if not a.abstained and score_row(q, a, has_retriever=False).score < 0.5]
    if None in wrong:
        raise ConfigError("the engine tells no log-probabilities, by which to tell when to abstain. Leave max_wrong at 1.")
    to_go = sorted((confidence for confidence in wrong if confidence is not None), reverse=True)[allowed:]
    threshold = float(np.nextafter(to_go[0], np.inf)) if to_go else NO_CONFIDENCE
    return Abstention(threshold, max_wrong, count)


def _scorable(questions: Sequence[Question], answers: Sequence[Answer]) -> tuple[list[Question], list[Answer]]:
    """Those whose answers can be told to be right: not those that have documents and no reference."""
    pairs = [(q, a) for q, a in zip(questions, answers, strict=True) if q.answers or not q.answerable]
    return [question for question, _ in pairs], [answer for _, answer in pairs]
