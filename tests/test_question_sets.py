"""Question sets: what files they are read from, what is refused, and how they are frozen in the store."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.genai.datasets import create_dataset, get_dataset
from mlflow.genai.scorers import scorer

from llmops.datasets.questions import import_questions, question_digest, read_questions, with_default_slices
from llmops.errors import ArtifactError, DataError, LLMOpsError
from llmops.tracking.question_sets import freeze_questions, get_question_set, load_questions
from llmops.tracking.traces import limit_workers
from llmops.types import Question

LEAVE = Question("q1", "How many days of leave?", ("30", "thirty"), ("leave.md",), {"topic": "leave"})
WON = Question("q2", "Who won, and why?", (), (), {}, "feedback")
CARS = Question("q3", "Where are cars booked?", ("in Pebble | the tool",), ("a.md", "b.md"), {"topic": "cars"}, "synthetic")
ALL = [LEAVE, WON, CARS]


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def line(question: Question) -> str:
    return json.dumps(
        {
            "id": question.question_id, "question": question.text, "answers": question.answers,
            "documents": question.documents, "slices": dict(question.slices), "origin": question.origin,
        }
    )  # fmt: skip


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_questions(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Lines and tables


def test_lines_may_say_slices_and_origin(tmp_path: Path) -> None:
    assert read_questions(put(tmp_path, "set.jsonl", "\n".join(map(line, ALL)))) == ALL


TABLE = """\
id,question,answers,documents,slice.topic,origin
q1,How many days of leave?,30|thirty,leave.md,leave,
q2,"Who won, and why?",,,,feedback
q3,Where are cars booked?,"[""in Pebble | the tool""]",a.md | b.md,cars,synthetic
"""


@pytest.mark.parametrize("name, mark", [("set.csv", ","), ("set.csv", ";"), ("set.tsv", "\t")])
def test_a_table_has_lists_between_bars_or_as_json(tmp_path: Path, name: str, mark: str) -> None:
    rows = csv.reader(TABLE.splitlines())
    with (tmp_path / name).open("w", newline="") as file:
        csv.writer(file, delimiter=mark).writerows(rows)
    assert read_questions(tmp_path / name) == ALL


def test_parquet_has_lists_and_slices_of_its_own(tmp_path: Path) -> None:
    rows = [
        {"id": one.question_id, "question": one.text, "answers": list(one.answers), "documents": list(one.documents),
         "slices": {"topic": one.slices.get("topic")}, "origin": one.origin} for one in ALL
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "set.parquet")
    assert read_questions(tmp_path / "set.parquet") == ALL


BAD_LINES = {
    "unknown origin": ({"origin": "robot"}, "'origin' is 'robot'"),
    "slices as text": ({"slices": "leave"}, "'slices' is 'leave'"),
    "a slice that is a number": ({"slices": {"year": 2024}}, "'slices' is {'year': 2024}"),
    "an empty answer": ({"answers": ["30", " "]}, "'answers' is ['30', ' ']"),
    "an answer without words": ({"answers": ["30", "..."]}, "the answer '...' has neither letter nor digit"),
    "a review without a verdict": ({"accept": ""}, "'accept' is '', expected yes or no"),
}


@pytest.mark.parametrize("wrong, hint", BAD_LINES.values(), ids=BAD_LINES)
def test_a_malformed_line_is_refused_naming_it(tmp_path: Path, wrong: dict[str, Any], hint: str) -> None:
    path = put(tmp_path, "set.jsonl", f"{line(WON)}\n{json.dumps(json.loads(line(LEAVE)) | wrong)}\n")
    said = refusal(path)
    assert said.startswith("set.jsonl:2: ") and hint in said


def test_half_a_character_is_refused_for_no_store_takes_it(tmp_path: Path) -> None:
    path = put(tmp_path, "set.jsonl", line(LEAVE).replace("leave?", "leave \\ud83d?"))
    assert refusal(path).startswith("'q1' holds half a character")


BAD_TABLES = {
    "no id": ("question,answers,documents\nWho?,,\n", "set.csv:2: 'id' is None"),
    "too few cells": ("id,question,answers\nq1,Who won?\n", "set.csv:2: found 2 cells, expected 3"),
    "an empty answer between bars": (
        "id,question,answers\nq1,Who won?,me||you\n",
        "set.csv:2: 'answers' is ['me', '', 'you']",
    ),
    "a list that is no JSON": ('id,question,answers\nq1,Who won?,"[me, you]"\n', "set.csv:2: 'answers' is '[me, you]'"),
    "only a header": ("id,question,answers\n", "holds no questions"),
    "all declined": ("id,question,answers,accept\nq1,Who won?,me,No\n", "holds no questions that were accepted"),
}


@pytest.mark.parametrize("table, hint", BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_malformed_table_is_refused_naming_the_line(tmp_path: Path, table: str, hint: str) -> None:
    assert hint in refusal(put(tmp_path, "set.csv", table))


def test_a_question_asked_twice_is_refused_naming_both(tmp_path: Path) -> None:
    same = [replace(LEAVE, question_id="q9", text="how many  days of LEAVE"), replace(CARS, question_id="q4")]
    said = refusal(put(tmp_path, "set.jsonl", "\n".join(map(line, [*ALL, *same]))))
    assert "asks 2 questions more than once" in said and "q1, q9:" in said and "q3, q4:" in said


def test_questions_that_differ_in_a_sign_are_two(tmp_path: Path) -> None:
    both = [Question("a", "What is C?", ("x",)), Question("b", "What is C++?", ("y",)), Question("c", "???", ("z",))]
    assert read_questions(put(tmp_path, "set.jsonl", "\n".join(map(line, both)))) == both


# Encodings

ENCODINGS = {"latin-1": "cp1252", "utf-16": "utf-16", "utf-16-le": "utf-16-le", "utf-32": "utf-32"}


@pytest.mark.parametrize("name", ["set.csv", "set.jsonl", "set.json"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, name: str) -> None:
    path = put(tmp_path, name, "id,question\nq1,Wie viele Tage Urlaub für Köche und Bäcker im Jahr?\n".encode(encoding))
    assert refusal(path) == f"{name} is not UTF-8: it seems to be {ENCODINGS[encoding]}. Save it as UTF-8."


def test_what_is_no_text_is_called_binary(tmp_path: Path) -> None:
    assert "binary" in refusal(put(tmp_path, "set.csv", bytes(range(256)) * 4))


@pytest.mark.parametrize("name, content", [("set.csv", TABLE), ("set.jsonl", line(LEAVE))])
def test_the_mark_that_spreadsheets_put_before_utf8_is_no_other_encoding(tmp_path: Path, name: str, content: str) -> None:
    assert read_questions(put(tmp_path, name, content.encode("utf-8-sig")))[0] == LEAVE


# Benchmarks


def squad(*asked: dict[str, Any], title: str = "Normans") -> str:
    other = {"context": "Nothing.", "qas": []}
    return json.dumps(
        {"version": "v2.0", "data": [{"title": title, "paragraphs": [other, {"context": "It", "qas": asked}]}]}
    )


def ask(name: str, text: str, *answers: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "question": text, "answers": [{"text": answer, "answer_start": 0} for answer in answers], **more}


def test_squad_1_names_the_paragraph_as_document_and_the_title_as_topic(tmp_path: Path) -> None:
    path = put(tmp_path, "dev.json", squad(ask("s1", " Where is Normandy?", "France", "in France", "France", ".")))
    assert read_questions(path) == [
        Question("s1", "Where is Normandy?", ("France", "in France"), ("Normans#1",), {"topic": "Normans"})
    ]


def test_what_squad_2_calls_impossible_has_neither_answers_nor_documents(tmp_path: Path) -> None:
    asked = [ask("s1", "Who?", "he", is_impossible=False), ask("s2", "Why?", is_impossible=True)]
    found = read_questions(put(tmp_path, "dev.json", squad(*asked)))
    assert [(one.answerable, one.answers, one.documents) for one in found] == [
        (True, ("he",), ("Normans#1",)), (False, (), ())
    ]  # fmt: skip


def test_what_squad_asks_of_two_paragraphs_is_one_question_with_both_answers(tmp_path: Path) -> None:
    asked = [
        ask("s1", "Who partnered?", is_impossible=True), ask("s2", "Who partnered?", "Qwest", is_impossible=False),
        ask("s3", "who partnered", "Level 3", "Qwest", is_impossible=False),
    ]  # fmt: skip
    found = import_questions(put(tmp_path, "dev.json", squad(*asked)))
    assert (found.format, found.joined) == ("SQuAD", 2)
    assert [(one.question_id, one.answers) for one in found.questions] == [("s2", ("Qwest", "Level 3"))]


BAD_SQUAD = {
    "no answer": (squad(ask("s1", "Who?")), "'s1' lacks a question or an answer"),
    "an empty answer": (squad(ask("s1", "Who?", "he", " ")), "'s1' lacks a question or an answer"),
    "an answer without words": (squad(ask("s1", "Who?", "...")), "'s1' lacks a question or an answer"),
    "an id twice": (squad(ask("s1", "Who?", "he"), ask("s1", "Why?", "so")), "id 's1' appears twice"),
    "another structure": (squad(ask("s1", "Who?", "he"), {"id": "s2"}), "no SQuAD after 's1' (KeyError: 'question')"),
    "no questions": (squad(), "holds no questions"),
}


@pytest.mark.parametrize("content, hint", BAD_SQUAD.values(), ids=BAD_SQUAD)
def test_a_malformed_squad_file_is_refused(tmp_path: Path, content: str, hint: str) -> None:
    assert hint in refusal(put(tmp_path, "dev.json", content))


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    queries = [{"_id": name, "text": f"claim {name}"} for name in ("1", "2", "3")]
    put(tmp_path, "queries.jsonl", "\n".join(map(json.dumps, queries)))
    header = "query-id\tcorpus-id\tscore\n"
    put(tmp_path, "qrels/test.tsv", f"{header}1\tb\t1\n1\ta\t2\n2\tc\t0\n")
    put(tmp_path, "qrels/train.tsv", f"{header}3\tc\t1\n")
    return tmp_path


def test_beir_judges_documents_and_knows_no_answers(beir: Path) -> None:
    for path in (beir, beir / "queries.jsonl", beir / "qrels" / "test.tsv"):
        found = read_questions(path)
        assert found == [Question("1", "claim 1", (), ("a", "b"))] and found[0].answerable


def test_another_split_of_beir_is_taken_by_naming_its_judgements(beir: Path) -> None:
    assert [one.question_id for one in read_questions(beir / "qrels" / "train.tsv")] == ["3"]
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "dev.tsv")
    assert "holds dev.tsv, train.tsv, expected test.tsv or one file" in refusal(beir)


def test_judgements_of_a_query_that_is_not_there_are_refused(beir: Path) -> None:
    put(beir, "qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\ta\t1\n")
    assert "test.tsv judges '7', which queries.jsonl doesn't hold" in refusal(beir)


def test_a_folder_that_is_not_beirs_is_refused(tmp_path: Path) -> None:
    assert "is a folder without queries.jsonl" in refusal(tmp_path)


# Slices


@pytest.mark.parametrize("words, length", [(7, "short"), (8, "medium"), (14, "medium"), (15, "long")])
def test_length_and_origin_are_slices_unless_they_are_given(words: int, length: str) -> None:
    asked = Question("q", " ".join(["why"] * words), ("so",), origin="feedback")
    (found,) = with_default_slices([asked])
    assert found.slices == {"length": length, "origin": "feedback"}
    assert with_default_slices([replace(asked, slices={"length": "odd"})])[0].slices["length"] == "odd"


# Frozen


def test_a_frozen_set_is_read_back_as_it_was(store: str) -> None:
    frozen = freeze_questions("handbook", ALL)
    assert frozen.name == f"handbook-questions-{frozen.digest[:12]}" and frozen.digest == question_digest(ALL)
    assert load_questions(frozen.uri) == list(get_question_set(frozen.name).questions) == ALL


def test_the_same_questions_are_one_dataset_in_whatever_order(store: str) -> None:
    first, again = freeze_questions("handbook", ALL), freeze_questions("handbook", ALL[::-1])
    assert again.dataset.dataset_id == first.dataset.dataset_id and again.questions == first.questions
    assert freeze_questions("handbook", [replace(LEAVE, answers=("30",)), WON, CARS]).name != first.name


def test_a_set_is_shown_in_the_experiment_of_each_run_that_freezes_it(store: str) -> None:
    first = freeze_questions("handbook", ALL)
    other = mlflow.create_experiment("other")
    with mlflow.start_run(experiment_id=other):
        again = freeze_questions("handbook", ALL)
    assert set(again.dataset.experiment_ids) == {*first.dataset.experiment_ids, other}


def test_its_tags_say_what_a_set_holds(store: str) -> None:
    tags = freeze_questions("handbook", ALL).dataset.tags or {}
    assert tags.items() >= {"llmops.app": "handbook", "questions.total": "3", "questions.answerable": "2"}.items()
    assert tags.items() >= {"questions.human": "1", "questions.synthetic": "1", "questions.feedback": "1"}.items()


@pytest.mark.parametrize(
    "added",
    [
        {"inputs": {"question": LEAVE.text}, "expectations": {"answers": ["31"]}},
        {"inputs": {"question": "One more?"}, "expectations": {"answers": ["yes"], "documents": ["leave.md"]}},
        {"inputs": {"question": LEAVE.text}, "tags": {"slice.topic": "cars"}},
    ],
    ids=["another answer", "one more record", "another slice"],
)
def test_a_set_that_was_changed_in_the_store_is_refused(store: str, added: dict[str, Any]) -> None:
    frozen = freeze_questions("handbook", ALL)
    get_dataset(name=frozen.name).merge_records([added])
    for use in (lambda: load_questions(frozen.uri), lambda: freeze_questions("handbook", ALL)):
        with pytest.raises(ArtifactError, match="was changed in the store since it was frozen"):
            use()


def test_a_set_that_lost_a_record_is_refused(store: str) -> None:
    dataset = get_dataset(name=freeze_questions("handbook", ALL).name)
    dataset.delete_records([dataset.to_df()["dataset_record_id"][0]])
    with pytest.raises(ArtifactError, match="was changed"):
        load_questions(f"questions:/{dataset.name}")


def test_a_set_whose_freezing_was_killed_is_frozen_again(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.genai.datasets.EvaluationDataset.merge_records", interrupt)
        with pytest.raises(KeyboardInterrupt):
            freeze_questions("handbook", ALL)
    assert list(freeze_questions("handbook", ALL).questions) == ALL


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_set_that_is_not_there_or_not_ours_is_refused(store: str) -> None:
    with pytest.raises(ArtifactError, match="no question set 'other'.*Run the step `questions`"):
        load_questions("questions:/other")
    create_dataset("other")
    with pytest.raises(ArtifactError, match="it was not made by this platform"):
        load_questions("questions:/other")
    with pytest.raises(LLMOpsError, match="does not exist"):
        load_questions("other.jsonl")


def test_what_asks_the_same_is_not_frozen(store: str) -> None:
    with pytest.raises(DataError, match="q1, q4"):
        freeze_questions("handbook", [LEAVE, replace(LEAVE, question_id="q4")])


def test_mlflow_evaluates_on_a_frozen_set_and_knows_it_by_name(store: str) -> None:
    @scorer
    def right(outputs: str, expectations: dict[str, Any]) -> bool:
        return outputs in expectations["answers"]

    limit_workers()
    frozen = freeze_questions("handbook", [LEAVE, CARS])
    result = mlflow.genai.evaluate(frozen.dataset, scorers=[right], predict_fn=lambda question: "thirty")
    assert result.metrics == {"right/mean": 0.5}
    inputs = mlflow.get_run(result.run_id).inputs
    assert inputs is not None and [one.dataset.name for one in inputs.dataset_inputs] == [frozen.name]
    assert result.result_df is not None
    traced = {tags["question_id"]: tags["slice.topic"] for tags in result.result_df["tags"]}
    assert traced == {"q1": "leave", "q3": "cars"}  # slices can be searched for among the traces


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(st.builds(Question, texts, texts, st.lists(texts).map(tuple), st.just(())), max_size=4), st.randoms())
def test_the_digest_knows_no_order_and_misses_no_change(questions: Sequence[Question], chance: Any) -> None:
    questions = list({one.question_id: one for one in questions}.values())
    shuffled = chance.sample(questions, len(questions))
    assert question_digest(shuffled) == question_digest(questions)
    for number, one in enumerate(questions):
        changed = [*questions[:number], replace(one, documents=("new.md",)), *questions[number + 1 :]]
        assert question_digest(changed) != question_digest(questions)
