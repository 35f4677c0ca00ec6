"""Writes the traces of a gateway, which is served first.

    python -m llmops.serving.gateway.tracer

It reads batches from the pipe that its gateway opened, and says after each how many failed. It ends with the pipe.
"""

import logging
import os
import pickle
import signal
import sys
from typing import Any

from llmops.serving.gateway.traces import ANSWER_TAG, DEPLOYMENT_TAG, RELEASE_TAG, Told
from llmops.serving.roster import Asked, Reply

_NICE = 10  # less than those who answer
_log = logging.getLogger(__name__)


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
