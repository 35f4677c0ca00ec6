"""Intervals, tests and power: against libraries, by hand, and on simulated candidates whose truth is known."""

from functools import partial

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from benchmarks.evaluation import simulating
from benchmarks.evaluation.simulating import Exam, rate
from llmops.errors import DataError
from llmops.evaluation.power import minimum_detectable_effect, questions_needed
from llmops.evaluation.significance import holm, mcnemar, permutation_test
from llmops.evaluation.statistics import (
    Interval,
    Vector,
    cluster_error,
    cluster_resamples,
    cluster_sums,
    mean_interval,
    paired_difference,
    signs,
    unanimous_share,
)  # fmt: skip

# Intervals


def test_an_interval_holds_the_mean_and_is_as_wide_as_theory_says() -> None:
    sample = np.random.default_rng(1).normal(0.5, 0.2, 400)
    interval = mean_interval(sample.tolist())
    assert interval.low < 0.5 < interval.high and interval.n == 400
    assert interval.mean == pytest.approx(sample.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * sample.std() / 400**0.5, rel=0.05)


def test_the_same_values_give_the_same_interval() -> None:
    assert mean_interval([0.0, 1.0, 1.0, 0.5]) == mean_interval([0.0, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("sample", [[0.5] * 30, [1.0]])
def test_values_without_spread_have_an_interval_without_width(sample: list[float]) -> None:
    interval = mean_interval(sample)
    assert (interval.mean, interval.low, interval.high, interval.n) == (sample[0], sample[0], sample[0], len(sample))


def test_no_values_have_no_mean() -> None:
    with pytest.raises(DataError, match="no values to average"):
        mean_interval([])


def test_differences_are_paired_by_question_not_by_order() -> None:
    left = {f"q{i}": float(i % 2) for i in range(40)}
    right = dict(reversed(left.items()))
    difference = paired_difference(left, right)
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_a_small_difference_on_every_question_shows_where_means_alone_would_hide_it() -> None:
    right = {f"q{i}": i / 40 for i in range(40)}
    left = {question: value + 0.02 + 0.001 * (i % 3) for i, (question, value) in enumerate(right.items())}
    difference = paired_difference(left, right)
    assert 0.02 <= difference.low <= difference.mean <= difference.high <= 0.022


def test_a_difference_has_a_direction() -> None:
    left, right = {"q1": 0.2, "q2": 0.1}, {"q1": 0.9, "q2": 0.7}
    assert paired_difference(left, right).mean == pytest.approx(-0.65)
    assert paired_difference(right, left).mean == pytest.approx(0.65)


def test_answers_to_different_questions_are_not_compared() -> None:
    with pytest.raises(DataError, match=r"not asked the same questions \(2 differ\)"):
        paired_difference({"q1": 1.0, "q2": 1.0}, {"q1": 1.0, "q3": 1.0})


F1, CLUSTERS = Exam(20), Exam(20).draw(1)[2]
LEFT, RIGHT, _ = F1.draw(1)


def test_an_interval_over_many_values_is_that_of_scipy() -> None:
    sample = np.random.default_rng(2).beta(2, 5, 1000)
    found = stats.bootstrap((sample,), np.mean, method="BCa", rng=np.random.default_rng(3)).confidence_interval
    interval = mean_interval(sample.tolist(), bounds=(0, 1))
    assert (interval.low, interval.high) == pytest.approx((found.low, found.high), abs=0.1 * (found.high - found.low))


def wild_p_value(sums: Vector, sizes: Vector, mean: float, weights: Vector) -> float:
    """The wild cluster bootstrap-t test of a mean, as its authors write it: impose it, weight the residuals, refit."""

    def t(residuals: Vector) -> float:
        estimate = residuals.sum() / sizes.sum()
        return float(estimate / np.sqrt(((residuals - estimate * sizes) ** 2).sum()))

    residuals = sums - mean * sizes
    return float(np.mean([abs(t(row * residuals)) >= abs(t(residuals)) for row in weights]))


def test_an_end_is_where_the_wild_bootstrap_test_turns_significant() -> None:
    sums, sizes = cluster_sums([LEFT[name] for name in LEFT], [CLUSTERS[name] for name in LEFT])
    interval = mean_interval(list(LEFT.values()), list(CLUSTERS.values()))
    test = partial(wild_p_value, sums, sizes, weights=np.concatenate(list(signs(4000, 20, np.random.default_rng(5)))))
    width = interval.high - interval.low
    for end, way in ((interval.low, -1), (interval.high, 1)):
        assert test(end + 0.1 * way * width) < 0.05 < test(end - 0.1 * way * width)


def test_alike_questions_of_one_document_count_for_less_than_as_many_of_their_own() -> None:
    left = {f"q{i}": float(i // 10 % 2) for i in range(400)}
    right, documents = dict.fromkeys(left, 0.5), {f"q{i}": f"d{i // 10}" for i in range(400)}
    alone, together = paired_difference(left, right), paired_difference(left, right, documents)
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert together.mean == alone.mean and ratio == pytest.approx(10**0.5, rel=0.1)


def test_a_question_without_a_cluster_is_its_own() -> None:
    documents = {name: document for name, document in CLUSTERS.items() if document < "d15"}
    named = documents | {name: name for name in LEFT if name not in documents}
    assert paired_difference(LEFT, RIGHT, documents) == paired_difference(LEFT, RIGHT, named)
    assert mean_interval([0.0, 1.0, 0.5], [None, None, "a"]) == mean_interval([0.0, 1.0, 0.5])


def test_neither_the_order_of_questions_nor_the_names_of_clusters_matter() -> None:
    renamed = {name: document[::-1] for name, document in reversed(CLUSTERS.items())}
    backwards = dict(reversed(LEFT.items()))
    assert paired_difference(backwards, RIGHT, renamed) == paired_difference(LEFT, RIGHT, CLUSTERS)
    assert permutation_test(backwards, RIGHT, renamed) == permutation_test(LEFT, RIGHT, CLUSTERS)


def test_what_one_gains_the_other_loses() -> None:
    ours, theirs = paired_difference(LEFT, RIGHT, CLUSTERS), paired_difference(RIGHT, LEFT, CLUSTERS)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((-theirs.mean, -theirs.high, -theirs.low))
    assert permutation_test(LEFT, RIGHT, CLUSTERS) == permutation_test(RIGHT, LEFT, CLUSTERS)


@pytest.mark.parametrize("rights", [1, 2, 30, 38, 39])
def test_an_interval_of_a_share_stays_within_its_bounds(rights: int) -> None:
    interval = mean_interval([1.0] * rights + [0.0] * (40 - rights), bounds=(0, 1))
    assert 0 < interval.low < interval.mean < interval.high < 1


def test_two_clusters_can_not_tell() -> None:
    values, clusters = [0.0, 1.0, 1.0, 0.5], ["a", "a", "b", "b"]
    assert (mean_interval(values, clusters).low, mean_interval(values, clusters).high) == (-np.inf, np.inf)
    within = mean_interval(values, clusters, bounds=(0, 1))
    assert (within.low, within.mean, within.high) == (0.0, 0.625, 1.0)
    one = mean_interval(values, ["a"] * 4, bounds=(0, 1))
    assert (one.low, one.mean, one.high) == (0.0, 0.625, 1.0)


def test_a_mean_outside_its_bounds_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not within the bounds"):
        mean_interval([2.0, 3.0, 4.0], bounds=(0, 1))


def test_the_error_is_the_cluster_robust_one_of_statsmodels() -> None:
    values, documents = np.array(list(LEFT.values())), np.unique(list(CLUSTERS.values()), return_inverse=True)[1]
    fitted = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": documents})
    assert cluster_error(*cluster_sums(values.tolist(), list(CLUSTERS.values()))) == pytest.approx(float(fitted.bse[0]))


def test_a_resample_holds_whole_clusters() -> None:
    counts = next(cluster_resamples(["a", "b", "a", "b", "c"], seed=3))
    assert counts[0] == counts[2] and counts[1] == counts[3]


# Significance


def scipy_permutation_test(differences: Vector) -> float:
    found = stats.permutation_test(
        (differences,), lambda sample, axis: sample.sum(axis), permutation_type="samples", vectorized=True, n_resamples=9999,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    return float(found.pvalue)


@pytest.mark.parametrize("size, error", [(2, 0.0), (5, 0.0), (12, 0.0), (13, 0.0), (40, 0.02), (300, 0.02)])
def test_the_permutation_test_is_that_of_scipy_exactly_for_few_questions(size: int, error: float) -> None:
    differences = np.random.default_rng(size).normal(0.2, 1, size)
    left = {f"q{i:03d}": value for i, value in enumerate(differences.tolist())}
    p_value = permutation_test(left, dict.fromkeys(left, 0.0))
    assert p_value == pytest.approx(scipy_permutation_test(differences), abs=max(error, 1e-12))


def test_a_cluster_changes_its_sign_as_a_whole() -> None:
    left = {f"q{i}": float(i < 9) for i in range(12)}
    documents = {f"q{i}": f"d{i // 3}" for i in range(12)}
    assert permutation_test(left, dict.fromkeys(left, 0.0), documents) == 2 / 2**3
    assert permutation_test(left, dict.fromkeys(left, 0.0)) == 2 / 2**9


def test_equal_sums_are_as_far_whatever_rounding_does_to_them() -> None:
    left = {f"q{i}": value for i, value in enumerate([0.1, 0.2, 0.3, 0.1, -0.3, -0.2])}
    right = dict.fromkeys(left, 0.0)
    assert permutation_test(left, right) == permutation_test({name: round(10 * v) for name, v in left.items()}, right)


def test_candidates_that_answer_alike_do_not_differ() -> None:
    assert permutation_test(LEFT, LEFT) == mcnemar({"q1": 1.0}, {"q1": 1.0}) == 1.0


def discordant(wins: int, losses: int) -> tuple[dict[str, float], dict[str, float]]:
    values = [(1.0, 0.0)] * wins + [(0.0, 1.0)] * losses + [(1.0, 1.0)] * 5 + [(0.0, 0.0)] * 3
    return {f"q{i}": left for i, (left, _) in enumerate(values)}, {f"q{i}": right for i, (_, right) in enumerate(values)}


@pytest.mark.parametrize("wins, losses", [(1, 7), (0, 6), (6, 6), (40, 20), (59, 121)])
def test_mcnemars_exact_test_is_that_of_statsmodels(wins: int, losses: int) -> None:
    expected = float(statsmodels_mcnemar([[5, wins], [losses, 3]], exact=True).pvalue)
    assert mcnemar(*discordant(wins, losses), exact=True) == pytest.approx(expected)


@pytest.mark.parametrize(
    "wins, losses, expected",
    [(1, 7, 10 / 256), (7, 1, 10 / 256), (0, 6, 1 / 64), (3, 3, 1 - 20 / 128), (1, 0, 0.5)],
)
def test_the_mid_p_value_counts_half_of_what_is_as_far(wins: int, losses: int, expected: float) -> None:
    assert mcnemar(*discordant(wins, losses)) == pytest.approx(expected)


def test_mcnemars_test_wants_zeros_and_ones() -> None:
    with pytest.raises(DataError, match="values of 0 and 1, found 0.5"):
        mcnemar({"q1": 0.5}, {"q1": 1.0})


@pytest.mark.parametrize("compare", [permutation_test, mcnemar, minimum_detectable_effect, paired_difference])
def test_nothing_is_said_of_candidates_that_were_asked_different_questions(compare) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=r"not asked the same questions \(2 differ\)"):
        compare({"q1": 1.0}, {"q2": 1.0})


@pytest.mark.parametrize("compare", [permutation_test, minimum_detectable_effect, paired_difference])
def test_nothing_is_said_of_no_questions(compare) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="no "):
        compare({}, {})


@pytest.mark.parametrize("seed", range(5))
def test_holms_correction_is_that_of_statsmodels(seed: int) -> None:
    chance = np.random.default_rng(seed)
    p_values = dict(zip("edcba", (chance.random(5) ** 3).round(3).tolist(), strict=True))
    expected = multipletests(list(p_values.values()), method="holm")[1]
    assert list(holm(p_values)) == list(p_values)
    assert list(holm(p_values).values()) == pytest.approx(expected.tolist())


def test_holms_correction_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


# Power

NORMAL = {f"q{i}": value for i, value in enumerate(np.random.default_rng(4).normal(0.1, 0.5, 60).tolist())}
ZERO = dict.fromkeys(NORMAL, 0.0)
SD = float(np.std(list(NORMAL.values()), ddof=1))


@pytest.mark.parametrize("power, alpha", [(0.8, 0.05), (0.9, 0.01)])
def test_the_detectable_effect_is_that_of_statsmodels(power: float, alpha: float) -> None:
    expected = TTestPower().solve_power(nobs=60, alpha=alpha, power=power) * SD
    assert minimum_detectable_effect(NORMAL, ZERO, power=power, alpha=alpha) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("effect", [-0.05, 0.1, 0.3])
def test_the_questions_needed_are_those_of_statsmodels(effect: float) -> None:
    expected = TTestPower().solve_power(effect_size=abs(effect) / SD, alpha=0.05, power=0.8)
    assert questions_needed(effect, NORMAL, ZERO) == pytest.approx(expected, rel=0.01, abs=1)


def test_the_questions_there_are_are_needed_for_the_effect_that_they_detect() -> None:
    effect = minimum_detectable_effect(LEFT, RIGHT, CLUSTERS)
    assert questions_needed(effect * (1 + 1e-9), LEFT, RIGHT, CLUSTERS) == len(LEFT)


def test_alike_questions_detect_less() -> None:
    apart = minimum_detectable_effect(LEFT, RIGHT)
    assert minimum_detectable_effect(LEFT, RIGHT, CLUSTERS) > apart
    needed = questions_needed(0.05, LEFT, RIGHT, CLUSTERS)
    assert needed and needed > (questions_needed(0.05, LEFT, RIGHT) or 0) > 0


def test_no_number_of_questions_shows_a_difference_of_nothing_and_one_document_tells_nothing() -> None:
    one = dict.fromkeys(LEFT, "d")
    assert questions_needed(0.0, LEFT, RIGHT) is None and questions_needed(0.1, LEFT, RIGHT, one) is None
    assert minimum_detectable_effect(LEFT, RIGHT, one) == float("inf")


# Simulations: as in the benchmark, but fewer

FEW = 400


@pytest.mark.parametrize("exam", [Exam(50), Exam(50, kpi="exact_match"), Exam(50, sizes="lognormal"), Exam(10)])
def test_intervals_of_differences_hold_the_truth(exam: Exam) -> None:
    assert 0.92 <= rate(simulating.covers, exam, FEW) <= 0.98


@pytest.mark.parametrize("exam", [Exam(50, 1.2), Exam(50, -1.55, kpi="exact_match")])
def test_intervals_of_means_near_their_bounds_hold_the_truth(exam: Exam) -> None:
    assert 0.91 <= rate(simulating.covers_mean, exam, FEW) <= 0.98


@pytest.mark.parametrize("exam", [Exam(50, 0.0), Exam(10, 0.0), Exam(50, 0.0, kpi="exact_match")])
def test_the_permutation_test_seldom_finds_what_is_not_there(exam: Exam) -> None:
    assert 0.02 <= rate(simulating.rejects, exam, FEW) <= 0.08


def test_mcnemars_test_seldom_finds_what_is_not_there_among_independent_questions() -> None:
    exam = Exam(200, 0.0, kpi="exact_match", sizes="one")
    assert rate(simulating.rejects_mcnemar_exact, exam, FEW) <= rate(simulating.rejects_mcnemar, exam, FEW) <= 0.08
    assert rate(simulating.rejects_mcnemar, Exam(50, 0.0, kpi="exact_match"), FEW) > 0.08  # what clusters do to it


def test_the_effect_that_is_said_to_be_detectable_is_mostly_detected() -> None:
    assert 0.7 <= rate(simulating.detects, Exam(50), FEW) <= 0.9


def test_simulated_truth_is_what_many_questions_show() -> None:
    for exam in (Exam(20_000), Exam(20_000, kpi="exact_match"), Exam(20_000, sizes="lognormal")):
        left, right, _ = exam.draw(1)
        assert np.mean(list(left.values())) - np.mean(list(right.values())) == pytest.approx(exam.truth, abs=0.01)


def test_a_share_that_all_agree_on_is_as_uncertain_as_so_few_clusters_leave_it() -> None:
    for clusters in (1, 12, 60):
        low, high = stats.binomtest(0, clusters).proportion_ci(0.95, "exact")
        assert unanimous_share(0.0, 99, clusters) == Interval(0.0, low, pytest.approx(high), 99)
        assert unanimous_share(1.0, 99, clusters) == Interval(1.0, pytest.approx(1 - high), 1.0, 99)
