"""What people say of answers, as assessments of their traces, which become questions by `llmops.tracking.feedback`."""

from typing import Any

import mlflow
from mlflow.entities import AssessmentSource, Trace
from mlflow.exceptions import MlflowException

from llmops.errors import LedgerError
from llmops.registry.store_errors import store_errors
from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.requests import FeedbackRequest
from llmops.serving.gateway.tracing.recorder import ANSWER_TAG, DEPLOYMENT_TAG

EXPECTED = "expected_response"


def check_said(said: FeedbackRequest) -> None:
    """Raises Refusal unless something is said, and said once."""
    if said.value is not None and said.thumb is not None:
        raise Refusal(422, "value and thumb are given, expected one of them.", "ambiguous_feedback", "thumb")
    judged = said.value is not None or said.thumb is not None
    if not judged and said.expected is None:
        raise Refusal(422, "nothing is said of the answer. Give value, thumb or expected.", "no_feedback", "value")
    if said.comment is not None and not judged:
        raise Refusal(422, "a comment goes with a value or a thumb. Give one of them.", "no_feedback", "value")


def log_said(said: FeedbackRequest, deployment: str, user: str) -> str:
    """Attach feedback to the trace of a deployment's answer; return the trace's id. Blocks.

    Raises:
        Refusal: there is no such trace of this deployment (404), or the tracking server can't be asked (503).
    """
    try:
        with store_errors("log feedback"):  # which ends sooner than by MLflow's own patience, and than the caller's
            trace_id = _find(said.id, deployment)
            source = AssessmentSource("HUMAN", user or "anonymous")
            value = said.thumb == "up" if said.thumb is not None else said.value
            if value is not None:
                mlflow.log_feedback(trace_id=trace_id, name=said.name, value=value, rationale=said.comment, source=source)
            if said.expected is not None:
                mlflow.log_expectation(trace_id=trace_id, name=EXPECTED, value=said.expected, source=source)
            return trace_id
    except (MlflowException, LedgerError) as error:
        raise Refusal(
            503, "the tracking server doesn't take feedback now. Send it again later.", "tracking_unavailable", None, 5
        ) from error


def _find(answer_id: str, deployment: str) -> str:
    if answer_id.startswith("tr-"):
        wanted = f"trace.request_id = '{answer_id}'"
    else:
        wanted = f"tags.`{ANSWER_TAG}` = '{answer_id}'"
    found: list[Any] = mlflow.search_traces(
        filter_string=f"{wanted} AND tags.`{DEPLOYMENT_TAG}` = '{deployment}'", max_results=1, include_spans=False,
        return_type="list",
    )  # fmt: skip
    if not found:
        raise Refusal(
            404,
            "no answer of this id was traced here. Answers are traced by rate, and some seconds later.",
            "answer_not_found",
            "id",
        )
    trace: Trace = found[0]
    return str(trace.info.trace_id)
