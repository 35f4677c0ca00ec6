"""Our KPIs as HF `evaluate` metrics, and how they agree with what others report."""

import json
import socket
from pathlib import Path
from typing import Any

import evaluate
import pytest

from benchmarks.evaluation import agreeing
from llmops.errors import DataError
from llmops.evaluation.hf_metrics import Abstention, ExactMatch, RetrievalRanking, RougeL, TokenF1
from llmops.evaluation.metrics import exact_match, token_f1
from llmops.evaluation.ranking import ndcg_at

ROOT = Path(__file__).parent.parent
SAID = ["thirty days", "I don't know.", "off on Friday, thirty", "I don't know"]
RIGHT = [["30 days", "the thirty days"], ["two years"], ["thirty"], []]


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Makes metrics that keep their files in the test's folder."""
    return lambda metric, *args: metric(*args, cache_dir=str(tmp_path))


@pytest.mark.parametrize(
    "metric, expected", [(TokenF1, (1 + 0 + 0.4) / 3), (ExactMatch, 1 / 3), (RougeL, (0.8 + 0 + 0.4) / 3)]
)
def test_a_metric_is_the_mean_over_questions_with_an_answer_and_abstaining_from_one_scores_0(
    made: Any, metric: Any, expected: float
) -> None:
    (value,) = made(metric).compute(predictions=SAID, references=RIGHT).values()
    assert value == pytest.approx(expected)


def test_combined_metrics_have_names_of_their_own(made: Any) -> None:
    combined = evaluate.combine([made(metric) for metric in (TokenF1, ExactMatch, RougeL, Abstention)])
    found = combined.compute(predictions=SAID, references=RIGHT)
    assert sorted(found) == ["abstention_false_rate", "abstention_recall", "exact_match", "rouge_l", "token_f1"]
    assert (found["abstention_recall"], found["abstention_false_rate"]) == (1.0, pytest.approx(1 / 3))


def test_answers_may_be_added_one_by_one(made: Any) -> None:
    metric = made(TokenF1)
    for said, right in zip(SAID, RIGHT, strict=True):
        metric.add(prediction=said, reference=right)
    assert metric.compute() == made(TokenF1).compute(predictions=SAID, references=RIGHT)


def test_a_ranking_is_scored_by_grades_over_the_queries_that_something_is_relevant_to(made: Any) -> None:
    judged = [[{"document": "b", "grade": 2}, {"document": "x", "grade": 1}], [], [{"document": "a", "grade": 1}]]
    found = made(RetrievalRanking, 2).compute(predictions=[["a", "b", "x"], ["a"], ["a"]], references=judged)
    assert found == {
        "recall_at_2": 0.75, "mrr_at_2": 0.75, "ndcg_at_2": (ndcg_at(["a", "b"], {"b": 2, "x": 1}, 2) + 1) / 2,
    }  # fmt: skip


def test_nothing_is_scored_without_a_right_answer(made: Any) -> None:
    with pytest.raises(DataError, match="no reference"):
        made(TokenF1).compute(predictions=["thirty"], references=[[]])


def test_metrics_are_made_without_a_network(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a network was asked for")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert made(TokenF1).compute(predictions=["thirty"], references=[["thirty"]]) == {"token_f1": 1.0}


def test_only_who_asks_for_these_metrics_waits_for_their_library() -> None:
    users = [
        path.name for path in (ROOT / "llmops").rglob("*.py")
        if "import evaluate" in path.read_text(encoding="utf-8") or "hf_metrics" in path.read_text(encoding="utf-8")
    ]  # fmt: skip
    assert users == ["hf_metrics.py"]


# Agreement with what others report


@pytest.mark.parametrize("answer, reference, expected", [("A", "A", 1.0), ("!", ".", 1.0), ("A", "B", 0.0), (".", "B", 0.0)])
def test_a_text_of_articles_and_marks_alone_is_the_same_as_another_as_in_squad(
    answer: str, reference: str, expected: float
) -> None:
    assert token_f1(answer, [reference]) == exact_match(answer, [reference]) == expected


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "squad2-half-dev").mkdir()
    asked = [
        {"id": str(n), "question": "?", "is_impossible": not texts, "answers": [{"text": text} for text in texts]}
        for n, texts in enumerate((["the Late Middle Ages", "Ages"], ["."], [], ["10,000 to 12,000 men"]))
    ]
    content = {"data": [{"title": "T", "paragraphs": [{"context": "C", "qas": asked}]}]}
    (tmp_path / "squad2-half-dev" / "squad2-half-dev.json").write_text(json.dumps(content))
    return tmp_path


def test_our_metrics_are_those_of_torchmetrics_and_trec_eval(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreeing, "_RANKINGS", 20)
    found = agreeing.measure(data)
    assert found["squad_em_f1_max_diff"] < 1e-6 and found["ndcg_recall_max_diff"] < 1e-6
    assert found["squad_cases"] > 3 * 9


def test_a_metric_that_is_another_one_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreeing, "token_f1", exact_match)
    monkeypatch.setattr(agreeing, "ndcg_at", lambda ranked, relevant, k: ndcg_at(ranked, relevant, k - 1))
    assert agreeing.squad_difference([("thirty", ("thirty days",))]) == pytest.approx(2 / 3)
    assert agreeing.ranking_difference(20) > 0.01
