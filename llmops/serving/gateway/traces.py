"""Answers that are to become MLflow traces: no request waits for the tracking server.

Spans are noted while an answer is made, and become MLflow's afterwards, in a process beside this one (`tracer`). A queue
of bounded length lies between; what finds no room is dropped and counted.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from llmops.serving.roster import Asked, Identity, Reply
from llmops.types import Span

ANSWER_TAG, DEPLOYMENT_TAG, RELEASE_TAG = "llmops.answer", "llmops.deployment", "llmops.release"
_BATCH = 50  # traces that are handed on before it is waited for
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


class Writer(Protocol):
    """Writes traces, one batch after the other."""

    def write(self, batch: Sequence[Told]) -> int:
        """Write them, and return how many could not be."""

    def close(self) -> None:
        """End, when all is written."""

    def kill(self) -> None:
        """End now, from any thread."""


class Traces:
    """Writes a share `rate` of the answers; `dropped` and `failed` count those that are lost."""

    def __init__(
        self, rate: float, most_waiting: int, dropped: Callable[[], None], failed: Callable[[], None], writer: Writer
    ) -> None:
        self._rate, self._dropped, self._failed, self._writer = rate, dropped, failed, writer
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
        if self._thread.is_alive():
            self._writer.kill()

    def _write_all(self) -> None:
        is_over = False
        while not is_over:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            is_over = batch[-1] is None
            self._write([told for told in batch if told is not None])
            for _ in batch:
                self._queue.task_done()
        self._writer.close()

    def _write(self, batch: Sequence[Told]) -> None:
        for _ in range(self._writer.write(batch) if batch else 0):
            self._failed()
