"""Questions from what people said of a release's answers."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from fakes import Parrot, bot
from fakes import release as fake_release
from fastapi.testclient import TestClient
from mlflow.entities import AssessmentSource
from mlflow.types.responses import ResponsesAgentRequest
from test_release import make, register

from llmops.datasets.questions import read_questions
from llmops.errors import ArtifactError, DataError
from llmops.serving.gateway.app import create_app
from llmops.serving.roster import Single, load_serving
from llmops.tracking.agent import ReleaseAgent
from llmops.tracking.feedback import collect_feedback
from llmops.tracking.question_sets import load_questions
from llmops.types import Question
from pipelines import questions
from pipelines.questions import QuestionsConfig

HUMAN, CODE = AssessmentSource("HUMAN", "jo"), AssessmentSource("CODE", "checker")
LEAVE = "How long is leave?"
Ask = Callable[..., str]


def registered(app: str) -> str:
    """The id of a logged model that is a version of the app."""
    client, model = mlflow.MlflowClient(), mlflow.create_external_model(name="prompt")
    client.create_registered_model(app)
    client.create_model_version(app, f"models:/{model.model_id}")
    return str(model.model_id)


@pytest.fixture
def ask(store: str) -> Ask:
    """Ask the handbook, or another model, which says "Ten days." to everything; the id of the trace."""
    agent = ReleaseAgent()
    agent.worker, agent.answerer = None, bot(fake_release("prompt"), Parrot("Ten days."))
    handbook = registered("handbook")

    def asked(*said: str, model: str = handbook) -> str:
        mlflow.set_active_model(model_id=model)
        roles = ("user", "assistant") * len(said)
        messages: Any = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
        agent.predict(ResponsesAgentRequest(input=messages))
        mlflow.flush_trace_async_logging()
        return str(mlflow.get_last_active_trace_id())

    return asked


@pytest.fixture(autouse=True)
def no_active_model() -> Any:
    yield
    mlflow.clear_active_model()


def expect(trace: str, name: str, value: Any, source: AssessmentSource = HUMAN) -> None:
    mlflow.log_expectation(trace_id=trace, name=name, value=value, source=source)


def say(trace: str, value: Any, rationale: str | None = None, source: AssessmentSource = HUMAN) -> None:
    mlflow.log_feedback(trace_id=trace, name="right", value=value, rationale=rationale, source=source)


def corrected() -> dict[str, Question]:
    found = collect_feedback("handbook", "traces:test").corrected
    return {one.text: one for one in found.questions} if found else {}


def run(**settings: Any) -> str:
    return questions.main(QuestionsConfig(**{"source": "traces:test", "examples": "", **settings}))


def test_what_a_served_release_was_asked_and_a_person_corrected_becomes_a_question(
    store: str, tiny_lm: Path, tmp_path: Path
) -> None:
    app = create_app(Single(load_serving("handbook", register(make(tiny_lm)))), tmp_path)
    body = {"model": "handbook", "messages": [{"role": "user", "content": LEAVE}]}
    with TestClient(app) as client:
        for stream in (False, True):
            client.post("/v1/chat/completions", json={**body, "stream": stream})
            app.state.gateway.traces.flush()
    first, streamed = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
    expect(first.info.trace_id, "expected_response", "30 days")
    expect(streamed.info.trace_id, "expected_response", "thirty days")
    (frozen,) = load_questions(run())
    assert (frozen.text, frozen.answers, frozen.origin) == (LEAVE, ("30 days", "thirty days"), "feedback")
    assert frozen.question_id == f"trace-{first.info.trace_id.removeprefix('tr-')}"
    metrics = mlflow.search_runs(output_format="list", max_results=1)[0].data.metrics
    assert (metrics["questions/feedback"], metrics["left_out/asks_the_same_as_another"]) == (1, 1)


def test_an_expectation_is_a_wording_a_list_of_facts_a_document_or_that_nothing_is_known(ask: Ask) -> None:
    expect(ask("Which berth?"), "answers", ["the third", "3"])
    expect(trace := ask("Who paints?"), "expected_facts", ["Jo paints", "in May"])
    expect(trace, "documents", ["buoys.md"])
    expect(ask("Who sings?"), "expected_response", "I don't know.")
    found = corrected()
    assert {text: (one.answers, one.documents) for text, one in found.items()} == {
        "Which berth?": (("the third", "3"), ()), "Who paints?": (("Jo paints; in May",), ("buoys.md",)),
        "Who sings?": ((), ()),
    }  # fmt: skip
    assert not found["Who sings?"].answerable


def test_only_what_people_said_of_this_app_counts_and_only_while_they_stand_by_it(ask: Ask) -> None:
    expect(ask("By code?"), "expected_response", "yes", CODE)
    expect(ask("Elsewhere?", model=registered("other")), "expected_response", "yes")
    expect(ask("Unrelated?"), "tone", "friendly")
    trace = ask(LEAVE)
    expect(trace, "expected_response", "30 days")
    (first,) = mlflow.get_trace(trace).info.assessments
    assert list(corrected()) == [LEAVE] and first.valid
    assert collect_feedback("handbook", "traces:test").left_out["of another app"] == 1
    mlflow.delete_assessment(trace_id=trace, assessment_id=first.assessment_id)
    assert corrected() == {}


def test_an_answer_that_people_only_called_wrong_waits_for_a_person_to_fill_in_the_right_one(
    ask: Ask, tmp_path: Path
) -> None:
    expect(ask(LEAVE), "expected_response", "30 days")
    say(ask("How long is LEAVE"), False)  # corrected elsewhere
    say(ask("Who paints?"), False, "Jo does")
    say(ask("who paints"), False)
    say(ask("Which berth?"), True)
    say(ask("By code?"), False, source=CODE)
    path = tmp_path / "review.csv"
    assert [one.text for one in load_questions(run(review=str(path)))] == [LEAVE]
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["question"], row["answers"], row["origin"], row["accept"]) for row in rows] == [
        ("Who paints?", "", "feedback", ""), ("Which berth?", "Ten days.", "feedback", ""),
    ]  # fmt: skip
    assert rows[0]["passage"].startswith("answered: Ten days.\nright: False Jo does\n\nanswered: Ten days.")
    rows[0] |= {"accept": "yes", "answers": "Jo"}
    rows[1] |= {"accept": "no"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (reviewed,) = read_questions(path)
    assert (reviewed.text, reviewed.answers, reviewed.origin) == ("Who paints?", ("Jo",), "feedback")


def test_a_question_that_goes_on_with_a_conversation_is_reviewed_first(ask: Ask) -> None:
    expect(ask(LEAVE, "30 days.", "And then?"), "expected_response", "work")
    found = collect_feedback("handbook", "traces:test")
    (waiting,) = found.review
    assert found.corrected is None and (waiting.question.text, waiting.question.answers) == ("And then?", ("work",))
    assert waiting.passage.splitlines()[:2] == [f"user: {LEAVE}", "assistant: 30 days."]


def test_without_a_correction_there_is_no_set_but_a_review(ask: Ask) -> None:
    with pytest.raises(DataError, match="no trace of handbook in experiment 'test' has feedback"):
        run()
    say(ask(LEAVE), False)
    with pytest.raises(DataError, match="of 1 answers whether they are right, and corrected none. Fill in review.csv of"):
        run()
    failed = mlflow.search_runs(output_format="list", max_results=1)[0].info.run_id
    assert LEAVE in mlflow.artifacts.load_text(f"runs:/{failed}/review.csv")


def test_an_experiment_is_named_or_numbered(ask: Ask) -> None:
    expect(ask(LEAVE), "expected_response", "30 days")
    (number,) = [one.experiment_id for one in mlflow.search_experiments() if one.name == "test"]
    by_number, by_name = (collect_feedback("handbook", f"traces:{called}") for called in (number, "test"))
    assert by_number == by_name
    with pytest.raises(ArtifactError, match="no experiment 'nowhere'"):
        collect_feedback("handbook", "traces:nowhere")
