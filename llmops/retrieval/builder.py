"""Build an index as a stream: read, split, drop duplicates, embed, write. What the previous index holds is not made again.

Memory holds one window of passages, a few dozen bytes for each chunk's identity, and the vectors while they are indexed.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from llmops import digests
from llmops.documents.duplicates import Duplicates, signature, text_key
from llmops.documents.folder import File, Rejected
from llmops.documents.reader import Reader
from llmops.documents.splitter import Splitting, split_document
from llmops.errors import DataError
from llmops.files import new_folder
from llmops.retrieval.chunks import PLACE, ChunkStore, ChunkWriter, chunk_of, table_of
from llmops.retrieval.embedder import Embedder, Vectors
from llmops.retrieval.filters import Rules, metadata_for
from llmops.retrieval.identity import words_digest
from llmops.retrieval.index import CHUNKS, DOCUMENTS, LEXICAL, VECTORS
from llmops.retrieval.journal import KEY_BYTES, Journal
from llmops.retrieval.lexical import LexicalIndex, check_language
from llmops.retrieval.manifest import write_manifest
from llmops.retrieval.passage import passage_text
from llmops.retrieval.previous import Known, Previous
from llmops.retrieval.vectors import VectorStore, check_kind
from llmops.types import Document, Progress

WINDOW = 1024  # passages embedded, and journaled, at once
_RAW = "vectors.raw"


@dataclass(frozen=True)
class IndexSettings:
    """What decides an index beside its documents and its embedder.

    Raises:
        ConfigError: a setting makes no sense.
    """

    splitting: Splitting
    near_duplicates: float = 0.95  # estimated Jaccard similarity; 0 keeps near-duplicates
    language: str = "english"
    vectors: str = "auto"

    def __post_init__(self) -> None:
        Duplicates(self.near_duplicates)  # each refuses what makes no sense, before anything is embedded
        check_language(self.language)
        check_kind(self.vectors)


@dataclass
class Report:
    """What a build did. Documents are added, changed, deleted or reused; passages are embedded or were before."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    reused: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # documents of the previous index whose file can't be read now
    changing: list[str] = field(default_factory=list)  # files that were not the same when they were read as when found
    chunks: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    embedded: int = 0
    embedded_before: int = 0
    embedding_s: float = 0.0

    @property
    def documents(self) -> int:
        return self.added + self.changed + self.reused


def build_index(
    target: Path, files: Sequence[File], reader: Reader, embedder: Embedder, settings: IndexSettings, rules: Rules = (),
    previous: Previous | None = None, journal: Journal | None = None, progress: Progress | None = None, reading: str = "",
    unreadable: Sequence[Rejected] = (),
) -> Report:  # fmt: skip
    """Build the index of `files` in the folder `target`, which must not exist, and say what was done.

    `reading` names how documents are read; a later build reuses those that were read the same way. `unreadable` files
    were found but can't even be opened.

    Raises:
        DataError: no document could be read, or none holds a passage.
    """
    with new_folder(target) as scratch:
        build = _Build(
            scratch, embedder, settings, rules, previous or Previous(), journal, progress, reading, len(files)
        )  # fmt: skip
        build.report.rejected += unreadable
        try:
            for file in files:
                build.add_file(file, reader)
            build.finish()
        finally:
            build.close()
    return build.report


class _Build:
    """The work in hand."""

    def __init__(
        self, folder: Path, embedder: Embedder, settings: IndexSettings, rules: Rules, previous: Previous,
        journal: Journal | None, progress: Progress | None, reading: str, files: int,
    ) -> None:  # fmt: skip
        self.report = Report()
        self._folder, self._embedder, self._settings, self._rules = folder, embedder, settings, rules
        self._previous, self._journal = previous, journal
        self._progress, self._reading, self._files = progress, reading, files
        self._duplicates = Duplicates(settings.near_duplicates)
        self._writer = ChunkWriter(folder / CHUNKS)
        self._raw = (folder / _RAW).open("w+b")
        self._documents: dict[str, dict[str, Any]] = {}
        self._sources: dict[str, dict[str, Any]] = {}
        self._run: list[Known] = []  # documents to copy, neighbours in the previous index
        self._queue: list[tuple[int, bytes, str]] = []  # vector row, passage digest, passage: to be embedded
        self._vectors = 0
        self._identity = hashlib.sha256()

    # Documents

    def add_file(self, file: File, reader: Reader) -> None:
        """Take a file's documents from the previous index if it is the same file, else read them."""
        known = self._previous.source(file)
        rejected = [] if known is None else list(known.rejected)
        clash = False
        for item in reader.read(file) if known is None else known.documents:
            if isinstance(item, Rejected):
                rejected.append(item)
            elif item.doc_id in self._documents:
                other = self._documents[item.doc_id]["origin"]
                rejected.append(Rejected(item.doc_id, f"its id is taken by a document in {other}. Give it another."))
                clash = True
            else:
                self._add(item, file)
        digest = file.digest if known is not None else reader.digest_read
        if digest not in (file.digest, None):
            self.report.changing.append(file.name)
        self.report.rejected += rejected
        # A file that is worth another try is read again next time; so is one with a clash, which ends when the other goes.
        self._sources[file.name] = {
            "digest": "" if clash else digest or "", "rejected": [[skipped.doc_id, skipped.reason] for skipped in rejected]
        }  # fmt: skip
        self._tell(self.report.embedded, self.report.embedding_s)

    def _add(self, item: Document | Known, file: File) -> None:
        before = self._previous.document(item.doc_id)
        same = isinstance(item, Known) or (before is not None and (before.digest, before.origin) == (item.digest, file.name))
        known = item if isinstance(item, Known) else before if same else None
        self._documents[item.doc_id] = {
            "doc_id": item.doc_id, "origin": file.name, "digest": item.digest, "title": item.title,
            "own": json.dumps(item.metadata, sort_keys=True),
            "metadata": json.dumps(metadata_for(item.doc_id, item.metadata, self._rules, file.name), sort_keys=True),
            "row": len(self._documents), "first": 0, "count": 0,
        }  # fmt: skip
        if known is not None:
            self.report.reused += 1
            self._copy(known)
            return
        changed = item.doc_id in self._previous.origins
        self.report.changed, self.report.added = self.report.changed + changed, self.report.added + (not changed)
        assert isinstance(item, Document)
        self._flush_copies()
        chunks = list(split_document(item, self._settings.splitting, self._embedder, self._embedder.window))
        passages = [digests.of_bytes(passage_text(chunk).encode())[: 2 * KEY_BYTES] for chunk in chunks]
        table = table_of(
            chunks, passage=[bytes.fromhex(digest) for digest in passages], key=[text_key(chunk.text) for chunk in chunks],
            signature=[signature(chunk.text) for chunk in chunks],
        )  # fmt: skip
        self._add_table(table, [(item.doc_id, len(chunks))])

    def _copy(self, known: Known) -> None:
        """Copy a document's chunks from the previous index, together with its neighbours'."""
        last = self._run[-1] if self._run else known
        if self._run and (last.first + last.count != known.first or sum(k.count for k in self._run) >= WINDOW):
            self._flush_copies()
        self._run.append(known)

    def _flush_copies(self) -> None:
        if not self._run:
            return
        owners = [(known.doc_id, known.count) for known in self._run]
        first, count = self._run[0].first, sum(known.count for known in self._run)
        self._run = []
        self._add_table(self._previous.read(first, count), owners)

    # Chunks and vectors

    def _add_table(self, table: pa.Table, owners: Sequence[tuple[str, int]]) -> None:
        """Number the chunks' vectors, see to the passages that have none yet, and write the chunks."""
        keys, signatures = table["key"].to_pylist(), table["signature"].to_pylist()
        vectors: list[int] = []
        new: list[int] = []
        for at, (key, words) in enumerate(zip(keys, signatures, strict=True)):
            vector = self._duplicates.add(self._vectors, key, words)
            if vector is None:
                vector, self._vectors = self._vectors, self._vectors + 1
                new.append(at)
            vectors.append(vector)
        documents: list[int] = []
        for doc_id, count in owners:
            row = self._documents[doc_id]
            row["first"], row["count"] = self.report.chunks + len(documents), count
            documents += [row["row"]] * count
        table = table.drop_columns(["vector", "document"])
        table = table.append_column("document", pa.array(documents, pa.int64()))
        table = table.append_column("vector", pa.array(vectors, pa.int64()))
        self._writer.add(table)
        self.report.chunks += len(table)
        self._find_vectors(table.take(pa.array(new, pa.int64())) if len(new) < len(table) else table)
        said = (table[name].to_pylist() for name in ("chunk_id", "start", "passage"))
        for chunk_id, start, passage in zip(*said, strict=True):
            self._identity.update(f"{chunk_id}\0{start}\0".encode() + passage)

    def _find_vectors(self, table: pa.Table) -> None:
        """Take each passage's vector from the previous index or the journal, or queue the passage for embedding."""
        passages, vectors = table["passage"].to_pylist(), table["vector"].to_pylist()
        known = {at: row for at, passage in enumerate(passages) if (row := self._previous.vector(passage)) is not None}
        if known:
            for at, values in zip(known, self._previous.take(list(known.values())), strict=True):
                self._write(vectors[at], values)
        for at, passage in enumerate(passages):
            if at in known:
                continue
            if self._journal is not None and passage in self._journal:
                self._write(vectors[at], self._journal[passage])
                self.report.embedded_before += 1
            else:
                self._queue.append((vectors[at], passage, passage_text(chunk_of(table, at))))
        self.report.embedded_before += len(known)
        while len(self._queue) >= WINDOW:
            self._embed()

    def _embed(self) -> None:
        """Embed the first window of the queue, and journal it."""
        window, self._queue = self._queue[:WINDOW], self._queue[WINDOW:]
        started = time.perf_counter()
        done = 0

        def count(texts: int) -> None:
            nonlocal done
            done += texts
            self._tell(self.report.embedded + done, self.report.embedding_s + time.perf_counter() - started)

        matrix = self._embedder.embed_passages([passage for _, _, passage in window], count)
        self.report.embedding_s += time.perf_counter() - started
        self.report.embedded += len(window)
        if self._journal is not None:
            self._journal.append([digest for _, digest, _ in window], matrix)
        for (row, _, _), values in zip(window, matrix, strict=True):
            self._write(row, values)

    def _tell(self, embedded: int, seconds: float) -> None:
        if self._progress:
            rate = f"{embedded} passages embedded, {embedded / seconds:.0f} a second" if embedded else "reading"
            self._progress(f"{rate}; files", len(self._sources), self._files)

    def _write(self, row: int, vector: Vectors) -> None:
        self._raw.seek(row * vector.nbytes)
        self._raw.write(np.ascontiguousarray(vector, dtype=np.float32).tobytes())

    # The end

    def close(self) -> None:
        """Close what is open; after a failure nothing is worth a second one."""
        with suppress(OSError):
            self._raw.close()
        with suppress(OSError):
            self._writer.close()

    def finish(self) -> None:
        """Embed what is queued, index vectors and words, and close the folder with its manifest."""
        self._flush_copies()
        while self._queue:
            self._embed()
        self._writer.close()
        self._raw.flush()
        if not self._documents:
            reasons = "; ".join(f"{r.doc_id}: {r.reason}" for r in self.report.rejected[:3]) or "there are no files"
            raise DataError(f"no readable document ({reasons}). Give a folder of documents.")
        if not self._vectors:
            raise DataError("the documents hold no passage to index. Give documents with text.")
        gone = self._previous.origins.keys() - self._documents.keys()
        unread = {skipped.doc_id for skipped in self.report.rejected}
        self.report.lost = sorted(doc_id for doc_id in gone if unread & {doc_id, self._previous.origins[doc_id]})
        self.report.deleted = len(gone) - len(self.report.lost)
        self.report.exact_duplicates, self.report.near_duplicates = self._duplicates.exact, self._duplicates.near
        pq.write_table(pa.Table.from_pylist(list(self._documents.values())), self._folder / DOCUMENTS)
        raw = self._folder / _RAW
        vectors = VectorStore.build_from_file(raw, self._embedder.identity.dim, self._settings.vectors)
        vectors.save(self._folder / VECTORS)
        raw.unlink()
        self._build_lexical().save(self._folder / LEXICAL)
        write_manifest(self._folder, self._manifest(vectors))

    def _build_lexical(self) -> LexicalIndex:
        """Stem the passages that the previous index doesn't hold."""
        language = self._settings.language
        before = self._previous.lexical(language)
        store = ChunkStore(self._folder / CHUNKS)
        if before is None:
            return LexicalIndex.build(_passages(store), language)
        rows = np.array([-1 if row is None else row for row in map(self._previous.vector, store.passages())], dtype=np.int64)
        return LexicalIndex.build(_passages(store, rows < 0), language, before, rows)

    def _manifest(self, vectors: VectorStore) -> dict[str, Any]:
        metadata = {row["doc_id"]: row["metadata"] for row in self._documents.values()}
        return {
            "documents": {row["doc_id"]: row["digest"] for row in self._documents.values()},
            "metadata": digests.of_data(metadata),
            "chunks": self._identity.hexdigest(),
            "settings": asdict(self._settings),
            "embedder": asdict(self._embedder.identity),
            "duplicates": {"exact": self.report.exact_duplicates, "near": self.report.near_duplicates},
            "counts": {"documents": len(self._documents), "chunks": self.report.chunks, "vectors": self._vectors},
            "vectors": asdict(vectors.facts),
            "sources": self._sources,
            "reading": self._reading,
            "words": words_digest(),
        }


def _passages(store: ChunkStore, wanted: npt.NDArray[np.bool_] | None = None) -> Iterator[str]:
    """The passages that have a vector of their own, in vector order; of those, the wanted ones."""
    done = 0
    for batch in store.batches([*PLACE, "vector"]):
        for at, vector in enumerate(batch["vector"].to_pylist()):
            if vector == done:
                done += 1
                if wanted is None or wanted[vector]:
                    yield passage_text(chunk_of(batch, at))
