"""How an index is asked: by meaning, by words, or by both."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.types import Hit

MODES = ("dense", "lexical", "rrf", "convex")


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    `mode` is dense (cosine similarity), lexical (BM25), or a hybrid of both: rrf (reciprocal rank fusion) or convex
    (`weight` x dense + (1 - weight) x lexical, each scaled to [0, 1]). `candidates` is how many of each are fused or
    reranked before the best `k` are taken. Hits less near than `floor` are left out; a retriever finds nothing at all
    unless the nearest reaches `min_score` (`nearness`).

    Raises:
        ConfigError: a setting makes no sense.
    """

    mode: str = "dense"
    k: int = 3
    weight: float = 0.5
    candidates: int = 100
    min_score: float = -1.0
    floor: float = -1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"search is {self.mode!r}, expected one of {', '.join(MODES)}.")
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"the weight of dense search is {self.weight}, expected a number from 0 to 1.")
        if self.k < 1:
            raise ConfigError(f"k is {self.k}, expected 1 or more.")


def nearness(hits: Sequence[Hit]) -> float:
    """How near the nearest hit is: its cosine similarity, or its score where none is known; -1.0 without hits.

    Fused scores say which hit is best, not whether it is any good: they are relative to the other candidates.
    """
    return max((hit.score if hit.similarity is None else hit.similarity for hit in hits), default=-1.0)


def rank_documents(hits: Sequence[Hit]) -> list[str]:
    """The documents of the hits, best first, each once; those that hold the same passage stand side by side."""
    return list(dict.fromkeys(doc_id for hit in hits for doc_id in (hit.chunk.doc_id, *hit.also)))
