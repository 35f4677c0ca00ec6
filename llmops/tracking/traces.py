"""Scored rows as traces with assessments, so that the tracking UI shows each question beside its answer."""

import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import mlflow
from mlflow.entities import Feedback
from mlflow.genai.scorers import scorer

from llmops.evaluation.metrics import Row
from llmops.evaluation.scorecard import Scorecard


def limit_workers() -> None:
    """Have MLflow work with 4 threads unless the user says otherwise: more stall on SQLite's locks and drop traces."""
    os.environ.setdefault("MLFLOW_GENAI_EVAL_MAX_WORKERS", "4")


def log_rows(scorecard: Scorecard, model_id: str | None) -> None:
    """Log every row into the active run as a trace, with one assessment per metric that applies to it.

    Raises:
        RuntimeError: MLflow lost some of them.
    """
    limit_workers()
    by_id = {row.question_id: row for row in scorecard.rows}

    @scorer(name="scorecard")
    def assess(inputs: dict[str, Any]) -> list[Feedback]:
        return [Feedback(name=name, value=value) for name, value in assessments(by_id[inputs["question_id"]]).items()]

    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # its bar and its advice, five times over
        result = mlflow.genai.evaluate([_record(row) for row in scorecard.rows], scorers=[assess], model_id=model_id)
    mlflow.flush_trace_async_logging()
    logged = 0 if result.result_df is None else len(result.result_df)
    if logged != len(scorecard.rows):
        raise RuntimeError(f"{logged} of {len(scorecard.rows)} rows were logged as traces")


def assessments(row: Row) -> dict[str, float | bool]:
    """What is said about a row: `abstained_rightly` for all, F1 and the rest where they apply."""
    scores = {"f1": row.f1, "exact_match": row.exact_match, "recall": row.recall, "score": row.score}
    rightly = row.abstained != bool(row.expected)
    return {**{name: value for name, value in scores.items() if value is not None}, "abstained_rightly": rightly}


def _record(row: Row) -> dict[str, Any]:
    return {
        "inputs": {"question_id": row.question_id, "question": row.question},
        "outputs": {"answer": row.answer, "documents": list(row.documents), "chunks": list(row.chunks)},
        "expectations": {
            "answers": list(row.expected) or ["(none: abstain)"],
            "documents": list(row.expected_documents) or ["(none)"],
        },
    }
