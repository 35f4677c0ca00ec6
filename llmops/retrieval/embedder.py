"""Texts -> unit vectors."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmops.models.weights import Weights

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Maps texts to float32 vectors of shape (n, dim), unit norm."""

    source: str
    digest: str
    max_tokens: int

    def embed(self, texts: Sequence[str]) -> Vectors: ...

    def count_tokens(self, text: str) -> int: ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model on the CPU or the first GPU."""

    def __init__(self, weights: Weights) -> None:
        from sentence_transformers import SentenceTransformer  # 5.6 s to import

        self.source, self.digest = weights.source, weights.digest
        self._model: Any = SentenceTransformer(str(weights.folder))
        self.max_tokens = int(self._model.max_seq_length)

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(list(texts), batch_size=16, show_progress_bar=False, convert_to_numpy=True)
        vectors = np.asarray(vectors, dtype=np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12), dtype=np.float32)

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
