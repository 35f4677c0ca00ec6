"""Metrics, intervals, scorecards, and the settings that are chosen by them."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from llmops.chains.prompt import ABSTENTION
from llmops.errors import DataError
from llmops.evaluation.metrics import METRICS, Row, exact_match, normalize, score_row, token_f1, values
from llmops.evaluation.scorecard import ABSTAINER, Scorecard, score, score_abstainer, table
from llmops.evaluation.settings import choose_k, choose_min_score
from llmops.evaluation.statistics import mean_interval, paired_difference
from llmops.types import Answer, Chunk, Hit, Question

# Metrics


def test_case_punctuation_and_articles_do_not_matter() -> None:
    assert normalize("The Foreman, at a Kesten  site!") == ["foreman", "at", "kesten", "site"]


F1 = [
    ("thirty days", ["thirty days"], 1.0),
    ("The thirty days.", ["thirty days"], 1.0),
    ("thirty days of leave", ["thirty days"], 2 * 2 / (4 + 2)),
    ("thirty", ["thirty days", "30 days"], 2 * 1 / (1 + 2)),
    ("days days days", ["days"], 2 * 1 / (3 + 1)),
    ("forty weeks", ["thirty days"], 0.0),
    ("", ["thirty days"], 0.0),
    ("the", ["thirty days"], 0.0),
    ("thirty days", [], 0.0),
]


@pytest.mark.parametrize("answer, references, expected", F1)
def test_f1_is_the_best_share_of_words_in_common(answer: str, references: list[str], expected: float) -> None:
    assert token_f1(answer, references) == pytest.approx(expected)


@pytest.mark.parametrize(
    "answer, reference, expected", [("10:15", "15:10", 0.0), ("kr 600", "kr 3,600", 0.5), ("6.5%", "5.6%", 0.0)]
)
def test_a_number_is_one_word_as_in_squad(answer: str, reference: str, expected: float) -> None:
    assert token_f1(answer, [reference]) == pytest.approx(expected)


@pytest.mark.parametrize(
    "answer, references, expected",
    [
        ("Thirty days.", ["30", "the thirty days"], 1.0),
        ("days thirty", ["thirty days"], 0.0),
        ("thirty days off", ["thirty days"], 0.0),
        ("thirty", [], 0.0),
    ],
)
def test_an_exact_match_has_the_same_words_in_order(answer: str, references: list[str], expected: float) -> None:
    assert exact_match(answer, references) == expected


ANSWERABLE = Question("q1", "How many days?", ("thirty days",), ("leave.md", "pay.md"))
UNANSWERABLE = Question("q2", "Who won?")
ABSTAINED = Answer(ABSTENTION, True)


def hit(document: str, similarity: float = 0.5) -> Hit:
    return Hit(Chunk(f"{document}#0", document, "", "", "text", 0, 4), similarity)


def test_an_answer_to_an_answerable_question_scores_its_f1() -> None:
    row = score_row(ANSWERABLE, Answer("thirty", False), has_retriever=False)
    assert (row.score, row.f1, row.exact_match) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 0.0)


def test_abstaining_from_an_answerable_question_scores_nothing_whatever_words_are_shared() -> None:
    question = Question("q1", "What do you know?", (ABSTENTION,), ("a.md",))
    row = score_row(question, ABSTAINED, has_retriever=False)
    assert (row.score, row.f1, row.exact_match) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("answer, expected", [(ABSTAINED, 1.0), (Answer("thirty days", False), 0.0)])
def test_only_abstaining_from_an_unanswerable_question_scores(answer: Answer, expected: float) -> None:
    row = score_row(UNANSWERABLE, answer, has_retriever=True)
    assert (row.score, row.f1, row.exact_match, row.recall, row.reciprocal_rank) == (expected, None, None, None, None)


@pytest.mark.parametrize(
    "documents, recall, rank",
    [(["leave.md"], 1.0, 1.0), (["cars.md", "pay.md", "leave.md"], 1.0, 0.5), (["cars.md"], 0.0, 0.0), ([], 0.0, 0.0)],
)
def test_retrieval_is_right_where_a_chunk_comes_from_a_right_document(
    documents: list[str], recall: float, rank: float
) -> None:
    row = score_row(ANSWERABLE, Answer("x", False, tuple(map(hit, documents))), has_retriever=True)
    assert (row.recall, row.reciprocal_rank) == (recall, rank)


def test_what_does_not_retrieve_has_no_retrieval_metrics() -> None:
    row = score_row(ANSWERABLE, Answer("thirty days", False), has_retriever=False)
    assert (row.recall, row.reciprocal_rank) == (None, None)


FOUR = [Question(f"q{i}", "?", ("yes",) if i < 3 else (), ("a.md",) if i < 3 else ()) for i in range(4)]


def rows(*answers: Answer) -> list[Row]:
    return [score_row(question, answer, has_retriever=False) for question, answer in zip(FOUR, answers, strict=True)]


def test_each_metric_looks_at_the_questions_it_applies_to() -> None:
    scored = rows(Answer("yes", False), ABSTAINED, Answer("no", False), ABSTAINED)
    assert values(scored, "answer.score") == {"q0": 1.0, "q1": 0.0, "q2": 0.0, "q3": 1.0}
    assert values(scored, "answer.f1") == {"q0": 1.0, "q1": 0.0, "q2": 0.0}
    assert values(scored, "abstention.false_rate") == {"q0": 0.0, "q1": 1.0, "q2": 0.0}
    assert values(scored, "abstention.recall") == {"q3": 1.0}
    assert values(scored, "retrieval.recall") == {}


# Statistics


def test_an_interval_holds_the_mean_and_is_as_wide_as_theory_says() -> None:
    sample = np.random.default_rng(1).normal(0.5, 0.2, 400)
    interval = mean_interval(sample.tolist())
    assert interval.low < 0.5 < interval.high and interval.n == 400
    assert interval.mean == pytest.approx(sample.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * sample.std() / 400**0.5, rel=0.05)


def test_the_same_values_give_the_same_interval() -> None:
    assert mean_interval([0.0, 1.0, 1.0, 0.5]) == mean_interval([0.0, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("sample", [[0.5] * 30, [1.0]])
def test_values_without_spread_have_an_interval_without_width(sample: list[float]) -> None:
    interval = mean_interval(sample)
    assert (interval.mean, interval.low, interval.high, interval.n) == (sample[0], sample[0], sample[0], len(sample))


def test_no_values_have_no_mean() -> None:
    with pytest.raises(DataError, match="no values to average"):
        mean_interval([])


def test_differences_are_paired_by_question_not_by_order() -> None:
    left = {f"q{i}": float(i % 2) for i in range(40)}
    right = dict(reversed(left.items()))
    difference = paired_difference(left, right)
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_a_small_difference_on_every_question_shows_where_means_alone_would_hide_it() -> None:
    right = {f"q{i}": i / 40 for i in range(40)}
    left = {question: value + 0.02 + 0.001 * (i % 3) for i, (question, value) in enumerate(right.items())}
    difference = paired_difference(left, right)
    assert 0.02 <= difference.low <= difference.mean <= difference.high <= 0.022


def test_a_difference_has_a_direction() -> None:
    left, right = {"q1": 0.2, "q2": 0.1}, {"q1": 0.9, "q2": 0.7}
    assert paired_difference(left, right).mean == pytest.approx(-0.65)
    assert paired_difference(right, left).mean == pytest.approx(0.65)


def test_answers_to_different_questions_are_not_compared() -> None:
    with pytest.raises(DataError, match=r"not asked the same questions \(2 differ\)"):
        paired_difference({"q1": 1.0, "q2": 1.0}, {"q1": 1.0, "q3": 1.0})


# Scorecard


def test_always_abstaining_is_right_on_unanswerable_questions_only() -> None:
    card = score_abstainer(FOUR)
    means = {metric: interval.mean for metric, interval in card.intervals.items()}
    assert card.candidate == ABSTAINER
    assert means == {
        "answer.score": 0.25,
        "answer.f1": 0.0,
        "answer.exact_match": 0.0,
        "abstention.recall": 1.0,
        "abstention.false_rate": 1.0,
    }


def scorecard(candidate: str, has_retriever: bool = False, **measured: float) -> Scorecard:
    answers = [Answer("yes", False, (hit("a.md"),), 10, 2), Answer("no", False, (), 20, 4), ABSTAINED, ABSTAINED]
    return score(candidate, FOUR, answers, has_retriever, {name.replace("__", "."): v for name, v in measured.items()})


def test_metrics_are_flat_each_with_its_bounds() -> None:
    metrics = scorecard("rag", has_retriever=True, latency__p50_s=1.5).metrics
    assert metrics["answer.score"] == 0.5 and metrics["answer.f1"] == pytest.approx(1 / 3)
    assert metrics["answer.f1_low"] <= metrics["answer.f1"] <= metrics["answer.f1_high"]
    assert (metrics["latency.p50_s"], metrics["tokens.prompt"], metrics["tokens.completion"]) == (1.5, 7.5, 1.5)
    bounds = {f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")}
    assert set(metrics) == bounds | {"latency.p50_s", "tokens.prompt", "tokens.completion"}


def test_answers_must_be_as_many_as_questions() -> None:
    with pytest.raises(ValueError):
        score("rag", FOUR, [ABSTAINED], has_retriever=False)


def test_a_table_has_one_line_for_each_candidate() -> None:
    lines = table([score_abstainer(FOUR), scorecard("rag", True, latency__p50_s=1.5), scorecard("prompt")]).splitlines()
    assert [line.split()[0] for line in lines] == ["candidate", "---------" + "-" * 5, ABSTAINER, "rag", "prompt"]


def test_a_table_shows_means_with_their_intervals_and_a_dash_where_there_is_none() -> None:
    header, _, rag, prompt = table([scorecard("rag", True, latency__p50_s=1.5), scorecard("prompt")]).splitlines()
    assert "0.333 [0.000, 1.000]" in rag and rag.endswith("1.50")
    assert prompt.endswith("-") and prompt[header.index("recall")] == "-"


# Settings


def asked(*documents: str | None) -> list[Question]:
    """A question for each document, answered there; None asks one that can't be answered."""
    return [Question(f"q{i}", "?", ("yes",) if d else (), (d,) if d else ()) for i, d in enumerate(documents)]


def ranked(*names: str) -> list[Hit]:
    return [hit(name, 1 - rank / 10) for rank, name in enumerate(names)]


def test_k_is_the_smallest_that_finds_as_much_as_the_largest() -> None:
    hits = [ranked("a", "x", "y"), ranked("x", "b", "y"), ranked("c", "x", "y")]
    assert choose_k(asked("a", "b", "c"), hits, 3) == 2


def test_k_is_one_where_more_find_nothing_more() -> None:
    assert choose_k(asked("a", "b"), [ranked("a", "x"), ranked("x", "y")], 2) == 1


def test_k_does_not_grow_for_a_gain_within_the_tolerance() -> None:
    hits = [ranked("a", "x")] * 9 + [ranked("x", "a")]
    assert (choose_k(asked(*"a" * 10), hits, 2, tolerance=0.15), choose_k(asked(*"a" * 10), hits, 2, tolerance=0.05)) == (
        1,
        2,
    )


def test_questions_without_an_answer_have_no_say_in_k() -> None:
    assert choose_k(asked(None, "a"), [ranked("x", "y"), ranked("a", "x")], 2) == 1
    assert choose_k(asked(None), [ranked("x", "y")], 2) == 1


def answered(*scored: tuple[str, float]) -> list[Answer]:
    """Answers that were given on hits of these similarities."""
    return [
        Answer(text, text == ABSTENTION, (hit("a", similarity), hit("b", similarity / 2))) for text, similarity in scored
    ]


def mean_with(threshold: float, questions: Sequence[Question], answers: Sequence[Answer], answerable: bool = False) -> float:
    """The mean score (or, on answerable questions, F1) once answers without a hit at the threshold abstain."""
    kept = [answer if answer.hits[0].score >= threshold else ABSTAINED for answer in answers]
    pairs = [(q, a) for q, a in zip(questions, kept, strict=True) if q.answerable or not answerable]
    return float(np.mean([score_row(question, answer, True).score for question, answer in pairs]))


def test_a_threshold_parts_what_can_be_answered_from_what_cannot() -> None:
    questions = asked("a", "a", None, None)
    answers = answered(("yes", 0.8), ("yes", 0.7), ("parrots", 0.3), ("pirates", 0.2))
    threshold = choose_min_score(questions, answers)
    assert 0.3 < threshold <= 0.7 and mean_with(threshold, questions, answers) == 1.0


def test_there_is_no_threshold_where_none_helps() -> None:
    assert choose_min_score(asked("a", "a", None), answered(("yes", 0.2), ("yes", 0.3), ("parrots", 0.9))) == -1.0
    assert choose_min_score(asked("a", None), answered(("yes", 0.8), (ABSTENTION, 0.3))) == -1.0


def test_of_equal_thresholds_the_lowest_is_taken() -> None:
    threshold = choose_min_score(asked("a", "a", None), answered(("no", 0.5), ("yes", 0.8), ("parrots", 0.3)))
    assert 0.3 < threshold <= 0.302


def test_a_weak_answerer_is_not_turned_into_an_abstainer() -> None:
    questions = asked("a", "a", None, None, None)
    answers = answered(("yes", 0.3), ("no", 0.5), ("parrots", 0.4), ("pirates", 0.6), ("crows", 0.2))
    threshold = choose_min_score(questions, answers)
    assert mean_with(threshold, questions, answers, answerable=True) == 0.5
    assert 0.2 < threshold <= 0.3


@pytest.mark.parametrize("seed", range(10))
def test_the_threshold_is_the_best_of_those_that_keep_most_right_answers(seed: int) -> None:
    draw = random.Random(seed)
    questions = asked(*(draw.choice(["a", "a", None]) for _ in range(30)), "a")
    answers = answered(*((draw.choice(["yes", "yes or no", "no", ABSTENTION]), round(draw.random(), 3)) for _ in questions))
    kept = 0.95 * mean_with(-1.0, questions, answers, answerable=True)
    every = [-1.0, *(answer.hits[0].score for answer in answers), 2.0]
    allowed = [t for t in every if mean_with(t, questions, answers, answerable=True) >= kept - 1e-9]
    chosen = choose_min_score(questions, answers)
    assert mean_with(chosen, questions, answers, answerable=True) >= kept - 1e-9
    assert mean_with(chosen, questions, answers) == pytest.approx(max(mean_with(t, questions, answers) for t in allowed))
