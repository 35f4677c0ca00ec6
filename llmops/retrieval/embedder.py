"""Texts -> unit vectors."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmops.errors import WeightsError
from llmops.models.weights import Weights
from llmops.retrieval.backends import Forward, check_backend, open_backend
from llmops.retrieval.choice import SAMPLE_TEXTS, choose_backend
from llmops.retrieval.prefixes import find_prefixes
from llmops.retrieval.tokens import Tokens

Vectors = npt.NDArray[np.float32]

_BATCH_TOKENS = {"cpu": 2048, "cuda": 65_536}  # a CPU is fastest where a batch stays in its cache


@dataclass(frozen=True)
class EmbedderIdentity:
    """What decides a text's vector. `source` names the weights that have `digest`; `max_tokens` counts special tokens."""

    source: str
    digest: str
    dim: int
    max_tokens: int
    query_prefix: str
    passage_prefix: str
    backend: str


class Embedder(Protocol):
    """Maps texts to float32 vectors of shape (n, dim), unit norm. `window` is how many tokens a passage may have."""

    identity: EmbedderIdentity
    window: int

    def embed_queries(self, texts: Sequence[str]) -> Vectors: ...

    def embed_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors: ...

    def count_tokens(self, text: str) -> int: ...

    def token_starts(self, text: str) -> npt.NDArray[np.int64]: ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model on the CPU, by the fastest backend there, or on the first GPU.

    A prefix that isn't given is the model's own. `measured` holds texts per CPU-second of each backend, if one was chosen.

    Raises:
        ConfigError: the backend is unknown, not installed, or can't run this model.
        WeightsError: the weights are no sentence-transformers model for text.
    """

    def __init__(
        self, weights: Weights, backend: str = "auto", query_prefix: str | None = None, passage_prefix: str | None = None
    ) -> None:
        check_backend(backend)
        device = _device(backend)
        model = _load(weights, device)
        query, passage = find_prefixes(weights.source, weights.folder, model.prompts)
        query = query if query_prefix is None else query_prefix
        passage = passage if passage_prefix is None else passage_prefix
        self._prompt_tokens = {prefix: _prompt_tokens(model, prefix) for prefix in (query, passage)}
        self._tokens = Tokens(model, weights.source)
        self._budget = _BATCH_TOKENS[device]
        self._dim = model.get_embedding_dimension()
        self._forward, backend, self.measured = self._run(model, backend, device, weights.digest)
        self.identity = EmbedderIdentity(
            weights.source, weights.digest, self._dim, self._tokens.max_tokens, query, passage, backend
        )
        self.window = self._tokens.max_tokens - self._tokens.special - self.count_tokens(passage)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Queries, with their prefix, as vectors."""
        return self._embed(texts, self.identity.query_prefix, None)

    def embed_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
        """Passages, with their prefix, as vectors; `progress` hears of each batch's size. What exceeds the window is cut."""
        return self._embed(texts, self.identity.passage_prefix, progress)

    def count_tokens(self, text: str) -> int:
        """Tokens of the whole text, without those that frame it."""
        return len(self._tokens.starts(text))

    def token_starts(self, text: str) -> npt.NDArray[np.int64]:
        """The character at which each of the text's tokens begins, ascending."""
        return self._tokens.starts(text)

    def _run(self, model: Any, backend: str, device: str, digest: str) -> tuple[Forward, str, dict[str, float]]:
        """The model as a function of features, the backend's name, and what was measured to choose it."""
        import torch

        if backend == "auto" and device == "cuda":
            backend = "torch-bf16" if torch.cuda.is_bf16_supported() else "torch-fp32"
        if backend == "auto" and self._tokens.static:
            backend = "torch-fp32"  # looking up vectors: there is nothing to make faster
        samples = [features for _, features in self._tokens.batches(SAMPLE_TEXTS, "", self._budget)]
        if backend == "auto":
            backend, forward, measured = choose_backend(model, digest, samples)
            return forward, backend, measured
        return open_backend(model, backend, device, samples), backend, {}

    def _embed(self, texts: Sequence[str], prefix: str, progress: Callable[[int], None] | None) -> Vectors:
        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        for rows, features in self._tokens.batches(texts, prefix, self._budget):
            if features:
                found = self._forward({**features, **self._prompt_tokens[prefix]})
                vectors[rows] = found[:, : self._dim]  # a Matryoshka model's configuration may cut them
            if progress is not None:
                progress(len(rows))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
        return vectors


def _device(backend: str) -> str:
    import torch

    return "cuda" if torch.cuda.is_available() and not backend.startswith("openvino") else "cpu"


def _load(weights: Weights, device: str) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # unset, each later fork() prints a warning
    from sentence_transformers import SentenceTransformer  # 5.6 s to import

    try:
        model = SentenceTransformer(str(weights.folder), device=device, local_files_only=True)
    except Exception as error:  # whatever a library meets in a folder it doesn't know
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{weights.source!r} can't be loaded as a sentence-transformers model: {reason}") from error
    transformer = model.transformers_model
    if transformer is not None:
        transformer.config.use_cache = False  # a language model's; nothing is generated, and OpenVINO can't convert it
    return model.float().eval()


def _prompt_tokens(model: Any, prefix: str) -> dict[str, int]:
    """How many tokens of the prefix pooling must leave out, for the models (Instructor) that were trained so."""
    if not prefix or all(getattr(module, "include_prompt", True) for module in model):
        return {}
    return {"prompt_length": model.preprocess(["."], prompt=prefix)["prompt_length"]}
