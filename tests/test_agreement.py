"""Agreement of two raters: tables of the literature, other libraries, large samples, and what has no agreement."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from llmops.errors import DataError
from llmops.evaluation.agreement import Agreement, agree, cohen_kappa, equal_share, gwet_ac1

YES_NO = ("yes", "no")


def raters(table: list[list[int]], labels: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What two raters said who make up a table of counts; the first one's labels are its rows."""
    cells = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [labels[i] for i, _ in cells], [labels[j] for _, j in cells]


def test_kappa_is_that_of_cohens_two_judges_of_patients() -> None:
    table = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]], dtype=float)  # Cohen 1960, table 1: 0.70, 0.41 by chance
    assert equal_share(table) == pytest.approx(0.70)
    assert cohen_kappa(table) == pytest.approx((0.70 - 0.41) / (1 - 0.41))


def test_ac1_stays_high_where_kappa_is_a_paradox() -> None:
    table = np.array([[118, 5], [2, 0]], dtype=float)  # Gwet 2002, table 1: 0.944, kappa -0.0234, AC1 0.9408
    assert float(equal_share(table)) == pytest.approx(0.944)
    assert float(cohen_kappa(table)) == pytest.approx(-0.0234, abs=5e-5)
    assert float(gwet_ac1(table)) == pytest.approx(0.9408, abs=5e-5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=60))
def test_kappa_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    left, right = [one for one, _ in pairs], [other for _, other in pairs]
    table = np.zeros((3, 3))
    for one, other in pairs:
        table["abc".index(one), "abc".index(other)] += 1
    if len({*left, *right}) > 1:
        assert float(cohen_kappa(table)) == pytest.approx(cohen_kappa_score(left, right))
    else:
        assert np.isnan(cohen_kappa(table)) and float(gwet_ac1(table)) == 1.0


def test_intervals_hold_what_was_found_and_name_the_number_of_items() -> None:
    found = agree(*raters([[70, 10], [12, 58]], YES_NO), YES_NO)
    assert found.kappa is not None
    for interval in (found.share, found.kappa, found.ac1):
        assert interval.n == 150 and interval.low < interval.mean < interval.high
    assert found.share.mean == pytest.approx(128 / 150)


def test_kappas_interval_is_as_wide_as_its_standard_error_says() -> None:
    found = agree(*raters([[350, 50], [60, 290]], YES_NO), YES_NO)
    p, chance = 640 / 750, (400 * 410 + 350 * 340) / 750**2
    error = np.sqrt(p * (1 - p) / 750) / (1 - chance)  # Cohen 1960, formula 9: near the right one where margins are even
    assert found.kappa is not None
    assert found.kappa.high - found.kappa.low == pytest.approx(2 * 1.96 * error, rel=0.05)


@pytest.mark.parametrize("kappa", [0.0, 0.4, 0.8])
def test_large_samples_come_to_the_kappa_they_were_made_with(kappa: float) -> None:
    """With even labels, a rater who copies with probability kappa and else flips a coin has that kappa, and that AC1."""
    chance = np.random.default_rng(1)
    left = chance.integers(2, size=5000)
    right = np.where(chance.random(5000) < kappa, left, chance.integers(2, size=5000))
    found = agree([YES_NO[i] for i in left], [YES_NO[i] for i in right], YES_NO)
    assert found.kappa is not None
    assert found.kappa.mean == pytest.approx(kappa, abs=0.03) and found.ac1.mean == pytest.approx(kappa, abs=0.03)
    assert found.kappa.low < kappa < found.kappa.high
    assert found.kappa.high - found.kappa.low < 0.06


def test_answers_to_one_question_are_worth_less_than_as_many_to_different_ones() -> None:
    left, right = raters([[40, 10], [10, 40]], YES_NO)
    alike = [str(i // 5) for i in range(100)]  # neighbours are alike, for `raters` goes cell by cell
    apart, together = agree(left, right, YES_NO), agree(left, right, YES_NO, alike)
    assert together.share.mean == apart.share.mean
    assert together.share.high - together.share.low > 1.5 * (apart.share.high - apart.share.low)


def test_one_label_only_leaves_kappa_undefined_and_ac1_not() -> None:
    found = agree(["yes"] * 20, ["yes"] * 20, YES_NO)
    assert found.kappa is None
    assert (found.share.mean, found.ac1.mean, found.ac1.low) == (1.0, 1.0, 1.0)


def test_a_rater_who_always_says_the_same_agrees_by_chance_only() -> None:
    found = agree(["yes"] * 190 + ["no"] * 10, ["yes"] * 200, YES_NO)
    assert found.kappa is not None and found.kappa.mean == pytest.approx(0.0)
    assert found.ac1.mean > 0.9


def test_a_label_given_once_makes_no_kappa_sure() -> None:
    found = agree(["yes"] * 149 + ["no"], ["yes"] * 149 + ["no"], YES_NO)
    assert found.kappa is not None
    assert (found.kappa.mean, found.kappa.low) == (1.0, 0.0)


@pytest.mark.parametrize("left, right, labels", [
    (["yes"], [], YES_NO), ([], [], YES_NO), (["yes"], ["maybe"], YES_NO), (["yes"], ["yes"], ("yes",)),
])  # fmt: skip
def test_what_cant_be_compared_is_refused(left: list[str], right: list[str], labels: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        agree(left, right, labels)


def test_an_agreement_is_read_as_it_was_written() -> None:
    for left in (["yes", "no", "yes"], ["yes"] * 3):
        found = agree(left, ["yes"] * 3, YES_NO)
        assert Agreement.from_dict(asdict(found)) == found
