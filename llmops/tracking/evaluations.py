"""Evaluations in the store: a parent run, and under it one run per candidate with its scorecard."""

from dataclasses import asdict, dataclass
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from llmops.addresses import without_password
from llmops.errors import ArtifactError
from llmops.evaluation import scorecard as scorecards
from llmops.evaluation.rows import Row
from llmops.evaluation.scorecard import Scorecard
from llmops.tracking.run import STEP_TAG

CANDIDATE_TAG, RELEASE_TAG, APP_TAG = "llmops.candidate", "llmops.release", "llmops.app"
SCORECARD_FILE, TABLE_FILE, REPORT_FILE = "scorecard.json", "scorecard.md", "report.html"
SLICES_FILE, FEW = "slices.json", 10  # questions below which a slice's KPIs say little


@dataclass(frozen=True)
class Evaluated:
    """A candidate of an evaluation: its scorecard, and its release's URI (None for a baseline that is no release)."""

    scorecard: Scorecard
    release: str | None
    run_id: str


def log_scorecard(card: Scorecard, app: str, release: str | None, model_id: str | None) -> None:
    """Log a candidate's scorecard into the active run, and its metrics onto the logged model too."""
    mlflow.set_tags({CANDIDATE_TAG: card.candidate, APP_TAG: app} | ({RELEASE_TAG: release} if release else {}))
    mlflow.log_metrics(card.metrics, model_id=model_id)
    mlflow.log_params({f"fact.{name}": value for name, value in card.facts.items()})
    kept = {name: getattr(card, name) for name in ("measured", "questions", "facts")}
    rows = {name: [asdict(row) for row in getattr(card, name)] for name in ("rows", "pack")}
    mlflow.log_dict({**kept, **rows}, SCORECARD_FILE)
    slices = {"=".join(slice_): kpis for slice_, kpis in card.slices(least=FEW).items()}
    mlflow.log_dict({name: {kpi: asdict(one) for kpi, one in kpis.items()} for name, kpis in slices.items()}, SLICES_FILE)


def find_evaluation(app: str) -> Run:
    """The newest finished evaluation of an app, in any experiment.

    Raises:
        ArtifactError: there is none.
    """
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    found = mlflow.MlflowClient().search_runs(
        experiments, f"tags.`{STEP_TAG}` = 'evaluate' and tags.`{APP_TAG}` = '{app}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"], max_results=1,
    )  # fmt: skip
    if not found:
        raise ArtifactError(
            f"no finished evaluation of {app!r} in {without_password(mlflow.get_tracking_uri())}. Run -e evaluate first."
        )
    return found[0]


def set_aside(run_id: str) -> None:
    """Let an evaluation that was made to complete another one not be found as the newest."""
    mlflow.MlflowClient().set_tag(run_id, STEP_TAG, "evaluate again")


def get_evaluation(app: str, run_id: str) -> Run:
    """A finished evaluation by its run id.

    Raises:
        ArtifactError: there is no such run, or it is no finished evaluation of this app.
    """
    try:
        run = mlflow.get_run(run_id)
    except MlflowException as error:
        raise ArtifactError(
            f"no run {run_id!r} in {without_password(mlflow.get_tracking_uri())}. Give the id of an evaluate run."
        ) from error
    found = (run.data.tags.get(STEP_TAG), run.data.tags.get(APP_TAG), run.info.status)
    if found != ("evaluate", app, "FINISHED"):
        raise ArtifactError(f"run {run_id} is {found}, expected a finished evaluation: ('evaluate', {app!r}, 'FINISHED').")
    return run


def read_evaluation(run: Run) -> list[Evaluated]:
    """The candidates of an evaluation, in the order they were evaluated.

    Raises:
        ArtifactError: the run has none.
    """
    children = mlflow.MlflowClient().search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'",
        order_by=["attributes.start_time ASC"],
    )  # fmt: skip
    evaluated = [_read(child) for child in children if CANDIDATE_TAG in child.data.tags]
    if not evaluated:
        raise ArtifactError(f"run {run.info.run_id} is no evaluation: it has no candidates below it.")
    return evaluated


def _read(run: Run) -> Evaluated:
    data = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{SCORECARD_FILE}")
    if "pack" not in data:
        raise ArtifactError(
            f"run {run.info.run_id} is of an earlier version, which scored otherwise. Run -e evaluate again."
        )
    rows, pack = ([_row(row) for row in data[name]] for name in ("rows", "pack"))
    tags = run.data.tags
    card = scorecards.from_rows(tags[CANDIDATE_TAG], rows, data["measured"], data["questions"], data["facts"], pack)
    return Evaluated(card, tags.get(RELEASE_TAG), run.info.run_id)


def _row(data: dict[str, Any]) -> Row:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Row(**fields)
