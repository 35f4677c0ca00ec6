"""Processes of a deployment that were asked to end, until they have."""

import signal
import time
from contextlib import suppress
from pathlib import Path

from llmops.serving import process
from llmops.serving.process import Running
from llmops.serving.supervisor.child import METRICS


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
        left = [one for one in self._retiring if one[0].alive]
        if len(left) < len(self._retiring):
            forget_ended(self._folder)
        self._retiring = left


def forget_ended(folder: Path) -> None:
    """Keep what workers that ended have counted in one place, and take what they had under way out of the sums."""
    from llmops.serving.gateway.sums import fold_ended

    with suppress(Exception):  # a disk that is full: it is tried again when the next one ends
        fold_ended(folder / METRICS)
