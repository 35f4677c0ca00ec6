"""Our own flavor: a folder of plain files as an MLflow model. Indexes, adapters and bases are such folders.

MLmodel   certificate.json   <kind>/...         nothing is pickled, nothing runs on load
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow.models import Model

from llmops import digests
from llmops.errors import ArtifactError
from llmops.tracking import versions
from llmops.tracking.versions import Registered

CERTIFICATE = "certificate.json"
Prepare = Callable[[Model], None]


def save_model(
    path: str, mlflow_model: Model, kind: str, folder: Path, config: dict[str, Any], prepare: Prepare | None = None,
    certificate: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write the model's folder; called by `Model.log`, which gives it a new `path`."""
    shutil.copytree(folder, Path(path) / kind)
    if certificate is not None:
        (Path(path) / CERTIFICATE).write_text(json.dumps(certificate, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    mlflow_model.add_flavor(flavor_name(kind), data=kind, **config)
    if prepare is not None:
        prepare(mlflow_model)
    mlflow_model.save(str(Path(path) / "MLmodel"))


def flavor_name(kind: str) -> str:
    return f"llmops_{kind}"


def log_folder(
    kind: str, folder: Path, name: str, digest: str, config: dict[str, Any], prepare: Prepare | None = None,
    certificate: dict[str, Any] | None = None,
) -> Registered:  # fmt: skip
    """Log `folder` in the active run and register it as a version of `name`; content already registered is reused.

    `prepare` may give the model a further flavor. A certificate is stored beside the folder; where it says more than that of
    the same content, that is registered anew.

    Raises:
        ArtifactError: what comes back from the store is not what was logged; it is not registered.
    """
    found = versions.find_digest(name, digest)
    if found is not None and not _says_more(certificate, found):
        versions.make_current(found)
        return found
    info = Model.log(
        artifact_path=None, name=kind, flavor=sys.modules[__name__], model_type=flavor_name(kind),
        params={key: str(value) for key, value in config.items()}, tags={versions.DIGEST_TAG: digest},
        kind=kind, folder=folder, config={**config, "digest": digest}, prepare=prepare, certificate=certificate,
    )  # fmt: skip
    if digests.of_folder(versions.download(f"models:/{info.model_id}") / kind) != digests.of_folder(folder):
        raise ArtifactError(f"the {kind} that the store gives back is not the one logged. It was not registered.")
    made = versions.register(info.model_id, name, digest)
    versions.make_current(made)
    return made


def read_certificate(version: Registered) -> dict[str, Any]:
    """What was proved of a version; empty where it has no certificate."""
    stored = versions.download(version.uri) / CERTIFICATE
    found: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
    return found


def _says_more(certificate: dict[str, Any] | None, version: Registered) -> bool:
    known = read_certificate(version)
    return any(value is not None and known.get(name) is None for name, value in (certificate or {}).items())


def fetch_folder(kind: str, uri: str) -> Path:
    """Download a logged folder of this kind.

    Raises:
        ArtifactError: it can't be fetched, or it is a model of another kind.
    """
    folder = versions.download(uri) / kind
    if not folder.is_dir():
        raise ArtifactError(f"{uri} holds no {kind}. Give a version made by the step that makes one.")
    return folder
