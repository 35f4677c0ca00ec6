"""Question sets and training examples: what is accepted, what is refused, and the sample application's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import HANDBOOK

from llmops.chains.prompt import is_abstention
from llmops.datasets.examples import read_examples
from llmops.datasets.questions import check_documents, read_questions
from llmops.documents.reader import read_documents
from llmops.errors import DataError
from llmops.types import Example, Question

ANSWERABLE = {"id": "q1", "question": "How many days?", "answers": ["30", "thirty"], "documents": ["leave.md"]}
UNANSWERABLE = {"id": "q2", "question": "Who won?", "answers": [], "documents": []}
EXAMPLE = {"question": "How many days?", "context": ["Leave\nThirty days."], "answer": "thirty"}


def write(folder: Path, *lines: Any) -> Path:
    """A file `set.jsonl` with a line for each object, or for each text as it is."""
    path = folder / "set.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Questions


def test_a_question_has_answers_and_the_documents_that_hold_them(tmp_path: Path) -> None:
    assert read_questions(write(tmp_path, ANSWERABLE, UNANSWERABLE)) == [
        Question("q1", "How many days?", ("30", "thirty"), ("leave.md",)),
        Question("q2", "Who won?"),
    ]


def test_a_question_without_answers_and_documents_is_unanswerable(tmp_path: Path) -> None:
    other = {"id": "q3", "question": "How many cars?", "answers": ["3"], "documents": []}
    judged = {"id": "q4", "question": "What colour?", "answers": [], "documents": ["cars.md"]}
    questions = read_questions(write(tmp_path, ANSWERABLE, UNANSWERABLE, other, judged))
    assert [question.answerable for question in questions] == [True, False, True, True]


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = write(tmp_path, ANSWERABLE, "", UNANSWERABLE, "{")
    assert refusal(read_questions, path).startswith("set.jsonl:4: no valid JSON")


BAD_QUESTIONS = {
    "broken JSON": ('{"id": "q1", "question"', "no valid JSON"),
    "a list": ("[1, 2]", "found a list"),
    "a number as id": ({**ANSWERABLE, "id": 7}, "'id' is 7"),
    "no id": ({"question": "Who?", "answers": [], "documents": []}, "'id' is None"),
    "blank question": ({**ANSWERABLE, "question": "  "}, "'question' is '  '"),
    "answers as text": ({**ANSWERABLE, "answers": "thirty"}, "'answers' is 'thirty'"),
    "blank answer": ({**ANSWERABLE, "answers": [""]}, "'answers' is ['']"),
    "no answers field": ({"id": "q1", "question": "Who?", "documents": []}, "'answers' is None"),
}


@pytest.mark.parametrize("line, hint", BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_a_malformed_question_is_refused_naming_file_and_line(tmp_path: Path, line: Any, hint: str) -> None:
    said = refusal(read_questions, write(tmp_path, UNANSWERABLE, line))
    assert said.startswith("set.jsonl:2: ") and hint in said


def test_an_id_may_appear_once(tmp_path: Path) -> None:
    said = refusal(read_questions, write(tmp_path, ANSWERABLE, {**UNANSWERABLE, "id": "q1"}))
    assert said.startswith("set.jsonl:2: id 'q1' appears twice")


@pytest.mark.parametrize("read", [read_questions, read_examples])
def test_a_file_without_lines_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    assert "holds no" in refusal(read, write(tmp_path, "", ""))


@pytest.mark.parametrize("read", [read_questions, read_examples])
def test_a_missing_file_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    assert "missing.jsonl' can't be read" in refusal(read, tmp_path / "missing.jsonl")


@pytest.mark.parametrize("read", [read_questions, read_examples])
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    (tmp_path / "set.jsonl").write_bytes('{"question": "Café?"}'.encode("latin-1"))
    assert "UTF-8" in refusal(read, tmp_path / "set.jsonl")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_only_a_newline_ends_a_line(tmp_path: Path, separator: str) -> None:
    line = {**EXAMPLE, "context": [f"Leave{separator}Thirty days."]}
    assert read_examples(write(tmp_path, line))[0].context == (f"Leave{separator}Thirty days.",)


def test_a_question_about_a_document_that_is_not_indexed_is_refused(tmp_path: Path) -> None:
    questions = read_questions(write(tmp_path, ANSWERABLE, UNANSWERABLE))
    check_documents(questions, {"leave.md", "cars.pdf"})
    with pytest.raises(DataError, match=r"1 documents .* \(leave\.md\)"):
        check_documents(questions, {"cars.pdf"})


# Examples


def test_an_example_has_a_question_its_context_and_the_answer(tmp_path: Path) -> None:
    assert read_examples(write(tmp_path, EXAMPLE)) == [Example("How many days?", ("Leave\nThirty days.",), "thirty")]


def test_an_example_may_have_no_context(tmp_path: Path) -> None:
    assert read_examples(write(tmp_path, {**EXAMPLE, "context": []}))[0].context == ()


BAD_EXAMPLES = {
    "broken JSON": ('{"question": ', "no valid JSON"),
    "no context field": ({"question": "Who?", "answer": "me"}, "'context' is None"),
    "context of numbers": ({**EXAMPLE, "context": [1]}, "'context' is [1]"),
    "no answer": ({**EXAMPLE, "answer": None}, "'answer' is None"),
}


@pytest.mark.parametrize("line, hint", BAD_EXAMPLES.values(), ids=BAD_EXAMPLES)
def test_a_malformed_example_is_refused_naming_file_and_line(tmp_path: Path, line: Any, hint: str) -> None:
    said = refusal(read_examples, write(tmp_path, EXAMPLE, line))
    assert said.startswith("set.jsonl:2: ") and hint in said


# The sample application

DEV = read_questions(HANDBOOK / "questions-dev.jsonl")
TEST = read_questions(HANDBOOK / "questions-test.jsonl")
EXAMPLES = read_examples(HANDBOOK / "examples.jsonl")


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The handbook's documents, with single spaces, by their ids."""
    documents, _ = read_documents(HANDBOOK / "documents")
    return {document.doc_id: plain(document.text) for document in documents}


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_sample_examples_show_answering_and_abstaining() -> None:
    abstaining = [example for example in EXAMPLES if is_abstention(example.answer)]
    assert len(EXAMPLES) >= 150 and 10 <= len(abstaining) < len(EXAMPLES) / 2


@pytest.mark.parametrize("questions, least", [(TEST, 100), (DEV, 40)], ids=["held-out", "development"])
def test_the_sample_questions_are_many_and_some_are_unanswerable(questions: list[Question], least: int) -> None:
    unanswerable = [question for question in questions if not question.answerable]
    assert len(questions) >= least and least / 10 <= len(unanswerable) < len(questions) / 2


def test_every_document_that_a_sample_question_names_exists(texts: dict[str, str]) -> None:
    check_documents([*DEV, *TEST], texts)


def test_sample_answers_stand_in_the_documents_that_are_named_for_them(texts: dict[str, str]) -> None:
    for question in (question for question in [*DEV, *TEST] if question.answerable):
        held = plain(" ".join(texts[document] for document in question.documents)).lower()
        assert any(plain(answer).lower() in held for answer in question.answers), question


def test_no_sample_question_is_trained_on() -> None:
    asked = {plain(question.text).lower() for question in [*DEV, *TEST]}
    assert not asked & {plain(example.question).lower() for example in EXAMPLES}


@pytest.fixture(scope="module")
def endings() -> set[str]:
    """How the passages shown in the examples end: enough to find them in a document, whatever stands before."""
    return {plain(passage)[-80:] for example in EXAMPLES for passage in example.context}


def test_sample_examples_show_passages_of_the_handbook(texts: dict[str, str], endings: set[str]) -> None:
    found = [ending for ending in endings if any(ending in text for text in texts.values())]
    assert len(found) > 0.9 * len(endings)


def test_no_sample_example_shows_a_document_that_a_question_is_about(texts: dict[str, str], endings: set[str]) -> None:
    asked_about = [texts[document] for question in [*DEV, *TEST] for document in question.documents]
    assert [ending for ending in endings if any(ending in text for text in asked_about)] == []
