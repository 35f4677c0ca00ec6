"""The vector index: an immutable folder that says what it was made from. No pickle.

vectors.faiss    float32 inner product over unit vectors, shape (n_chunks, dim)
chunks.parquet   one row per chunk, in vector order
manifest.json    documents and their digests, splitter, embedder, digests of the two files above
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from llmops import digests
from llmops.errors import ArtifactError
from llmops.files import new_folder
from llmops.retrieval.embedder import Embedder, Vectors
from llmops.types import Chunk, Document, Hit

VECTORS, CHUNKS, MANIFEST = "vectors.faiss", "chunks.parquet", "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Splitting:
    """How documents were cut."""

    chunk_tokens: int
    chunk_overlap: int


class VectorIndex:
    """Chunks with their vectors, searched by exact inner product (cosine similarity)."""

    def __init__(self, chunks: Sequence[Chunk], vectors: Any, manifest: dict[str, Any]) -> None:
        self.chunks = list(chunks)
        self.manifest = manifest
        self._vectors = vectors

    @classmethod
    def build(
        cls, documents: Sequence[Document], chunks: Sequence[Chunk], splitting: Splitting, embedder: Embedder
    ) -> "VectorIndex":
        """Embed `chunks` and index them."""
        import faiss

        matrix = embedder.embed([passage_text(chunk) for chunk in chunks])
        vectors = faiss.IndexFlatIP(matrix.shape[1])
        vectors.add(matrix)
        manifest = {
            "format": FORMAT,
            "documents": {document.doc_id: document.digest for document in documents},
            "splitting": asdict(splitting),
            "embedder": {"source": embedder.source, "digest": embedder.digest, "dim": matrix.shape[1]},
        }
        return cls(chunks, vectors, manifest)

    @property
    def doc_ids(self) -> set[str]:
        return set(self.manifest["documents"])

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; `folder` must not exist."""
        import faiss
        import pyarrow as pa
        import pyarrow.parquet as pq

        with new_folder(folder) as scratch:
            faiss.write_index(self._vectors, str(scratch / VECTORS))
            pq.write_table(pa.Table.from_pylist([asdict(chunk) for chunk in self.chunks]), scratch / CHUNKS)
            manifest = {**self.manifest, "files": digests.of_files(scratch)}
            (scratch / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "VectorIndex":
        """Read an index.

        Raises:
            ArtifactError: the folder is no index, or a file in it is not the one the manifest names.
        """
        import faiss
        import pyarrow.parquet as pq

        manifest = read_manifest(folder)
        vectors = faiss.read_index(str(folder / VECTORS))
        names = [field.name for field in fields(Chunk)]
        chunks = [Chunk(**row) for row in pq.read_table(folder / CHUNKS, columns=names).to_pylist()]
        if vectors.ntotal != len(chunks):
            raise ArtifactError(f"index {folder} holds {vectors.ntotal} vectors for {len(chunks)} chunks. Build it anew.")
        return cls(chunks, vectors, manifest)

    def search(self, queries: Vectors, k: int) -> list[list[Hit]]:
        """Return the `k` nearest chunks (fewer if there are fewer) for each row of `queries`, best first."""
        scores, rows = self._vectors.search(queries, min(k, len(self.chunks)))
        return [
            [Hit(self.chunks[row], float(score)) for row, score in zip(*found, strict=True)]
            for found in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def search_text(self, questions: Sequence[str], embedder: Embedder, k: int) -> list[list[Hit]]:
        """Embed the questions and search.

        Raises:
            ArtifactError: `embedder` is not the one the index was built with.
        """
        built = self.manifest["embedder"]
        if embedder.digest != built["digest"]:
            raise ArtifactError(
                f"the index was built with {built['source']} ({built['digest'][:12]}), queried with "
                f"{embedder.source} ({embedder.digest[:12]}). Query with its own embedder or build it anew."
            )
        return self.search(embedder.embed(questions), k) if questions else []


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and verify the manifest.

    Raises:
        ArtifactError: it is missing, of another format, or doesn't describe the files beside it.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {name: digests.of_file(folder / name) for name in (VECTORS, CHUNKS)}
        if not isinstance(manifest, dict):
            raise ValueError("its manifest is no object")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder} is no index ({error}).") from error
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder} has index format {manifest.get('format')}, expected {FORMAT}. Build it anew.")
    if manifest["files"] != files:
        raise ArtifactError(f"files of index {folder} are not the ones its manifest names. Build it anew.")
    return manifest


def index_digest(manifest: dict[str, Any]) -> str:
    """Identity of an index: what went in and what came out, from its manifest."""
    return digests.of_data(manifest)


def passage_text(chunk: Chunk) -> str:
    """A chunk with its title and heading: what is embedded, and what the model reads."""
    where = " > ".join(part for part in (chunk.title, chunk.heading) if part)
    body = chunk.text.strip()
    return body if not where else f"{where}\n{body}"
