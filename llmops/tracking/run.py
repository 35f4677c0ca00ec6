"""A step as an MLflow run."""

import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_type_hints

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from llmops import step
from llmops.addresses import without_password
from llmops.errors import LLMOpsError
from llmops.files import write_whole
from llmops.types import Progress

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # steps report their own progress
os.environ.setdefault("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")  # of every run, nested ones too, each ten seconds
logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it says when it starts and stops

QUIET_S = 30  # between progress lines in a log
STEP_TAG, ERROR_TAG, RESUMES_TAG = "llmops.step", "llmops.error", "llmops.resumes"
_RUN_FILE = "run"


def package_version() -> str:
    try:
        return version("mlflow-llmops")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "source"


@contextmanager
def start_step(name: str, config: Any, workplace: Path | None = None) -> Iterator[Run]:
    """Start the run of a step, or resume the one `mlflow run` made; inside another run it is nested.

    A `workplace` remembers the run. What is killed there is gone on with: in the same run, or, where `mlflow run` made a new
    one, or the parent is another, in a new one, which is tagged with the one it resumes; that one is closed.

    Config fields are logged as params, except those `mlflow run` has logged (params are immutable). Any error marks
    the run FAILED, and a user's mistake is kept in its tag `llmops.error`.
    """
    killed = _killed_run(workplace) if workplace else None
    nested = mlflow.active_run() is not None
    same_run = killed if killed and _may_go_on(killed) else None
    with mlflow.start_run(run_id=same_run, run_name=name, nested=nested) as run:
        if killed and not same_run:
            mlflow.set_tag(RESUMES_TAG, killed)
            mlflow.MlflowClient().set_terminated(killed, "KILLED")
        if same_run and ERROR_TAG in run.data.tags:
            mlflow.delete_tag(ERROR_TAG)
        if workplace:
            write_whole(workplace / _RUN_FILE, run.info.run_id)
        known = mlflow.get_run(run.info.run_id).data.params
        mlflow.log_params({key: value for key, value in asdict(config).items() if key not in known})
        mlflow.set_tags({STEP_TAG: name, "llmops.version": package_version()})
        try:
            step.check_app(config.app)
            yield run
        except LLMOpsError as error:
            mlflow.set_tag(ERROR_TAG, without_password(str(error))[:5000])
            raise


def logged_config(run: Run, config: type[Any]) -> dict[str, Any]:
    """The fields of a config as a run has them for params. `mlflow run` logs values as it quotes them for the shell."""
    params = run.data.params
    hints = get_type_hints(config)
    return {field.name: hints[field.name](_unquoted(params[field.name])) for field in fields(config) if field.name in params}


def _unquoted(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:  # an apostrophe: it was never quoted
        return value
    text = words[0] if words else ""
    return text if len(words) == 1 and shlex.quote(text) == value else value


def _may_go_on(killed: str) -> bool:
    """Whether the killed run can be the one that is started now: no other was made for it, and its parent goes on too."""
    parent, active = mlflow.get_parent_run(killed), mlflow.active_run()
    if active is not None:
        return parent is not None and parent.info.run_id == active.info.run_id
    return parent is None and "MLFLOW_RUN_ID" not in os.environ


def _killed_run(workplace: Path) -> str | None:
    """The run that last worked here, unless it finished, was deleted, or is of another store."""
    try:
        run = mlflow.get_run((workplace / _RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, MlflowException):
        return None
    gone = run.info.status == "FINISHED" or run.info.lifecycle_stage != "active"
    return None if gone else str(run.info.run_id)


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
