"""A step's identity, and the finished run that can stand in for it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import mlflow
from mlflow.entities import Run

from llmops import digests
from llmops.errors import ArtifactError
from llmops.tracking import versions
from llmops.tracking.package import required_names
from llmops.tracking.sources import source_digest

KEY_TAG, OUTPUTS_TAG = "llmops.cache_key", "llmops.outputs"


def cache_key(module: str, config: Any, inputs: Mapping[str, str]) -> str:
    """Identify a step by all that decides what it makes.

    That is its config, the digests of its input files, artifacts and weights, the installed versions of what we depend
    on, and the source files it runs.
    """
    packages = {name: _version(name) for name in required_names(extras=True)}
    parts = {
        "step": module, "config": asdict(config), "inputs": dict(inputs), "packages": packages,
        "sources": source_digest(module),
    }  # fmt: skip
    return digests.of_data(parts)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # an extra that isn't installed
        return "missing"


def log_outputs(outputs: Mapping[str, str]) -> None:
    """Record what the active run made, by name: URIs of registered versions."""
    mlflow.set_tag(OUTPUTS_TAG, json.dumps(dict(outputs)))


def read_outputs(run: Run) -> dict[str, str]:
    outputs: dict[str, str] = json.loads(run.data.tags.get(OUTPUTS_TAG, "{}"))
    return outputs


def find_reusable(key: str) -> Run | None:
    """The newest finished run with this key whose outputs are all still there."""
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    runs = mlflow.MlflowClient().search_runs(
        experiments, f"tags.`{KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'",
        order_by=["attributes.end_time DESC"], max_results=5,
    )  # fmt: skip
    return next((run for run in runs if (outputs := read_outputs(run)) and all(map(_exists, outputs.values()))), None)


def _exists(uri: str) -> bool:
    try:
        return versions.is_whole(versions.get_version(uri))
    except ArtifactError:
        return False
