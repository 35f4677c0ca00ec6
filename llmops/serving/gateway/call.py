"""A request to a release, from when it arrived until its thread is free again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass

from llmops.serving.gateway.answering import Answering
from llmops.serving.gateway.limits import Admission, timed_out
from llmops.serving.gateway.metrics import Metrics
from llmops.serving.gateway.rates import Rates
from llmops.serving.gateway.refusal import Refusal, refusal_of
from llmops.serving.gateway.shapes import Shape, counts
from llmops.serving.gateway.tracing.queue import Traces
from llmops.serving.gateway.tracing.recorder import Recorder, Told
from llmops.serving.keys.key import Key
from llmops.serving.roster import Asked, Identity, Reply, Serving
from llmops.types import Spans, no_spans

LEFT = 499  # as nginx has it: the caller closed the connection


@dataclass(frozen=True)
class Outcome:
    """What came of a request, for whoever compares releases. `status` is the caller's; a given up answer has no reply."""

    identity: Identity
    asked: Asked
    user: str
    reply: Reply | None
    status: int
    seconds: float


@dataclass(frozen=True)
class Caller:
    """Who asks: `user` is whom the caller asks for, `parent` its W3C traceparent."""

    key: Key
    user: str
    session: str
    parent: str
    request_id: str
    endpoint: str


@dataclass(frozen=True)
class Books:
    """Where requests are accounted for."""

    deployment: str
    admission: Admission
    metrics: Metrics
    rates: Rates
    traces: Traces
    heard: Callable[[Outcome], None]


class Call:
    """Holds a release until it has ended, and a place once it is admitted. It is counted once, at its end."""

    def __init__(
        self, books: Books, caller: Caller, asked: Asked, serving: Serving, shape: Shape, held: ExitStack, timeout_s: float
    ) -> None:
        self._books, self._caller, self._asked, self._serving, self._shape = books, caller, asked, serving, shape
        self._held, self._timeout_s = held, timeout_s
        self._start, self._start_ns = time.perf_counter(), time.time_ns()
        self._answering: Answering | None = None
        self._recorder: Recorder | None = None
        self._status = 0
        identity = serving.identity
        self._labels = (identity.name, identity.uri, identity.adapter)
        books.metrics.in_flight.labels(*self._labels).inc()

    async def admit(self) -> None:
        """Wait for a place.

        Raises:
            Refusal: there is none. The call has ended then.
        """
        try:
            with self._books.metrics.waiting.track_inprogress():
                await self._books.admission.enter(self._timeout_s)
        except BaseException as error:  # also when the caller left
            self._status = error.status if isinstance(error, Refusal) else LEFT
            self._account(None)
            raise

    def begin(self, threads: Executor, stream: bool) -> None:
        """Let a thread answer."""
        self._recorder = self._books.traces.recorder()
        generate = self._streamed if stream else self._whole
        self._answering = Answering(threads, generate, self._explain, self._ended)

    async def next(self) -> str | Reply:
        """The next piece of the answer, or the whole.

        Raises:
            Refusal: there is none, or not in time.
        """
        assert self._answering is not None
        try:
            async with asyncio.timeout(self._timeout_s - (time.perf_counter() - self._start)):
                return await self._answering.next()
        except TimeoutError:
            self.give_up(504)
            raise timed_out(self._timeout_s) from None

    async def events(self, first: str | Reply) -> AsyncIterator[str]:
        """The answer as server-sent events, `first` being what was said first."""
        self._books.metrics.first_token.labels(*self._labels).observe(time.perf_counter() - self._start)
        said = first
        try:
            for event in self._shape.begin():
                yield event
            while isinstance(said, str):
                yield self._shape.piece(said)
                said = await self.next()
            for event in self._shape.end(said):
                yield event
        except Refusal as refusal:
            self._books.metrics.errors.labels(str(refusal.status), refusal.code or "").inc()
            yield self._shape.broken(refusal)

    def give_up(self, status: int = LEFT) -> None:
        """Nobody waits for the answer any more. Nothing changes if it has ended."""
        self._status = self._status or status
        if self._answering is not None:
            self._answering.give_up()

    def _whole(self) -> Generator[str, None, Reply]:
        yield from ()
        return self._serving.answer(self._asked, self._spans)

    def _streamed(self) -> Generator[str, None, Reply]:
        return self._serving.stream(self._asked, self._spans)

    @property
    def _spans(self) -> Spans:
        return self._recorder or no_spans

    def _explain(self, error: BaseException) -> Refusal:
        return refusal_of(error, self._caller.request_id)

    def _ended(self, outcome: Reply | Refusal | None) -> None:
        self._books.admission.leave()
        self._status = self._status or (outcome.status if isinstance(outcome, Refusal) else 200)
        reply = outcome if isinstance(outcome, Reply) else None
        self._account(reply)
        self._trace(reply, outcome.code or "error" if isinstance(outcome, Refusal) else "" if reply else "given up")

    def _account(self, reply: Reply | None) -> None:
        self._held.close()
        seconds, metrics = time.perf_counter() - self._start, self._books.metrics
        metrics.in_flight.labels(*self._labels).dec()
        metrics.requests.labels(*self._labels, self._caller.endpoint, str(self._status)).inc()
        metrics.latency.labels(*self._labels).observe(seconds)
        if reply is not None:
            prompt, completion = counts(reply)
            metrics.tokens.labels(*self._labels, "prompt").inc(prompt)
            metrics.tokens.labels(*self._labels, "completion").inc(completion)
            metrics.abstentions.labels(*self._labels).inc(bool(reply.details["abstained"]))
            self._books.rates.spend(self._caller.key, prompt + completion)
        outcome = Outcome(self._serving.identity, self._asked, self._caller.user, reply, self._status, seconds)
        self._books.heard(outcome)

    def _trace(self, reply: Reply | None, error: str) -> None:
        if self._recorder is None:
            return
        caller = self._caller
        self._books.traces.add(
            Told(
                self._shape.answer_id, self._books.deployment, self._serving.identity, self._asked, reply, error,
                self._recorder.steps, self._start_ns, time.time_ns(), caller.user, caller.session, caller.parent,
            )
        )  # fmt: skip
