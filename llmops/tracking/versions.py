"""Registered versions, found by digest: what is registered once is never registered again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llmops.addresses import without_password
from llmops.errors import ArtifactError
from llmops.tracking import copies

DIGEST_TAG, CURRENT = "llmops.digest", "current"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the latter of an alias that is not set, and of no name
_DENIED = "PERMISSION_DENIED"  # of a name that isn't there, too, where a server knows who asks, and it is no administrator


@dataclass(frozen=True)
class Registered:
    """A version of a registered model, and the logged model it points at."""

    name: str
    version: str
    model_id: str
    digest: str

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


def find_digest(name: str, digest: str) -> Registered | None:
    """The newest version of `name` with this digest whose files are still there, if there is one."""
    filter_string = f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'"
    found = mlflow.MlflowClient().search_model_versions(filter_string, order_by=["version_number DESC"])
    return next(filter(None, map(_whole, found)), None)


def make_current(version: Registered) -> None:
    """Let the alias `current` of the registered model name the version that was made, or found unchanged, last.

    The newest version is not always it: documents that are as they once were have the old version again.
    """
    mlflow.MlflowClient().set_registered_model_alias(version.name, CURRENT, version.version)


def get_current(name: str) -> Registered:
    """The version last made of `name`.

    Raises:
        ArtifactError: there is none.
    """
    try:
        return get_version(f"models:/{name}@{CURRENT}")
    except ArtifactError:
        return get_version(f"models:/{name}/latest")


def has_versions(name: str) -> bool:
    """Whether anything was registered under this name."""
    return bool(mlflow.MlflowClient().search_model_versions(f"name = '{name}'", max_results=1))


def is_whole(version: Registered) -> bool:
    """Whether the files of a version are still there, and its logged model wasn't deleted, whose files MLflow leaves."""
    try:
        mlflow.get_logged_model(version.model_id)
        return (download(version.uri) / "MLmodel").is_file()
    except (ArtifactError, MlflowException):
        return False


def register(model_id: str, name: str, digest: str, tags: Mapping[str, Any] | None = None) -> Registered:
    """Register a logged model whose content has this digest."""
    version = mlflow.register_model(f"models:/{model_id}", name, tags={DIGEST_TAG: digest, **(tags or {})})
    return Registered(name, str(version.version), model_id, digest)


def get_version(uri: str) -> Registered:
    """Resolve `models:/<name>/<version>`, `models:/<name>/latest` or `models:/<name>@<alias>` to the version it means now.

    Raises:
        ArtifactError: there is no such version, it isn't one of ours, or who asks may not read it.
    """
    known = copies.recall(uri)
    if known and known.keys() == Registered.__annotations__.keys():
        return Registered(**known)
    client = mlflow.MlflowClient()
    name, separator, alias = uri.removeprefix("models:/").partition("@")
    if not separator:
        name, _, number = name.rpartition("/")
    if not uri.startswith("models:/") or not name:
        raise ArtifactError(
            f"{uri!r} names no registered version. Expected models:/<name>/<version> or models:/<name>@<alias>."
        )
    try:
        if separator:
            version = client.get_model_version_by_alias(name, alias)
        elif number == "latest":
            newest = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"], max_results=1)
            if not newest:
                raise ArtifactError(f"{name!r} has no version in {_registry()}. Run the step that makes it.")
            version = newest[0]
        else:
            version = client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code == _DENIED:
            raise ArtifactError(f"{uri!r} is not in the registry {_registry()}, or you may not read it.") from error
        if error.error_code not in ABSENT:
            raise
        raise ArtifactError(f"{uri!r} is not in the registry {_registry()} ({error.message}).") from error
    if DIGEST_TAG not in version.tags:
        raise ArtifactError(f"{uri!r} carries no {DIGEST_TAG} tag: it was not made by this platform.")
    found = _registered(version)
    copies.remember(uri, vars(found))
    return found


def pinned(name: str) -> str:
    """The name by version of what a `models:/` URI means now; other names as they are."""
    return get_version(name).uri if name.startswith("models:/") else name


def check_pinned(uri: str, found: str, expected: str | None) -> None:
    """Raises ArtifactError if what a version holds has not the digest that a release pins."""
    if found != expected:
        raise ArtifactError(f"{uri} has digest {found[:12]}, the release pins {str(expected)[:12]}. It was changed.")


def download(uri: str) -> Path:
    """The local folder of a model's files.

    Raises:
        ArtifactError: it can't be downloaded.
    """
    try:
        return copies.fetch(uri, lambda folder: str(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)))
    except (MlflowException, OSError) as error:
        raise ArtifactError(f"the files of {uri} can't be fetched: {without_password(str(error))}") from error


def at_hand(uri: str) -> str:
    """What MLflow is to load a model from: its local copy where copies are kept, else the URI."""
    return uri if copies.place_of(uri) is None else str(download(uri))


def _whole(version: ModelVersion) -> Registered | None:
    try:
        found = _registered(version)
    except ArtifactError:
        return None
    return found if is_whole(found) else None


def _registered(version: ModelVersion) -> Registered:
    return Registered(version.name, str(version.version), _model_id(version), version.tags[DIGEST_TAG])


def _model_id(version: ModelVersion) -> str:
    """The logged model of a version; `model_id` is empty in what the registry returns.

    The source names it, or, of a version made by `copy_model_version`, the version that was copied, which may be gone.
    """
    source = str(version.source).removeprefix("models:/")
    if "/" not in source:
        return source
    uri = f"models:/{version.name}/{version.version}"
    try:
        return str(mlflow.models.get_model_info(uri).model_id)
    except (MlflowException, OSError) as error:
        told = without_password(str(error))
        raise ArtifactError(f"the files of {uri}, a copy of {version.source}, can't be fetched: {told}") from error


def _registry() -> str:
    return without_password(mlflow.get_registry_uri())
