"""The vector index: an immutable folder that says what it was made from. No pickle.

chunks.parquet      one row a chunk; duplicates share a vector
documents.parquet   one row a document: digest, origin, metadata
vectors/            faiss: unit vectors, and what finds the nearest of them
lexical/            BM25 over the same passages
manifest.json       documents and their digests, splitter, embedder, settings, digests of all of these
"""

import json
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import ArtifactError
from llmops.retrieval.chunks import ChunkStore
from llmops.retrieval.embedder import Embedder, EmbedderIdentity, Vectors
from llmops.retrieval.filters import DocumentTable, Filter
from llmops.retrieval.fusion import Candidates, convex, rrf
from llmops.retrieval.lexical import LexicalIndex
from llmops.retrieval.manifest import read_manifest
from llmops.retrieval.passage import passage_text
from llmops.retrieval.reranker import CrossEncoderReranker
from llmops.retrieval.search import Search, nearness
from llmops.retrieval.vectors import VectorFacts, VectorStore
from llmops.types import Hit, Metadata

CHUNKS, DOCUMENTS, VECTORS, LEXICAL = "chunks.parquet", "documents.parquet", "vectors", "lexical"
ALSO = 20  # other documents named with a hit
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class VectorIndex:
    """Chunks with their vectors and words, read from a folder and left there: files are memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Open an index.

        Raises:
            ArtifactError: the folder is no index, or a file in it is not the one the manifest names.
        """
        self.folder = folder
        self.manifest: dict[str, Any] = read_manifest(folder)
        self.chunks = ChunkStore(folder / CHUNKS)
        self.vectors = VectorStore.load(folder / VECTORS, VectorFacts(**self.manifest["vectors"]))
        self.lexical = LexicalIndex.load(folder / LEXICAL)
        self._vector_of, self._document_of = self.chunks.column("vector"), self.chunks.column("document")
        self._by_vector = np.argsort(self._vector_of, kind="stable")  # chunk rows; those of a vector side by side
        self._first = np.searchsorted(self._vector_of[self._by_vector], np.arange(self.vectors.facts.count + 1))

    @property
    def embedder(self) -> EmbedderIdentity:
        """The embedder the index was built with."""
        return EmbedderIdentity(**self.manifest["embedder"])

    @property
    def doc_ids(self) -> set[str]:
        return set(self.manifest["documents"])

    def search(
        self, questions: Sequence[str], embedder: Embedder, search: Search, filter: Filter | None = None,
        groups: Sequence[str] | None = None, reranker: CrossEncoderReranker | None = None,
    ) -> list[list[Hit]]:  # fmt: skip
        """The best `search.k` hits for each question, among the chunks that `filter` and `groups` allow.

        `groups` are those the caller belongs to; None is a trusted caller who may see all. A passage that stands in
        several documents is found once, in the first of them the caller may see.

        Raises:
            ArtifactError: `embedder` is not the one the index was built with.
        """
        self._check(embedder)
        if not questions or not self.chunks.count:
            return [[] for _ in questions]
        allowed = self._allowed(filter, groups)
        among = None if allowed is None else self._vectors_of(allowed)
        wide = search.k if search.mode in ("dense", "lexical") and reranker is None else max(search.candidates, search.k)
        vectors = None if search.mode == "lexical" else embedder.embed_queries(questions)
        ranked = self._rank(questions, vectors, search, wide, among)
        found = [[self._hit(row, score, similarity, allowed) for row, score, similarity in rows] for rows in ranked]
        if reranker is not None:
            found = [_rerank(question, hits, reranker) for question, hits in zip(questions, found, strict=True)]
        return [[hit for hit in hits[: search.k] if nearness([hit]) >= search.floor] for hits in found]

    def _check(self, embedder: Embedder) -> None:
        asked, built = embedder.identity, self.embedder
        prefixes = (asked.query_prefix, asked.passage_prefix) == (built.query_prefix, built.passage_prefix)
        if asked.digest != built.digest or not prefixes:
            raise ArtifactError(
                f"the index was built with {built.source} ({built.digest[:12]}, prefixes {built.query_prefix!r} and "
                f"{built.passage_prefix!r}), queried with {asked.source} ({asked.digest[:12]}, {asked.query_prefix!r} and "
                f"{asked.passage_prefix!r}). Query with its own embedder or build it anew."
            )

    def _rank(
        self, questions: Sequence[str], vectors: Vectors | None, search: Search, k: int, among: Mask | None
    ) -> list[list[tuple[int, float, float | None]]]:
        """Vector rows, their scores and similarities, best first, for each question."""
        if vectors is None:
            scores, rows = self.lexical.search(questions, k, among)
            return [[(row, score, None) for row, score in found] for found in _found(rows, scores)]
        scores, rows = self.vectors.search(vectors, k, among)
        if search.mode == "dense":
            return [[(row, score, score) for row, score in found] for found in _found(rows, scores)]
        words = self.lexical.search(questions, k, among)[1]
        return [self._fuse(*query, search) for query in zip(questions, vectors, rows, words, strict=True)]

    def _fuse(
        self, question: str, vector: Vectors, near: Rows, words: Rows, search: Search
    ) -> list[tuple[int, float, float | None]]:
        near, words = near[near >= 0], words[words >= 0]
        candidates = np.union1d(near, words)
        similarity = self.vectors.similarity(vector, candidates)
        if search.mode == "rrf":
            fused = rrf([near.tolist(), words.tolist()])
        else:
            both = Candidates(candidates, similarity, self.lexical.scores(question, candidates))
            fused = convex(both, search.weight)
        cosine = dict(zip(candidates.tolist(), similarity.tolist(), strict=True))
        return [(row, score, cosine[row]) for row, score in fused]

    def _allowed(self, filter: Filter | None, groups: Sequence[str] | None) -> Mask | None:
        """Which chunks may be found; None is all of them."""
        if filter is None and groups is None:
            return None
        return np.asarray(self.documents.mask(filter, groups)[self._document_of], dtype=np.bool_)

    def _vectors_of(self, allowed: Mask) -> Mask:
        mask = np.zeros(self.vectors.facts.count, dtype=np.bool_)
        mask[self._vector_of[allowed]] = True
        return mask

    def _hit(self, vector: int, score: float, similarity: float | None, allowed: Mask | None) -> Hit:
        rows = self._by_vector[self._first[vector] : self._first[vector + 1]]
        rows = rows if allowed is None else rows[allowed[rows]]
        own = self.chunks[int(rows[0])]
        others = dict.fromkeys(self._document_of[rows[1 : 4 * ALSO]].tolist())
        names = (self._names[document] for document in others if document != self._document_of[rows[0]])
        return Hit(own, score, similarity, tuple(islice(names, ALSO)))

    @cached_property
    def _names(self) -> list[str]:
        """The documents' ids, by row."""
        return [row["doc_id"] for row in read_documents_table(self.folder, ["doc_id"])]

    @cached_property
    def documents(self) -> DocumentTable:
        """The documents' metadata, read when first asked for."""
        return DocumentTable(self._names, [row["metadata"] for row in read_documents_table(self.folder, ["metadata"])])


def _found(rows: Rows, scores: Vectors) -> list[list[tuple[int, float]]]:
    """Rows and scores of each question, without the padding."""
    pairs = zip(rows.tolist(), scores.tolist(), strict=True)
    return [[(row, score) for row, score in zip(*found, strict=True) if row >= 0] for found in pairs]


def _rerank(question: str, hits: list[Hit], reranker: CrossEncoderReranker) -> list[Hit]:
    scores = reranker.scores(question, [passage_text(hit.chunk) for hit in hits])
    order = np.argsort(-scores, kind="stable")
    return [Hit(hits[i].chunk, float(scores[i]), None, hits[i].also) for i in order]


def read_documents_table(folder: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows of documents.parquet; `own` and `metadata` as mappings."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(folder / DOCUMENTS, columns=columns).to_pylist()
    for row in rows:
        row.update({name: _metadata(row[name]) for name in ("own", "metadata") if name in row})
    return rows


def _metadata(text: str) -> Metadata:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}
