"""What is kept of requests: traces, what people say of answers, and counts."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from conftest import ROOT
from fakes import EchoEngine, Parrot, bot, release, retriever
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gateways import CHAT, IDENTITY, QUESTION, body, gateway, told
from mlflow.entities import Trace
from prometheus_client.multiprocess import MultiProcessCollector
from test_feedback import registered

from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.call import Outcome
from llmops.serving.gateway.settings import Settings
from llmops.serving.gateway.sums import Sums, fold_ended
from llmops.serving.gateway.tracing.process import WRITER, WriterProcess
from llmops.serving.gateway.tracing.queue import Traces
from llmops.serving.gateway.tracing.recorder import Step, Told
from llmops.serving.keys.file import create_key
from llmops.serving.roster import AnswererServing, Asked, Identity, Single
from llmops.tracking.feedback import collect_feedback
from llmops.types import Query

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def traced(app: FastAPI) -> list[Trace]:
    app.state.gateway.traces.close(60)
    traces: list[Trace] = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
    return [mlflow.get_trace(trace.info.trace_id) for trace in traces]


# Traces


def test_a_trace_says_who_asked_which_release_and_how_it_came_to_its_answer(store: str, tmp_path: Path) -> None:
    answerer = bot(release("rag"), Parrot("Thirty days."), None, retriever(("leave", 0.9)))
    app = gateway(tmp_path, answerer, trace_rate=1.0)
    asked = body("How long is leave?", user="jo", metadata={"session": "chat 7"})
    reply = TestClient(app).post(CHAT, json=asked, headers={"traceparent": PARENT}).json()
    (trace,) = traced(app)
    assert trace.info.state == "OK"
    tags = ("llmops.answer", "llmops.release", "llmops.version", "traceparent")
    assert [trace.info.tags[tag] for tag in tags] == [reply["id"], IDENTITY.uri, "5", PARENT]
    metadata = trace.info.request_metadata
    assert (metadata["mlflow.trace.user"], metadata["mlflow.trace.session"]) == ("jo", "chat 7")
    spans = {span.name: span for span in trace.data.spans}
    root = spans["predict"]
    assert {"guard injection", "retrieve", "context", "generate"} <= spans.keys() and root.parent_id is None
    assert root.inputs["request"]["input"][-1] == {"role": "user", "content": "How long is leave?"}
    assert root.outputs["output"][0]["content"][0]["text"] == "Thirty days."
    times = [root.start_time_ns, spans["generate"].start_time_ns, spans["generate"].end_time_ns, root.end_time_ns]
    assert times == sorted(times, key=lambda time: time or 0)
    assert spans["retrieve"].parent_id == root.span_id and spans["retrieve"].outputs[0]["metadata"]["doc_uri"] == "leave.md"


def test_an_answer_that_failed_is_traced_without_the_errors_text(store: str, tmp_path: Path) -> None:
    app = gateway(tmp_path, bot(release("prompt"), EchoEngine(), window=60), trace_rate=1.0)
    TestClient(app).post(CHAT, json=body("word " * 200))
    (trace,) = traced(app)
    assert trace.info.state == "ERROR" and trace.data.spans[0].attributes["llmops.error"] == "context_length_exceeded"


def test_no_answer_is_traced_at_rate_0(store: str, tmp_path: Path) -> None:
    app = gateway(tmp_path, trace_rate=0.0)
    TestClient(app).post(CHAT, json=body())
    assert traced(app) == []


class Held:
    """A writer that waits until it may, and then can't."""

    def __init__(self) -> None:
        self.begun, self.let, self.is_closed = threading.Event(), threading.Event(), False

    def write(self, batch: Sequence[Told]) -> int:
        self.begun.set()
        self.let.wait(20)
        return len(batch)

    def close(self) -> None:
        self.is_closed = True

    def kill(self) -> None:
        self.let.set()


TOLD = Told("chatcmpl-1", "handbook", IDENTITY, Asked(Query(QUESTION)), None, "", [], 0, 0)


def test_traces_that_find_no_room_are_dropped_and_counted_and_nobody_waits() -> None:
    held, dropped, failed = Held(), list[int](), list[int]()
    traces = Traces(1.0, 2, lambda: dropped.append(1), lambda: failed.append(1), held)
    traces.add(TOLD)
    assert held.begun.wait(20)
    for _ in range(5):
        traces.add(TOLD)
    assert len(dropped) == 3
    held.let.set()
    traces.flush()
    assert len(failed) == 3
    traces.close(10)
    assert held.is_closed


def test_a_gateway_that_ends_does_not_wait_for_a_store_that_does_not_answer() -> None:
    held = Held()
    traces = Traces(1.0, 2, lambda: None, lambda: None, held)
    traces.add(TOLD)
    assert held.begun.wait(20) and not held.let.is_set()
    traces.close(0.1)
    assert held.let.is_set()


def test_what_writes_traces_is_another_process_that_is_started_again_and_ends_with_its_gateway(store: str) -> None:
    tracing, others = WriterProcess(), writers()
    assert tracing.write([TOLD]) == 0
    (first,) = writers() - others
    first.kill()
    first.wait()
    assert tracing.write([TOLD, TOLD]) == 0 and len(mlflow.search_traces()) == 3
    (second,) = writers() - others
    assert second.pid != first.pid and second.nice() > psutil.Process().nice()
    assert os.getsid(second.pid) == second.pid  # Linux shares processors between sessions
    second.terminate()  # as systemd does with all of a unit: it still writes what its gateway has
    assert tracing.write([TOLD]) == 0
    tracing.close()
    assert writers() == others and tracing.write([TOLD]) == 1


def writers() -> set[psutil.Process]:
    return {one for one in psutil.Process().children() if WRITER in one.cmdline()}


def test_a_trace_that_cannot_be_written_costs_no_other(store: str) -> None:
    tracing = WriterProcess()
    broken = replace(TOLD, steps=[Step("x", "CHAIN", 7, 0)])  # below a span that isn't there
    assert tracing.write([broken, TOLD]) == 1 and len(mlflow.search_traces()) == 1
    assert tracing.write([replace(TOLD, reply=lambda: 0)]) == 1  # type: ignore[arg-type]
    tracing.close()


# What people say


def test_what_a_person_says_through_the_gateway_becomes_a_question(store: str, tmp_path: Path) -> None:
    identity = Identity("handbook", "models:/handbook/1", "d" * 64, "1", registered("handbook"))
    serving = AnswererServing(identity, bot(release("prompt"), Parrot("Ten days.")))
    app = create_app(Single(serving), tmp_path, Settings())
    http = TestClient(app)
    answer = http.post(CHAT, json=body()).json()
    (trace,) = traced(app)
    said = {"id": answer["id"], "thumb": "down", "comment": "Too few.", "expected": "Thirty days.", "user": "jo"}
    reply = http.post("/v1/feedback", json=said)
    assert (reply.status_code, reply.json()["trace"]) == (200, trace.info.trace_id)
    feedback = next(one for one in mlflow.get_trace(trace.info.trace_id).info.assessments if one.name == "right")
    assert (feedback.name, feedback.feedback.value, feedback.rationale) == ("right", False, "Too few.")
    assert (feedback.source.source_type, feedback.source.source_id) == ("HUMAN", "jo")
    found = collect_feedback("handbook", "traces:test").corrected
    assert found is not None and [(one.text, one.answers) for one in found.questions] == [(QUESTION, ("Thirty days.",))]
    assert http.post("/v1/feedback", json={"id": trace.info.trace_id, "value": 4, "name": "stars"}).status_code == 200


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"id": f"chatcmpl-{'0' * 32}", "thumb": "up"}, 404, "answer_not_found"),
        ({"id": "TRACE", "thumb": "up"}, 404, "answer_not_found"),  # another deployment's
        ({"id": "x' OR '1' = '1", "thumb": "up"}, 400, "invalid_request"),
        ({"id": f"tr-{'0' * 32}"}, 422, "no_feedback"),
        ({"id": f"tr-{'0' * 32}", "thumb": "up", "value": True}, 422, "ambiguous_feedback"),
        ({"id": f"tr-{'0' * 32}", "comment": "good", "expected": "?"}, 422, "no_feedback"),
    ],
)
def test_feedback_that_means_no_answer_of_this_deployment_is_refused(
    store: str, tmp_path: Path, said: dict[str, Any], status: int, code: str
) -> None:
    with mlflow.start_span("another's") as span:
        pass
    mlflow.flush_trace_async_logging()
    said = {**said, "id": said["id"].replace("TRACE", span.trace_id)}
    assert told(TestClient(gateway(tmp_path)).post("/v1/feedback", json=said)) == (status, code)


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity", "1" + "0" * 400])
def test_feedback_that_is_no_finite_number_is_refused(tmp_path: Path, value: str) -> None:
    said = f'{{"id": "tr-{"0" * 32}", "value": {value}}}'
    reply = TestClient(gateway(tmp_path)).post("/v1/feedback", content=said, headers={"content-type": "application/json"})
    assert told(reply) == (400, "invalid_request")


def test_while_the_tracking_server_is_away_answers_are_given_and_feedback_is_asked_for_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    http = TestClient(gateway(tmp_path, trace_rate=1.0))
    for _ in range(5):
        assert http.post(CHAT, json=body()).status_code == 200
    reply = http.post("/v1/feedback", json={"id": f"chatcmpl-{'0' * 32}", "thumb": "up"})
    assert told(reply) == (503, "tracking_unavailable")
    http.app.state.gateway.traces.close(60)  # type: ignore[attr-defined]
    assert "llmops_traces_failed_total 5.0" in http.get("/metrics").text


# Counts


def test_requests_tokens_and_refusals_are_counted_by_release_and_adapter(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    serving = AnswererServing(IDENTITY, bot(release("prompt"), Parrot("Thirty days.")))
    http = TestClient(create_app(Single(serving), tmp_path, Settings(trace_rate=0.0), heard=outcomes.append))
    for stream in (False, True, True):
        usage = http.post(CHAT, json=body(stream=stream)).text
    http.post(CHAT, json=body(model="other"))
    text = http.get("/metrics").text
    labels = 'adapter="handbook-5",application="handbook"'
    release_label = f'release="{IDENTITY.uri}"'
    assert f'llmops_requests_total{{{labels},endpoint="chat",{release_label},status="200"}} 3.0' in text
    assert f'llmops_tokens_total{{{labels},kind="completion",{release_label}}} 6.0' in text
    assert f"llmops_in_flight{{{labels},{release_label}}} 0.0" in text
    assert f"llmops_first_token_seconds_count{{{labels},{release_label}}} 2.0" in text
    assert 'llmops_errors_total{code="model_not_found",status="404"} 1.0' in text
    assert [(one.status, one.identity) for one in outcomes] == [(200, IDENTITY)] * 3 and "[DONE]" in usage


def test_a_key_names_the_user_of_its_requests(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice")
    outcomes: list[Outcome] = []
    serving = AnswererServing(IDENTITY, bot(release("prompt"), EchoEngine()))
    http = TestClient(create_app(Single(serving), tmp_path, Settings(trace_rate=0.0), heard=outcomes.append))
    for fields in ({}, {"user": "jo"}):
        http.post(CHAT, json=body(**fields), headers={"authorization": f"Bearer {secret}"})
    assert [one.user for one in outcomes] == ["alice", "jo"]


WORKER = """
import sys
from llmops.serving.gateway import metrics
series = metrics.Metrics()
series.tokens.labels("handbook", "models:/handbook/5", "", "prompt").inc(int(sys.argv[1]))
series.waiting.inc()
print(series.text().decode())
"""


def test_each_worker_shows_the_sum_of_all_and_forgets_what_one_that_ended_had_under_way(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = []
    for tokens in ("20", "3"):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, tokens], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        texts.append(worker.communicate(timeout=60)[0])
        files = list(tmp_path.glob(f"*_{worker.pid}.db"))  # all of whose room is taken: a disk that fills up kills nobody
        assert len(files) == 3 and all(file.stat().st_blocks * 512 >= file.stat().st_size for file in files)
        fold_ended(tmp_path)
    assert ["} 20.0" in texts[0], "} 23.0" in texts[1]] == [True, True]
    assert all("llmops_waiting 1.0" in text for text in texts)


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """The folder of twenty workers that ended, each of which counted 7 tokens and 0.7 seconds."""
    script = WORKER + 'series.latency.labels("handbook", "models:/handbook/5", "").observe(0.7)'
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, "7"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for file in list(tmp_path.glob("*.db")):
        for number in range(1, 20):
            shutil.copy(file, tmp_path / f"{file.stem.rpartition('_')[0]}_{NO_PID + number}.db")
    return tmp_path


NO_PID = 1 << 22  # from which on Linux has none


def summed(folder: Path) -> dict[str, float]:
    samples = [sample for metric in Sums(folder).collect() for sample in metric.samples]
    sums = {(sample.name, sample.labels.get("le", "")): sample.value for sample in samples}
    shown = {"tokens": ("llmops_tokens_total", ""), "count": ("llmops_request_seconds_count", "")}
    shown["fast"] = ("llmops_request_seconds_bucket", "0.5")
    return {name: sums[key] for name, key in shown.items()} | {"seconds": round(sums["llmops_request_seconds_sum", ""], 9)}


ALL = {"tokens": 140.0, "count": 20.0, "fast": 0.0, "seconds": 14.0}


def test_what_workers_that_ended_have_counted_is_kept_in_one_file_a_kind(ended: Path) -> None:
    assert len(list(ended.iterdir())) == 60 and summed(ended) == ALL
    for _ in range(2):
        fold_ended(ended)
        assert {file.name for file in ended.iterdir()} == {"counter_ended.db", "histogram_ended.db"}
        assert summed(ended) == ALL


def test_workers_that_counted_nothing_leave_no_file(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    script = "from llmops.serving.gateway.metrics import Metrics; Metrics()"
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True)
    assert len(list(tmp_path.iterdir())) == 3
    fold_ended(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_supervisor_killed_at_any_step_loses_no_count_and_counts_none_twice(
    ended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    def kill_before(name: str) -> None:
        whole = getattr(Path, name)

        def step(path: Path, *arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps -= 1
            if steps < 0:
                raise Killed
            return whole(path, *arguments, **named)

        monkeypatch.setattr(Path, name, step)

    for file in ended.glob("gauge*"):
        file.unlink()
    kill_before("rename")
    kill_before("unlink")
    for kills in itertools.count():
        steps = kills % 13
        try:
            fold_ended(ended)
            break
        except Killed:
            assert summed(ended) == ALL
    assert kills > 30 and summed(ended) == ALL
    assert {file.name for file in ended.iterdir()} == {"counter_ended.db", "histogram_ended.db"}


def test_counts_that_are_folded_while_they_are_read_are_read_again(ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge = MultiProcessCollector.merge
    for folded_first in (True, False):
        for file in ended.glob("*_ended.db"):
            file.rename(ended / f"{file.stem.removesuffix('_ended')}_{NO_PID}.db")
        calls = []

        def merge_meanwhile(files: list[str], folded_first: bool = folded_first, calls: list[Any] = calls) -> Any:
            calls.append(files)
            if len(calls) == 1 and folded_first:
                fold_ended(ended)
            found = merge(files)  # type: ignore[no-untyped-call]
            if len(calls) == 1:
                fold_ended(ended)
            return found

        monkeypatch.setattr(MultiProcessCollector, "merge", merge_meanwhile)
        assert summed(ended) == ALL and len(calls) == 2
