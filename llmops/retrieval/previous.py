"""What a previous index holds that need not be made again: documents' chunks, and passages' vectors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from llmops.documents.folder import File, Rejected
from llmops.documents.splitter import Splitting
from llmops.retrieval.embedder import EmbedderIdentity, Vectors
from llmops.retrieval.identity import words_digest
from llmops.retrieval.index import VectorIndex, read_documents_table
from llmops.retrieval.lexical import LexicalIndex
from llmops.types import Metadata


@dataclass(frozen=True)
class Known:
    """A document of the previous index, and the rows of its chunks."""

    doc_id: str
    digest: str
    title: str
    metadata: Metadata
    origin: str
    first: int
    count: int


@dataclass(frozen=True)
class KnownSource:
    """A file that was read before."""

    documents: tuple[Known, ...]
    rejected: tuple[Rejected, ...]


class Previous:
    """Looks things up in a previous index; without one, nothing is found."""

    def __init__(
        self, index: VectorIndex | None = None, splitting: Splitting | None = None,
        embedder: EmbedderIdentity | None = None, reading: str = "",
    ) -> None:  # fmt: skip
        """Chunks are reused if they were read and split as now, vectors if the embedder is the same."""
        self._index = index
        rows = read_documents_table(index.folder) if index else []
        self.origins: dict[str, str] = {row["doc_id"]: row["origin"] for row in rows}
        self._sources: dict[str, Any] = {}
        self._documents: dict[str, Known] = {}
        self._by_origin: dict[str, list[Known]] = {}
        self._vectors: dict[bytes, int] = {}
        if index is None or index.manifest["embedder"] != (asdict(embedder) if embedder else None):
            return
        self._vectors = _vectors(index)
        made = index.manifest["settings"]["splitting"], index.manifest["reading"]
        if made == (asdict(splitting) if splitting else None, reading):
            self._sources = index.manifest["sources"]
            for row in rows:
                known = Known(
                    row["doc_id"], row["digest"], row["title"], row["own"], row["origin"], row["first"], row["count"]
                )
                self._documents[known.doc_id] = known
                self._by_origin.setdefault(known.origin, []).append(known)

    def source(self, file: File) -> KnownSource | None:
        """The documents of a file, if it is the file it was."""
        source = self._sources.get(file.name)
        if source is None or source["digest"] != file.digest:
            return None
        return KnownSource(tuple(self._by_origin.get(file.name, ())), tuple(Rejected(*pair) for pair in source["rejected"]))

    def document(self, doc_id: str) -> Known | None:
        return self._documents.get(doc_id)

    def read(self, first: int, count: int) -> pa.Table:
        """Rows of the chunk table."""
        assert self._index is not None
        return self._index.chunks.read(first, count)

    def vector(self, passage: bytes) -> int | None:
        """The vector row of a passage, by its digest."""
        return self._vectors.get(passage)

    def lexical(self, language: str) -> LexicalIndex | None:
        """The words of the passages found by `vector`, by the same rows, if they are stemmed in this language."""
        found = self._index.lexical if self._index is not None and self._vectors else None
        same = self._index is not None and self._index.manifest["words"] == words_digest()
        return found if found is not None and found.language == language and same else None

    def take(self, rows: Sequence[int]) -> Vectors:
        """Vectors, shape (len(rows), dim)."""
        assert self._index is not None
        return self._index.vectors.take(np.asarray(rows, dtype=np.int64))


def _vectors(index: VectorIndex) -> dict[bytes, int]:
    """Map each embedded passage to its vector: that of the first chunk with it."""
    found: dict[bytes, int] = {}
    for vector, passage in enumerate(index.chunks.passages()):
        found.setdefault(passage, vector)  # two texts may read the same with their headings
    return found
