"""Calls of many threads, answered by an engine together."""

import time
import weakref
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import TracebackType

from llmops.errors import ConfigError, EngineError
from llmops.models.engine import Engine, generate_each
from llmops.models.giving_up import stopped_by
from llmops.types import Completion, GenerationRequest, Progress


@dataclass(frozen=True)
class _Asked:
    request: GenerationRequest
    answer: Future[Completion] = field(default_factory=Future)
    at_s: float = field(default_factory=time.monotonic)


_Queue = SimpleQueue[_Asked | None]  # None ends the work


class MicroBatcher:
    """An engine for many threads. What they ask within `wait_s` of each other, up to `max_batch` requests, is one batch.

    One thread runs the batches, one after the other; what is asked meanwhile waits for the next, and is dropped where its
    answer is given up (`giving_up`). The thread ends with `close`, a `with` block, or when nobody holds the batcher any
    more; what was asked before is answered still.

    Raises:
        ConfigError: `max_batch` is below 1, or `wait_s` below 0.
    """

    def __init__(self, engine: Engine, max_batch: int = 16, wait_s: float = 0.005) -> None:
        if max_batch < 1 or not wait_s >= 0:
            raise ConfigError(f"max_batch is {max_batch} and wait_s {wait_s}, expected at least 1 and 0.")
        self.max_batch = max_batch
        self._engine, self._queue, self._lock = engine, _Queue(), Lock()
        work = (engine, self._queue, max_batch, wait_s)  # not self, or it would never be garbage
        self._thread = Thread(target=_run_batches, args=work, name="micro-batcher", daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, self._queue.put, None)

    @property
    def identity(self) -> dict[str, str]:
        """The engine's own."""
        return self._engine.identity

    def submit(self, request: GenerationRequest) -> Future[Completion]:
        """Ask without waiting. Cancelling the future spares the work if it has not begun.

        Raises:
            EngineError: the batcher is closed.
        """
        asked = _Asked(request)
        self._put(asked)
        return asked.answer

    def _put(self, asked: _Asked) -> None:
        with self._lock:  # so that nothing is put behind the end
            self._check_open()
            self._queue.put(asked)

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        """Answer requests, in order: all of them, or none. What others ask in the same batches has no part in it.

        Raises:
            EngineError: the batcher is closed.
        """
        with self._asked(requests) as answers:
            return [answer.result() for answer in _reported(answers, progress)]

    def generate_each(
        self, requests: Sequence[GenerationRequest], progress: Progress | None = None
    ) -> list[Completion | Exception]:
        """As `generate`, but a request that fails costs no other its answer."""
        with self._asked(requests) as answers:
            return [_outcome(answer) for answer in _reported(answers, progress)]

    @contextmanager
    def _asked(self, requests: Sequence[GenerationRequest]) -> Iterator[list[Future[Completion]]]:
        calls = [_Asked(request) for request in requests]

        def drop() -> None:
            for call in calls:
                call.answer.cancel()  # those still waiting

        try:
            with stopped_by(drop):
                for call in calls:
                    self._put(call)
                yield [call.answer for call in calls]
        finally:
            drop()  # where this one ends early

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        """Stream from the engine, beside its batches; in one piece where the engine has no streams.

        Raises:
            EngineError: the batcher is closed.
        """
        self._check_open()
        if hasattr(self._engine, "stream"):
            return (yield from self._engine.stream(request))
        (completion,) = self.generate([request])
        yield completion.text
        return completion

    def close(self) -> None:
        """Answer what was asked, and end the thread."""
        with self._lock:
            self._end()
        self._thread.join()

    def _check_open(self) -> None:
        if not self._end.alive:
            raise EngineError("this batcher is closed. Make another on the same engine.")

    def __enter__(self) -> "MicroBatcher":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _run_batches(engine: Engine, queue: _Queue, max_batch: int, wait_s: float) -> None:
    while _run_batch(engine, queue, max_batch, wait_s):
        pass


def _run_batch(engine: Engine, queue: _Queue, max_batch: int, wait_s: float) -> bool:
    """Wait for a batch and answer it; return whether more may come. All references to it end with this function."""
    batch, asked = [], queue.get()
    until = time.monotonic() if asked is None else asked.at_s + wait_s
    while asked is not None:
        if asked.answer.set_running_or_notify_cancel():
            batch.append(asked)
        if len(batch) == max_batch:
            break
        try:
            asked = queue.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
    if batch:
        _answer(engine, batch)
    return asked is not None


def _answer(engine: Engine, batch: Sequence[_Asked]) -> None:
    try:
        outcomes: Sequence[Completion | BaseException] = generate_each(engine, [asked.request for asked in batch])
    except BaseException as error:  # whatever it is: the callers wait, and the next batch may work
        outcomes = [error] * len(batch)
    for asked, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            asked.answer.set_exception(outcome)
        else:
            asked.answer.set_result(outcome)


def _reported(answers: Sequence[Future[Completion]], progress: Progress | None) -> Iterator[Future[Completion]]:
    for done, answer in enumerate(answers, start=1):
        yield answer
        if progress:
            progress("answering", done, len(answers))


def _outcome(answer: Future[Completion]) -> Completion | Exception:
    try:
        return answer.result()
    except Exception as error:
        return error
