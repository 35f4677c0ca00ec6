"""What a comparison of two candidates could have found, and how many questions a smaller difference would need."""

from collections.abc import Mapping
from math import ceil, isfinite

from llmops.errors import DataError
from llmops.evaluation.statistics import cluster_error, cluster_sums, pair

POWER = 0.8
ALPHA = 0.05


def minimum_detectable_effect(
    left: Mapping[str, float], right: Mapping[str, float], clusters: Mapping[str, str] | None = None,
    power: float = POWER, alpha: float = ALPHA,
) -> float:  # fmt: skip
    """The least true mean difference that these questions show with the given power, in the KPI's unit.

    (t[1 - alpha / 2] + t[power]) x standard error, with G - 1 degrees of freedom (Bloom 1995). The error is cluster-robust:
    it holds what clusters of alike questions cost. From few clusters of uneven size it is rough and a little too small: what
    was said to be detectable was detected in 75 % with 50 documents, in 80 % with 200 (benchmarks/evaluation/simulating.py).
    Infinite for one cluster; 0 where all questions differ alike.

    Raises:
        DataError: the two don't hold the same questions, or none.
    """
    error, clusters_found, _ = _measure(left, right, clusters)
    return _multiplier(clusters_found - 1, power, alpha) * error if isfinite(error) else error


def questions_needed(
    effect: float, left: Mapping[str, float], right: Mapping[str, float], clusters: Mapping[str, str] | None = None,
    power: float = POWER, alpha: float = ALPHA,
) -> int | None:  # fmt: skip
    """How many questions would show a true mean difference of `effect`, on more clusters of the same sizes.

    The standard error falls with the square root of the questions: solves `minimum_detectable_effect` for their number.
    None where no number is enough (`effect` is 0), or one cluster doesn't tell how clusters differ.

    Raises:
        DataError: the two don't hold the same questions, or none.
    """
    error, clusters_found, asked = _measure(left, right, clusters)
    if effect == 0 or not isfinite(error):
        return None
    needed = float(asked)
    for _ in range(20):  # the multiplier hardly depends on the number
        degrees = max(1.0, needed * clusters_found / asked - 1)
        needed = asked * (_multiplier(degrees, power, alpha) * error / effect) ** 2
    return max(2, ceil(needed))


def _measure(
    left: Mapping[str, float], right: Mapping[str, float], clusters: Mapping[str, str] | None
) -> tuple[float, int, int]:
    """The standard error of the mean difference, and how many clusters and questions there are."""
    differences, names = pair(left, right, clusters)
    if not differences:
        raise DataError("no questions to compare on: the question set holds none that this metric applies to.")
    sums, sizes = cluster_sums(differences, names)
    return cluster_error(sums, sizes), len(sums), len(differences)


def _multiplier(degrees: float, power: float, alpha: float) -> float:
    from scipy.stats import t

    return float(t.ppf(1 - alpha / 2, degrees) + t.ppf(power, degrees))
