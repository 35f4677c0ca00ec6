"""What is noted of an answer while it is made, to become a trace afterwards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llmops.serving.roster import Asked, Identity, Reply
from llmops.types import Span

ANSWER_TAG, DEPLOYMENT_TAG, RELEASE_TAG = "llmops.answer", "llmops.deployment", "llmops.release"


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
