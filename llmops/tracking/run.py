"""A step as an MLflow run."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import mlflow
from mlflow.entities import Run

from llmops import step
from llmops.errors import LLMOpsError
from llmops.types import Progress

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # steps report their own progress

QUIET_S = 30  # between progress lines in a log
STEP_TAG, ERROR_TAG = "llmops.step", "llmops.error"


def package_version() -> str:
    try:
        return version("mlflow-llmops")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "source"


@contextmanager
def start_step(name: str, config: Any) -> Iterator[Run]:
    """Start the run of a step, or resume the one `mlflow run` made; inside another run it is nested.

    Config fields are logged as params, except those `mlflow run` has logged (params are immutable). Any error marks
    the run FAILED, and a user's mistake is kept in its tag `llmops.error`.
    """
    with mlflow.start_run(run_name=name, nested=mlflow.active_run() is not None) as run:
        known = mlflow.get_run(run.info.run_id).data.params
        mlflow.log_params({key: value for key, value in asdict(config).items() if key not in known})
        mlflow.set_tags({STEP_TAG: name, "llmops.version": package_version()})
        try:
            step.check_app(config.app)
            yield run
        except LLMOpsError as error:
            mlflow.set_tag(ERROR_TAG, str(error)[:5000])
            raise


def progress_bar(label: str) -> Progress:
    """A progress report on one line of standard error; where that is no terminal, a line every half minute."""
    told = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal told
        line = f"  {label}: {what} {done}/{total}"
        if sys.stderr.isatty():
            print(f"\r{line}\033[K", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif time.monotonic() - told >= QUIET_S:
            told = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    return report
