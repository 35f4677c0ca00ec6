"""What a step read, as inputs of its run: name, digest and source of the data, not the data."""

from pathlib import Path

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]

_SHOWN = 12  # characters of a digest, as elsewhere; MLflow holds 36


def log_source(name: str, source: str, digest: str, context: str) -> None:
    """Log a file or folder, or a registered version such as `models:/handbook-index/1`, as an input of the active run."""
    if source.startswith("models:/"):
        where = CodeDatasetSource({"mlflow.source.name": source})
    else:
        where = LocalArtifactDatasetSource(str(Path(source).expanduser().resolve()))
    mlflow.log_input(MetaDataset(where, name, digest[:_SHOWN]), context)  # type: ignore[abstract]
