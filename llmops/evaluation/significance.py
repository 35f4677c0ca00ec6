"""Whether two candidates differ on the same questions, and what is left of it when several KPIs are tested."""

from collections.abc import Mapping

import numpy as np

from llmops.errors import DataError
from llmops.evaluation.statistics import RESAMPLES, Vector, cluster_sums, pair, signs

_TIE = 1 - 1e-9  # sums of the same numbers in another order are equal


def permutation_test(
    left: Mapping[str, float], right: Mapping[str, float], clusters: Mapping[str, str] | None = None, seed: int = 0
) -> float:
    """The two-sided p-value of mean(left - right) when each cluster's differences might as well have the other sign.

    Exact for up to 13 clusters that differ, else from 10,000 draws, of which the observed one is counted (Phipson & Smyth
    2010). scipy.stats.permutation_test gives the same, many times slower on 10,000 questions.

    Raises:
        DataError: the two don't hold the same questions, or none.
    """
    differences, names = pair(left, right, clusters)
    if not differences:
        raise DataError("no questions to compare on: the question set holds none that this metric applies to.")
    sums = cluster_sums(differences, names)[0]
    sums = sums[sums != 0]
    observed = abs(sums.sum())
    if 2 ** len(sums) <= RESAMPLES:
        return float((np.abs(_every_sign(len(sums)) @ sums) >= observed * _TIE).mean())
    chance = np.random.default_rng(seed)
    as_far = sum(int((np.abs(rows @ sums) >= observed * _TIE).sum()) for rows in signs(RESAMPLES, len(sums), chance))
    return (as_far + 1) / (RESAMPLES + 1)


def mcnemar(left: Mapping[str, float], right: Mapping[str, float], exact: bool = False) -> float:
    """The two-sided p-value of a KPI that is 0 or 1: mid-p, or the exact one, which is conservative.

    The mid-p value is the exact one less the chance of what was observed, or of half of it at a tie (Fagerland, Lydersen &
    Laake 2013). It takes
    questions to be independent: where they come in clusters that aren't alike, use `permutation_test`.

    Raises:
        DataError: the two don't hold the same questions, or a value is neither 0 nor 1.
    """
    from scipy.stats import binom, binomtest

    if odd := {*left.values(), *right.values()} - {0, 1}:
        raise DataError(f"McNemar's test compares values of 0 and 1, found {min(odd):g}. Use the permutation test.")
    differences, _ = pair(left, right)
    wins, losses = differences.count(1.0), differences.count(-1.0)
    if wins + losses == 0:
        return 1.0
    p_value = float(binomtest(wins, wins + losses).pvalue)
    observed = float(binom.pmf(wins, wins + losses, 0.5))
    return p_value if exact else p_value - (observed / 2 if wins == losses else observed)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: with all below alpha, the chance of one or more false findings is below alpha (Holm 1979)."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _every_sign(size: int) -> Vector:
    return (2 * ((np.arange(2**size)[:, None] >> np.arange(size)) & 1) - 1).astype(np.float64)
