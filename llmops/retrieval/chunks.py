"""Chunks on disk: a parquet file of fixed-size row groups, written as a stream and read a group at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from llmops.types import Chunk

ROWS = 512  # in a row group
PLACE = [field.name for field in fields(Chunk)]
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("chunk_id", "doc_id", "title", "heading", "text", "table_header")),
        *((name, pa.int64()) for name in ("start", "end", "page")),
        *((name, pa.float64()) for name in ("start_s", "end_s")),
        ("passage", pa.binary()),  # digest of what is embedded
        ("key", pa.binary()),  # of the text, for exact duplicates
        ("signature", pa.binary()),  # of the text, for near-duplicates
        ("document", pa.int64()),  # row in documents.parquet
        ("vector", pa.int64()),  # row in the vector file; duplicates share one
    ]
)


def table_of(chunks: Sequence[Chunk], **columns: Sequence[Any]) -> pa.Table:
    """Chunks and the columns that stand beside them as a table; columns not given are null."""
    rows = [asdict(chunk) for chunk in chunks]
    data = {name: [row[name] for row in rows] for name in PLACE} | {name: list(values) for name, values in columns.items()}
    missing = {name: [None] * len(rows) for name in SCHEMA.names if name not in data}
    return pa.Table.from_pydict({**data, **missing}, schema=SCHEMA)


def chunk_of(table: pa.Table | pa.RecordBatch, row: int) -> Chunk:
    """One row of a table as a chunk."""
    return Chunk(**table.slice(row, 1).select(PLACE).to_pylist()[0])


class ChunkWriter:
    """Writes tables of any size as row groups of one size, so that equal rows make equal files."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._count += len(table)
        if self._count >= ROWS:
            whole = self._count // ROWS * ROWS
            waiting = pa.concat_tables(self._waiting)
            self._writer.write_table(waiting.slice(0, whole), row_group_size=ROWS)
            rest = waiting.slice(whole).to_pylist()  # a copy: a slice would keep all of it
            self._waiting = [pa.Table.from_pylist(rest, schema=SCHEMA)] if rest else []
            self._count -= whole

    def close(self) -> None:
        if not self._writer.is_open:
            return
        try:
            if self._count:
                self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROWS)
            self._writer.close()
        finally:
            self._writer.is_open = False  # or it would try, and fail, once more when it is forgotten


class ChunkStore:
    """The chunks of an index, read where they are needed."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, memory_map=True)
        self.count: int = self._file.metadata.num_rows
        self._chunks = lru_cache(maxsize=128)(self._read_chunks)

    def __getitem__(self, row: int) -> Chunk:
        return self._chunks(row // ROWS)[row % ROWS]

    def _read_chunks(self, group: int) -> list[Chunk]:
        return [Chunk(**row) for row in self._file.read_row_group(group, columns=PLACE).to_pylist()]

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """A column of integers, whole."""
        return np.asarray(self._file.read(columns=[name])[name].to_numpy(), dtype=np.int64)

    def read(self, first: int, count: int) -> pa.Table:
        """The rows from `first` on, every column."""
        if not count:
            return SCHEMA.empty_table()
        groups = range(first // ROWS, (first + count - 1) // ROWS + 1)
        return self._file.read_row_groups(list(groups)).slice(first - groups[0] * ROWS, count)

    def passages(self) -> Iterator[bytes]:
        """The digest of each vector's passage, in vector order: that of the first chunk with the vector."""
        done = 0
        for batch in self.batches(["passage", "vector"]):
            for passage, vector in zip(batch["passage"].to_pylist(), batch["vector"].to_pylist(), strict=True):
                if vector == done:
                    done += 1
                    yield passage

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Every row in order, some columns, a row group at a time."""
        yield from self._file.iter_batches(batch_size=ROWS, columns=list(columns))
