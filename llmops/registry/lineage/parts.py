"""The parts of a release, fetched from the store for its lineage. What is gone is said to be missing, and stops nothing."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow.entities.logged_model import LoggedModel
from mlflow.exceptions import MlflowException

from llmops import digests
from llmops.chains.release import Release
from llmops.errors import ArtifactError
from llmops.registry.lineage.graph import Part
from llmops.retrieval.index import DOCUMENTS, read_documents_table
from llmops.retrieval.manifest import MANIFEST
from llmops.tracking import prompts
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered, get_version

_DATA = ("examples", "corpus", "documents")  # params that say what a step read

Found = TypeVar("Found")


def found(fetch: Callable[..., Found], *arguments: Any) -> Found | None:
    """What is fetched, or None where it is gone."""
    try:
        return fetch(*arguments)
    except (ArtifactError, MlflowException, OSError, ValueError):
        return None


def fetch_release(version: Registered, seats: Sequence[str] = ()) -> Part:
    """A release and its parts, as far as they are there; `seats` are those that it holds now."""
    release = found(read_release, version.uri)
    held = f"now {', '.join(seats)}" if seats else ""
    if release is None:
        return Part("release", version.uri, version.digest, held, missing=True)
    code = release.code_digest and f"code {release.code_digest[:12]}"
    detail = ", ".join(filter(None, [release.kind, f"guards {release.guards.digest[:12]}", code, held]))
    return Part("release", version.uri, version.digest, detail, tuple(_parts(release)))


def _parts(release: Release) -> Iterator[Part]:
    retrieval, generator, examples = release.retrieval, release.generator, release.examples
    if retrieval is not None:
        yield fetch_index(retrieval.index, retrieval.index_digest)
        if retrieval.reranker is not None:
            yield _weights("reranker", retrieval.reranker, retrieval.reranker_digest or "")
    base = _weights("base", generator.base, generator.base_digest, generator.server or generator.dtype)
    yield _adapter(generator.adapter, generator.adapter_digest or "", base) if generator.adapter else base
    pinned = [(release.prompt, release.template), *((one.prompt, one.template) for one in release.chain)]
    for uri, template in pinned:
        gone = found(prompts.load_version, uri) is None
        yield Part("prompt", uri, digests.of_data(template), missing=gone)
    if examples is not None:
        gone = _model(examples.examples) is None
        yield Part("examples", examples.examples, examples.examples_digest, examples.choice, missing=gone)


def fetch_index(uri: str, digest: str) -> Part:
    """An index and its documents."""
    model, manifest = _model(uri), read_index(uri)
    if model is None or manifest is None:
        return Part("index", uri, digest, missing=True)
    documents = manifest["documents"]
    read = ", ".join(part.title for part in _read_by(model) if not part.missing)
    part = Part("documents", _count(len(documents), "document"), digests.of_data(documents), read)
    counts, embedder = manifest["counts"], manifest["embedder"]["source"]
    return Part("index", uri, digest, f"{_count(counts['chunks'], 'chunk')}, {embedder}", (part,))


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def read_index(uri: str) -> dict[str, Any] | None:
    """An index's manifest, without its vectors; None where it is gone."""
    file = found(_fetch, uri, f"index/{MANIFEST}")
    manifest = found(json.loads, file.read_text(encoding="utf-8")) if file else None
    return manifest if isinstance(manifest, dict) and {"documents", "counts", "embedder"} <= manifest.keys() else None


def find_documents(uri: str, wanted: str) -> dict[str, str]:
    """Which documents of an index are meant by an id, by the file they were read from, or by (the start of) a digest.

    Their digests by id. A digest is meant by 8 letters or more.
    """
    known: Mapping[str, str] = (read_index(uri) or {}).get("documents", {})
    by_digest = {name for name, digest in known.items() if len(wanted) >= 8 and digest.startswith(wanted)}
    table = found(_fetch, uri, f"index/{DOCUMENTS}")
    rows = read_documents_table(table.parent, ["doc_id", "origin"]) if table else []
    by_name = {row["doc_id"] for row in rows if wanted in (row["doc_id"], row["origin"])}
    return {name: known[name] for name in sorted(by_digest | by_name) if name in known}


def _fetch(uri: str, path: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/{path}"))


def _weights(kind: str, uri: str, digest: str, detail: str = "") -> Part:
    """Weights by name; of registered ones also what they were made from."""
    if not uri.startswith("models:/"):
        return Part(kind, uri, digest, detail)
    model = _model(uri)
    if model is None:
        return Part(kind, uri, digest, detail, missing=True)
    made_from, adapter = model.params.get("made_from", ""), model.params.get("adapter", "")
    before = _weights("base", made_from, "") if made_from not in ("", "scratch") else None
    sources = [_adapter(adapter, model.params.get("adapter_digest", ""), before)] if adapter else [before] if before else []
    return Part(kind, uri, digest, detail, (*sources, *_read_by(model)))


def _adapter(uri: str, digest: str, base: Part | None) -> Part:
    model, bases = _model(uri), (base,) if base else ()
    if model is None:
        return Part("adapter", uri, digest, sources=bases, missing=True)
    shown = (model.params.get("method"), model.params.get("rank") and f"rank {model.params['rank']}")
    return Part("adapter", uri, digest, ", ".join(filter(None, shown)), (*bases, *_read_by(model)))


def _read_by(model: LoggedModel) -> list[Part]:
    """What the run read that made a model: the files that its params name, with the digests of its dataset inputs."""
    run = found(mlflow.get_run, model.source_run_id) if model.source_run_id else None
    if run is None or run.info.lifecycle_stage != "active":
        return [Part("data", "what it was made from", detail="its run is gone", missing=True)]
    inputs = run.inputs.dataset_inputs if run.inputs else []
    logged = {one.dataset.name: one.dataset.digest for one in inputs}
    named = {name: run.data.params.get(name, "").strip("'") for name in _DATA}  # which `mlflow run` quotes
    return [Part("data", named[name] or name, logged.get(name, ""), name) for name in _DATA if named[name] or name in logged]


def _model(uri: str) -> LoggedModel | None:
    """The logged model of a registered version, if its files are there."""
    version = found(get_version, uri)
    model = found(mlflow.get_logged_model, version.model_id) if version else None
    files = found(mlflow.artifacts.list_artifacts, f"models:/{model.model_id}") if model else None
    return model if files else None
