"""A release that answers copies of requests in the background. Nobody sees its answers; `scoring` compares them."""

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from llmops.serving.roster import Asked, Reply, Serving

FILE, KEPT = "shadow.jsonl", "shadow.1.jsonl"
LONGEST = 50_000_000  # bytes of the file, which then makes room for a new one; one old file is kept
WAITING = 64


class Shadow:
    """Answers one copy at a time; a copy for which there is no room is dropped.

    `pick` lends the shadow release, or None where there is none any more. The file's lines hold the question, what came
    before it, and both answers.
    """

    def __init__(self, folder: Path, pick: Callable[[], AbstractContextManager[Serving | None]]) -> None:
        self._file, self._pick = folder / FILE, pick
        self._waiting: queue.Queue[tuple[Asked, Reply, str, float] | None] = queue.Queue(WAITING)
        self.answered = self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, asked: Asked, reply: Reply, uri: str, seconds: float) -> None:
        """Take a request that `uri` answered."""
        try:
            self._waiting.put_nowait((asked, reply, uri, seconds))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """End after the copy that is being answered."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put(None)

    def _work(self) -> None:
        while (copy := self._waiting.get()) is not None:
            with self._pick() as serving:
                if serving is not None:
                    self._answer(serving, *copy)

    def _answer(self, serving: Serving, asked: Asked, reply: Reply, uri: str, seconds: float) -> None:
        start = time.perf_counter()
        try:
            made, error = serving.answer(asked), ""
        except Exception as failure:  # whatever it is, it is the shadow's
            made, error = None, f"{type(failure).__name__}: {failure}"
        shown = _told(uri, reply, seconds)
        said = {**_told(serving.identity.uri, made, time.perf_counter() - start), "error": error}
        before = [{"role": one.role, "content": one.content} for one in asked.query.history]
        line = {"time": time.time(), "question": asked.query.question, "history": before, "shown": shown, "shadow": said}
        self._keep(json.dumps(line) + "\n")

    def _keep(self, line: str) -> None:
        try:
            if self._file.exists() and self._file.stat().st_size > LONGEST:
                self._file.replace(self._file.with_name(KEPT))
            handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # answers may be confidential
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(line)
            self.answered += 1
        except OSError:  # the disk is full
            self.dropped += 1


def _told(uri: str, reply: Reply | None, seconds: float) -> dict[str, Any]:
    answer = {"text": reply.text, "abstained": bool(reply.details["abstained"])} if reply else {"text": None}
    return {"release": uri, **answer, "seconds": round(seconds, 4)}
