"""A release in a process of its own, with the code it was judged with, where other code is installed here."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from llmops.errors import ArtifactError, EngineError
from llmops.models.wheels import unpack_wheel
from llmops.tracking.environment import store_environment

IN_WORKER = "LLMOPS_IN_WORKER"  # set in the process that is to answer itself
# Run by the process, whatever version its package has: it names nothing of ours.
_PROGRAM = """
import json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print stays out of the answers
whole_lines = threading.Lock()
def say(number, kind, value):
    line = json.dumps([number, kind, value])
    with whole_lines:
        print(line, file=answers, flush=True)
def answer(number, request, stream):
    try:
        if stream:
            for event in model.predict_stream(request):
                say(number, "event", event)
        say(number, "end", None if stream else model.predict(request))
    except Exception as error:
        say(number, "error", f"{type(error).__name__}: {error}")
try:
    import mlflow
    model = mlflow.pyfunc.load_model(sys.argv[1])
    say(0, "end", None)
except Exception as error:
    say(0, "error", f"{type(error).__name__}: {error}")
    raise SystemExit(1)
threads = ThreadPoolExecutor(64)
for line in sys.stdin:
    threads.submit(answer, *json.loads(line))
threads.shutdown(cancel_futures=True)
"""

_traced = ContextVar("traced", default=True)
_Reply = tuple[str, Any]  # "event", "end" or "error", and what goes with it


@contextmanager
def untraced() -> Iterator[None]:
    """Let workers that are made in the block write no traces of their own, for whoever asks them does."""
    token = _traced.set(False)
    try:
        yield
    finally:
        _traced.reset(token)


class Worker:
    """Answers in another process, many requests at once. One that ended is started again for the next request.

    The process ends with this one, or when nobody holds the worker.
    """

    def __init__(self, model: Path, wheel: Path) -> None:
        package = unpack_wheel(wheel, "mlflow-llmops")
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._what, self._model, self._path = wheel.name, model, os.pathsep.join(paths)
        self._lock, self._closed, self._traced = Lock(), False, _traced.get()
        self._start()

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request.

        Raises:
            EngineError: the process ended, or couldn't answer.
        """
        (answer,) = self._ask(request, stream=False)
        return answer

    def predict_stream(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the events of an answer. Whoever reads slowly, or gives up, holds up nobody.

        Raises:
            EngineError: as `predict`.
        """
        yield from self._ask(request, stream=True)

    def _ask(self, request: dict[str, Any], stream: bool) -> Iterator[dict[str, Any]]:
        try:
            yield from self._running().ask(request, stream)
        except _NotSent:  # it had died, and nobody knew yet
            yield from self._running().ask(request, stream)

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
            self._end()

    def _running(self) -> "_Process":
        with self._lock:
            if self._closed:
                raise EngineError("the release's process was ended. Load the release again.")
            if self._process.ended:
                self._end()
                self._start()
            return self._process

    def _start(self) -> None:
        self._process = _Process(self._model, self._path, self._traced)
        self._end = weakref.finalize(self, self._process.end)
        try:
            self._process.wait_until_ready()
        except EngineError as error:
            self._end()
            raise ArtifactError(f"the release's own code ({self._what}) can't be started: {error}") from error


class _NotSent(EngineError):
    """The process was gone before it could be asked."""


class _Process:
    """The process, and a thread that hands each of its replies to who asked, by number."""

    def __init__(self, model: Path, path: str, traced: bool) -> None:
        quiet = {} if traced else {"MLFLOW_TRACE_SAMPLING_RATIO": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(model)],  # -P: the working directory may hold other code of ours
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**store_environment(), "PYTHONPATH": path, IN_WORKER: "1", **quiet},
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._asked, self._said = self._process.stdin, self._process.stdout
        self._numbers, self._whole_lines, self._broken = count(1), Lock(), False
        self._waiting: dict[int, SimpleQueue[_Reply]] = {0: SimpleQueue()}
        Thread(target=self._hand_out, name="release's process", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._broken or self._process.poll() is not None  # which says None while another thread waits for the end

    def wait_until_ready(self) -> None:
        list(self._replies(0))

    def ask(self, request: dict[str, Any], stream: bool) -> Iterator[dict[str, Any]]:
        """Yield the events of a stream, or the one answer."""
        number = next(self._numbers)
        self._waiting[number] = SimpleQueue()
        try:
            self._say(json.dumps([number, request, stream]))
            yield from self._replies(number)
        finally:  # what comes for one who no longer waits is dropped
            del self._waiting[number]

    def end(self) -> None:
        """Ask by closing its input, then force."""
        with suppress(OSError):  # what was not sent can't be any more
            self._asked.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, line: str) -> None:
        try:
            with self._whole_lines:
                self._asked.write(line + "\n")
                self._asked.flush()
        except (OSError, ValueError) as error:
            self._broken = True
            raise _NotSent(str(self._gone())) from error
        except BaseException:  # interrupted in the middle of a line, which the next would be read with
            self._process.kill()
            raise

    def _replies(self, number: int) -> Iterator[Any]:
        while True:
            kind, value = self._waiting[number].get()
            if kind == "error":
                raise self._gone() if value is None else EngineError(value)
            if kind == "event" or value is not None:
                yield value
            if kind == "end":
                return

    def _hand_out(self) -> None:
        with self._said:
            for line in self._said:
                number, kind, value = json.loads(line)
                if number in self._waiting:
                    self._waiting[number].put((kind, value))
        self._process.wait()
        for waiting in list(self._waiting.values()):
            waiting.put(("error", None))

    def _gone(self) -> EngineError:
        return EngineError(f"the release's process ended (exit code {self._process.poll()}). Ask again: it is started anew.")
