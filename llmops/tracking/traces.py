"""Scored rows as traces with assessments, so that the tracking UI shows each question beside its answer."""

import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import mlflow
from mlflow.entities import Feedback
from mlflow.genai.scorers import scorer

from llmops.evaluation.kpis import JUDGED, find_kpi
from llmops.evaluation.rows import Row
from llmops.evaluation.scorecard import Scorecard

READ = ("answer/score", "retrieval/recall", "grounding/citation")


def limit_workers() -> None:
    """Have MLflow work with few threads unless the user says otherwise: on SQLite they wait for its lock, or drop traces."""
    os.environ.setdefault("MLFLOW_GENAI_EVAL_MAX_WORKERS", "1" if mlflow.get_tracking_uri().startswith("sqlite") else "4")


def log_rows(scorecard: Scorecard, model_id: str | None, most: int) -> None:
    """Log rows into the active run as traces, with one assessment per KPI that applies; of many the worst `most`.

    Raises:
        RuntimeError: MLflow lost some of them.
    """
    rows = sorted(scorecard.rows, key=lambda row: row.score)[:most]
    if not rows:
        return
    limit_workers()
    said = {row.question_id: assessments(row) for row in rows}
    scorers = [_assess(name, said) for name in dict.fromkeys(name for one in said.values() for name in one)]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # its bar and its advice, five times over
        result = mlflow.genai.evaluate([_record(row) for row in rows], scorers=scorers, model_id=model_id)
    mlflow.flush_trace_async_logging()
    logged = 0 if result.result_df is None else len(result.result_df)
    if logged != len(rows):
        raise RuntimeError(f"{logged} of {len(rows)} rows were logged as traces")


def _assess(name: str, said: Mapping[str, Mapping[str, float | bool]]) -> Any:
    """A scorer that says of each question what is said already, and no mean: that of the worst isn't that of all.

    MLflow looks up what to do with an assessment by what follows the slash in its name.
    """

    @scorer(name=name.split("/", 1)[-1], aggregations=[])
    def assess(inputs: dict[str, Any]) -> list[Feedback]:
        one = said[inputs["question_id"]]
        return [Feedback(name=name, value=one[name])] if name in one else []

    return assess


def assessments(row: Row) -> dict[str, float | bool]:
    """What is said about a row: `abstained_rightly` for all, and those KPIs that one reads by question and that apply.

    Each costs MLflow a transaction; the scorecard has them all.
    """
    shown = [name for name in row.scores if name in READ or name.startswith(JUDGED)]
    said = {name: bool(row.scores[name]) if find_kpi(name).binary else row.scores[name] for name in shown}
    return {**said, "abstained_rightly": row.abstained != row.answerable}


def _record(row: Row) -> dict[str, Any]:
    return {
        "inputs": {"question_id": row.question_id, "question": row.question},
        "outputs": {
            "answer": row.answer,
            "documents": list(row.documents),
            "chunks": list(row.chunks),
            **{name: told for name, told in (("blocked", row.blocked), ("error", row.error)) if told},
        },
        "expectations": {
            "answers": list(row.expected) or ["(none: abstain)"],
            "documents": list(row.expected_documents) or ["(none)"],
        },
    }
