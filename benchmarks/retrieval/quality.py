"""Is the right passage found? nDCG@10 of dense, lexical and hybrid search, without splitting and without a reranker."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Judged, read_scifact, read_squad
from benchmarks.retrieval.building import load_embedder
from llmops.evaluation.ranking import ndcg_at, query_scores
from llmops.evaluation.statistics import paired_difference
from llmops.retrieval.embedder import Embedder
from llmops.retrieval.fusion import Candidates, convex, fit_weight, rrf
from llmops.retrieval.lexical import LexicalIndex
from llmops.retrieval.vectors import VectorStore

K, CANDIDATES = 10, 100
EXACT = "torch-fp32"
Scores = dict[str, float]  # query id -> nDCG@10


@dataclass(frozen=True)
class Found:
    """What was found for one query: the best rows of each search, and both scores of all of them."""

    dense: list[int]
    lexical: list[int]
    both: Candidates


class Searches:
    """Dense and lexical search over the same passages."""

    def __init__(self, passages: Mapping[str, str], embedder: Embedder) -> None:
        self.names = list(passages)
        self._embedder = embedder
        self._vectors = VectorStore.build(embedder.embed_passages(list(passages.values())), "flat")
        self._words = LexicalIndex.build(passages.values())

    def search(self, queries: Mapping[str, str]) -> dict[str, Found]:
        """The candidates of each query: the first 100 of either search."""
        texts = list(queries.values())
        vectors = self._embedder.embed_queries(texts)
        near, words = self._vectors.search(vectors, CANDIDATES)[1], self._words.search(texts, CANDIDATES)[1]
        found: dict[str, Found] = {}
        for name, text, vector, dense, lexical in zip(queries, texts, vectors, near, words, strict=True):
            dense, lexical = dense[dense >= 0], lexical[lexical >= 0]
            rows = np.union1d(dense, lexical)
            both = Candidates(rows, self._vectors.similarity(vector, rows), self._words.scores(text, rows))
            found[name] = Found(dense.tolist(), lexical.tolist(), both)
        return found

    def fit(self, judged: Judged) -> float:
        """The weight of dense search that is best for these queries."""
        candidates = {name: found.both for name, found in self.search(judged.queries).items()}
        return fit_weight(candidates, lambda name, rows: ndcg_at(self._named(rows[:K]), judged.qrels[name], K))

    def score(self, judged: Judged, weight: float) -> dict[str, Scores]:
        """The nDCG@10 of every query for each way of searching."""
        found = self.search(judged.queries)
        ranked = {
            "dense": {name: one.dense for name, one in found.items()},
            "bm25": {name: one.lexical for name, one in found.items()},
            "rrf": {name: [row for row, _ in rrf([one.dense, one.lexical])] for name, one in found.items()},
            "hybrid": {name: [row for row, _ in convex(one.both, weight)] for name, one in found.items()},
        }
        return {
            way: query_scores({name: self._named(rows) for name, rows in rankings.items()}, judged.qrels, K)[f"ndcg_at_{K}"]
            for way, rankings in ranked.items()
        }

    def _named(self, rows: list[int]) -> list[str]:
        return [self.names[row] for row in rows]


def measure(data: Path, backend: str) -> dict[str, Any]:
    """Measure SciFact and SQuAD 2; the weight is fitted on SciFact's train queries and used for both."""
    test, train, squad = read_scifact(data, "test"), read_scifact(data, "train"), read_squad(data)
    embedder = load_embedder(backend)
    searches = Searches(test.passages, embedder)
    weight = searches.fit(train)
    scores = searches.score(test, weight)
    squad_scores = Searches(squad.passages, embedder).score(squad, weight)
    return {
        **_means("scifact", scores), "scifact_weight": weight, **_over_dense(scores), **_means("squad2", squad_scores),
        "quality_backend": embedder.identity.backend, **_loss(test, embedder.identity.backend, scores["dense"]),
    }  # fmt: skip


def _means(name: str, scores: dict[str, Scores]) -> Scores:
    return {f"{name}_ndcg_{way}": float(np.mean(list(values.values()))) for way, values in scores.items()}


def _over_dense(scores: dict[str, Scores]) -> Scores:
    """What hybrid search gains over dense search, paired by query, with its 95 % interval."""
    gain = paired_difference(scores["hybrid"], scores["dense"])
    name = "scifact_hybrid_over_dense"
    return {name: gain.mean, f"{name}_low": gain.low, f"{name}_high": gain.high}


def _loss(test: Judged, backend: str, fast: Scores) -> Scores:
    """What dense search loses with the backend that was chosen, against the plain one in full precision."""
    exact = fast
    if backend != EXACT:
        exact = Searches(test.passages, load_embedder(EXACT)).score(test, 1.0)["dense"]
    means = [float(np.mean(list(scores.values()))) for scores in (exact, fast)]
    return {"scifact_ndcg_dense_fp32": means[0], "quality_loss_fast_path": means[0] - means[1]}
