"""Answers as MLflow traces, written by a thread of its own: no request waits for the tracking server.

Spans are noted while an answer is made, and become MLflow's afterwards. A queue of bounded length lies between; what finds
no room is dropped and counted.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llmops.serving.roster import Asked, Identity, Reply
from llmops.types import Span

ANSWER_TAG, DEPLOYMENT_TAG, RELEASE_TAG = "llmops.answer", "llmops.deployment", "llmops.release"
_BATCH = 50  # traces that are handed to MLflow before it is waited for
_log = logging.getLogger(__name__)


@dataclass
class Step:
    """A span as it was: times in nanoseconds since 1970, and the place of the one it belongs to, or -1."""

    name: str
    kind: str
    parent: int
    start_ns: int
    end_ns: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def record(self, **values: Any) -> None:
        self.values.update(values)


class Recorder:
    """Notes the spans of one answer, in the thread that makes it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._open: list[int] = []

    @contextmanager
    def __call__(self, name: str, kind: str) -> Iterator[Span]:
        step = Step(name, kind, self._open[-1] if self._open else -1, time.time_ns())
        self._open.append(len(self.steps))
        self.steps.append(step)
        try:
            yield step
        finally:
            self._open.pop()
            step.end_ns = time.time_ns()


@dataclass(frozen=True)
class Told:
    """An answer to be traced: what was asked, by whom, and what came of it. `error` is the code of a refusal, or ""."""

    answer_id: str
    deployment: str
    identity: Identity
    asked: Asked
    reply: Reply | None
    error: str
    steps: list[Step]
    start_ns: int
    end_ns: int
    user: str = ""
    session: str = ""
    parent: str = ""  # the caller's W3C traceparent


class Traces:
    """Writes a share `rate` of the answers; `dropped` and `failed` count those that are lost."""

    def __init__(self, rate: float, most_waiting: int, dropped: Callable[[], None], failed: Callable[[], None]) -> None:
        self._rate, self._dropped, self._failed = rate, dropped, failed
        self._queue: queue.Queue[Told | None] = queue.Queue(most_waiting)
        self._thread = threading.Thread(target=self._write_all, name="traces", daemon=True)
        self._thread.start()

    def recorder(self) -> Recorder | None:
        """What notes the spans of an answer; None for one that isn't traced."""
        return Recorder() if random.random() < self._rate else None

    def add(self, told: Told) -> None:
        try:
            self._queue.put_nowait(told)
        except queue.Full:
            self._dropped()

    def flush(self) -> None:
        """Wait until all is written."""
        self._queue.join()

    def close(self, timeout_s: float) -> None:
        """Write what waits, for so many seconds at most."""
        deadline = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        except queue.Full:
            _log.error("traces that waited are lost: the tracking server was too slow")

    def _write_all(self) -> None:
        import mlflow

        while (told := self._queue.get()) is not None:
            batch: list[Told | None] = [told]
            while len(batch) < _BATCH and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            for one in filter(None, batch):
                self._try_to_write(one)
            mlflow.flush_trace_async_logging()  # its queues drop without a word
            for _ in batch:
                self._queue.task_done()
            if batch[-1] is None:
                return

    def _try_to_write(self, told: Told) -> None:
        try:
            write(told)
        except Exception as error:
            self._failed()
            _log.error("a trace could not be written: %s", type(error).__name__)


def write(told: Told) -> None:
    """Make an MLflow trace of an answer; its root is as that of a release which MLflow serves."""
    import mlflow

    root = mlflow.start_span_no_context(
        "predict", "AGENT", inputs={"request": request_of(told.asked)}, start_time_ns=told.start_ns,
        tags=_tags(told), metadata=_metadata(told),
    )  # fmt: skip
    spans: list[Any] = []
    for step in told.steps:
        parent = spans[step.parent] if step.parent >= 0 else root
        values = dict(step.values)
        span = mlflow.start_span_no_context(
            step.name, step.kind, parent, values.pop("inputs", None), start_time_ns=step.start_ns
        )
        if "outputs" in values:
            span.set_outputs(values.pop("outputs"))
        span.set_attributes(values)
        spans.append(span)
    for span, step in reversed(list(zip(spans, told.steps, strict=True))):
        span.end(end_time_ns=step.end_ns)
    if told.reply is not None:
        root.set_outputs(response_of(told.reply))
    if told.error:
        root.set_attributes({"llmops.error": told.error})
    root.end(status="ERROR" if told.error else "OK", end_time_ns=told.end_ns)


def request_of(asked: Asked) -> dict[str, Any]:
    """What was asked, as a ResponsesAgent is asked it."""
    query = asked.query
    said = [*((one.role, one.content) for one in query.history), ("user", query.question)]
    return {"input": [{"role": role, "content": content} for role, content in said]}


def response_of(reply: Reply) -> dict[str, Any]:
    """An answer as a ResponsesAgent gives it."""
    content = [{"type": "output_text", "text": reply.text}]
    item = {"type": "message", "id": "answer", "role": "assistant", "content": content}
    return {"object": "response", "output": [item], "custom_outputs": reply.details}


def _tags(told: Told) -> dict[str, str]:
    tags = {
        ANSWER_TAG: told.answer_id, DEPLOYMENT_TAG: told.deployment, RELEASE_TAG: told.identity.uri,
        "llmops.version": told.identity.version, "llmops.adapter": told.identity.adapter, "traceparent": told.parent,
    }  # fmt: skip
    return {name: value for name, value in tags.items() if value}


def _metadata(told: Told) -> dict[str, str]:
    metadata = {
        "mlflow.modelId": told.identity.model_id, "mlflow.trace.user": told.user, "mlflow.trace.session": told.session
    }  # fmt: skip
    return {name: value for name, value in metadata.items() if value}
