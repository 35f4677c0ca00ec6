"""Everything that is registered, by version."""

from collections.abc import Callable, Iterator
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion

KIND_TAG = "llmops.kind"  # of releases


def pages(search: Callable[..., Any], filter_string: str | None = None) -> Iterator[Any]:
    """All that a search of MLflow's finds, however many pages that are."""
    token = None
    while token != "":
        page = search(filter_string, page_token=token)
        yield from page
        token = page.token or ""


def search_versions(filter_string: str | None = None) -> list[ModelVersion]:
    """All versions that match, by name, the oldest first."""
    found = pages(mlflow.MlflowClient().search_model_versions, filter_string)
    return sorted(found, key=lambda version: (version.name, int(version.version)))


def find_aliases() -> dict[str, tuple[str, ...]]:
    """The aliases on each version that has any, by URI: what a search for versions finds doesn't know them."""
    found: dict[str, tuple[str, ...]] = {}
    for model in pages(mlflow.MlflowClient().search_registered_models):
        for alias, version in sorted(model.aliases.items()):
            uri = f"models:/{model.name}/{version}"
            found[uri] = (*found.get(uri, ()), alias)
    return found


def uri_of(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}"
