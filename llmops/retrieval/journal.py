"""Finished embeddings on disk, so that a killed build goes on where it was.

A journal is a folder of immutable segments, each a .npz with `keys` (n, 16 bytes) and `vectors` (n, dim). A segment is
there whole or not at all; which build wrote it doesn't matter, for a key is the digest of the passage embedded.
"""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmops.retrieval.embedder import Vectors

KEY_BYTES = 16


class Journal:
    """The finished embeddings of one embedder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[bytes, tuple[Path, int]] = {}
        self._loaded: tuple[Path, Vectors] | None = None
        for segment in sorted(folder.glob("*.npz")):
            try:
                with segment.open("rb") as file, np.load(file, allow_pickle=False) as content:
                    keys = content["keys"].tobytes()
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                segment.unlink(missing_ok=True)  # damaged by something else than us: embed again
                continue
            self._add(segment, keys)

    def _add(self, segment: Path, keys: bytes) -> None:
        for row in range(len(keys) // KEY_BYTES):
            self._places[keys[row * KEY_BYTES : (row + 1) * KEY_BYTES]] = (segment, row)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __getitem__(self, key: bytes) -> Vectors:
        """The vector of a passage, shape (dim,)."""
        segment, row = self._places[key]
        if self._loaded is None or self._loaded[0] != segment:
            with np.load(segment, allow_pickle=False) as content:
                self._loaded = (segment, content["vectors"])
        vector: Vectors = self._loaded[1][row]
        return vector

    def clear(self) -> None:
        """Forget everything: an index holds it now."""
        for segment in self.folder.glob("*.npz"):
            segment.unlink()
        self._places, self._loaded = {}, None

    def append(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Write a segment and make sure it is on the disk before it has its name."""
        segment = self.folder / f"{len(list(self.folder.glob('*.npz'))):06}-{keys[0].hex()}.npz"
        scratch = segment.with_suffix(".part")
        with scratch.open("wb") as file:
            np.savez(file, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES), vectors=vectors)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(segment)
        self._add(segment, b"".join(keys))
