"""Intervals for means and for paired differences, by bootstrap over questions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmops.errors import DataError

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval, over `n` questions."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean (Efron & Tibshirani 1993, chapter 13).

    Raises:
        DataError: there are no values.
    """
    if not values:
        raise DataError("no values to average: the question set holds no question this metric applies to.")
    sample = np.asarray(values, dtype=np.float64)
    if (sample == sample[0]).all():  # resampling can't show any spread
        return Interval(float(sample[0]), float(sample[0]), float(sample[0]), len(sample))
    from scipy.stats import bootstrap

    found = bootstrap(
        (sample,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", batch=1000,
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(float(sample.mean()), float(found.low), float(found.high), len(sample))


def paired_difference(left: Mapping[str, float], right: Mapping[str, float], seed: int = 0) -> Interval:
    """The interval of mean(left - right), paired by question id.

    Raises:
        DataError: the two don't hold the same questions.
    """
    if left.keys() != right.keys():
        raise DataError(
            f"the two were not asked the same questions ({len(left.keys() ^ right.keys())} differ). "
            "Evaluate both on one question file."
        )
    return mean_interval([left[question_id] - right[question_id] for question_id in left], seed)


def cluster_resamples(clusters: Sequence[str], seed: int = 0) -> Iterator[npt.NDArray[np.float64]]:
    """How often each question is in a resample of whole clusters, for each of 10,000 of them (Field & Welsh 2007).

    Questions of one cluster, such as those on one paragraph, are alike, so that they come together or not at all.
    """
    groups = np.unique(np.asarray(clusters), return_inverse=True)[1]
    size = int(groups.max()) + 1
    chance = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        yield np.bincount(chance.integers(size, size=size), minlength=size)[groups].astype(np.float64)
