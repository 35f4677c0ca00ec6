"""The steps of an answer as MLflow's spans."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.entities import LiveSpan

from llmops.types import Span


class _Recorded:
    """`inputs` and `outputs` become the span's; other values its attributes."""

    def __init__(self, span: LiveSpan) -> None:
        self._span = span

    def record(self, **values: Any) -> None:
        if "inputs" in values:
            self._span.set_inputs(values.pop("inputs"))
        if "outputs" in values:
            self._span.set_outputs(values.pop("outputs"))
        self._span.set_attributes(values)


@contextmanager
def mlflow_spans(name: str, kind: str) -> Iterator[Span]:
    """Open a span of the active trace, or a trace of its own."""
    with mlflow.start_span(name, span_type=kind) as span:
        yield _Recorded(span)
