"""The gateway: what is asked of it and what it answers, in three APIs."""

import base64
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
import schemathesis
from fakes import EchoEngine, Parrot, bot, release, retriever
from fastapi.testclient import TestClient
from gateways import CHAT, IDENTITY, QUESTION, body, client, gateway, served, told
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from openai import OpenAI
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from llmops.errors import EngineError, WindowError
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.settings import Settings
from llmops.serving.gateway.tracing.recorder import DEPLOYMENT_TAG
from llmops.serving.roster import AgentServing, AnswererServing, Single
from llmops.types import Completion, GenerationRequest, Progress

EXAMPLES = settings(
    max_examples=12, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
SECRET = "a secret of the gateway and the server"


def events_of(reply: Any) -> list[dict[str, Any]]:
    lines = [line for line in reply.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


class Broken(EchoEngine):
    """Says something, and then fails with a text that holds what it was asked."""

    def __init__(self, says: Sequence[str] = (), error: Exception | None = None) -> None:
        super().__init__()
        self._says, self._error = says, error

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        raise self._error or EngineError(f"failed on {requests[0].messages[-1].content}")

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        yield from self._says
        return self.generate([request])[0]


# OpenAI's chat completions


def test_an_answer_carries_its_sources_and_names_the_release_that_made_it(tmp_path: Path) -> None:
    answerer = bot(release("rag"), Parrot("Thirty days."), None, retriever(("leave", 0.9)))
    reply = client(tmp_path, answerer).post(CHAT, json=body("How long is leave?"))
    answer = reply.json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Thirty days."}
    assert [source["document"] for source in answer["sources"]] == ["leave.md"]
    assert answer["release"] == {"uri": IDENTITY.uri, "digest": IDENTITY.digest}
    assert reply.headers["x-llmops-release"] == IDENTITY.uri and len(reply.headers["x-request-id"]) == 32


def test_a_stream_says_what_the_whole_answer_says_and_counts_the_same(tmp_path: Path) -> None:
    http = client(tmp_path)
    whole = http.post(CHAT, json=body()).json()
    reply = http.post(CHAT, json=body(stream=True, stream_options={"include_usage": True}))
    *events, last, usage = events_of(reply)
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert said == whole["choices"][0]["message"]["content"] and reply.text.endswith("data: [DONE]\n\n")
    assert last["usage"] == usage["usage"] == whole["usage"] and usage["choices"] == []
    assert last["sources"] == whole["sources"] and last["release"] == whole["release"]


def test_the_conversation_the_seed_and_a_bound_on_tokens_reach_the_engine(tmp_path: Path) -> None:
    engine = EchoEngine()
    messages = [
        {"role": "system", "content": "Be rude."},
        {"role": "user", "content": "Who signs?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": "The desk."},
        {"role": "user", "content": [{"type": "text", "text": "Which"}, {"type": "text", "text": "desk?"}]},
    ]
    asked = {"model": "handbook/5", "messages": messages, "max_tokens": 7, "temperature": 2, "tools": []}
    assert client(tmp_path, bot(release("prompt"), engine)).post(CHAT, json=asked).status_code == 200
    (request,) = engine.requests
    text = "\n".join(message.content for message in request.messages)
    assert "Who signs?" in text and "Which desk?" in text and "rude" not in text  # a release's instructions are its own
    assert (request.max_new_tokens, request.temperature) == (7, 0.0)


def test_a_bound_on_tokens_above_the_releases_changes_nothing(tmp_path: Path) -> None:
    engine = EchoEngine()
    client(tmp_path, bot(release("prompt"), engine)).post(CHAT, json=body(max_completion_tokens=999))
    assert engine.requests[0].max_new_tokens == 24


def test_openais_own_client_is_answered_in_both_of_its_apis(tmp_path: Path) -> None:
    with served(gateway(tmp_path)) as (url, _):
        openai = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        chat = openai.chat.completions.create(model="handbook", messages=[{"role": "user", "content": QUESTION}])
        assert chat.choices[0].message.content == "Thirty days."
        response = openai.responses.create(model="handbook", input=QUESTION)
        assert response.output_text == "Thirty days." and response.usage and response.usage.output_tokens == 2
        with openai.responses.stream(model="handbook", input=[{"role": "user", "content": QUESTION}]) as stream:
            kinds = [event.type for event in stream]
        assert kinds[0] == "response.created" and "response.output_text.delta" in kinds
        assert kinds[-1] == "response.incomplete" and response.incomplete_details  # for the fake cuts its answers
        assert [model.id for model in openai.models.list()] == ["handbook", "handbook/5"]


# MLflow's invocations


def test_invocations_answer_as_a_responses_agent_does(tmp_path: Path) -> None:
    http = client(tmp_path)
    asked = {"input": [{"role": "user", "content": QUESTION}]}
    whole = http.post("/invocations", json=asked).json()
    assert whole["output"][0]["content"][0]["text"] == "Thirty days."
    assert whole["custom_outputs"]["completion_tokens"] == 2 and whole["custom_outputs"]["release"]["uri"] == IDENTITY.uri
    *pieces, done = events_of(http.post("/invocations", json={**asked, "stream": True}))
    assert "".join(piece["delta"] for piece in pieces) == "Thirty days."
    assert done["type"] == "response.output_item.done" and done["custom_outputs"] == whole["custom_outputs"]


def test_a_release_behind_an_agent_is_answered_in_the_same_way(tmp_path: Path) -> None:
    details = {"sources": [], "prompt_tokens": 3, "completion_tokens": 2, "finish_reason": "stop", "abstained": False}
    item = {"content": [{"text": "Thirty days."}]}

    class Agent:
        def predict(self, request: dict[str, Any]) -> dict[str, Any]:
            assert request["input"][-1] == {"role": "user", "content": QUESTION}
            return {"output": [item], "custom_outputs": details}

        def predict_stream(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
            yield {"type": "response.output_text.delta", "delta": "Thirty "}
            yield {"type": "response.output_text.delta", "delta": "days."}
            yield {"type": "response.output_item.done", "item": item, "custom_outputs": details}

    http = TestClient(create_app(Single(AgentServing(IDENTITY, Agent(), 24)), tmp_path, Settings(trace_rate=0.0)))
    assert http.post(CHAT, json=body()).json()["usage"]["total_tokens"] == 5
    events = events_of(http.post(CHAT, json=body(stream=True)))
    assert [event["choices"][0]["delta"].get("content") for event in events] == ["", "Thirty ", "days.", None]
    assert http.post(CHAT, json=body(max_tokens=24)).status_code == 200
    for stream in (False, True):  # for it can't be told to say less
        assert told(http.post(CHAT, json=body(max_tokens=23, stream=stream))) == (400, "unsupported_parameter")


# What is refused


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (body(model="hand-book"), 404, "model_not_found"),
        (body(model="handbook/4"), 404, "model_not_found"),
        (body("  "), 400, "no_question"),
        ({"model": "handbook", "messages": []}, 400, "invalid_request"),
        ({"messages": [{"role": "user", "content": "?"}]}, 400, "invalid_request"),
        (body(max_tokens=0), 400, "invalid_request"),
        (body("a" * 5000), 413, "request_too_large"),
        (body("a" * 50_000), 413, "request_too_large"),
        ({"model": "handbook", "messages": [{"role": "user", "content": "?"}] * 9}, 413, "request_too_large"),
        (body([{"type": "image_url", "image_url": {"url": "x"}}]), 422, "unsupported_content"),  # type: ignore[arg-type]
    ],
)
def test_what_can_not_be_answered_is_refused_in_openais_envelope(
    tmp_path: Path, asked: dict[str, Any], status: int, code: str
) -> None:
    reply = client(tmp_path, max_body=20_000, max_characters=2000, max_messages=8).post(CHAT, json=asked)
    assert told(reply) == (status, code) and reply.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "fields", [{"metadata": {"session": "a\ud800"}}, {"metadata": {"session_id": "\udfff"}}, {"user": "\ud800"}], ids=str
)
def test_a_caller_or_session_of_half_a_character_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    asked = {**body(), "input": [{"role": "user", "content": QUESTION}], **fields}
    for path in (CHAT, "/v1/responses", "/invocations"):
        reply = client(tmp_path).post(path, content=json.dumps(asked), headers={"content-type": "application/json"})
        assert told(reply) == (400, "invalid_request")


@pytest.mark.parametrize("session", ["chat 7", 7, "", None])
def test_a_session_is_a_text_or_a_number_and_other_metadata_is_left_out(tmp_path: Path, session: object) -> None:
    metadata = {"session": session, "else": {"any": ["\ud800", 1.5, None]}}
    asked = json.dumps(body(metadata=metadata))
    reply = client(tmp_path).post(CHAT, content=asked, headers={"content-type": "application/json"})
    assert reply.status_code == 200


def test_what_is_no_json_or_no_route_is_refused_in_the_same_envelope(tmp_path: Path) -> None:
    http = client(tmp_path)
    broken = http.post(CHAT, content=b'{"model": ', headers={"content-type": "application/json"})
    assert told(broken) == (400, "invalid_request") and "JSON" in broken.json()["error"]["message"]
    assert http.get("/v2").json()["error"]["message"] == "no such address: GET /v2."
    assert http.get(CHAT).status_code == 405
    stored = http.post("/v1/responses", json={"model": "handbook", "input": "?", "previous_response_id": "resp_1"})
    assert stored.json()["error"]["param"] == "previous_response_id"


def test_an_unknown_model_is_told_what_is_served(tmp_path: Path) -> None:
    message = client(tmp_path).post(CHAT, json=body(model="handbok")).json()["error"]["message"]
    assert message == "model 'handbok' is not served here. Did you mean 'handbook'? Served: handbook, handbook/5."


def test_a_question_over_the_models_window_is_the_callers_mistake(tmp_path: Path) -> None:
    answerer = bot(release("prompt"), EchoEngine(), window=60)
    assert told(client(tmp_path, answerer).post(CHAT, json=body("word " * 200))) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("error", "refused"),
    [(WindowError("8 tokens are too many."), (400, "context_length_exceeded")),
     (EngineError("the display manager has no window."), (503, "engine_error"))],
)  # fmt: skip
def test_what_the_engine_says_of_its_window_is_known_by_its_type(
    tmp_path: Path, error: Exception, refused: tuple[int, str]
) -> None:
    assert told(client(tmp_path, bot(release("prompt"), Broken(error=error))).post(CHAT, json=body())) == refused


# What fails


@pytest.mark.parametrize(
    ("error", "status", "code"), [(None, 503, "engine_error"), (ZeroDivisionError("my secret"), 500, "internal_error")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_neither_the_caller_nor_the_log_is_told_what_an_error_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception | None, status: int, code: str, stream: bool
) -> None:
    http = client(tmp_path, bot(release("prompt"), Broken(error=error)))
    with caplog.at_level(logging.INFO):
        reply = http.post(CHAT, json=body("my secret is out?", stream=stream))
    assert told(reply) == (status, code)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("llmops")]
    assert "secret" not in reply.text and "Traceback" not in reply.text and not any("secret" in line for line in logged)
    (line,) = logged
    assert reply.headers["x-request-id"] in line and reply.headers["x-request-id"] in reply.text


def test_a_stream_that_breaks_off_ends_with_an_error_and_is_not_done(tmp_path: Path) -> None:
    http = client(tmp_path, bot(release("prompt"), Broken(says=("Thirty days. Or ", "more. And "))))
    reply = http.post(CHAT, json=body(stream=True))
    assert reply.status_code == 200 and "[DONE]" not in reply.text
    assert events_of(reply)[-1]["error"]["code"] == "engine_error"
    asked = {"model": "handbook", "input": QUESTION, "stream": True}
    *_, failed = events_of(http.post("/v1/responses", json=asked))
    assert failed["type"] == "response.failed" and failed["response"]["error"]["message"].startswith("the engine gave no")


# Signs of life


def test_a_gateway_is_alive_before_it_is_ready_and_says_why(tmp_path: Path) -> None:
    class Empty:
        name = "handbook"

        def models(self) -> list[Any]:
            return []

        def ready(self) -> str:
            return "models:/handbook/5 is being loaded."

        def pick(self, model: str, user: str) -> Any:
            raise AssertionError("nothing to pick")

    http = TestClient(create_app(Empty(), tmp_path, Settings(trace_rate=0.0)))
    assert http.get("/health").json() == {"status": "ok", "name": "handbook", "release": None}
    assert http.get("/ready").json()["error"]["message"] == "models:/handbook/5 is being loaded."
    assert http.post("/invocations", json={"input": [{"role": "user", "content": "?"}]}).status_code == 503
    ready = client(tmp_path).get("/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


def test_a_signed_webhook_wakes_the_gateway_and_a_forged_late_or_repeated_one_does_not(tmp_path: Path) -> None:
    woken: list[int] = []
    serving = AnswererServing(IDENTITY, bot(release("prompt"), EchoEngine()))
    settings = Settings(trace_rate=0.0, webhook_secret=SECRET)
    http = TestClient(create_app(Single(serving), tmp_path, settings, lambda: woken.append(1)))

    def deliver(delivery: str, secret: str = SECRET, age_s: int = 0) -> int:
        sent, content = str(int(time.time()) - age_s), b'{"entity": "model_version_alias"}'
        mac = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + content, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(mac).decode()}"
        headers = {"x-mlflow-delivery-id": delivery, "x-mlflow-timestamp": sent, "x-mlflow-signature": signature}
        return http.post("/hooks/mlflow", content=content, headers=headers).status_code

    delivered = [deliver("1"), deliver("1"), deliver("2", "another secret of somebody"), deliver("3", age_s=301)]
    assert delivered == [204, 401, 401, 401]
    assert woken == [1]
    assert client(tmp_path).post("/hooks/mlflow", content=b"").status_code == 401  # there is no secret: nobody can sign


# Whatever is sent


def test_no_request_that_the_api_describes_or_rules_out_is_a_server_error(store: str, tmp_path: Path) -> None:
    asked: set[str] = set()
    answer = traced_answer()
    schema = schemathesis.openapi.from_asgi("/openapi.json", gateway(tmp_path, max_body=10_000))
    for operation in (result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)):
        for mode in GenerationMode:

            @EXAMPLES
            @given(case=operation.as_strategy(mode))
            def no_server_error(case: schemathesis.Case[Any]) -> None:
                asked.add(case.path)
                case.body = about(answer, case.body)
                case.call_and_validate(checks=[not_a_server_error])

            with suppress(Unsatisfiable):  # nothing can be wrong with a request of no content
                no_server_error()
    assert {CHAT, "/v1/responses", "/invocations", "/v1/feedback", "/v1/models", "/hooks/mlflow", "/metrics"} <= asked
    assert mlflow.get_trace(answer).info.assessments


def about(answer: str, body: Any) -> Any:
    """What was generated; of this answer if it is feedback of any."""
    is_feedback = isinstance(body, dict) and re.fullmatch(r"[a-z]+[-_][0-9a-f]{32}", str(body.get("id")))
    return {**body, "id": answer} if is_feedback else body


def traced_answer() -> str:
    """The id of a trace that people can say something of."""
    with mlflow.start_span("predict") as span:
        mlflow.update_current_trace({DEPLOYMENT_TAG: "handbook"})
    mlflow.flush_trace_async_logging()
    return str(span.trace_id)
