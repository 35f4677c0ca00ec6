"""Questions from what people said of an app's answers: assessments of its traces, by `mlflow.log_feedback` or in the UI.

An expectation is a correction, and becomes the reference: `expected_response` or `answers` (wordings), `expected_facts`
(one answer that holds all), `documents`. Feedback alone says only whether an answer is right: a person reviews it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import Assessment, Experiment, Trace
from mlflow.exceptions import MlflowException
from mlflow.types.responses import ResponsesAgentRequest

from llmops.addresses import without_password
from llmops.chains.prompt import is_abstention
from llmops.datasets.questions import Imported, join_questions, same_text
from llmops.errors import ArtifactError, DataError
from llmops.evaluation.synthesis import Made
from llmops.tracking.agent import read_query
from llmops.types import Query, Question

SCHEME = "traces:"
_PAGE = 500


@dataclass(frozen=True)
class Feedback:
    """Corrected questions, those that a person has to review first, and how many traces were left out for each reason."""

    corrected: Imported | None
    review: tuple[Made, ...]
    left_out: dict[str, int]


def collect_feedback(app: str, source: str) -> Feedback:
    """The questions of an app's traces in an experiment, `traces:<its name or id>`, of which a person said something.

    A question that can't stand alone, for it goes on with a conversation, is reviewed too.

    Raises:
        ArtifactError: there is no such experiment.
        DataError: no such trace is in it.
    """
    experiment = _experiment(source.removeprefix(SCHEME))
    told, models = list(_told(experiment)), _models(app)
    asked = [(trace, query) for trace in told if _of_app(trace, models) and (query := _query(trace)) is not None]
    if not asked:
        raise DataError(
            f"no trace of {app} in experiment {experiment.name!r} has feedback or an expectation by a person. "
            "Give some in the UI, or by mlflow.log_feedback and log_expectation with source_type HUMAN."
        )
    found = [(trace, query, _question(trace, query)) for trace, query in asked]
    corrected = [one for _, query, one in found if one is not None and not query.history]
    known, waiting = {same_text(one.text) for one in corrected}, defaultdict(list)
    for trace, query, one in found:
        if (text := same_text(query.question)) not in known:
            waiting[_id(trace) if query.history else text].append(_made(trace, query, one))
    return Feedback(
        join_questions(corrected, "feedback") if corrected else None, tuple(map(_joined, waiting.values())),
        {"of another app": len(told) - len(asked), "waiting for a review": len(waiting)},
    )  # fmt: skip


def _joined(same: Sequence[Made]) -> Made:
    (question,) = join_questions([one.question for one in same], "feedback").questions
    return Made(question, "\n\n".join(one.passage for one in same))


def _experiment(name: str) -> Experiment:
    found = mlflow.get_experiment_by_name(name)
    try:
        found = found or mlflow.get_experiment(name)
    except MlflowException as error:
        raise ArtifactError(
            f"no experiment {name!r} in {without_password(mlflow.get_tracking_uri())}. "
            "Give the name or id of the one that holds the traces."
        ) from error
    return found


def _told(experiment: Experiment) -> Iterator[Trace]:
    """Traces that a person said something of, oldest first."""
    client, token = mlflow.MlflowClient(), None
    while True:
        page = client.search_traces(
            locations=[experiment.experiment_id], max_results=_PAGE, order_by=["timestamp_ms ASC"], page_token=token,
            include_spans=False,
        )  # fmt: skip
        yield from (mlflow.get_trace(trace.info.trace_id) for trace in page if _said(trace))
        if not (token := page.token):
            return


def _said(trace: Trace) -> list[Assessment]:
    """What people said of the whole trace, and have not taken back."""
    said: Sequence[Assessment] = trace.info.assessments
    return [one for one in said if one.source.source_type == "HUMAN" and one.valid is not False and one.issue is None]


def _models(app: str) -> set[str]:
    versions = mlflow.MlflowClient().search_model_versions(f"name = '{app}'")
    return {str(version.source).removeprefix("models:/") for version in versions}


def _of_app(trace: Trace, models: set[str]) -> bool:
    return trace.info.request_metadata.get("mlflow.modelId") in models


def _query(trace: Trace) -> Query | None:
    """What was asked; None where that was no question to a release."""
    try:
        return read_query(ResponsesAgentRequest(**_root(trace).inputs["request"]))
    except (MlflowException, KeyError, TypeError, ValueError):
        return None


def _root(trace: Trace) -> Any:
    return next((span for span in trace.data.spans if span.parent_id is None), None)


def _question(trace: Trace, query: Query) -> Question | None:
    """The question with what people expect; None where they expect nothing that an answer could be compared with."""
    expected = [(one.name, one.expectation.value) for one in _said(trace) if one.expectation is not None]
    texts = [text for name, value in expected for text in _wordings(name, value)]
    answers = [text for text in dict.fromkeys(map(str.strip, texts)) if re.search(r"\w", text)]
    documents = [text for name, value in expected if name == "documents" for text in _listed(value)]
    if not answers and not documents:
        return None
    known = tuple(text for text in answers if not is_abstention(text))
    return Question(_id(trace), query.question.strip(), known, tuple(dict.fromkeys(documents)), origin="feedback")


def _wordings(name: str, value: Any) -> list[str]:
    if name == "expected_facts":
        return ["; ".join(_listed(value))]
    return _listed(value) if name in ("expected_response", "answers") else []


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list | tuple) else [value])]


def _made(trace: Trace, query: Query, question: Question | None) -> Made:
    """What the review shows: the answer that was given, proposed where it was only liked, and what was said of it."""
    given, said = _answer(trace), _said(trace)
    liked = all(one.feedback is not None and one.feedback.value is True for one in said)
    proposed = (given,) if liked and given and not is_abstention(given) else ()
    lines = [f"{message.role}: {message.content}" for message in query.history]
    lines += [f"answered: {given}", *(f"{one.name}: {_value(one)} {one.rationale or ''}".strip() for one in said)]
    asked = question or Question(_id(trace), query.question.strip(), proposed, origin="feedback")
    return Made(asked, "\n".join(lines))


def _value(one: Assessment) -> Any:
    return one.expectation.value if one.expectation is not None else one.feedback and one.feedback.value


def _answer(trace: Trace) -> str:
    try:
        return str(_root(trace).outputs["output"][0]["content"][0]["text"])
    except (KeyError, TypeError, IndexError, AttributeError):  # it failed
        return ""


def _id(trace: Trace) -> str:
    return f"trace-{trace.info.trace_id.removeprefix('tr-')}"
