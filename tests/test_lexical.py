"""BM25 over stemmed words."""

import logging
from pathlib import Path

import bm25s
import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import ArtifactError, ConfigError
from llmops.retrieval.lexical import LexicalIndex

PASSAGES = [
    "Leave is thirty days a year. Unused days are lost.",
    "The cars of the company are electric cars.",
    "The canteen opens at noon.",
    "An electric car is charged at the depot, never at the canteen.",
    "the and of",
]
WORDS = st.sampled_from(["leave", "leaves", "car", "cars", "depot", "noon", "the", "über", "a", "ﬁre", "B2"])
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=12)


def rows_of(index: LexicalIndex, query: str, k: int = 5, **options: object) -> list[int]:
    return [int(row) for row in index.search([query], k, **options)[1][0]]  # type: ignore[arg-type]


def files_of(index: LexicalIndex, folder: Path) -> dict[str, bytes]:
    index.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def reference_scores(passages: list[str], query: str) -> np.ndarray:
    """Score with bm25s's own tokenizer and indexer, which can't index passages without words."""
    options = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
    tokens = bm25s.tokenize(passages, **options)
    if not any(tokens.ids):
        return np.zeros(len(passages))
    model = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    model.index(tokens, show_progress=False)
    words = bm25s.tokenize([query], return_ids=False, **options)[0]
    return model.get_scores(words) if words else np.zeros(len(passages))


def test_the_row_with_the_rarer_words_comes_first_and_inflections_match() -> None:
    index = LexicalIndex.build(PASSAGES)
    assert rows_of(index, "charging of an electrical car")[:2] == [3, 1]


def test_rows_without_a_common_word_are_padding_and_not_hits() -> None:
    scores, rows = LexicalIndex.build(PASSAGES).search(["canteen", "zebra", "", "the"], 3)
    assert rows.tolist() == [[2, 3, -1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert (scores[rows < 0] == 0).all() and (scores[rows >= 0] > 0).all()
    assert scores.dtype == np.float32 and rows.dtype == np.int64


def test_rows_that_are_not_allowed_make_room_for_others() -> None:
    index = LexicalIndex.build([f"depot {'word ' * n}" for n in range(30)])
    allowed = np.arange(30) >= 20
    assert rows_of(index, "depot", 3) == [0, 1, 2]
    assert rows_of(index, "depot", 3, allowed=allowed) == [20, 21, 22]
    assert rows_of(index, "depot", 3, allowed=np.zeros(30, dtype=bool)) == [-1, -1, -1]


def test_ties_go_to_the_lower_row() -> None:
    index = LexicalIndex.build(["noon"] * 50 + ["noon noon noon"] + ["noon"] * 50)
    assert rows_of(index, "noon", 4) == [50, 0, 1, 2]


def test_given_rows_score_as_in_search() -> None:
    index = LexicalIndex.build(PASSAGES)
    scores, rows = index.search(["electric canteen"], 3)
    assert (index.scores("electric canteen", rows[0]) == scores[0]).all()
    assert index.scores("electric", [0, 1]).tolist()[0] == 0
    assert index.scores("zebra", [0, 1]).tolist() == [0, 0]


@settings(max_examples=40)
@given(passages=st.lists(st.text("abcdeé BC1-'\n"), min_size=1, max_size=8), query=st.text("abcdeé B", max_size=12))
def test_scores_are_those_of_bm25s(passages: list[str], query: str) -> None:
    expected = reference_scores(passages, query)
    np.testing.assert_allclose(LexicalIndex.build(passages).scores(query, range(len(passages))), expected, rtol=1e-5)


def test_a_saved_index_finds_the_same_and_holds_no_pickle(tmp_path: Path) -> None:
    index = LexicalIndex.build(PASSAGES)
    files = files_of(index, tmp_path / "lexical")
    assert {Path(name).suffix for name in files} == {".npy", ".json"}
    for path in (tmp_path / "lexical").glob("*.npy"):
        np.load(path, allow_pickle=False)
    queries = ["electric canteen", "zebra", "days"]
    found = LexicalIndex.load(tmp_path / "lexical").search(queries, 4)
    assert np.array_equal(found, index.search(queries, 4))


@settings(max_examples=40)
@given(old=TEXTS, new=TEXTS, data=st.data())
def test_an_index_that_reuses_rows_is_the_same_as_one_built_from_nothing(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("lexical")
    reused = np.array(data.draw(st.permutations([-1] * len(new) + list(range(len(old))[::2]))), dtype=np.int64)
    fresh = iter(new)
    passages = [old[row] if row >= 0 else next(fresh) for row in reused]
    LexicalIndex.build(old).save(folder / "previous")
    built = LexicalIndex.build(new, previous=LexicalIndex.load(folder / "previous"), reused=reused)
    assert files_of(built, folder / "reused") == files_of(LexicalIndex.build(passages), folder / "whole")


@pytest.mark.parametrize("passages", [[], [""], ["the and of", "a"]])
def test_passages_without_words_make_an_index_that_finds_nothing(tmp_path: Path, passages: list[str]) -> None:
    LexicalIndex.build(passages).save(tmp_path / "lexical")
    index = LexicalIndex.load(tmp_path / "lexical")
    assert index.n_rows == len(passages)
    assert rows_of(index, "electric", 2) == [-1, -1]


def test_a_language_has_its_own_stems_and_stop_words() -> None:
    german = LexicalIndex.build(["Die Häuser der Stadt", "Das Auto"], "german")
    assert rows_of(german, "haus", 2) == [0, -1] and rows_of(german, "der", 1) == [-1]
    plain = LexicalIndex.build(["the cars", "a car"], "none")
    assert rows_of(plain, "the", 2) == [0, -1] and rows_of(plain, "car", 2) == [1, -1]


def test_ligatures_and_full_width_letters_are_found_by_plain_ones() -> None:
    assert rows_of(LexicalIndex.build(["the ﬁre ＡＢＣ"]), "fire abc", 1) == [0]


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'klingon'.*german"):
        LexicalIndex.build([], "klingon")


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no lexical index"):
        LexicalIndex.load(tmp_path)


def test_building_and_searching_say_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        LexicalIndex.build(PASSAGES).save(tmp_path / "lexical")
        rows_of(LexicalIndex.load(tmp_path / "lexical"), "")
    assert capfd.readouterr() == ("", "") and not caplog.records
