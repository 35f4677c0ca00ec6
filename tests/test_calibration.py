"""How well what a release abstains by tells right answers from wrong ones."""

import random
from dataclasses import replace
from typing import Any

import pytest
from fakes import release
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from llmops.chains.parts import Abstention
from llmops.errors import DataError
from llmops.evaluation.calibration import abstention_figures, auroc
from llmops.evaluation.rows import score_row
from llmops.evaluation.settings import NO_CONFIDENCE
from llmops.types import Answer, Chunk, Hit, Metrics, Question

# AUROC


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_the_one_that_scikit_learn_finds(pairs: list[tuple[int, bool]]) -> None:
    scores, right = [float(score) for score, _ in pairs], [is_right for _, is_right in pairs]
    if len(set(right)) == 2:
        found = auroc(scores, right)
        assert found.mean == pytest.approx(roc_auc_score(right, scores)) and found.n == len(pairs)
        assert 0 <= found.low <= found.mean <= found.high <= 1


def test_the_interval_holds_the_area_of_all_answers_in_most_samples_of_like_questions() -> None:
    held = 0
    for seed in range(100):
        draw = random.Random(seed)
        shared = [draw.gauss(0, 0.5) for _ in range(20)]
        right = [draw.random() < 0.4 for _ in range(80)]
        scores = [is_right + shared[i % 20] + draw.gauss(0, 0.75**0.5) for i, is_right in enumerate(right)]
        found = auroc(scores, right, [str(i % 20) for i in range(80)])
        held += found.low <= 0.7602 <= found.high  # of two normal distributions one apart
    assert held >= 90


def test_a_perfect_order_of_few_answers_is_no_proof_of_one() -> None:
    found = auroc([1.0, 2.0, 3.0, 4.0], [False, False, True, True])
    assert (found.mean, found.high) == (1.0, 1.0) and found.low < 0.2


def test_questions_that_are_alike_say_less() -> None:
    draw = random.Random(0)
    right = [i % 2 == 0 for i in range(40)]
    scores = [draw.gauss(float(is_right), 1) for is_right in right]
    alone, fourfold = auroc(scores, right), auroc(scores * 4, right * 4, [str(i) for i in range(40)] * 4)
    assert fourfold.mean == pytest.approx(alone.mean)
    assert fourfold.high - fourfold.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_without_right_and_wrong_answers_nothing_is_ranked() -> None:
    with pytest.raises(DataError, match="3 answers are right and 0 wrong"):
        auroc([1.0, 2.0, 3.0], [True] * 3)


# On a card


def figures(made: Any, *outcomes: tuple[str, float | None, float]) -> Metrics:
    """Of answers to "Which?", whose answer is yes: what was said, its confidence, how near the nearest passage is."""
    questions = [Question(f"q{i}", "Which?", ("yes",), ("a.md",)) for i in range(len(outcomes))]
    answers = [
        Answer(text, text == "I don't know", (Hit(Chunk("a#0", "a.md", "", "", "yes", 0, 3), near),), confidence=sure)
        for text, sure, near in outcomes
    ]
    return abstention_figures(made, [score_row(q, a, True) for q, a in zip(questions, answers, strict=True)], answers)


ANSWERS = [("yes", -0.1, 0.5), ("yes", -0.9, 0.9), ("no", -0.5, 0.4), ("I don't know", -0.2, 0.95)]


def test_the_card_shows_the_floors_the_promise_and_how_given_answers_rank() -> None:
    made = release("rag")
    assert made.retrieval is not None
    made = replace(made, abstention=Abstention(-1.5, 0.2, 40))
    bound = replace(made, retrieval=replace(made.retrieval, search=replace(made.retrieval.search, min_score=0.3)))
    found = figures(bound, *ANSWERS)
    assert {name: value for name, value in found.items() if not name.endswith(("_low", "_high"))} == {
        "abstention/min_score": 0.3, "abstention/max_wrong": 0.2, "abstention/min_confidence": -1.5,
        "abstention/auroc_confidence": 0.5, "abstention/auroc_similarity": 1.0,
    }  # fmt: skip
    assert found["abstention/auroc_confidence_low"] < 0.5 < found["abstention/auroc_confidence_high"]


def test_what_is_not_set_not_told_or_not_to_be_ranked_is_left_out() -> None:
    assert figures(release("prompt"), ("yes", None, 0.5), ("no", None, 0.5)).keys() == {
        f"abstention/auroc_similarity{end}" for end in ("", "_low", "_high")
    }
    assert figures(release("prompt"), *ANSWERS[:2]) == {}
    unbound = replace(release("prompt"), abstention=Abstention(NO_CONFIDENCE, 0.9, 40))
    assert figures(unbound, *ANSWERS[:2]) == {"abstention/max_wrong": 0.9}


def test_a_question_that_failed_or_has_no_reference_ranks_nothing() -> None:
    bare = Question("q", "Which?", (), ("a.md",))
    answer = Answer("yes", False, confidence=-1.0)
    assert abstention_figures(release("prompt"), [score_row(bare, answer, False)] * 2, [answer, None]) == {}
