"""The worker process, as its parent sees it."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llmops
from llmops.documents.worker import OUT_OF_MEMORY
from llmops.errors import DataError

_PIPE_BYTES = 1 << 20


class Child:
    """A worker process that answers one request at a time."""

    def __init__(self) -> None:
        root = str(Path(llmops.__file__).parent.parent)
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        # One thread for numpy, which openpyxl imports: each would reserve memory that counts against the limit.
        environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "llmops.documents.worker"], env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._ready = select.poll()
        self._ready.register(self._answers, select.POLLIN)
        self._buffer = bytearray()

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the answers to a request as they come; the last one has an `end`.

        Raises:
            DataError: no answer came for `request["seconds"]`, or the process died.
        """
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise DataError(self._cause_of_death(request)) from error
        answer: dict[str, Any] = {}
        while "end" not in answer:
            answer = json.loads(self._line(request))
            yield answer

    def _line(self, request: dict[str, Any]) -> bytearray:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if not self._ready.poll(request["seconds"] * 1000):
                raise DataError(f"it took longer than {request['seconds']} s to read. Split it, or remove it.")
            data = os.read(self._answers.fileno(), _PIPE_BYTES)
            if not data:
                raise DataError(self._cause_of_death(request))
            self._buffer += data
        line = self._buffer[:end]
        del self._buffer[: end + 1]
        return line

    def _cause_of_death(self, request: dict[str, Any]) -> str:
        status = self._process.wait()
        if status == OUT_OF_MEMORY:
            return f"it needs more than {request['memory_mb']} MB of memory to read. Split it, or remove it."
        if status == -signal.SIGALRM:
            return f"it took longer than {request['seconds']} s to read. Split it, or remove it."
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"the process that read it died ({how}): out of memory, or a damaged file. Split it, or export it again."

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._answers.close()
