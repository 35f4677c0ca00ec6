"""One candidate against another on the same questions: how much better or worse, whether it may be chance, what it took."""

from collections import Counter
from dataclasses import dataclass, replace

from llmops.evaluation.kpis import Kpi, find_kpi
from llmops.evaluation.power import minimum_detectable_effect, questions_needed
from llmops.evaluation.scorecard import Scorecard, check_same_questions, compare
from llmops.evaluation.significance import holm, mcnemar, permutation_test
from llmops.evaluation.statistics import Interval


@dataclass(frozen=True)
class Difference:
    """What a candidate has more of a KPI than the reference.

    `adjusted` is the p-value after Holm's correction over all KPIs compared; `detectable` the least true difference that
    these questions would have shown with 80 % power, and `needed` how many questions would have shown this one.
    """

    kpi: Kpi
    interval: Interval
    p_value: float
    adjusted: float
    detectable: float
    needed: int | None

    @property
    def verdict(self) -> str:
        """ "better", "worse", or nothing where it may be chance."""
        if not (self.interval.low > 0 or self.interval.high < 0):
            return ""
        return "better" if (self.interval.low > 0) != self.kpi.lower_is_better else "worse"


def differences(card: Scorecard, reference: Scorecard) -> list[Difference]:
    """Compare on each KPI that may decide and that both have on the same questions.

    Raises:
        DataError: they were not asked the same questions.
    """
    check_same_questions(card, reference)
    kpis = [find_kpi(name) for name in card.intervals if name in reference.intervals and card.decides(name)]
    shared = [kpi for kpi in kpis if card.values(kpi.name).keys() == reference.values(kpi.name).keys()]
    found = [_difference(kpi, card, reference) for kpi in shared]
    adjusted = holm({one.kpi.name: one.p_value for one in found})
    return [replace(one, adjusted=adjusted[one.kpi.name]) for one in found]


def _difference(kpi: Kpi, card: Scorecard, reference: Scorecard) -> Difference:
    interval, clusters = compare(card, reference, kpi.name), card.clusters
    left, right = card.values(kpi.name), reference.values(kpi.name)
    alone = max(Counter(clusters[question_id] for question_id in left).values()) == 1
    binary = {*left.values(), *right.values()} <= {0, 1} and kpi.binary  # means over repeats are not
    p_value = mcnemar(left, right) if binary and alone else permutation_test(left, right, clusters)
    return Difference(
        kpi, interval, p_value, p_value, minimum_detectable_effect(left, right, clusters),
        questions_needed(interval.mean, left, right, clusters),
    )  # fmt: skip
