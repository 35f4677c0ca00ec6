"""Two scorecards side by side: what differs, and what may be chance."""

import pytest

from llmops.errors import DataError
from llmops.evaluation.comparison import Difference, differences
from llmops.evaluation.scorecard import Scorecard, score
from llmops.types import Answer, Question

SAID = {"y": Answer("yes", False), "n": Answer("no", False), "-": Answer("I don't know", True)}


def card(name: str, said: str, documents: int = 1000) -> Scorecard:
    questions = [Question(f"q{i}", f"{i}?", ("yes",), (f"{i % documents}.md",)) for i in range(len(said))]
    return score(name, questions, [SAID[letter] for letter in said], has_retriever=False)


def by_name(found: list[Difference]) -> dict[str, Difference]:
    return {one.kpi.name: one for one in found}


def test_a_large_difference_is_better_or_worse_by_the_way_the_kpi_points() -> None:
    found = by_name(differences(card("rag", "y" * 40), card("prompt", "-" * 40)))
    assert (found["answer/f1"].interval.mean, found["answer/f1"].verdict) == (1.0, "better")
    assert (found["abstention/false_rate"].interval.mean, found["abstention/false_rate"].verdict) == (-1.0, "better")
    assert by_name(differences(card("prompt", "-" * 40), card("rag", "y" * 40)))["answer/f1"].verdict == "worse"


def test_kpis_that_decide_nothing_are_not_compared() -> None:
    assert "abstention/coverage" not in by_name(differences(card("rag", "yn"), card("prompt", "nn")))


def test_what_may_be_chance_has_no_verdict() -> None:
    found = by_name(differences(card("rag", "yynn" * 10), card("prompt", "ynyn" * 10)))
    assert found["answer/f1"].verdict == "" and found["answer/f1"].p_value > 0.05


def test_p_values_are_corrected_over_all_that_is_compared() -> None:
    found = differences(card("rag", "y" * 12 + "n" * 28), card("prompt", "n" * 40))
    assert all(one.adjusted >= one.p_value for one in found) and any(one.adjusted > one.p_value for one in found)


def test_questions_on_the_same_documents_show_less_than_as_many_on_others() -> None:
    apart = by_name(differences(card("rag", "yyyn" * 10), card("prompt", "nnnn" * 10)))["answer/f1"]
    alike = by_name(differences(card("rag", "yyyn" * 10, 4), card("prompt", "nnnn" * 10, 4)))["answer/f1"]
    assert alike.p_value > apart.p_value and alike.detectable > apart.detectable


def test_a_smaller_difference_needs_more_questions() -> None:
    large = by_name(differences(card("rag", "yyyn" * 10), card("prompt", "nnnn" * 10)))["answer/f1"]
    small = by_name(differences(card("rag", "ynnn" * 10), card("prompt", "nnny" * 10)))["answer/f1"]
    assert large.needed is not None and large.needed < 40 and small.needed is None  # no difference at all


def test_cards_of_different_questions_are_not_compared() -> None:
    with pytest.raises(DataError, match="not asked the same questions"):
        differences(card("rag", "yy"), card("prompt", "yyy"))
