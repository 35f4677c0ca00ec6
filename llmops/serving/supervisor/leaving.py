"""Processes of a deployment that were asked to end, until they have."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from llmops.serving import process
from llmops.serving.process import Running
from llmops.serving.supervisor.child import METRICS, METRICS_VARIABLE


class Leaving:
    """Lets processes finish what they have under way, and kills those that take too long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._retiring: list[tuple[Running, float]] = []

    @property
    def running(self) -> list[Running]:
        return [running for running, _ in self._retiring]

    def retire(self, running: Running | None, grace_s: float) -> None:
        """Let a process finish what it has under way, and end."""
        if running is not None:
            process.ask_to_end(running)
            self._retiring.append((running, time.monotonic() + grace_s))

    def kill_late(self) -> None:
        for running, deadline in self._retiring:
            if time.monotonic() > deadline:
                process.ask_to_end(running, signal.SIGKILL)
        for running in [running for running, _ in self._retiring if not running.alive]:
            forget(self._folder, running)
        self._retiring = [one for one in self._retiring if one[0].alive]


def forget(folder: Path, ended: Running) -> None:
    """Take a worker that ended out of the sums of the metrics."""
    from llmops.serving.gateway.metrics import forget_worker

    os.environ[METRICS_VARIABLE] = str(folder / METRICS)
    with suppress(Exception):  # a disk that is full: the sums are off by one worker
        forget_worker(ended.pid)
