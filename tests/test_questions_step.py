"""Questions that a model makes up: what is kept, how it goes on, the review; and the step that freezes question sets."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK
from fakes import EchoEngine, Words

from llmops.datasets.questions import read_questions
from llmops.errors import ArtifactError, ConfigError, DataError, EngineError
from llmops.evaluation.synthesis import Made, Replies, Source, Synthesis, synthesize, write_review
from llmops.journal import JsonJournal
from llmops.tracking.question_sets import load_questions
from llmops.types import Chunk, Completion, GenerationRequest, Progress, Question
from pipelines import index, questions
from pipelines.questions import QuestionsConfig

LEAVE = "Every employee of Fennmark has thirty days of paid leave in a calendar year."
HOW_LONG = "How long is the yearly holiday at Fennmark?"
GOOD = json.dumps({"question": HOW_LONG, "answer": "thirty days"})


class Author(EchoEngine):
    """Says what stands beside the passage it is shown, first when it makes a question up, then when it answers one.

    It is killed at the request `dies_at`; a reply that is an error is raised.
    """

    def __init__(self, said: dict[str, tuple[Any, Any]], dies_at: int = 0) -> None:
        super().__init__()
        self.said, self.dies_at, self.count = said, dies_at, 0

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        completions = [Completion(self.says(request), 0, 0, "stop") for request in requests]
        self.requests += requests  # those that were answered
        return completions

    def says(self, request: GenerationRequest) -> str:
        self.count += 1
        if self.count == self.dies_at:
            raise KeyboardInterrupt
        shown = request.messages[-1].content
        answers = re.search(r"^Question: ", shown, re.MULTILINE) is not None
        reply = next(replies[answers] for passage, replies in self.said.items() if passage in shown)
        if isinstance(reply, Exception):
            raise reply
        return str(reply)


def source(text: str, *documents: str) -> Source:
    documents = documents or ("leave.md",)
    return Source(Chunk(f"{documents[0]}#{text[:9]}", documents[0], "", "", text, 0, len(text)), documents)


def make(folder: Path, engine: EchoEngine, sources: Sequence[Source], count: int = 100, window: int = 4096) -> Synthesis:
    replies = Replies(JsonJournal(folder / "replies.jsonl"), engine, "m")
    return synthesize(sources, count, replies, Words(window))


def towns(count: int) -> tuple[list[Source], Author]:
    """Passages that differ in all that matters, and who asks about them."""
    told = {i: f"Here a{i} and b{i}, c{i} with d{i}: all are kept in town{i}." for i in range(count)}
    asked = {i: {"question": f"Where do a{i} b{i} c{i} d{i} stay?", "answer": f"town{i}"} for i in told}
    said = {told[i]: (json.dumps(asked[i]), f"In town{i}.") for i in told}
    return [source(text, f"{i}.md") for i, text in told.items()], Author(said)


# What is kept


def test_a_question_whose_answer_is_found_again_is_kept_with_all_documents_that_hold_it(tmp_path: Path) -> None:
    found = make(tmp_path, Author({LEAVE: (GOOD, "Thirty days.")}), [source(LEAVE, "leave.md", "copy.md")])
    (made,) = found.made
    assert made.question == Question(
        made.question.question_id, HOW_LONG, ("thirty days",), ("leave.md", "copy.md"), {"source": "leave.md"}, "synthetic"
    )
    assert made.passage == LEAVE and found.asked == 1 and not found.rejected.total()


def test_the_passage_alone_is_shown_when_the_model_answers(tmp_path: Path) -> None:
    engine = Author({LEAVE: (GOOD, "thirty days")})
    make(tmp_path, engine, [source(LEAVE)])
    last = engine.requests[-1].messages[-1].content
    assert LEAVE in last and HOW_LONG in last and "thirty days" not in last.replace(LEAVE, "")


@pytest.mark.parametrize("around", ["Sure!\n```json\n{}\n```\nHope {{it}} helps.", "{}}}", " {} "])
def test_what_stands_around_the_json_is_left_out(tmp_path: Path, around: str) -> None:
    assert make(tmp_path, Author({LEAVE: (around.format(GOOD), "thirty days")}), [source(LEAVE)]).made


def said(question: str, answer: str = "thirty days") -> str:
    return json.dumps({"question": question, "answer": answer})


REJECTED = {
    "prose": ("The passage is about leave.", "", "no JSON with a question and an answer"),
    "a list": ('["How long?"]', "", "no JSON with a question and an answer"),
    "an answer that is a number": ('{"question": "How long is leave here?", "answer": 30}', "", "no JSON with"),
    "cut off": (GOOD[:40], "", "no JSON with"),
    "half a character": ('{"question": "How long \\ud83d is it here?", "answer": "thirty days"}', "", "no JSON with"),
    "too short": (said("How long?"), "", "question too short or too long"),
    "too long": (said("How long " * 30 + "?"), "", "question too short or too long"),
    "no words in the answer": (said(HOW_LONG, "..."), "", "answer empty or too long"),
    "of the passage": (said("What does the passage say of leave?"), "", "question speaks of the passage"),
    "an answer of its own": (said(HOW_LONG, "forty days"), "", "answer not in the passage"),
    "given away": (said("Does Fennmark give its people thirty days?"), "", "question holds its answer"),
    "copied": (said(f"{LEAVE[:-6]} what?", "year"), "", "question copied from the passage"),
    "not answered": (GOOD, "I don't know.", "answer not found again"),
    "answered otherwise": (GOOD, "in a calendar", "answer not found again"),
}


@pytest.mark.parametrize("asked, answered, reason", REJECTED.values(), ids=REJECTED)
def test_what_is_not_worth_asking_is_counted_by_reason(tmp_path: Path, asked: str, answered: str, reason: str) -> None:
    engine = Author({LEAVE: (asked, answered)})
    found = make(tmp_path, engine, [source(LEAVE)])
    (counted,) = [name for name, count in found.rejected.items() if count]
    assert counted.startswith(reason) and not found.made
    assert len(engine.requests) == (2 if answered else 1)  # what cheap checks reject isn't asked again


def test_a_question_near_one_made_before_is_rejected(tmp_path: Path) -> None:
    sources, engine = towns(20)  # more than a batch
    again = {"question": "Where do a0 b0 c0 d0 e0 stay?", "answer": "town9"}
    engine.said = {"The same": (json.dumps(again), "town9"), **engine.said}
    found = make(tmp_path, engine, [*sources, source("The same, a0, stays in town9.")])
    assert len(found.made) == 20 and found.rejected["near-duplicate of another"] == 1


def test_a_passage_that_does_not_fit_is_not_asked_about(tmp_path: Path) -> None:
    found = make(tmp_path, Author({}), [source(LEAVE)], window=100)
    assert found.rejected["passage too long for the model"] == 1


def test_no_more_questions_are_made_than_are_wanted(tmp_path: Path) -> None:
    sources, engine = towns(40)
    found = make(tmp_path, engine, sources, count=5)
    assert len(found.made) == 5 and found.asked < 40


def test_a_model_that_cannot_is_not_asked_for_ever(tmp_path: Path) -> None:
    sources, _ = towns(40)
    engine = Author({"": ("What?", "")})
    assert make(tmp_path, engine, sources, count=2).asked == len(engine.requests) == 20


# What breaks off


@pytest.mark.parametrize("dies_at", [1, 20, 30, 70])
def test_killed_work_goes_on_without_asking_again_what_was_answered(tmp_path: Path, dies_at: int) -> None:
    sources, engine = towns(40)
    engine.dies_at = dies_at
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, engine, sources)
    again = Author(engine.said)
    found = make(tmp_path, again, sources)
    assert [one.question.answers for one in found.made] == [(f"town{i}",) for i in range(40)]
    assert not set(again.requests) & set(engine.requests) and len(again.requests) + len(engine.requests) == 80


def test_another_model_or_passage_is_asked_anew(tmp_path: Path) -> None:
    sources, engine = towns(2)
    make(tmp_path, engine, sources)
    make(tmp_path, engine, sources)
    assert len(engine.requests) == 4
    synthesize(sources, 9, Replies(JsonJournal(tmp_path / "replies.jsonl"), engine, "other"), Words())
    assert len(engine.requests) == 8


def test_a_passage_on_which_the_model_fails_leaves_the_rest_alone(tmp_path: Path) -> None:
    sources, engine = towns(20)
    engine.said = {
        "town3.": (EngineError("refused"), ""),
        "town5.": (engine.said[sources[5].chunk.text][0], EngineError("x")),
    } | engine.said
    found = make(tmp_path, engine, sources)
    assert len(found.made) == 18 and found.rejected["model failed"] == 1 and found.rejected["answer not found again"] == 1


def test_a_model_that_fails_on_all_is_an_error(tmp_path: Path) -> None:
    sources, _ = towns(20)
    with pytest.raises(EngineError, match="no server"):
        make(tmp_path, Author({"": (EngineError("no server"), "")}), sources)


# The review


def review(path: Path, **edits: str) -> Path:
    """A person's: yes to all, and `edits` by column in the first row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [{**row, "accept": "yes"} for row in rows]
    rows[0] |= edits
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


HARD = Question(
    "syn-1",
    '=1+1, "and" what?',
    ("@a|b", "two\nlines"),
    ("-x.md", "[y].md"),
    {"source": "-x.md", "topic": "'=x"},
    "synthetic",
)
MADE = [Made(HARD, "=cmd"), Made(Question("syn-2", HOW_LONG, ("30",), ("a.md",), {"source": "a.md"}, "synthetic"), LEAVE)]


def test_a_review_that_says_yes_gives_back_what_was_made(tmp_path: Path) -> None:
    write_review(tmp_path / "review.csv", MADE)
    found = read_questions(review(tmp_path / "review.csv"))
    assert found == [
        Question(one.question_id, one.text, one.answers, one.documents, {**one.slices, "reviewed": "yes"}, one.origin)
        for one in (made.question for made in MADE)
    ]


def test_a_spreadsheet_takes_no_cell_for_a_formula(tmp_path: Path) -> None:
    write_review(tmp_path / "review.csv", MADE)
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")] and "'=cmd" in cells


def test_what_a_person_declines_is_dropped_and_what_they_edit_is_taken(tmp_path: Path) -> None:
    write_review(tmp_path / "review.csv", MADE)
    (kept,) = read_questions(review(tmp_path / "review.csv", accept="no"))
    assert kept.question_id == "syn-2"
    edited = read_questions(review(tmp_path / "review.csv", question="What else?", answers="so|thus"))[0]
    assert (edited.text, edited.answers, edited.origin) == ("What else?", ("so", "thus"), "synthetic")


def test_a_review_that_is_not_finished_is_refused_and_never_written_over(tmp_path: Path) -> None:
    write_review(tmp_path / "review.csv", MADE)
    write_review(tmp_path / "review.csv", MADE)  # the same: nobody has touched it
    with pytest.raises(DataError, match="review.csv:2: 'accept' is '', expected yes or no"):
        read_questions(tmp_path / "review.csv")
    review(tmp_path / "review.csv")
    with pytest.raises(DataError, match="is there already, maybe with a review"):
        write_review(tmp_path / "review.csv", MADE)


# The step


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text(f"# Leave\n\n{LEAVE}\n")
    (folder / "copy.md").write_text(f"# Leave\n\n{LEAVE}\n")
    (folder / "cars.md").write_text("# Cars\n\nWho may drive a car? Company cars are booked in Pebble, one week ahead.\n")
    (folder / "board.md").write_text("# Board\n\nThe secret of the board is the merger with Tideline.\n")
    return folder


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Author:
    """What makes questions up in the step, with a cache of its own."""
    cars = said("In which tool does one reserve a vehicle?", "Pebble"), "Pebble"
    engine = Author(
        {
            LEAVE: (GOOD, "thirty days"),
            "booked in Pebble": cars,
            "secret": (said("What is planned there?", "merger"), "merger"),
        }
    )
    monkeypatch.setattr(questions, "_load", lambda config: (engine, Words(), "m"))
    monkeypatch.setattr(questions, "cache_folder", lambda: tmp_path / "cache")
    return engine


def last_run() -> mlflow.entities.Run:
    return mlflow.search_runs(output_format="list", max_results=1)[0]


def run_step(**settings: Any) -> str:
    return questions.main(QuestionsConfig(**{"source": "", "examples": "", **settings}))


def test_the_sample_questions_are_frozen_and_the_run_says_what_they_are(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, examples = str(HANDBOOK / "questions-test.jsonl"), str(HANDBOOK / "examples.jsonl")
    uri = run_step(source=source, examples=examples)
    frozen = load_questions(uri)
    assert [one.question_id for one in frozen] == [one.question_id for one in read_questions(Path(source))]
    assert frozen[0].slices == {"length": "medium", "origin": "human"}
    run = last_run()
    assert run.data.tags["llmops.question_set"] == uri and run.data.params["source"] == source
    assert run.inputs is not None
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == [uri.removeprefix("questions:/")]
    assert run.data.metrics["questions/total"] == len(frozen) and run.data.metrics["overlaps/training"] == 0
    shown = capsys.readouterr().out
    assert f"answerable     {run.data.metrics['questions/answerable']:.0f}, of them 0 without" in shown
    assert "not looked at: there is none" in shown and shown.endswith(f"questions -> {uri}\n")


def test_questions_that_examples_hold_are_refused_unless_that_is_allowed(store: str, tmp_path: Path) -> None:
    asked = {"id": "q1", "question": HOW_LONG, "answers": ["30"], "documents": []}
    (tmp_path / "set.jsonl").write_text(json.dumps(asked))
    chat = {
        "messages": [{"role": "user", "content": f"Tell me: {HOW_LONG.lower()}"}, {"role": "assistant", "content": "30"}]
    }
    (tmp_path / "chats.jsonl").write_text(json.dumps(chat))
    given = {"source": str(tmp_path / "set.jsonl"), "examples": str(tmp_path / "chats.jsonl")}
    with pytest.raises(DataError, match="chats.jsonl:1 holds q1 .exact."):
        run_step(**given)
    run_step(**given, allow_overlap="yes")
    assert last_run().data.metrics["overlaps/training"] == 1
    kept = json.loads(mlflow.artifacts.load_text(f"runs:/{last_run().info.run_id}/overlaps.json"))
    assert [one["question_id"] for one in kept["training"]] == ["q1"]


def test_questions_are_made_up_reviewed_and_imported(
    store: str, documents: Path, author: Author, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.main(index.IndexConfig(documents=str(documents)))
    made = load_questions(run_step(review=str(tmp_path / "review.csv")))
    assert {one.text: set(one.documents) for one in made} == {
        HOW_LONG: {"leave.md", "copy.md"}, "In which tool does one reserve a vehicle?": {"cars.md"},
        "What is planned there?": {"board.md"},
    }  # fmt: skip
    assert {one.origin for one in made} == {"synthetic"} and last_run().data.metrics["questions/synthetic"] == 3
    assert mlflow.artifacts.load_text(f"runs:/{last_run().info.run_id}/review.csv").count("syn-") == 3
    asked = len(author.requests)
    run_step(review=str(tmp_path / "review.csv"))
    assert len(author.requests) == asked  # the same command again asks nothing
    capsys.readouterr()
    uri = run_step(source=str(review(tmp_path / "review.csv", accept="no", question="Who may drive a car?")))
    assert len(load_questions(uri)) == 2 and all(one.slices["reviewed"] == "yes" for one in load_questions(uri))
    assert "left out       1 declined in the review" in capsys.readouterr().out


def test_a_question_that_stands_in_a_passage_is_reported_not_refused(
    store: str, documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.main(index.IndexConfig(documents=str(documents)))
    (tmp_path / "set.csv").write_text("id,question,answers\nq1,Who may drive a car?,all\nq2,Who else may walk?,all\n")
    run_step(source=str(tmp_path / "set.csv"))
    assert "in the index   1 stand word for word in a passage" in capsys.readouterr().out
    assert last_run().data.metrics["overlaps/index"] == 1


def test_documents_of_a_group_are_asked_about_only_for_that_group(
    store: str, documents: Path, author: Author, tmp_path: Path
) -> None:
    (tmp_path / "rules.jsonl").write_text(json.dumps({"document": "board.md", "groups": ["board"]}))
    index.main(index.IndexConfig(documents=str(documents), metadata=str(tmp_path / "rules.jsonl")))
    assert "board.md" not in str(load_questions(run_step()))
    assert not any("secret" in request.messages[-1].content for request in author.requests)
    assert "board.md" in str(load_questions(run_step(groups="board")))


def test_where_no_question_passes_the_reasons_are_told(store: str, documents: Path, author: Author) -> None:
    with pytest.raises(ArtifactError, match="handbook-index"):
        run_step()
    index.main(index.IndexConfig(documents=str(documents)))
    author.said = {"": ("It is about leave.", "")}
    with pytest.raises(DataError, match="no question passed, of 3 passages: 3 no JSON with"):
        run_step()


def test_a_model_here_or_at_a_server_makes_them_up(tiny_lm: Path) -> None:
    engine, counter, model = questions._load(QuestionsConfig(base=str(tiny_lm), dtype="float32"))
    assert (engine.identity["name"], counter.window, len(model)) == ("transformers", 2048, 64)
    config = QuestionsConfig(server="http://127.0.0.1:9/v1", server_model="gpt", server_window=999)
    served, counter, other = questions._load(config)
    assert (served.identity["model"], counter.window) == ("gpt", 999) and other != model


@pytest.mark.parametrize(
    "wrong, hint",
    [
        ({"count": 0}, "count is 0"),
        ({"allow_overlap": "maybe"}, "allow_overlap is 'maybe'"),
        ({"server": "http://127.0.0.1:9"}, "without a model"),
        ({"server_model": "gpt"}, "without its server"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        QuestionsConfig(**wrong)
