"""Answers that nobody waits for any more: what works on them is told, and stops."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import EchoEngine, bot, release
from fastapi import FastAPI
from gateways import CHAT, body, gateway, served, told, wait_for
from test_http_engine import Asked, Server, ask

from llmops.models.batcher import MicroBatcher
from llmops.models.giving_up import GivingUp, stopped_by
from llmops.models.http.engine import HttpEngine
from llmops.types import Completion, GenerationRequest, Progress


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An engine elsewhere that never answers any more, and is content when its clients have left."""
    monkeypatch.setenv("NO_PROXY", "*")
    silent = Server()
    thread = threading.Thread(target=silent.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    HttpEngine(silent.url, "small").generate([ask("Leave?")])  # which imports the client
    silent.asked.clear()
    silent.behave = Asked.wait_until_left
    yield silent
    silent.die()
    thread.join()
    assert not silent.errors


def asks_nothing(app: FastAPI, server: Server) -> bool:
    """Whether the server is rid of the gateway's request, and the gateway of its caller's."""
    return server.at_once == 0 and app.state.gateway.in_flight == 0


def ask_and_leave(url: str, when: Callable[[], object], **fields: Any) -> None:
    """Ask a gateway, and close the connection when something is so."""
    content, place = json.dumps(body(**fields)), httpx.URL(url)
    with socket.create_connection((place.host, place.port), 20) as connection:
        named = {"host": "x", "content-type": "application/json", "content-length": len(content)}
        header = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\n{header}\r\n{content}".encode())
        wait_for(lambda: bool(when()))


def begin_stream(asked: Asked) -> None:
    asked.open_stream()
    asked.wfile.flush()
    asked.wait_until_left()


SILENT = {
    "whole": (False, Asked.wait_until_left), "streamed": (True, begin_stream),
    "to be streamed": (True, Asked.wait_until_left),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "behave"), SILENT.values(), ids=SILENT)
def test_an_engine_elsewhere_is_asked_no_longer_when_the_caller_leaves(
    tmp_path: Path, server: Server, stream: bool, behave: Callable[[Asked], None]
) -> None:
    server.behave = behave
    app = gateway(tmp_path, bot(release("prompt"), HttpEngine(server.url, "small")))
    with served(app) as (url, _):
        ask_and_leave(url, lambda: server.asked, stream=stream)
        wait_for(lambda: len(server.asked) == 1 and asks_nothing(app, server), 5)
        assert 'status="499"} 1.0' in app.state.gateway.metrics.text().decode()


@pytest.mark.parametrize(("stream", "behave"), SILENT.values(), ids=SILENT)
def test_nor_when_the_answer_takes_too_long(
    tmp_path: Path, server: Server, stream: bool, behave: Callable[[Asked], None]
) -> None:
    server.behave = behave
    app = gateway(tmp_path, bot(release("prompt"), HttpEngine(server.url, "small")), timeout_s=0.5)
    with served(app) as (url, _):
        assert told(httpx.post(url + CHAT, json=body(stream=stream), timeout=20)) == (504, "timeout")
        wait_for(lambda: len(server.asked) == 1 and asks_nothing(app, server), 5)


@pytest.mark.parametrize("stream", [False, True])
def test_a_busy_engine_is_not_asked_again_for_a_caller_who_left(tmp_path: Path, server: Server, stream: bool) -> None:
    server.behave = lambda asked: asked.fail(503, Retry_After="1")
    app = gateway(tmp_path, bot(release("prompt"), HttpEngine(server.url, "small")))
    with served(app) as (url, _):
        ask_and_leave(url, lambda: server.asked, stream=stream)
        wait_for(lambda: app.state.gateway.in_flight == 0, 5)
        assert len(server.asked) == 1


def test_what_has_ended_or_is_anothers_is_not_stopped_and_what_comes_later_is() -> None:
    mine, others, stopped = GivingUp(), GivingUp(), list[str]()
    with mine.hears():
        with stopped_by(lambda: stopped.append("ended")):
            pass
        mine.give_up()
        with stopped_by(lambda: stopped.append("later")):
            mine.give_up()
        with others.hears(), stopped_by(lambda: stopped.append("another's")):
            mine.give_up()
    with stopped_by(lambda: stopped.append("nobody's")):
        assert stopped == ["later", "later"]


class Gated(EchoEngine):
    """Begins a batch, and answers it when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let = threading.Event(), threading.Event()

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        self.begun.set()
        assert self.let.wait(20)
        return super().generate(requests, progress)


def test_of_callers_who_leave_a_batch_is_spared_who_waits_for_it_and_answers_who_is_in_it(tmp_path: Path) -> None:
    engine = Gated()
    app = gateway(tmp_path, bot(release("prompt"), MicroBatcher(engine)))
    with served(app) as (url, _), ThreadPoolExecutor(1) as threads:
        first = threads.submit(httpx.post, url + CHAT, json=body("First?"), timeout=30)
        assert engine.begun.wait(20)
        ask_and_leave(url, lambda: app.state.gateway.in_flight == 2, question="Second?")
        wait_for(lambda: app.state.gateway.in_flight == 1, 5)  # before the batch ends: its place is free
        engine.let.set()
        assert first.result(20).status_code == 200
        assert httpx.post(url + CHAT, json=body("Third?")).status_code == 200
    assert [request.messages[-1].content.split()[-1] for request in engine.requests] == ["First?", "Third?"]
