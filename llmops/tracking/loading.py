"""A release, fetched, verified and brought to life. Parts shared by several releases are loaded once in a process."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import mlflow

from llmops import digests
from llmops.chains.answerer import Answerer
from llmops.chains.examples import SimilarExamples
from llmops.chains.parts import Examples, Generator
from llmops.chains.release import Release
from llmops.errors import ArtifactError
from llmops.guards.settings import GuardSettings
from llmops.models.adapter import read_identity
from llmops.models.batcher import MicroBatcher
from llmops.models.classifier import TextClassifier
from llmops.models.engine import Engine, TokenCounter
from llmops.models.http.counter import ByteCounter
from llmops.models.http.engine import HttpEngine
from llmops.models.http.limits import Limits, read_limits
from llmops.models.http.pace import Pace
from llmops.models.tokenizer import ModelTokenizer, base_identity
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import Weights, resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder
from llmops.retrieval.index import VectorIndex
from llmops.retrieval.manifest import index_digest
from llmops.retrieval.reranker import CrossEncoderReranker
from llmops.retrieval.retriever import IndexRetriever
from llmops.tracking import versions
from llmops.tracking.examples import load_examples
from llmops.tracking.flavor import fetch_folder

_KEPT = 4  # indexes, and sets of examples, beside those in use: who follows an application for years sees many


def find_weights(source: str, expected_digest: str | None = None) -> Weights:
    """Resolve weights by name, `models:/` URIs included."""
    return resolve_weights(source, expected_digest, _download_from(mlflow.get_registry_uri()))


@cache
def _download_from(registry: str) -> Callable[[str], Path]:
    """One function for each registry: what was resolved is remembered with it, and a name means another model elsewhere."""
    return lambda uri: versions.download(uri)


def fetch_adapter(uri: str, weights: Weights, tokenizer: Any) -> Path:
    """The folder of a registered adapter that belongs to this base.

    Raises:
        ArtifactError: there is no such adapter, or it belongs to another base.
    """
    folder = fetch_folder("adapter", uri)
    read_identity(folder).check(base_identity(weights, tokenizer))
    return folder


def load_answerer(release: Release, engine: Engine | None = None, adapter: str | None = None) -> Answerer:
    """Load a release's parts, each checked against the digest the release pins.

    Where an `engine` elsewhere that serves the release's base is given, that answers, and has the release's adapter by the
    name `adapter`; tokens are counted by the base's own tokenizer, and its weights aren't loaded here.

    Raises:
        ArtifactError: the index or adapter is missing or not the pinned one, or the engine has no adapter for the release.
        WeightsError: the weights are missing or not the pinned ones.
    """
    generator = release.generator
    answering = _load_generator(generator) if engine is None else (engine, *_beside(generator, adapter))
    return Answerer(
        release, *answering, load_retriever(release), load_classifier(release.guards), load_similar(release.examples)
    )


def _beside(generator: Generator, adapter: str | None) -> tuple[TokenCounter, str | None]:
    """What counts tokens for an engine elsewhere, and the name it has the adapter by."""
    if (generator.adapter is None) != (adapter is None):
        raise ArtifactError(f"the release has adapter {generator.adapter}, and the engine {adapter} for it.")
    if generator.server is not None:
        return load_server(generator)[1], None
    return load_counter(generator.base, generator.base_digest), adapter


@cache
def load_counter(base: str, base_digest: str) -> ModelTokenizer:
    return ModelTokenizer(find_weights(base, base_digest))


def _load_generator(generator: Generator) -> tuple[Engine, TokenCounter, str | None]:
    """The engine, what counts its tokens, and the name of the adapter on it."""
    if generator.server is not None:
        return *load_server(generator), None
    engine, adapter = load_engine(generator.base, generator.base_digest, generator.dtype), None
    if generator.adapter is not None:
        folder = fetch_folder("adapter", generator.adapter)
        versions.check_pinned(generator.adapter, digests.of_folder(folder), generator.adapter_digest)
        adapter = engine.load_adapter(folder)
    return _load_batcher(generator.base, generator.base_digest, generator.dtype), engine.tokenizer, adapter


@cache
def _load_batcher(base: str, base_digest: str, dtype: str) -> MicroBatcher:
    """The engine for all who ask at once in this process, whatever their release. It takes 64: it sorts them by length."""
    return MicroBatcher(load_engine(base, base_digest, dtype), max_batch=64)


@cache
def load_engine(base: str, base_digest: str, dtype: str) -> TransformersEngine:
    return TransformersEngine(find_weights(base, base_digest), dtype)


def load_server(generator: Generator) -> tuple[HttpEngine, ByteCounter]:
    """The engine behind a release's server, and what counts its tokens. All releases of a server share its limits."""
    assert generator.server is not None and generator.window is not None and generator.key_env is not None
    limits = read_limits()
    engine = HttpEngine(
        generator.server, generator.base, generator.key_env, limits.concurrency, limits.timeout_s, limits.retries,
        pace=_load_pace(generator.server, limits),
    )  # fmt: skip
    return engine, ByteCounter(generator.window)


@cache
def _load_pace(server: str, limits: Limits) -> Pace:
    return Pace(limits.requests_per_minute, at_once=limits.concurrency)


@cache
def load_embedder(
    source: str, digest: str | None = None, backend: str = "auto", query_prefix: str | None = None,
    passage_prefix: str | None = None,
) -> SentenceTransformerEmbedder:  # fmt: skip
    return SentenceTransformerEmbedder(find_weights(source, digest), backend, query_prefix, passage_prefix)


def embedder_of(index: VectorIndex) -> SentenceTransformerEmbedder:
    """The embedder an index was built with, for its questions: in float32, so that every machine finds the same."""
    built = index.embedder
    return load_embedder(built.source, built.digest, "torch-fp32", built.query_prefix, built.passage_prefix)


def load_index(uri: str) -> VectorIndex:
    return _load_index(uri, mlflow.get_registry_uri())


@lru_cache(_KEPT)
def _load_index(uri: str, registry: str) -> VectorIndex:  # a process that turns to another registry finds other models there
    return VectorIndex(fetch_folder("index", uri))


def load_similar(examples: Examples | None) -> SimilarExamples | None:
    """What chooses examples for each question, where the release has it so."""
    return _load_similar(examples, mlflow.get_registry_uri()) if examples and examples.embedder else None


@lru_cache(_KEPT)
def _load_similar(examples: Examples, registry: str) -> SimilarExamples:
    assert examples.embedder is not None
    embedder = load_embedder(examples.embedder, examples.embedder_digest, "torch-fp32")
    return SimilarExamples(load_examples(examples.examples, examples.examples_digest), embedder, examples.count)


def pin_guards(guards: GuardSettings) -> GuardSettings:
    """The settings with the digest of the classifier that they name."""
    if not guards.injection_classifier:
        return guards
    return replace(guards, injection_classifier_digest=_classifier_weights(guards).digest)


def load_classifier(guards: GuardSettings) -> TextClassifier | None:
    return _load_classifier(_classifier_weights(guards)) if guards.injection_classifier else None


def _classifier_weights(guards: GuardSettings) -> Weights:
    return find_weights(guards.injection_classifier, guards.injection_classifier_digest or None)


@cache
def _load_classifier(weights: Weights) -> TextClassifier:
    return TextClassifier(weights)


@cache
def load_reranker(source: str, digest: str | None = None) -> CrossEncoderReranker:
    return CrossEncoderReranker(find_weights(source, digest))


def load_retriever(release: Release) -> IndexRetriever | None:
    if release.retrieval is None:
        return None
    index = load_index(release.retrieval.index)
    versions.check_pinned(release.retrieval.index, index_digest(index.manifest), release.retrieval.index_digest)
    reranker = None
    if release.retrieval.reranker is not None:
        reranker = load_reranker(release.retrieval.reranker, release.retrieval.reranker_digest)
    return IndexRetriever(
        index=index, embedder=embedder_of(index), search=release.retrieval.search, groups=release.retrieval.groups,
        reranker=reranker,
    )  # fmt: skip
