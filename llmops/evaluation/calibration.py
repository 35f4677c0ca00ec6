"""What a release abstains by, and how well that tells right answers from wrong ones.

Confidence is a mean log-probability, which nobody takes for a chance of being right, so it has no calibration error: it is
judged by how it ranks answers, and its floor by the share of wrong answers, promised and measured.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llmops.chains.release import Release
from llmops.errors import DataError
from llmops.evaluation.rows import Row
from llmops.evaluation.settings import NO_CONFIDENCE
from llmops.evaluation.statistics import Interval, mean_interval, unanimous_share
from llmops.retrieval.search import nearness
from llmops.types import Answer, Metrics

_AUROC = "abstention/auroc_"


def abstention_figures(release: Release, rows: Sequence[Row], answers: Sequence[Answer | None]) -> Metrics:
    """The floors of a release, the share of wrong answers it promises, and AUROCs with the ends of their intervals.

    An AUROC is over the answers that were given, right from a score of a half on: of those withheld nobody knows whether
    they are right. It is left out where all given are right, or all wrong. `answers` stand in the order of their `rows`.
    """
    given = [
        (row, answer) for row, answer in zip(rows, answers, strict=True)
        if answer is not None and not answer.abstained and "abstention/wrong_rate" in row.scores
    ]  # fmt: skip
    told = {
        "confidence": [(row, answer.confidence) for row, answer in given if answer.confidence is not None],
        "similarity": [(row, nearness(answer.hits)) for row, answer in given if answer.hits],
    }
    figures = _floors(release)
    for name, pairs in told.items():
        right = [not row.scores["abstention/wrong_rate"] for row, _ in pairs]
        if len(set(right)) == 2:
            found = auroc([score for _, score in pairs], right, [row.cluster for row, _ in pairs])
            figures |= {_AUROC + name + end: value for end, value in _ends(found).items()}
    return figures


def auroc(scores: Sequence[float], right: Sequence[bool], clusters: Sequence[str] | None = None) -> Interval:
    """The chance that a right answer scores above a wrong one, ties counting half (Mann & Whitney 1947).

    The interval is that of the mean of its pseudo-values, by DeLong's components (DeLong et al. 1988), what is in one
    cluster being alike (Obuchowski 1997); it lies within (0, 1).

    Raises:
        DataError: all answers are right, or all wrong.
    """
    from scipy.stats import rankdata

    scored, is_right = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    rights, wrongs = int(is_right.sum()), int((~is_right).sum())
    if not rights or not wrongs:
        raise DataError(f"{rights} answers are right and {wrongs} wrong, expected some of both: nothing is to be ranked.")
    above: npt.NDArray[np.float64] = rankdata(scored)
    above[is_right] = (above[is_right] - rankdata(scored[is_right])) / wrongs  # the share of wrong ones below each right one
    above[~is_right] = 1 - (above[~is_right] - rankdata(scored[~is_right])) / rights
    area = float(above[is_right].mean())
    if area in (0.0, 1.0):  # that none is out of order doesn't say that none ever will be
        names = np.arange(len(scored)) if clusters is None else np.asarray(clusters)
        return unanimous_share(area, len(scored), min(len(np.unique(names[of])) for of in (is_right, ~is_right)))
    weights = np.where(is_right, len(scored) / rights, len(scored) / wrongs)
    return mean_interval((area + weights * (above - area)).tolist(), clusters, bounds=(0.0, 1.0))


def _floors(release: Release) -> Metrics:
    floors: Metrics = {}
    if release.retrieval is not None and release.retrieval.search.min_score > -1:
        floors["abstention/min_score"] = release.retrieval.search.min_score
    if release.abstention is not None:
        floors["abstention/max_wrong"] = release.abstention.max_wrong
        if release.abstention.min_confidence > NO_CONFIDENCE:
            floors["abstention/min_confidence"] = release.abstention.min_confidence
    return floors


def _ends(found: Interval) -> dict[str, float]:
    return {"": found.mean, "_low": found.low, "_high": found.high}
