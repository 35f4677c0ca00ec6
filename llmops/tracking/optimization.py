"""What `mlflow.genai.optimize_prompts` needs of a release: a function that answers, questions, and the score to win by."""

from collections.abc import Callable, Iterable
from typing import Any

import mlflow
from mlflow.entities import Trace, TraceState
from mlflow.genai.scorers import scorer

from llmops.chains.prompt import is_abstention
from llmops.chains.release import Release
from llmops.evaluation.rows import score_row
from llmops.guards.finding import REFUSAL
from llmops.tracking.loading import load_answerer
from llmops.tracking.prompts import load_version, parse_version
from llmops.tracking.spans import mlflow_spans
from llmops.tracking.traces import limit_workers
from llmops.types import Answer, Question


def predict_fn(release: Release) -> Callable[[str], str]:
    """Answers a question as the release does, with the code installed here and the prompt that MLflow holds at that moment.

    That is the version the release pins, and while an optimizer tries a candidate, the candidate.

    Raises:
        ArtifactError, WeightsError: as `load_answerer`, or the prompt is not in the registry.
    """
    limit_workers()
    answerer, version = load_answerer(release), load_version(release.prompt)

    @mlflow.trace
    def predict(question: str) -> str:
        prompt = parse_version(version)  # its template is what MLflow replaces
        return answerer.with_template(prompt.template).answer([question], spans=mlflow_spans)[0].text

    return predict


def train_data(questions: Iterable[Question]) -> list[dict[str, Any]]:
    """Questions as MLflow's records, with what `answer_score` expects; those without a reference it can't score."""
    scored = [one for one in questions if one.answers or not one.answerable]
    return [{"inputs": {"question": one.text}, "expectations": {"answers": list(one.answers)}} for one in scored]


@scorer
def answer_score(outputs: str, expectations: dict[str, Any], trace: Trace | None = None) -> float:
    """The scorecard's score of an answer; 0 where there is none because the candidate is no prompt of ours or too long."""
    if trace is not None and trace.info.state == TraceState.ERROR:
        return 0.0
    answer = Answer(outputs, is_abstention(outputs) or outputs == REFUSAL)
    return score_row(Question("", "", tuple(expectations["answers"])), answer, has_retriever=False).score
