"""Citations: an answer's marks point at passages that were shown, and cost nothing where answers are scored."""

import re
from dataclasses import replace

import pytest
from conftest import drain
from fakes import TEMPLATE, EchoEngine, Parrot, bot, release, retriever, shown
from hypothesis import given
from hypothesis import strategies as st

from llmops.chains.citations import cited, keep_shown, keep_shown_arriving, mark, number, without_marks
from llmops.chains.prompt import ABSTENTION, parse_prompt
from llmops.evaluation.rows import score_row
from llmops.guards.finding import Finding
from llmops.guards.support import evidence_in, find_unsupported
from llmops.types import Answer, Message, Question

CITING = "End with the passage's number, such as [1].\n" + TEMPLATE
LONG = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"  # a mark that takes its time to arrive
BRACKETS = st.recursive(  # brackets in brackets, so that what is left of one may make a mark of another
    st.sampled_from(["a", " ", ", ", ".\n", "1", "2", "9", "120", "[", "]", LONG]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"[{''.join(parts)}]"),
)
TEXT = st.lists(BRACKETS, max_size=6).map("".join)
PLACES = st.lists(st.integers(0, 400), max_size=8)


def pieces_of(text: str, places: list[int]) -> list[str]:
    ends = sorted({min(place, len(text)) for place in places})
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def test_a_prompt_that_explains_marks_is_shown_numbered_passages() -> None:
    assert number(["Leave.", "Pay."]) == ["[1] Leave.", "[2] Pay."]
    assert "Context:\n[1] Leave.\n\n[2] Pay.\n" in parse_prompt(CITING).message("Why?", ["Leave.", "Pay."]).content
    assert "Context:\nLeave.\n\nPay.\n" in parse_prompt(TEMPLATE).message("Why?", ["Leave.", "Pay."]).content


def test_a_worked_answer_cites_the_passage_that_holds_it() -> None:
    passages = ["Pay is due.", "Leave is\nThirty-two days."]
    asked, answer = parse_prompt(CITING).worked("How long?", passages, "thirty two days")
    assert answer == Message("assistant", "thirty two days [2]") and "[2] Leave is" in asked.content
    assert parse_prompt(TEMPLATE).worked("How long?", passages, "thirty two days")[1].content == "thirty two days"


@pytest.mark.parametrize("answer", ["forty days", "?", ABSTENTION])
def test_a_worked_answer_that_no_passage_holds_cites_none(answer: str) -> None:
    assert parse_prompt(CITING).worked("How long?", ["Leave is thirty days."], answer)[1].content == answer


@pytest.mark.parametrize(
    "text, places",
    [
        ("Thirty days [2].", (2,)),
        ("Thirty [2][1] days [2]", (2, 1)),
        ("Thirty [1, 3]", (1, 3)),
        ("Thirty", ()),
        ("[a] [] [1", ()),
    ],
)
def test_marks_are_read_in_order_each_once(text: str, places: tuple[int, ...]) -> None:
    assert cited(text) == places


@pytest.mark.parametrize(
    "text, kept",
    [
        ("Thirty [3].", "Thirty."),
        ("Thirty [1, 3] days", "Thirty [1] days"),
        ("Thirty [0]", "Thirty"),
        ("Thirty [2]", "Thirty [2]"),
        ("An array[9] of [words]", "An array of [words]"),
        ("See [[9]2].", "See2]."),
        ("See [1, [9]2].", "See2]."),
        ("x[[1]] <- x[[9]]", "x[[1]] <- x]"),
    ],
)
def test_a_mark_that_points_nowhere_is_left_out(text: str, kept: str) -> None:
    assert keep_shown(text, 2) == kept


@given(TEXT, st.integers(0, 12))
def test_every_mark_left_points_at_a_passage_shown_and_was_written(text: str, shown: int) -> None:
    kept = cited(keep_shown(text, shown))
    assert set(kept) == {place for place in cited(text) if 1 <= place <= shown}


@given(TEXT, PLACES, st.integers(0, 12))
def test_marks_are_the_same_however_the_text_arrives(text: str, places: list[int], shown: int) -> None:
    assert "".join(keep_shown_arriving(pieces_of(text, places), shown)) == keep_shown(text, shown)
    assert "".join(keep_shown_arriving(text, shown)) == keep_shown(text, shown)


def test_what_cannot_become_a_mark_is_not_held_back() -> None:
    assert next(keep_shown_arriving(iter(["Thirty [", "days"]), 1)) == "Thirty"
    assert list(keep_shown_arriving(iter(["Thirty days", " [not"]), 1)) == ["Thirty days", " [not"]


# In an answer


def test_an_answer_tells_which_of_its_sources_it_cites() -> None:
    made = replace(release("rag"), template=CITING)
    hits = retriever(("leave", 0.9), ("pay", 0.8))
    answer = bot(made, Parrot("About pay [2], and more [7]."), None, hits).answer(["leave or pay?"])[0]
    assert (answer.text, answer.citations, answer.places) == ("About pay [2], and more.", (2,), (1, 2))
    assert [hit.chunk.heading for hit, place in zip(answer.hits, answer.places, strict=True) if place == 2] == ["pay"]


@given(TEXT, st.integers(0, 3))
def test_a_release_never_cites_what_it_did_not_show(said: str, count: int) -> None:
    shelf = [("leave", 0.9), ("pay", 0.8), ("cars", 0.7)][:count]
    answerer = bot(replace(release("rag"), template=CITING), Parrot(said), None, retriever(*shelf))
    answer = answerer.answer(["leave pay cars?"])[0]
    assert set(cited(answer.text)) <= set(answer.places) and set(answer.citations) <= set(answer.places)
    pieces, streamed = drain(answerer.stream("leave pay cars?"))
    assert ("".join(pieces), streamed) == (answer.text, answer)


def test_brackets_are_left_alone_where_nobody_was_asked_to_cite() -> None:
    answer = bot(release("rag"), Parrot("Use array[9]."), None, retriever(("leave", 0.9))).answer(["leave?"])[0]
    assert (answer.text, answer.citations) == ("Use array[9].", ())


def test_few_shot_examples_show_how_to_cite() -> None:
    engine = EchoEngine()
    bot(replace(release("few-shot"), template=CITING), engine).answer(["When?"])
    assert [message.content for message in engine.requests[0].messages[1:4:2]] == ["thirty [1]", ABSTENTION]
    assert "Context:\n[1] Leave" in engine.requests[0].messages[0].content and "(none)" in shown(engine)


def test_a_mark_is_no_number_that_a_passage_must_hold() -> None:
    evidence = evidence_in(["Leave is thirty days."])
    assert find_unsupported("Leave is thirty days [2].", evidence, 0.5) == []
    assert [type(found) for found in find_unsupported("Leave is 40 days [2].", evidence, 0.5)] == [Finding]


def test_citing_costs_nothing_where_an_answer_is_scored() -> None:
    question = Question("a", "How long?", ("thirty days",), ("leave.md",))
    row = score_row(question, Answer("Thirty days [1]", False, citations=(1,)), has_retriever=False)
    assert (row.score, row.scores["answer/exact_match"], row.answer) == (1.0, 1.0, "Thirty days [1]")
    assert without_marks("Thirty [1] days [2, 3].") == "Thirty days."
    assert re.fullmatch(r"Thirty days \[1\]", mark("Thirty days", ["thirty days"]))
