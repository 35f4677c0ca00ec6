"""Answers that wait to be traced: what finds no room is dropped and counted, and nobody waits."""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from llmops.serving.gateway.tracing.recorder import Recorder, Told

_BATCH = 50  # traces that are handed on before it is waited for
_log = logging.getLogger(__name__)


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
