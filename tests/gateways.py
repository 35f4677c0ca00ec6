"""Gateways for tests: over an answerer on a small engine, and under a real server; and clients that ask all the time."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """Asks all the time, with a new connection each time; `failed` says what else came than an answer.

    With `keep` it asks on the connection it has, and a new one only after an answer that closes it (`closed`).
    """

    def __init__(self, url: str, pause_s: float = 0.01, keep: bool = False) -> None:
        self._url, self._pause_s, self._ended = url, pause_s, threading.Event()
        self._keep = httpx.Limits(max_keepalive_connections=1 if keep else 0)
        self.answered, self.closed, self.failed = 0, 0, list[str]()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(limits=self._keep, timeout=60, trust_env=False) as http:
            while not self._ended.wait(self._pause_s):
                try:
                    reply = http.get(self._url).raise_for_status()
                    self.answered += 1
                    self.closed += reply.headers.get("connection") == "close"
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))


@dataclass(frozen=True)
class Heard:
    """What a client got: a status, who the header and the body say answered, and what was said, of which documents."""

    status: int
    header: str
    body: str
    text: str
    tokens: int = 0
    documents: tuple[str, ...] = ()
    streamed: bool = False


def hear(url: str, stream: bool = False) -> Heard:
    """Ask a gateway, with a new connection. A stream that breaks off has status 200, and no body's word of who answered."""
    said = httpx.post(url + CHAT, json=body(stream=stream), timeout=180, trust_env=False)
    header = said.headers.get("x-llmops-release", "")
    if said.is_error:
        return Heard(said.status_code, header, "", said.text, streamed=stream)
    answer, text = _streamed(said.text) if stream else (said.json(), "")
    if not stream:
        text = answer["choices"][0]["message"]["content"]
    documents = tuple(one["document"] for one in answer.get("sources", ()))
    tokens = answer.get("usage", {}).get("completion_tokens", 0)
    return Heard(said.status_code, header, answer.get("release", {}).get("uri", ""), text, tokens, documents, stream)


def _streamed(said: str) -> tuple[dict[str, Any], str]:
    """The last event of a stream and its text, or, where it broke off, what it said of that."""
    lines = [line.removeprefix("data: ") for line in said.splitlines() if line.startswith("data: ")]
    if not lines or lines[-1] != "[DONE]":
        return {}, said[-500:]
    events = [json.loads(line) for line in lines[:-1]]
    return events[-1], "".join(event["choices"][0]["delta"].get("content", "") for event in events)


class Clients:
    """Ask all the time, every other one for streams; `heard` is what they got, `lost` why they got nothing."""

    def __init__(self, url: str, count: int) -> None:
        self._url, self._ended = url, threading.Event()
        self.heard, self.lost = list[Heard](), list[str]()
        self._threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(count)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more were answered."""
        so_many = self.answered + more
        wait_for(lambda: self.answered >= so_many, 300)

    @property
    def answered(self) -> int:
        return sum(1 for one in list(self.heard) if one.body)

    def _ask(self, stream: bool) -> None:
        while not self._ended.is_set():
            try:
                self.heard.append(hear(self._url, stream))
            except httpx.HTTPError as error:
                self.lost.append(repr(error))
            if self.lost or not self.heard[-1].body:
                self._ended.wait(0.1)
