"""The process beside a gateway that writes its traces: whoever answers shares no interpreter with it."""

import logging
import pickle  # between two processes of ours, over a pipe that nobody else has
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from llmops.serving.gateway.tracing.recorder import Told
from llmops.tracking.environment import store_environment

WRITER = "llmops.serving.gateway.tracing.writer"
_END_S = 10.0
_log = logging.getLogger(__name__)


class WriterProcess:
    """A writer in another process, which is started with the first batch, and again if it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def write(self, batch: Sequence[Told]) -> int:
        for _ in range(2):
            try:
                return self._hand_on(batch)
            except Exception as error:  # whatever it is, it costs these traces and no answer
                _log.warning("traces could not be handed on: %s", type(error).__name__)
                self._end()
        return len(batch)

    def close(self) -> None:
        self._is_over = True
        self._end()

    def kill(self) -> None:
        self._is_over = True
        if self._process is not None:
            self._process.kill()

    def _hand_on(self, batch: Sequence[Told]) -> int:
        if self._is_over:
            return len(batch)
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=store_environment(),
                start_new_session=True,  # which Linux shares processors with, and by its niceness (sched(7), autogroup)
            )  # fmt: skip
        asked, said = self._process.stdin, self._process.stdout
        assert asked is not None and said is not None
        asked.write(pickle.dumps(batch))
        asked.flush()
        return int(said.readline())

    def _end(self) -> None:
        if self._process is not None:
            with suppress(OSError, subprocess.TimeoutExpired):
                self._process.communicate(timeout=_END_S)
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self._process = None
