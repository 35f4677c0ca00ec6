"""A deployment on an OpenAI-compatible server that somebody else runs: real processes, and a real server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from applications import make_adapter, need_no_weights, three_releases, use_copy
from gateways import CHAT, body, told
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from test_http_engine import KEY, Server, stream_of

from llmops.serving import deployments, state
from llmops.tracking.releases import log_release, read_release

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN, ADAPTED = "models:/handbook/1", "models:/handbook/4"
QUESTION = "How long is leave?"


@pytest.fixture(scope="module")
def registered(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of `handbook` on a base, and a fourth with an adapter."""
    folder = tmp_path_factory.mktemp("registered")
    path = three_releases(folder, empty_store, tiny_lm)
    adapter, plain = make_adapter(folder, "one", str(tiny_lm)), read_release(PLAIN)
    generator = replace(plain.generator, adapter=adapter.uri, adapter_digest=adapter.digest)
    with pytest.MonkeyPatch.context() as patch, mlflow.start_run():
        need_no_weights(patch)
        assert log_release(replace(plain, kind="adapter", generator=generator)).uri == ADAPTED
    return path


@contextmanager
def running(port: int = 0) -> Iterator[Server]:
    """An engine that somebody else runs; it says "Thirty days." to everything."""
    engine, stream = Server(port), stream_of(["Thirty", " days."])
    whole = [{"index": 0, "message": {"role": "assistant", "content": "Thirty days."}, "finish_reason": "stop"}]
    engine.behave = lambda asked: stream(asked) if asked.body.get("stream") else asked.answer(choices=whole)
    thread = threading.Thread(target=engine.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.die()
        thread.join()


@pytest.fixture
def client(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    use_copy(registered, tmp_path, monkeypatch)
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("GPU_KEY", KEY)
    yield get_deploy_client("llmops")
    for deployment in state.read_all():
        deployments.delete(deployment.name)


def options(engine: Server) -> dict[str, str]:
    return {
        "engine": "url", "engine_url": engine.url, "engine_model": "base", "engine_key_env": "GPU_KEY",
        "allow_unattested": "true", "request_timeout_s": "20",
    }  # fmt: skip


def test_a_server_elsewhere_answers_and_is_asked_again_once_it_is_back(client: Any) -> None:
    with running() as engine:
        url = client.create_deployment("handbook", PLAIN, config=options(engine))["url"]
        answer = client.predict("handbook", [{"question": QUESTION}])["predictions"][0]
        asked = engine.asked[-1]
        assert asked.headers["Authorization"] == f"Bearer {KEY}"
        assert (asked.body["model"], asked.body["max_tokens"]) == ("base", 4)
        assert QUESTION in asked.body["messages"][-1]["content"] and answer["release"]["uri"] == PLAIN
        assert answer["choices"][0]["message"]["content"] == "Thirty days."
        chunks = list(client.predict_stream("handbook", [{"question": QUESTION}]))
        assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks if one["choices"]) == "Thirty days."
        assert engine.asked[-1].headers["Authorization"] == f"Bearer {KEY}" and engine.asked[-1].body["stream"]
        engine.behave = lambda one: one.fail(400, "This model's maximum context length is 8 tokens.")
        assert told(httpx.post(url + CHAT, json=body(), timeout=30)) == (400, "context_length_exceeded")
    for stream in (False, True):
        reply = httpx.post(url + CHAT, json=body(stream=stream), timeout=30)
        assert told(reply) == (503, "engine_error") and "retry-after" in reply.headers and KEY not in reply.text
    with running(engine.server_port):
        assert httpx.post(url + CHAT, json=body(), timeout=30).status_code == 200
    logs = (state.deployment_folder("handbook") / "logs").iterdir()
    assert not any(KEY in log.read_text(encoding="utf-8") for log in logs)


def test_it_has_no_place_for_a_release_with_an_adapter(client: Any) -> None:
    with running() as engine, pytest.raises(MlflowException, match="has the adapter models:/handbook-adapter/1") as caught:
        client.create_deployment("handbook", ADAPTED, config=options(engine))
    assert "Use engine=vllm or engine=transformers." in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not engine.asked and client.list_deployments() == []
