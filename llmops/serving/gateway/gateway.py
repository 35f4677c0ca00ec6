"""What the routes of a gateway share: who may ask, who answers, and what is kept of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from llmops.registry.deliveries import Deliveries, verify
from llmops.serving.gateway import feedback
from llmops.serving.gateway.call import LEFT, Books, Call, Caller, Outcome
from llmops.serving.gateway.limits import Admission
from llmops.serving.gateway.metrics import Metrics
from llmops.serving.gateway.rates import Rates
from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.requests import AnyRequest, FeedbackRequest, read_query
from llmops.serving.gateway.settings import Settings
from llmops.serving.gateway.shapes import Shape
from llmops.serving.gateway.tracing.process import WriterProcess
from llmops.serving.gateway.tracing.queue import Traces
from llmops.serving.keys.check import Keys
from llmops.serving.keys.file import FILE
from llmops.serving.keys.key import Key
from llmops.serving.roster import Asked, Identity, Reply, Roster

RELEASE_HEADER, SSE = "x-llmops-release", "text/event-stream"
_TELLERS = 2  # threads of a worker that log feedback


class Gateway:
    """What the routes share. One per worker; all of it is used in the event loop."""

    def __init__(
        self, roster: Roster, folder: Path, settings: Settings, wake: Callable[[], None], heard: Callable[[Outcome], None]
    ) -> None:
        self.roster, self.settings, self.wake = roster, settings, wake
        self.parting = self.draining = False
        self.metrics, self.keys = Metrics(), Keys(folder / FILE)
        self.traces = Traces(
            settings.trace_rate, settings.trace_queue, self.metrics.traces_dropped.inc, self.metrics.traces_failed.inc,
            WriterProcess(),
        )  # fmt: skip
        self._admission = Admission(settings.max_in_flight, settings.max_waiting)
        self._rates = Rates(folder / "rates")
        self._books = Books(roster.name, self._admission, self.metrics, self._rates, self.traces, heard)
        self._threads = ThreadPoolExecutor(settings.max_in_flight, "answer")
        self._telling, self._tellers = Admission(_TELLERS, settings.max_waiting), ThreadPoolExecutor(_TELLERS, "feedback")
        self._deliveries = Deliveries(folder / "deliveries")

    @property
    def in_flight(self) -> int:
        """Requests under way in this worker."""
        return self._admission.in_flight + self._admission.waiting

    def part(self) -> None:
        """Answer as before, and close each connection with its next answer, so that callers go elsewhere."""
        self.parting = True

    def drain(self) -> None:
        """Take nothing new; what is under way ends as usual."""
        self.parting = self.draining = True

    def unready(self) -> str | None:
        return "this worker is ending." if self.draining else self.roster.ready()

    def close(self, timeout_s: float = 10.0) -> None:
        self.traces.close(timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._tellers.shutdown(wait=False, cancel_futures=True)

    def refuse(self, refusal: Refusal) -> JSONResponse:
        self.metrics.errors.labels(str(refusal.status), refusal.code or "").inc()
        return refusal.response()

    def has_signed(self, request: Request, body: bytes) -> bool:
        return verify(self.settings.webhook_secret, request.headers, body, self._deliveries, time.time())

    async def answer(
        self, request: Request, asked: AnyRequest, shape_for: Callable[[str, Identity], Shape], endpoint: str
    ) -> Response:
        """Answer a request, in an API's shape; streamed if it asks so.

        Raises:
            Refusal, UnknownModel: it isn't answered.
        """
        key: Key = request.state.key
        self._check_open()
        query = read_query(asked, self.settings)
        caller = _caller(request, asked, endpoint)
        question = Asked(query, asked.seed, key.groups, asked.most_tokens())
        with ExitStack() as held:
            model = asked.model or self.roster.models()[0][0]
            serving = held.enter_context(self.roster.pick(model, caller.user or caller.session))
            check_allowed(key, serving.identity.name)
            self._rates.ask(key)
            shape = shape_for(model, serving.identity)
            call = Call(self._books, caller, question, serving, shape, held.pop_all(), self.settings.timeout_s)
        return await self._run(request, call, shape, serving.identity, bool(asked.stream))

    async def _run(self, request: Request, call: Call, shape: Shape, identity: Identity, stream: bool) -> Response:
        headers = {RELEASE_HEADER: identity.uri}
        try:
            async with unless_left(request):
                await call.admit()
                call.begin(self._threads, stream)
                first = await call.next()
        except BaseException:
            call.give_up()
            raise
        if stream:
            return EventStream(call, first, {**headers, "cache-control": "no-cache"})
        assert isinstance(first, Reply)
        return JSONResponse(shape.whole(first), headers=headers)

    async def tell(self, said: FeedbackRequest, key: Key) -> str:
        """Log feedback in a thread of its own; return the trace's id.

        Raises:
            Refusal: it makes no sense, the key may not say it (any more now), or the tracking server doesn't take it.
        """
        check_allowed(key, self.roster.name)
        self._rates.ask(key)
        feedback.check_said(said)
        await self._telling.enter(self.settings.timeout_s)
        user = said.user or key.name
        logged = asyncio.get_running_loop().run_in_executor(self._tellers, feedback.log_said, said, self.roster.name, user)
        logged.add_done_callback(self._told)
        try:
            return await asyncio.wait_for(asyncio.shield(logged), self.settings.timeout_s)
        except TimeoutError:
            raise Refusal(504, "the tracking server did not answer in time. Send it again later.", "timeout") from None

    def _told(self, logged: "asyncio.Future[str]") -> None:
        self._telling.leave()
        if not logged.cancelled():
            logged.exception()  # heard, where nobody waits any more

    def _check_open(self) -> None:
        reason = self.unready()
        if reason is not None:
            raise Refusal(503, f"nothing is answered here now: {reason}", "not_ready", None, 1)


class EventStream(StreamingResponse):
    """A streamed answer, which is given up when its reader leaves."""

    def __init__(self, call: Call, first: str | Reply, headers: dict[str, str]) -> None:
        super().__init__(call.events(first), media_type=SSE, headers=headers)
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._call.give_up()


@asynccontextmanager
async def unless_left(request: Request) -> AsyncIterator[None]:
    """What is awaited within is cancelled when the caller closes the connection.

    Raises:
        Refusal: the caller left, who won't read it.
    """
    task = asyncio.current_task()
    assert task is not None

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if watching.done() and task.uncancel() == 0:
            raise Refusal(LEFT, "the caller left.", "client_closed") from None
        raise
    finally:
        watching.cancel()


def check_allowed(key: Key, application: str) -> None:
    if not key.may_ask(application):
        raise Refusal(403, f"the key {key.name!r} may not ask {application!r}.", "application_not_allowed", "model")


def _caller(request: Request, asked: AnyRequest, endpoint: str) -> Caller:
    key: Key = request.state.key
    parent = request.headers.get("traceparent", "")
    user = asked.caller() or (key.name if key.key_id else "")
    return Caller(key, user, asked.session(), parent[:100], request.state.request_id, endpoint)
