"""A release in a process of its own, with the code it was judged with, where other code is installed here."""

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmops.errors import ArtifactError, EngineError
from llmops.models.wheels import unpack_wheel
from llmops.tracking.environment import store_environment

IN_WORKER = "LLMOPS_IN_WORKER"  # set in the process that is to answer itself
# Run by the process, whatever version its package has: it names nothing of ours.
_PROGRAM = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print stays out of the answers
def say(kind, value):
    print(json.dumps({kind: value}), file=answers, flush=True)
try:
    import mlflow
    model = mlflow.pyfunc.load_model(sys.argv[1])
    say("ready", os.getpid())
except Exception as error:
    say("error", f"{type(error).__name__}: {error}")
    raise SystemExit(1)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if asked["stream"]:
            for event in model.predict_stream(asked["request"]):
                say("event", event)
            say("end", None)
        else:
            say("answer", model.predict(asked["request"]))
    except Exception as error:
        say("error", f"{type(error).__name__}: {error}")
"""


class Worker:
    """Answers in another process, one request at a time. The process ends with this one, or when nobody holds the worker."""

    def __init__(self, model: Path, wheel: Path) -> None:
        package = unpack_wheel(wheel, "mlflow-llmops")
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(model)],  # -P: the working directory may hold other code of ours
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**store_environment(), "PYTHONPATH": os.pathsep.join(paths), IN_WORKER: "1"},
        )  # fmt: skip
        self._turn = threading.Lock()
        self._end = weakref.finalize(self, _end, self._process)
        try:
            self._hear("ready")
        except EngineError as error:
            raise ArtifactError(f"the release's own code ({wheel.name}) can't be started: {error}") from error

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request.

        Raises:
            EngineError: the process ended, or couldn't answer.
        """
        with self._turn:
            self._say(request, stream=False)
            answer: dict[str, Any] = self._hear("answer")["answer"]
        return answer

    def predict_stream(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the events of an answer. One that is given up is heard to its end, so that the next is not mixed with it.

        Raises:
            EngineError: as `predict`.
        """
        with self._turn:
            self._say(request, stream=True)
            over = False
            try:
                while not over:
                    heard = self._hear("event", "end")
                    over = "end" in heard
                    if not over:
                        yield heard["event"]
            except EngineError:
                over = True
                raise
            finally:
                while not over:
                    over = "end" in self._hear("event", "end")

    def close(self) -> None:
        self._end()

    def _say(self, request: dict[str, Any], stream: bool) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"request": request, "stream": stream}) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise EngineError(f"the release's process ended (exit code {self._process.poll()}). Load it again.") from error

    def _hear(self, *expected: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(f"the release's process ended (exit code {self._process.wait()}). Load it again.")
        heard: dict[str, Any] = json.loads(line)
        if not heard.keys() & set(expected):
            raise EngineError(str(heard.get("error", heard)))
        return heard


def _end(process: subprocess.Popen[str]) -> None:
    """Ask by closing its input, then force."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent can't be any more
                pipe.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
