"""One ranking out of two: reciprocal ranks, or a convex combination of normalised scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmops.errors import ConfigError, DataError

RRF_K = 60
WEIGHTS = tuple(step / 20 for step in range(21))


@dataclass(frozen=True)
class Candidates:
    """What dense and lexical search found for one query together, each row once and with both scores; shape (n,)."""

    rows: npt.NDArray[np.int64]
    dense: npt.NDArray[np.float32]
    lexical: npt.NDArray[np.float32]


def rrf(rankings: Sequence[Sequence[int]], k: int = RRF_K) -> list[tuple[int, float]]:
    """Fuse rankings by reciprocal rank: rows and sum(1 / (k + rank)), best first, ties by row (Cormack et al. 2009).

    Negative rows are padding and count for nothing.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate((int(row) for row in ranking if row >= 0), start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def convex(found: Candidates, weight: float) -> list[tuple[int, float]]:
    """Fuse scores: rows and weight * dense + (1 - weight) * lexical, best first, ties by row (Bruch et al. 2023).

    Both are min-max normalised over the candidates; scores that are all equal say nothing and become 0.

    Raises:
        ConfigError: `weight` is not between 0 and 1.
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"fusion weight {weight} is not between 0 (lexical search alone) and 1 (dense search alone).")
    scores = _combine(minmax(found.dense), minmax(found.lexical), weight)
    order = np.lexsort((found.rows, -scores))
    return list(zip(found.rows[order].tolist(), scores[order].tolist(), strict=True))


def minmax(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map scores linearly onto [0, 1]; all 0 where they are equal."""
    values = np.asarray(scores, dtype=np.float64)
    if not values.size or values.min() == values.max():
        return np.zeros_like(values)
    return np.asarray((values - values.min()) / (values.max() - values.min()), dtype=np.float64)


def fit_weight(queries: Mapping[str, Candidates], metric: Callable[[str, list[int]], float]) -> float:
    """Return the weight for `convex` with the best mean metric over training queries; ties go towards 0.5.

    `metric` judges one query's rows, best first.

    Raises:
        DataError: there are no queries to fit on.
    """
    if not queries:
        raise DataError("there are no queries to fit the fusion weight on. Give development questions or name a weight.")
    totals = np.zeros(len(WEIGHTS))
    for query_id, found in queries.items():
        dense, lexical = minmax(found.dense), minmax(found.lexical)
        for place, weight in enumerate(WEIGHTS):
            order = np.lexsort((found.rows, -_combine(dense, lexical, weight)))
            totals[place] += metric(query_id, found.rows[order].tolist())
    means = (totals / len(queries)).round(12)  # sums of the same values in floats are not quite equal
    return max(WEIGHTS, key=lambda weight: (means[WEIGHTS.index(weight)], -abs(weight - 0.5)))


def _combine(dense: npt.NDArray[np.float64], lexical: npt.NDArray[np.float64], weight: float) -> npt.NDArray[np.float64]:
    return weight * dense + (1 - weight) * lexical
