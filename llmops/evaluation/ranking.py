"""Is the right document found, and how high? Metrics of rankings, as trec_eval computes them.

`ranked` is document ids, best first, each once; `relevant` maps a document id to its grade, of which 0 and less is not
relevant. Where nothing is relevant every metric is 0.
"""

from collections.abc import Mapping, Sequence
from math import log2

from llmops.evaluation.statistics import Interval, mean_interval


def recall_at(ranked: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """The share of relevant documents that stands among the first `k`."""
    wanted = {doc_id for doc_id, grade in relevant.items() if grade > 0}
    return len(wanted.intersection(ranked[:k])) / len(wanted) if wanted else 0.0


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, int], k: int | None = None) -> float:
    """One over the rank of the first relevant document, 0 if none is among the first `k`."""
    return next((1 / rank for rank, doc_id in enumerate(ranked[:k], start=1) if relevant.get(doc_id, 0) > 0), 0.0)


def ndcg_at(ranked: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain of the first `k`, the gain being the grade (Järvelin & Kekäläinen 2002)."""
    ideal = _dcg(sorted(relevant.values(), reverse=True)[:k])
    return _dcg([relevant.get(doc_id, 0) for doc_id in ranked[:k]]) / ideal if ideal else 0.0


def query_scores(
    ranked_by_query: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]], k: int = 10
) -> dict[str, dict[str, float]]:
    """Metric -> query id -> value, for every query that has a relevant document.

    A query without a ranking found nothing. The metrics' names, such as ndcg_at_10, are names that MLflow takes.
    """
    judged = {query_id: found for query_id, found in qrels.items() if any(grade > 0 for grade in found.values())}
    pairs = {query_id: (ranked_by_query.get(query_id, ()), relevant) for query_id, relevant in judged.items()}
    return {
        f"recall_at_{k}": {query_id: recall_at(*pair, k) for query_id, pair in pairs.items()},
        f"mrr_at_{k}": {query_id: reciprocal_rank(*pair, k) for query_id, pair in pairs.items()},
        f"ndcg_at_{k}": {query_id: ndcg_at(*pair, k) for query_id, pair in pairs.items()},
    }


def score_ranking(
    ranked_by_query: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]], k: int = 10, seed: int = 0
) -> dict[str, Interval]:
    """Mean recall_at_k, mrr_at_k and ndcg_at_k over the queries that have a relevant document, with 95 % intervals.

    Raises:
        DataError: no query has one.
    """
    scores = query_scores(ranked_by_query, qrels, k)
    return {name: mean_interval(list(values.values()), seed=seed, bounds=(0, 1)) for name, values in scores.items()}


def _dcg(grades: Sequence[int]) -> float:
    return sum(max(grade, 0) / log2(rank + 1) for rank, grade in enumerate(grades, start=1))
