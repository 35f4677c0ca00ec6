"""An engine on any OpenAI-compatible server: vLLM, Ollama, llama.cpp, a gateway, or a proprietary model."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmops.errors import ConfigError, EngineError, WindowError
from llmops.models import giving_up
from llmops.models.http import background
from llmops.models.http.connections import open_session
from llmops.models.http.events import OPENED, Events
from llmops.models.http.failure import Failure, Patience, explain
from llmops.models.http.pace import Pace
from llmops.models.http.server import Server
from llmops.models.http.wire import StreamedAnswer, request_body
from llmops.types import Completion, GenerationRequest, Progress

if TYPE_CHECKING:
    from aiohttp import ClientSession

T = TypeVar("T")
_log = logging.getLogger(__name__)


class HttpEngine:
    """Asks a server's /chat/completions, up to `concurrency` requests at once, in whatever calls; a stream counts until
    it begins. A `pace` that engines share holds for them together.

    `url` is the API's base (without a path, /v1 is meant). The key is read from `key_file`, or from the environment variable
    `api_key_env`, and a placeholder sent where there is none. `timeout_s` is for one try, in a stream for one piece.
    Failures that may pass are tried again up to `retries` times. An adapter is asked for as the model of its name, as vLLM
    serves it. `known` says what computes behind the API (name, version, dtype); `ours`, that it is a process of our own on
    this machine, for which no proxy is asked. Single requests and streams keep their connections, and close them where the
    answer is given up (`giving_up`), by which servers know to stop.

    Raises:
        ConfigError: an argument makes no sense.
    """

    def __init__(
        self, url: str, model: str, api_key_env: str = "OPENAI_API_KEY", concurrency: int = 8, timeout_s: float = 60.0,
        retries: int = 5, requests_per_minute: float | None = None, pace: Pace | None = None,
        key_file: Path | None = None, known: Mapping[str, str] | None = None, ours: bool = False,
    ) -> None:  # fmt: skip
        _check(model, concurrency, timeout_s, retries)
        self.model = model
        self._server = Server(url, api_key_env, timeout_s, key_file, ours)
        self._known = {"name": "openai", "version": "unknown", "dtype": "unknown", **(known or {})}
        self._concurrency, self._retries = concurrency, retries
        self._pace = pace or Pace(requests_per_minute, at_once=concurrency)
        self._refused: set[str] = set()  # parameters that the server doesn't take

    def __repr__(self) -> str:
        return f"HttpEngine({self._server.url!r}, {self.model!r})"

    @property
    def identity(self) -> dict[str, str]:
        """The API, its address and the model; what computes behind it, and in which dtype, where it is known."""
        return {**self._known, "url": self._server.url, "model": self.model}

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        """Answer requests, in order: all of them, or none.

        Raises:
            WindowError: one doesn't fit the model's window, as the server says.
            EngineError: the server refuses one, can't be reached, or keeps failing.
        """
        if len(requests) == 1 and not progress:
            return [self._answer_one(requests[0])]
        outcomes = _run(self._answer_all(requests, progress, whole=True)) if requests else []
        return [outcome for outcome in outcomes if isinstance(outcome, Completion)]

    def generate_each(
        self, requests: Sequence[GenerationRequest], progress: Progress | None = None
    ) -> list[Completion | Exception]:
        """As `generate`, but a request that fails costs no other its answer.

        Raises:
            EngineError: the first `concurrency` ones failed and no other was answered.
        """
        if len(requests) == 1 and not progress:
            return [self._answer_one(requests[0])]
        return _run(self._answer_all(requests, progress, whole=False)) if requests else []

    def _answer_one(self, request: GenerationRequest) -> Completion:
        async def answer() -> Completion:
            return await self._answer(background.kept_session(), request)

        return background.run(answer())

    async def _answer_all(
        self, requests: Sequence[GenerationRequest], progress: Progress | None, whole: bool
    ) -> list[Completion | Exception]:
        """The answers; without one a request has its error, but if it is to be the `whole` or none, that is raised."""
        outcomes: dict[int, Completion | Exception] = {}
        answered = 0
        waiting = iter(enumerate(requests))

        async def work(session: "ClientSession") -> None:
            nonlocal answered
            for i, request in waiting:
                try:
                    outcomes[i] = await self._answer(session, request)
                    answered += 1
                except EngineError as error:
                    outcomes[i] = error
                    if whole or (not answered and len(outcomes) >= min(self._concurrency, len(requests))):
                        raise
                if progress:
                    progress("answering", len(outcomes), len(requests))

        try:
            async with open_session() as session, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(requests))):
                    group.create_task(work(session))
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
        else:
            return [outcomes[i] for i in range(len(requests))]
        if isinstance(error, EngineError):
            error = type(error)(f"{error} {answered} of {len(requests)} requests were answered; none is returned.")
        raise error

    async def _answer(self, session: "ClientSession", request: GenerationRequest) -> Completion:
        patience = Patience(self._retries, self._pace)
        while True:
            while wait_s := self._pace.claim():
                await asyncio.sleep(wait_s)
            try:
                outcome = await self._server.complete(session, request_body(request, self.model, self._refused))
            finally:
                self._pace.give_back()
            if isinstance(outcome, Completion):
                return outcome
            await asyncio.sleep(self._wait_s(outcome, patience, request))

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        """Yield the answer in pieces as they come, and return the whole of it. Closing it early ends the connection.

        Raises:
            EngineError: as `generate`, or the stream broke; what it said before is lost then.
        """
        patience = Patience(self._retries, self._pace)
        while True:
            while wait_s := self._pace.claim():
                giving_up.sleep(wait_s)
            body = request_body(request, self.model, self._refused, stream=True)
            with Events(partial(self._ask, body)) as events, giving_up.stopped_by(events.close):
                try:
                    outcome = events.next()
                finally:
                    self._pace.give_back()
                if outcome is OPENED:
                    outcome = yield from self._pieces(events)
            if isinstance(outcome, Completion):
                return outcome
            giving_up.sleep(self._wait_s(outcome, patience, request))

    async def _ask(self, body: dict[str, Any], hear: Callable[[Any], None]) -> Failure | None:
        return await self._server.stream(background.kept_session(), body, hear)

    def _pieces(self, events: Events) -> Generator[str, None, Completion | Failure]:
        """The pieces of a stream, and its whole; or that the server is busy, which vLLM says in the stream."""
        answer, said = StreamedAnswer(), False
        while (piece := self._server.read_piece(events, answer)) is not None:
            if isinstance(piece, Failure):
                if piece.status in (429, 503) and not said:
                    return piece
                raise EngineError(f"the stream of {self._server.url} broke off ({piece.reason}). Ask again.")
            if piece:
                said = True
                yield piece
        return answer.completion()

    def _wait_s(self, failure: Failure, patience: Patience, request: GenerationRequest) -> float:
        """How long to wait before the next try."""
        if failure.refused:
            if failure.refused not in self._refused:
                _log.warning("%s takes no %r for %s: asking without it.", self._server.url, failure.refused, self.model)
            self._refused.add(failure.refused)
            return 0.0
        wait_s = patience.next_wait_s(failure)
        if wait_s is None:
            model = request.adapter or self.model
            told = explain(failure, self._server.url, model, self._server.api_key_env, patience.tries)
            raise WindowError(told) if failure.too_long else EngineError(told)
        return wait_s


def _check(model: str, concurrency: int, timeout_s: float, retries: int) -> None:
    if not model.strip():
        raise ConfigError("no model is named. Give the name that the server knows it by.")
    if concurrency < 1 or retries < 0:
        raise ConfigError(f"concurrency is {concurrency} and retries {retries}, expected at least 1 and 0.")
    if not timeout_s > 0:
        raise ConfigError(f"timeout_s is {timeout_s}, expected more than 0.")


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; in a thread of its own where this one already runs a loop, as notebooks and servers do."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, work).result()
