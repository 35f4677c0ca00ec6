"""How long a registered release takes, from question to answer, as a server loads it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlflow
import numpy as np

from llmops.types import Metrics, Question


def measure_latency(uri: str, questions: Sequence[Question], concurrency: int, seed: int = 0) -> Metrics:
    """Median and 95th percentile of the seconds from question to answer, so many callers asking at once.

    Each caller asks its next question when it has its answer; where answers are drawn, with this seed. A question that fails
    counts with the time it took to.
    """
    model = mlflow.pyfunc.load_model(uri)

    def ask(question: Question) -> float:
        started = time.perf_counter()
        try:
            asked = [{"role": "user", "content": question.text}]
            model.predict({"input": asked, "custom_inputs": {"seed": seed}})
        except Exception:  # told by answer/failed
            pass
        return time.perf_counter() - started

    mlflow.tracing.disable()
    try:
        ask(questions[0])  # what is done once: caches are filled, pages read
        with ThreadPoolExecutor(concurrency) as callers:
            seconds: Any = list(callers.map(ask, questions))
    finally:
        mlflow.tracing.enable()
    p50, p95 = np.quantile(seconds, (0.5, 0.95)).tolist()
    return {"latency/p50_s": p50, "latency/p95_s": p95, "latency/concurrency": float(concurrency)}
