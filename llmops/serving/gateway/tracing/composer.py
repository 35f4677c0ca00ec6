"""An answer as an MLflow trace, whole: what MLflow's own tracing would have collected while it was made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmops.serving.gateway.tracing.recorder import ANSWER_TAG, DEPLOYMENT_TAG, RELEASE_TAG, Step, Told
from llmops.serving.roster import Asked, Reply

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan, Trace
    from opentelemetry.trace import Tracer


class Composer:
    """Makes traces for an experiment. Nothing is sent anywhere."""

    def __init__(self, experiment_id: str) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._experiment_id = experiment_id
        self._tracer: Tracer = TracerProvider(sampler=ALWAYS_ON).get_tracer(__name__)  # without a processor

    def trace_of(self, told: Told) -> "Trace":
        """The trace; its root is as that of a release which MLflow serves.

        Raises:
            IndexError: a step belongs to one that isn't there.
        """
        from mlflow.entities import Trace, TraceData, TraceInfo, TraceLocation, TraceState
        from mlflow.tracing.utils.truncation import set_request_response_preview

        root = self._begun("predict", "AGENT", told.start_ns, None)
        root.set_inputs({"request": request_of(told.asked)})
        spans = [root]
        for step in told.steps:
            spans.append(self._begun(step.name, step.kind, step.start_ns, spans[_place_of(step, len(spans))]))
            _fill(spans[-1], step.values)
            spans[-1].end(end_time_ns=step.end_ns)
        if told.reply is not None:
            root.set_outputs(response_of(told.reply))
        if told.error:
            root.set_attributes({"llmops.error": told.error})
        root.end(status="ERROR" if told.error else "OK", end_time_ns=told.end_ns)
        data = TraceData([span.to_immutable_span() for span in spans])
        info = TraceInfo(
            root.trace_id, TraceLocation.from_experiment_id(self._experiment_id), told.start_ns // 1_000_000,
            TraceState.ERROR if told.error else TraceState.OK,
            execution_duration=(told.end_ns - told.start_ns) // 1_000_000, trace_metadata=_metadata(told), tags=_tags(told),
        )  # fmt: skip
        set_request_response_preview(info, data)
        return Trace(info, data)

    def _begun(self, name: str, kind: str, start_ns: int, parent: "LiveSpan | None") -> "LiveSpan":
        from mlflow.entities import LiveSpan
        from mlflow.tracing.utils import generate_trace_id_v3
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        above: Any = parent and parent._span
        around = set_span_in_context(above, Context()) if above else Context()
        span: Any = self._tracer.start_span(name, around, start_time=start_ns)
        return LiveSpan(span, generate_trace_id_v3(span), kind)


def _place_of(step: Step, known: int) -> int:
    """The place, the root's being 0, of the span that a step belongs to."""
    if not -1 <= step.parent < known - 1:
        raise IndexError(f"step {step.name!r} belongs to step {step.parent} of {known - 1}")
    return step.parent + 1


def _fill(span: "LiveSpan", values: Mapping[str, Any]) -> None:
    if "inputs" in values:
        span.set_inputs(values["inputs"])
    if "outputs" in values:
        span.set_outputs(values["outputs"])
    span.set_attributes({name: value for name, value in values.items() if name not in ("inputs", "outputs")})


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
        "mlflow.traceName": "predict", ANSWER_TAG: told.answer_id, DEPLOYMENT_TAG: told.deployment,
        RELEASE_TAG: told.identity.uri, "llmops.version": told.identity.version, "llmops.adapter": told.identity.adapter,
        "traceparent": told.parent,
    }  # fmt: skip
    return {name: value for name, value in tags.items() if value}


def _metadata(told: Told) -> dict[str, str]:
    from mlflow.tracing.constant import TRACE_SCHEMA_VERSION, TRACE_SCHEMA_VERSION_KEY

    metadata = {
        TRACE_SCHEMA_VERSION_KEY: str(TRACE_SCHEMA_VERSION), "mlflow.modelId": told.identity.model_id,
        "mlflow.trace.user": told.user, "mlflow.trace.session": told.session,
    }  # fmt: skip
    return {name: value for name, value in metadata.items() if value}
