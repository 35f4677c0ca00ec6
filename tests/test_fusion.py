"""Two rankings made one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import ConfigError, DataError
from llmops.retrieval.fusion import Candidates, convex, fit_weight, minmax, rrf


def candidates(*triples: tuple[int, float, float]) -> Candidates:
    rows, dense, lexical = zip(*triples, strict=True)
    return Candidates(np.array(rows), np.array(dense, dtype=np.float32), np.array(lexical, dtype=np.float32))


def first_is(wanted: dict[str, int]):  # type: ignore[no-untyped-def]
    return lambda query_id, rows: float(rows[0] == wanted[query_id])


def test_reciprocal_ranks_add_up() -> None:
    assert rrf([[7, 3], [3, 9]]) == [(3, 1 / 62 + 1 / 61), (7, 1 / 61), (9, 1 / 62)]


def test_reciprocal_rank_ties_go_to_the_lower_row_and_padding_counts_for_nothing() -> None:
    assert rrf([[8, -1], [2, -1]]) == [(2, 1 / 61), (8, 1 / 61)]
    assert rrf([]) == rrf([[-1]]) == []


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=4))
def test_a_row_that_every_ranking_puts_above_another_stays_above(rankings: list[list[int]]) -> None:
    fused = [row for row, _ in rrf(rankings)]
    for low in range(6):
        for high in range(6):
            if all(ranking.index(high) < ranking.index(low) for ranking in rankings):
                assert fused.index(high) < fused.index(low)


def test_the_weight_moves_the_ranking_from_lexical_to_dense() -> None:
    found = candidates((1, 0.9, 0.0), (2, 0.1, 8.0), (3, 0.6, 6.0))
    assert [row for row, _ in convex(found, 1.0)] == [1, 3, 2]
    assert [row for row, _ in convex(found, 0.0)] == [2, 3, 1]
    assert dict(convex(found, 0.5))[3] == pytest.approx(0.5 * 0.625 + 0.5 * 0.75)


def test_equal_scores_say_nothing_and_ties_go_to_the_lower_row() -> None:
    found = candidates((5, 0.4, 2.0), (4, 0.4, 2.0), (6, 0.4, 3.0))
    assert convex(found, 0.5) == [(6, 0.5), (4, 0.0), (5, 0.0)]
    assert minmax([]).tolist() == [] and minmax([3.0]).tolist() == [0.0]


@given(
    scores=st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 50)), min_size=1, max_size=8),
    weight=st.floats(0, 1), scale=st.integers(1, 9), shift=st.integers(-9, 9),
)  # fmt: skip
def test_fused_scores_stay_in_the_unit_interval_whatever_the_scales(
    scores: list[tuple[int, int]], weight: float, scale: int, shift: int
) -> None:
    plain = candidates(*((row, dense, lexical) for row, (dense, lexical) in enumerate(scores)))
    scaled = candidates(*((row, scale * dense + shift, lexical) for row, (dense, lexical) in enumerate(scores)))
    fused = dict(convex(plain, weight))
    assert all(0 <= score <= 1 for score in fused.values())
    assert dict(convex(scaled, weight)) == pytest.approx(fused)


def test_a_weight_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(ConfigError, match="1.5"):
        convex(candidates((1, 1.0, 1.0)), 1.5)


def test_the_fitted_weight_is_the_one_that_ranks_training_queries_best() -> None:
    lexical_right = candidates((1, 1.0, 0.0), (2, 0.0, 1.0), (3, 0.5, 0.9))
    assert fit_weight({"q": lexical_right}, first_is({"q": 2})) == 0.15  # 3 overtakes 2 at a sixth
    assert fit_weight({"q": lexical_right}, first_is({"q": 1})) == 0.65


def test_a_metric_that_no_weight_moves_leaves_both_sides_equal() -> None:
    assert fit_weight({"q": candidates((1, 1.0, 0.0), (2, 0.0, 1.0))}, lambda query_id, rows: 0.1) == 0.5


def test_a_weight_is_not_fitted_on_nothing() -> None:
    with pytest.raises(DataError, match="no queries"):
        fit_weight({}, lambda query_id, rows: 0.0)
