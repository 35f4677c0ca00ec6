"""The process that writes traces, so that whoever answers shares no interpreter with it, and is served first.

    python -m llmops.serving.gateway.tracing

It reads batches from the pipe that its gateway opened, and says after each how many failed. It ends with the pipe.
"""

import logging
import os
import pickle  # between two processes of ours, over a pipe that nobody else has
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from llmops.serving.gateway.traces import Told
from llmops.serving.roster import Asked, Reply
from llmops.tracking.environment import store_environment

ANSWER_TAG, DEPLOYMENT_TAG, RELEASE_TAG = "llmops.answer", "llmops.deployment", "llmops.release"
_NICE = 10  # less than those who answer
_END_S = 10.0
_log = logging.getLogger(__name__)


class Tracing:
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
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=store_environment()
            )
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
            self._process = None


def write(told: Told) -> None:
    """Make an MLflow trace of an answer; its root is as that of a release which MLflow serves."""
    import mlflow

    root = mlflow.start_span_no_context(
        "predict", "AGENT", inputs={"request": request_of(told.asked)}, start_time_ns=told.start_ns,
        tags=_tags(told), metadata=_metadata(told),
    )  # fmt: skip
    spans: list[Any] = []
    for step in told.steps:
        parent = spans[step.parent] if step.parent >= 0 else root
        values = dict(step.values)
        span = mlflow.start_span_no_context(
            step.name, step.kind, parent, values.pop("inputs", None), start_time_ns=step.start_ns
        )
        if "outputs" in values:
            span.set_outputs(values.pop("outputs"))
        span.set_attributes(values)
        spans.append(span)
    for span, step in reversed(list(zip(spans, told.steps, strict=True))):
        span.end(end_time_ns=step.end_ns)
    if told.reply is not None:
        root.set_outputs(response_of(told.reply))
    if told.error:
        root.set_attributes({"llmops.error": told.error})
    root.end(status="ERROR" if told.error else "OK", end_time_ns=told.end_ns)


def request_of(asked: Asked) -> dict[str, Any]:
    """What was asked, as a ResponsesAgent is asked it."""
    query = asked.query
    said = [*((one.role, one.content) for one in query.history), ("user", query.question)]
    return {"input": [{"role": role, "content": content} for role, content in said]}


def response_of(reply: Reply) -> dict[str, Any]:
    """An answer as a ResponsesAgent gives it."""
    content = [{"type": "output_text", "text": reply.text}]
    item = {"type": "message", "id": "answer", "role": "assistant", "content": content}
    return {"object": "response", "output": [item], "custom_outputs": reply.details}


def _tags(told: Told) -> dict[str, str]:
    tags = {
        ANSWER_TAG: told.answer_id, DEPLOYMENT_TAG: told.deployment, RELEASE_TAG: told.identity.uri,
        "llmops.version": told.identity.version, "llmops.adapter": told.identity.adapter, "traceparent": told.parent,
    }  # fmt: skip
    return {name: value for name, value in tags.items() if value}


def _metadata(told: Told) -> dict[str, str]:
    metadata = {
        "mlflow.modelId": told.identity.model_id, "mlflow.trace.user": told.user, "mlflow.trace.session": told.session
    }  # fmt: skip
    return {name: value for name, value in metadata.items() if value}


def _try_to_write(told: Told) -> bool:
    try:
        write(told)
    except Exception as error:  # whatever it is: the next trace may be written
        _log.error("a trace could not be written: %s", type(error).__name__)
        return False
    return True


def main() -> None:
    """Write batches until nobody sends any more."""
    import mlflow

    os.nice(_NICE)
    for number in (signal.SIGTERM, signal.SIGINT):  # it ends with its gateway, when that has written its last
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w") as said:
        os.dup2(2, 1)  # what MLflow prints goes where errors go
        while True:
            try:
                batch = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            failed = [told for told in batch if not _try_to_write(told)]
            mlflow.flush_trace_async_logging()  # its queues drop without a word
            print(len(failed), file=said, flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    main()
