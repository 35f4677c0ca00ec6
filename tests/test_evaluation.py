"""Metrics, intervals, scorecards, and the settings that are chosen by them."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from llmops.chains.prompt import ABSTENTION
from llmops.errors import DataError
from llmops.evaluation.kpis import KPIS, lower_is_better
from llmops.evaluation.metrics import exact_match, normalize, rouge_l, token_f1
from llmops.evaluation.rows import Row, failed_row, score_row, values
from llmops.evaluation.scorecard import ABSTAINER, Scorecard, compare, score, score_abstainer, table
from llmops.evaluation.settings import choose_k, choose_min_score
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


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("thirty days of paid leave", 1.0),
        ("days thirty", 2 * (1 / 2) * (1 / 5) / (1 / 2 + 1 / 5)),
        ("weeks", 0.0),
        ("", 0.0),
    ],
)
def test_rouge_l_is_the_longest_common_subsequence(answer: str, expected: float) -> None:
    assert rouge_l(answer, ["forty weeks of holiday", "thirty days of paid leave"]) >= expected
    assert rouge_l(answer, ["thirty days of paid leave"]) == pytest.approx(expected)


def test_rouge_l_knows_words_of_any_script() -> None:
    assert rouge_l("тридцать дней", ["тридцать дней"]) == 1.0


ANSWERABLE = Question("q1", "How many days?", ("thirty days",), ("leave.md", "pay.md"))
UNANSWERABLE = Question("q2", "Who won?")
ABSTAINED = Answer(ABSTENTION, True)


def hit(document: str, similarity: float = 0.5) -> Hit:
    return Hit(Chunk(f"{document}#0", document, "", "", "text", 0, 4), similarity)


def of_text(row: Row) -> tuple[float | None, ...]:
    return tuple(row.scores.get(f"answer/{name}") for name in ("score", "f1", "exact_match"))


def of_retrieval(row: Row) -> tuple[float | None, ...]:
    return tuple(row.scores.get(f"retrieval/{name}") for name in ("recall", "mrr", "precision"))


def test_an_answer_to_an_answerable_question_scores_its_f1() -> None:
    row = score_row(ANSWERABLE, Answer("thirty", False), has_retriever=False)
    assert of_text(row) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 0.0)


def test_abstaining_from_an_answerable_question_scores_nothing_whatever_words_are_shared() -> None:
    question = Question("q1", "What do you know?", (ABSTENTION,), ("a.md",))
    row = score_row(question, ABSTAINED, has_retriever=False)
    assert of_text(row) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("answer, expected", [(ABSTAINED, 1.0), (Answer("thirty days", False), 0.0)])
def test_only_abstaining_from_an_unanswerable_question_scores(answer: Answer, expected: float) -> None:
    row = score_row(UNANSWERABLE, answer, has_retriever=True)
    assert of_text(row) == (expected, None, None) and not any(name.startswith("retrieval/") for name in row.scores)


@pytest.mark.parametrize(
    "documents, recall, rank, precision",
    [
        (["leave.md"], 0.5, 1.0, 1.0),
        (["cars.md", "pay.md", "leave.md"], 1.0, 0.5, (1 / 2 + 2 / 3) / 2),
        (["leave.md", "leave.md", "cars.md"], 0.5, 1.0, 1.0),
        (["cars.md"], 0.0, 0.0, 0.0),
        ([], 0.0, 0.0, 0.0),
    ],
)
def test_retrieval_finds_a_share_of_the_right_documents_at_some_rank(
    documents: list[str], recall: float, rank: float, precision: float
) -> None:
    row = score_row(ANSWERABLE, Answer("x", False, tuple(map(hit, documents))), has_retriever=True)
    assert of_retrieval(row) == (recall, rank, pytest.approx(precision))


def test_the_best_order_of_documents_has_the_highest_gain() -> None:
    gains = [
        score_row(ANSWERABLE, Answer("x", False, tuple(map(hit, found))), True).scores["retrieval/ndcg"]
        for found in (
            ["leave.md", "pay.md", "cars.md"],
            ["leave.md", "cars.md", "pay.md"],
            ["cars.md", "leave.md"],
            ["cars.md"],
        )
    ]
    assert gains[0] == 1.0 and gains == sorted(gains, reverse=True) and gains[-1] == 0.0


def test_a_passage_that_stands_in_several_documents_counts_for_the_right_one() -> None:
    found = Hit(hit("cars.md").chunk, 0.5, None, ("pay.md",))
    assert of_retrieval(score_row(ANSWERABLE, Answer("x", False, (found,)), True)) == (0.5, 1.0, 1.0)


def test_citing_is_right_where_the_passage_cited_is_of_a_right_document() -> None:
    hits = (hit("cars.md"), hit("leave.md"))
    for cited, share in (((2,), 1.0), ((1, 2), 0.5), ((1,), 0.0)):
        row = score_row(ANSWERABLE, Answer("x", False, hits, places=(1, 2), citations=cited), True)
        assert row.scores["grounding/citation"] == share
    assert "grounding/citation" not in score_row(ANSWERABLE, Answer("x", False, hits, places=(1, 2)), True).scores


def test_a_question_that_crashed_scores_as_one_answered_wrongly_and_says_why() -> None:
    row, wrong = failed_row(ANSWERABLE, "KeyError: 'x'", True), score_row(ANSWERABLE, Answer("no", False), True)
    assert row.error == "KeyError: 'x'" and row.scores["answer/failed"] == 1.0 and wrong.scores["answer/failed"] == 0.0
    assert {**row.scores, "answer/failed": 0.0} == wrong.scores
    assert failed_row(UNANSWERABLE, "died", False).scores["abstention/recall"] == 0.0


def test_a_question_with_documents_alone_is_asked_for_what_is_found() -> None:
    row = score_row(Question("q", "Where?", documents=("leave.md",)), Answer("x", False, (hit("leave.md"),)), True)
    assert of_text(row) == (None, None, None) and of_retrieval(row) == (1.0, 1.0, 1.0)
    assert row.scores["abstention/false_rate"] == 0.0 and "abstention/wrong_rate" not in row.scores


def test_what_does_not_retrieve_has_no_retrieval_metrics() -> None:
    row = score_row(ANSWERABLE, Answer("thirty days", False), has_retriever=False)
    assert of_retrieval(row) == (None, None, None)


FOUR = [Question(f"q{i}", "?", ("yes",) if i < 3 else (), ("a.md",) if i < 3 else ()) for i in range(4)]


def rows(*answers: Answer) -> list[Row]:
    return [score_row(question, answer, has_retriever=False) for question, answer in zip(FOUR, answers, strict=True)]


def test_each_metric_looks_at_the_questions_it_applies_to() -> None:
    scored = rows(Answer("yes", False), ABSTAINED, Answer("no", False), ABSTAINED)
    assert values(scored, "answer/score") == {"q0": 1.0, "q1": 0.0, "q2": 0.0, "q3": 1.0}
    assert values(scored, "answer/f1") == {"q0": 1.0, "q1": 0.0, "q2": 0.0}
    assert values(scored, "abstention/false_rate") == {"q0": 0.0, "q1": 1.0, "q2": 0.0}
    assert values(scored, "abstention/recall") == {"q3": 1.0}
    assert values(scored, "retrieval/recall") == {}
    assert values(scored, "abstention/wrong_rate") == {"q0": 0.0, "q1": 0.0, "q2": 1.0, "q3": 0.0}
    assert values(scored, "abstention/coverage") == {"q0": 1.0, "q1": 0.0, "q2": 1.0, "q3": 0.0}


def test_each_kpi_points_one_way() -> None:
    assert not lower_is_better("answer/f1") and lower_is_better("abstention/false_rate") and lower_is_better("latency/p50_s")
    with pytest.raises(KeyError):
        lower_is_better("answer/bleu")


# Scorecard


def test_always_abstaining_is_right_on_unanswerable_questions_only() -> None:
    card = score_abstainer(FOUR)
    means = {metric: interval.mean for metric, interval in card.intervals.items()}
    assert card.candidate == ABSTAINER
    assert means == {
        "answer/score": 0.25, "answer/f1": 0.0, "answer/exact_match": 0.0, "answer/rouge_l": 0.0, "answer/failed": 0.0,
        "abstention/recall": 1.0, "abstention/false_rate": 1.0, "abstention/wrong_rate": 0.0, "abstention/coverage": 0.0,
        "tokens/prompt": 0.0, "tokens/completion": 0.0,
    }  # fmt: skip


def scorecard(candidate: str, has_retriever: bool = False, **measured: float) -> Scorecard:
    answers = [Answer("yes", False, (hit("a.md"),), 10, 2), Answer("no", False, (), 20, 4), ABSTAINED, ABSTAINED]
    return score(candidate, FOUR, answers, has_retriever, {name.replace("__", "/"): v for name, v in measured.items()})


def test_metrics_are_flat_each_with_its_bounds() -> None:
    metrics = scorecard("rag", has_retriever=True, latency__p50_s=1.5).metrics
    assert metrics["answer/score"] == 0.5 and metrics["answer/f1"] == pytest.approx(1 / 3)
    assert metrics["answer/f1_low"] <= metrics["answer/f1"] <= metrics["answer/f1_high"]
    assert (metrics["latency/p50_s"], metrics["tokens/prompt"], metrics["tokens/completion"]) == (1.5, 7.5, 1.5)
    assert {f"{kpi}{end}" for kpi in ("answer/f1", "retrieval/mrr") for end in ("", "_low", "_high")} <= metrics.keys()
    assert {name.removesuffix("_low").removesuffix("_high") for name in metrics} <= KPIS.keys() | {"latency/p50_s"}


def test_answers_must_be_as_many_as_questions() -> None:
    with pytest.raises(ValueError):
        score("rag", FOUR, [ABSTAINED], has_retriever=False)


def test_a_table_has_one_line_for_each_candidate() -> None:
    lines = table([score_abstainer(FOUR), scorecard("rag", True, latency__p50_s=1.5), scorecard("prompt")]).splitlines()
    assert [line.split()[1] for line in lines] == ["candidate", "---------" + "-" * 5, ABSTAINER, "rag", "prompt"]
    assert len({line.count("|") for line in lines}) == 1  # Markdown


def test_a_table_shows_means_with_their_intervals_and_a_dash_where_there_is_none() -> None:
    header, _, rag, prompt = table([scorecard("rag", True, latency__p50_s=1.5), scorecard("prompt")]).splitlines()
    assert "0.333 [0.000, 1.000]" in rag and rag.endswith("1.50  |")
    assert prompt.endswith("-     |") and prompt[header.index("recall")] == "-"


def test_scorecards_of_different_questions_refuse_to_be_compared() -> None:
    left, right = scorecard("rag"), score("prompt", FOUR[:3], [ABSTAINED] * 3, has_retriever=False)
    with pytest.raises(DataError, match="not asked the same questions"):
        compare(left, right, "answer/score")
    assert compare(left, scorecard("prompt"), "answer/score").mean == 0.0


def test_a_slice_has_kpis_of_its_own() -> None:
    topics = [replace(q, slices={"topic": "leave" if i % 2 else "pay"}) for i, q in enumerate(FOUR)]
    card = score("rag", topics, [Answer("yes", False), ABSTAINED, Answer("no", False), ABSTAINED], False)
    assert {slice_: found["answer/score"].mean for slice_, found in card.slices().items()} == {
        ("topic", "leave"): 0.5, ("topic", "pay"): 0.5,
    }  # fmt: skip
    assert card.slices()[("topic", "pay")]["answer/score"].n == 2 and card.slices(least=3) == {}


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
