"""What retention sees in the store, and how it removes from it: a release first, then its files, then its parts.

MLflow's deletion of a logged model leaves its files until `mlflow gc`, which also ends every deleted run of the store. So
the files are deleted first, by the call that `mlflow gc` makes, and then the model.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities.logged_model import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from llmops.addresses import without_password
from llmops.errors import ArtifactError, LedgerError
from llmops.registry.decision.approvals import APPROVED_TAG
from llmops.registry.inventory import KIND_TAG, find_aliases, search_versions, uri_of
from llmops.registry.ledger.chain import ABSENT
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.succession import attested
from llmops.registry.retention.plan import Held, models_of
from llmops.registry.seats import find_seats
from llmops.tracking.releases import read_release

REMOVED_TAG = "llmops.removed"  # of a logged model that is being removed: the version that it was
_SCHEME, _MODEL_ID = "models:/", re.compile(r"m-[0-9a-f]{32}")


def take_inventory() -> list[Held]:
    """Every registered version of every application, with what it is made of. What is of no application is among them."""
    versions, aliases = {uri_of(version): version for version in search_versions()}, find_aliases()
    return [_held(version, versions, aliases.get(uri, ())) for uri, version in versions.items()]


def _held(version: ModelVersion, versions: Mapping[str, ModelVersion], aliases: tuple[str, ...]) -> Held:
    model_id = _model_id(version, versions)
    model = find_model(model_id) if model_id else None
    named = list(model.params.values()) if model else []
    if KIND_TAG in version.tags and model and get_artifact_repository(model.artifact_location).list_artifacts():
        named += _named_by_release(uri_of(version))
    names = dict.fromkeys(name for name in named if name.startswith(_SCHEME))
    return Held(version.name, int(version.version), model_id, aliases, tuple(names))


def _model_id(version: ModelVersion, versions: Mapping[str, ModelVersion]) -> str:
    """The logged model of a version; of a copy that of the version it was made of, which may be gone."""
    source = str(version.source)
    if source in versions:
        return _model_id(versions[source], versions)
    found = _MODEL_ID.search(source)
    if found is None:
        client = mlflow.MlflowClient()
        found = _MODEL_ID.search(client.get_model_version_download_uri(version.name, str(version.version)))
    return found.group() if found else ""


def _named_by_release(uri: str) -> list[str]:
    """All that a release pins: its configuration says more than its params.

    Raises:
        ArtifactError: it can't be read, so that nobody knows.
    """
    try:
        return list(_texts(read_release(uri).to_dict()))
    except (ArtifactError, MlflowException, OSError) as error:
        raise ArtifactError(
            f"{uri} can't be read ({without_password(str(error))}), so what it needs isn't known. Nothing is removed."
        ) from error


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping | list | tuple):
        for value in data.values() if isinstance(data, Mapping) else data:
            yield from _texts(value)


def find_model(model_id: str) -> LoggedModel | None:
    try:
        return mlflow.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return None


def find_pinned(app: str) -> dict[str, str]:
    """The releases that a rollback can go back to, and those that people have approved, with the reason.

    Raises:
        LedgerError: a ledger isn't whole, so that nobody knows.
    """
    pinned = {}
    for version in search_versions(f"name = '{app}'"):
        if users := [tag.removeprefix(APPROVED_TAG) for tag in version.tags if tag.startswith(APPROVED_TAG)]:
            pinned[uri_of(version)] = f"approved by {', '.join(sorted(users))}"
    for seat in find_seats(app):
        stand = standing(seat)
        if stand.flaws:
            raise LedgerError(f"{' '.join(stand.flaws)} Nothing is removed while the ledger of {seat.name} isn't whole.")
        pinned |= {f"{_SCHEME}{app}/{version}": f"was {seat.name}" for version in attested(stand.entries)}
    return pinned


def find_orphans(app: str, registered: Sequence[Held]) -> list[LoggedModel]:
    """Logged models that a retention before this one began to remove, and was killed."""
    used = {held.model_id for held in registered}
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    marked = mlflow.search_logged_models(experiments, f"tags.`{REMOVED_TAG}` != ''", output_format="list")
    names = {model.model_id: model.tags[REMOVED_TAG].removeprefix(_SCHEME).rpartition("/")[0] for model in marked}
    return [model for model in marked if names[model.model_id] in models_of(app) and model.model_id not in used]


def count_bytes(model: LoggedModel) -> int:
    """How much the files of a logged model take."""
    repository = get_artifact_repository(model.artifact_location)
    waiting, size = [""], 0
    while waiting:
        for file in repository.list_artifacts(waiting.pop()):
            if file.is_dir:
                waiting.append(file.path)
            else:
                size += file.file_size or 0
    return size


def remove(held: Held, model: LoggedModel | None) -> None:
    """Delete a version, and its logged model if given.

    Raises:
        ArtifactError: the version has got an alias meanwhile, so it and its parts are needed.
    """
    client = mlflow.MlflowClient()
    if aliases := client.get_model_version(held.model, str(held.version)).aliases:
        raise ArtifactError(f"{held.uri} became {', '.join(aliases)} meanwhile, so it stays. Run it again for the rest.")
    if model is not None:
        client.set_logged_model_tags(model.model_id, {REMOVED_TAG: held.uri})
    client.delete_model_version(held.model, str(held.version))
    if model is not None:
        remove_model(model)


def remove_model(model: LoggedModel) -> None:
    """Delete the files of a logged model, and the model."""
    if model.model_id in model.artifact_location:  # a folder of its own, as MLflow makes them
        get_artifact_repository(model.artifact_location).delete_artifacts()  # type: ignore[no-untyped-call]
    mlflow.MlflowClient().delete_logged_model(model.model_id)
