"""Gateways for tests: over an answerer on a small engine, and under a real server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fakes import EchoEngine, Parrot, bot, release
from fastapi import FastAPI
from fastapi.testclient import TestClient

from llmops.chains.answerer import Answerer
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.server import Server
from llmops.serving.gateway.settings import Settings
from llmops.serving.roster import AnswererServing, Identity, Single

IDENTITY = Identity("handbook", "models:/handbook/5", "d" * 64, "5", adapter="handbook-5")
QUESTION = "How long is leave?"
CHAT = "/v1/chat/completions"


def gateway(folder: Path, answerer: Answerer | None = None, **settings: Any) -> FastAPI:
    """One that answers "Thirty days." to everything, unless an answerer is given. Nothing is traced."""
    answerer = answerer or bot(release("prompt"), Parrot("Thirty days."))
    return create_app(Single(AnswererServing(IDENTITY, answerer)), folder, Settings(**{"trace_rate": 0.0, **settings}))


def client(folder: Path, answerer: Answerer | None = None, **settings: Any) -> TestClient:
    return TestClient(gateway(folder, answerer, **settings))


def body(question: str = QUESTION, **fields: Any) -> dict[str, Any]:
    return {"model": "handbook", "messages": [{"role": "user", "content": question}], **fields}


def told(reply: Any) -> tuple[int, str]:
    """The status and code of a refusal."""
    return reply.status_code, reply.json()["error"]["code"]


@contextmanager
def served(app: FastAPI, **settings: Any) -> Iterator[tuple[str, Server]]:
    """The address of a real server, which ends with the block, and the server."""
    server = Server(app, **{"grace_s": 20.0, **settings})
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", server
    finally:
        server.should_exit = True
        thread.join(20)


def wait_for(is_so: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class SlowEngine(EchoEngine):
    """Says one word at a time, each when it is let; notes when its stream is closed."""

    def __init__(self, words: int = 50) -> None:
        super().__init__()
        self.words, self.let = words, threading.Semaphore(0)
        self.begun, self.closed = threading.Event(), threading.Event()

    def generate(self, requests: Any, progress: Any = None) -> Any:
        self.begun.set()
        self.let.acquire()
        return super().generate(requests, progress)

    def stream(self, request: Any) -> Any:
        self.begun.set()
        try:
            for number in range(self.words):
                self.let.acquire()
                yield f"Word {number}. "
            return super().generate([request])[0]
        finally:
            self.closed.set()


class Load:
    """Asks all the time, with a new connection each time; `failed` says what else came than an answer."""

    def __init__(self, url: str, pause_s: float = 0.01) -> None:
        self._url, self._pause_s, self._ended = url, pause_s, threading.Event()
        self.answered, self.failed = 0, list[str]()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(self._pause_s):
            try:
                httpx.get(self._url, timeout=60, trust_env=False).raise_for_status()
                self.answered += 1
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
