"""How often intervals hold the truth and tests cry wolf, on simulated KPIs of two candidates whose truth is known.

Each question is as hard as its document is, as it is itself, and as it happens to be for the candidate; a candidate does
better on some documents than on others. Right answers count 1, half-right ones (for F1) a number between, wrong ones 0.
Documents have from 1 to about 50 questions, on average 8.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from llmops.evaluation.power import minimum_detectable_effect
from llmops.evaluation.significance import mcnemar, permutation_test
from llmops.evaluation.statistics import Interval, mean_interval, paired_difference

SIMULATIONS = 5_000
CLUSTERS = (8, 16, 25, 50, 100, 200)
ENOUGH = 50  # clusters from which 93 to 97 % are asked for
QUESTIONS = 200  # on as many documents, where a test takes them to be independent
ALPHA = 0.05
_RIGHT, _HALF_RIGHT = 0.1, -0.4  # of a latent score with variance 1
_BY_DOCUMENT, _BY_QUESTION, _BY_CANDIDATE = 0.15, 0.45, 0.10  # parts of that variance; the rest is chance

Vector = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Scores = dict[str, float]


@dataclass(frozen=True)
class Exam:
    """Two candidates on the same questions of `clusters` documents. Skills are the means of their latent scores."""

    clusters: int
    left: float = 0.25
    right: float = 0.0
    kpi: str = "f1"  # or exact_match
    sizes: str = "geometric"  # or lognormal: of 50 documents, the largest has a sixth of all questions; or one

    @property
    def truth(self) -> float:
        """The true mean difference, over all questions there could be."""
        return self.mean(self.left) - self.mean(self.right)

    def mean(self, skill: float) -> float:
        """The true mean of a candidate; half-right answers have a mean of a half."""
        right, at_least_half = norm.sf(_RIGHT - skill), norm.sf(_HALF_RIGHT - skill)
        return float((right + at_least_half) / 2 if self.kpi == "f1" else right)

    def draw(self, seed: int) -> tuple[Scores, Scores, dict[str, str]]:
        """The scores of both candidates and the document, by question."""
        chance = np.random.default_rng([seed, self.clusters])
        documents = np.repeat(np.arange(self.clusters), self._sizes(chance))
        shared = _noise(_BY_DOCUMENT, self.clusters, chance)[documents] + _noise(_BY_QUESTION, len(documents), chance)
        left, right = (self._scores(skill + shared, documents, chance) for skill in (self.left, self.right))
        names = [f"q{i:06d}" for i in range(len(documents))]
        clusters = {name: f"d{number}" for name, number in zip(names, documents.tolist(), strict=True)}
        return dict(zip(names, left.tolist(), strict=True)), dict(zip(names, right.tolist(), strict=True)), clusters

    def _sizes(self, chance: np.random.Generator) -> Numbers:
        if self.sizes == "one":
            return np.ones(self.clusters, dtype=np.int64)
        if self.sizes == "lognormal":
            return np.ceil(chance.lognormal(1.5, 1.0, self.clusters)).astype(np.int64)
        return chance.geometric(1 / 8, self.clusters)

    def _scores(self, skill: Vector, documents: Numbers, chance: np.random.Generator) -> Vector:
        rest = 1 - _BY_DOCUMENT - _BY_QUESTION - _BY_CANDIDATE
        own = _noise(_BY_CANDIDATE, self.clusters, chance)[documents] + _noise(rest, len(documents), chance)
        partly = chance.beta(2, 2, len(documents)) if self.kpi == "f1" else 0.0
        return np.where(skill + own > _RIGHT, 1.0, np.where(skill + own > _HALF_RIGHT, partly, 0.0))


Task = Callable[[Exam, int], bool]


def measure(simulations: int = SIMULATIONS) -> dict[str, Any]:
    """How often, of so many simulated evaluations, intervals cover, tests reject and verdicts fall; some 20 CPU minutes."""
    rows = _rows()
    found: dict[str, Any] = {"simulations": simulations}
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        rates = pool.map(partial(rate, simulations=simulations), *zip(*rows.values(), strict=True))
        for (key, name), share in zip(rows, rates, strict=True):
            found.setdefault(key, {})[name] = share
    return found | {
        "coverage": found["coverage_by_clusters"][ENOUGH], "type1_error": found["type1_error_by_clusters"][ENOUGH],
        **{f"type1_error_{name}": share for name, share in found.pop("type1_error_others").items()},
        "intracluster_correlation": correlations(Exam(20_000)),
    }  # fmt: skip


def rate(task: Task, exam: Exam, simulations: int) -> float:
    """In what share of simulated evaluations the task says yes."""
    return sum(task(exam, seed) for seed in range(simulations)) / simulations


def _rows() -> dict[tuple[str, Any], tuple[Task, Exam]]:
    """What is measured, by key and name."""
    null, independent = partial(Exam, left=0.0), Exam(QUESTIONS, 0.0, kpi="exact_match", sizes="one")
    rows: dict[tuple[str, Any], tuple[Task, Exam]] = {}
    for size in CLUSTERS:
        rows["coverage_by_clusters", size] = covers, Exam(size)
        rows["coverage_by_clusters_exact_match", size] = covers, Exam(size, kpi="exact_match")
        rows["coverage_by_clusters_uneven", size] = covers, Exam(size, sizes="lognormal")
        rows["coverage_by_clusters_mean_f1", size] = covers_mean, Exam(size, 1.2)
        rows["coverage_by_clusters_mean_rare", size] = covers_mean, Exam(size, -1.55, kpi="exact_match")
        rows["type1_error_by_clusters", size] = rejects, null(size)
    for skill, name in ((0.0, "no difference"), (0.1, "small"), (0.5, "large"), (-9.0, "abstains always")):
        rows["verdicts_better", name] = is_better, Exam(ENOUGH, skill)
        rows["verdicts_worse", name] = is_worse, Exam(ENOUGH, skill)
    for size in (ENOUGH, 4 * ENOUGH):
        rows["power_at_detectable_effect", size] = detects, Exam(size)
    return rows | {
        ("type1_error_others", "exact_match"): (rejects, null(ENOUGH, kpi="exact_match")),
        ("type1_error_others", "unlike_candidates"): (rejects_shifted, Exam(ENOUGH, 1.2)),
        ("type1_error_others", "mcnemar"): (rejects_mcnemar, independent),
        ("type1_error_others", "mcnemar_exact"): (rejects_mcnemar_exact, independent),
        ("type1_error_others", "mcnemar_on_clusters"): (rejects_mcnemar, null(ENOUGH, kpi="exact_match")),
    }  # fmt: skip


def covers(exam: Exam, seed: int) -> bool:
    """Whether the interval of the paired difference holds the true one."""
    interval = _difference(exam, seed)
    return interval.low <= exam.truth <= interval.high


def covers_mean(exam: Exam, seed: int) -> bool:
    """Whether the interval of the left candidate's mean holds the true one."""
    left, _, clusters = exam.draw(seed)
    interval = mean_interval(list(left.values()), list(clusters.values()), seed, bounds=(0, 1))
    return interval.low <= exam.mean(exam.left) <= interval.high


def rejects(exam: Exam, seed: int) -> bool:
    """Whether the permutation test finds a difference."""
    return permutation_test(*exam.draw(seed), seed) < ALPHA


def rejects_shifted(exam: Exam, seed: int) -> bool:
    """Whether it finds one between candidates with equal means whose values are spread in unlike ways."""
    return _rejects_moved(exam, -exam.truth, seed)


def rejects_mcnemar(exam: Exam, seed: int) -> bool:
    """Whether McNemar's test finds a difference by its mid-p value."""
    return mcnemar(*exam.draw(seed)[:2]) < ALPHA


def rejects_mcnemar_exact(exam: Exam, seed: int) -> bool:
    """Whether McNemar's exact test finds a difference."""
    return mcnemar(*exam.draw(seed)[:2], exact=True) < ALPHA


def detects(exam: Exam, seed: int) -> bool:
    """Whether a difference is found that is as large as the least that was said to be detectable, from other questions."""
    effect = minimum_detectable_effect(*exam.draw(seed + 10**6))
    return _rejects_moved(exam, effect - exam.truth, seed)


def is_better(exam: Exam, seed: int) -> bool:
    """Whether the left candidate is found to be better."""
    return _difference(exam, seed).low > 0


def is_worse(exam: Exam, seed: int) -> bool:
    """Whether the left candidate is found to be worse."""
    return _difference(exam, seed).high < 0


def correlations(exam: Exam) -> dict[str, float]:
    """The correlation of two questions on one document: of the left candidate's values, and of the differences."""
    left, right, clusters = exam.draw(0)
    differences = [left[name] - right[name] for name in left]
    documents = np.unique(list(clusters.values()), return_inverse=True)[1]
    return {"values": _correlation(list(left.values()), documents), "differences": _correlation(differences, documents)}


def _correlation(values: list[float], documents: Numbers) -> float:
    """Covariance over all pairs of one document, over the variance."""
    deviations = np.asarray(values) - np.mean(values)
    sizes, sums = np.bincount(documents), np.bincount(documents, deviations)
    products = (sums**2).sum() - (deviations**2).sum()
    return float(products / (sizes * (sizes - 1)).sum() / (deviations**2).mean())


def _difference(exam: Exam, seed: int) -> Interval:
    return paired_difference(*exam.draw(seed), seed, bounds=(-1, 1))


def _rejects_moved(exam: Exam, shift: float, seed: int) -> bool:
    left, right, clusters = exam.draw(seed)
    return permutation_test({name: value + shift for name, value in left.items()}, right, clusters, seed) < ALPHA


def _noise(variance: float, size: int, chance: np.random.Generator) -> Vector:
    return chance.normal(0.0, variance**0.5, size)
