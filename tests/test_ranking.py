"""Metrics of rankings, and the files of judgements behind them."""

from pathlib import Path

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from llmops.datasets.qrels import read_qrels, read_queries
from llmops.errors import DataError
from llmops.evaluation.ranking import ndcg_at, query_scores, recall_at, reciprocal_rank, score_ranking

DOCUMENTS = [f"d{number}" for number in range(14)]
RANKINGS = st.permutations(DOCUMENTS).flatmap(lambda ids: st.integers(1, len(ids)).map(lambda n: ids[:n]))
GRADES = st.dictionaries(st.sampled_from([*DOCUMENTS, "unfound"]), st.integers(-1, 3), min_size=1)


def trec_eval(ranked: list[str], relevant: dict[str, int], metric: str) -> float:
    run = {"q": {doc_id: float(-rank) for rank, doc_id in enumerate(ranked)}}
    found = pytrec_eval.RelevanceEvaluator({"q": relevant}, {metric}).evaluate(run)
    return float(found["q"][metric.replace(".", "_")])


def written(folder: Path, text: str) -> Path:
    path = folder / "file.tsv"
    path.write_text(text, encoding="utf-8")
    return path


@given(ranked=RANKINGS, relevant=GRADES, k=st.integers(1, 20))
def test_metrics_are_those_of_trec_eval(ranked: list[str], relevant: dict[str, int], k: int) -> None:
    assert recall_at(ranked, relevant, k) == pytest.approx(trec_eval(ranked, relevant, f"recall.{k}"))
    assert ndcg_at(ranked, relevant, k) == pytest.approx(trec_eval(ranked, relevant, f"ndcg_cut.{k}"))
    assert reciprocal_rank(ranked, relevant) == pytest.approx(trec_eval(ranked, relevant, "recip_rank"))
    assert reciprocal_rank(ranked, relevant, k) == pytest.approx(trec_eval(ranked[:k], relevant, "recip_rank"))


def test_a_document_below_the_cut_is_not_found() -> None:
    for metric in (recall_at, reciprocal_rank, ndcg_at):
        assert metric(["a", "b"], {"b": 1}, 1) == 0 < metric(["a", "b"], {"b": 1}, 2)


def test_means_are_over_judged_queries_and_one_without_a_ranking_found_nothing() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}, "unanswerable": {"a": 0}}
    found = score_ranking({"q1": ["x", "a"], "unasked": ["a"]}, qrels)
    assert {name: (value.mean, value.n) for name, value in found.items()} == {
        "recall_at_10": (0.5, 2), "mrr_at_10": (0.25, 2), "ndcg_at_10": (pytest.approx(0.3155, abs=1e-4), 2),
    }  # fmt: skip
    assert all(value.low <= value.mean <= value.high for value in found.values())


def test_scores_by_query_are_named_after_the_cut() -> None:
    assert query_scores({"q": ["a"]}, {"q": {"a": 2}}, 3) == {
        "recall_at_3": {"q": 1.0}, "mrr_at_3": {"q": 1.0}, "ndcg_at_3": {"q": 1.0},
    }  # fmt: skip


def test_a_ranking_is_not_scored_without_judgements() -> None:
    with pytest.raises(DataError):
        score_ranking({"q": ["a"]}, {"q": {"a": 0}})


@pytest.mark.parametrize("text", [
    "query-id\tcorpus-id\tscore\r\n1\ta b.md\t2\r\n1\tc\t0\r\n\r\n2\tc\t1\r\n",
    "\ufeffquery-id\tcorpus-id\tscore\n1\ta b.md\t2\n1\tc\t0\n2\tc\t1\n2\tc\t1\n",
])  # fmt: skip
def test_beir_judgements_are_read(tmp_path: Path, text: str) -> None:
    assert read_qrels(written(tmp_path, text)) == {"1": {"a b.md": 2, "c": 0}, "2": {"c": 1}}


def test_trec_judgements_are_read(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path, "1 0 a 2\n1 0 c -1\n2\t0\tc\t1\n")) == {"1": {"a": 2, "c": -1}, "2": {"c": 1}}


@pytest.mark.parametrize(("text", "message"), [
    ("query-id\tcorpus-id\tscore\n1\ta\n", "file.tsv:2: found 2 columns"),
    ("1\ta\t1\n", "file.tsv:1: found 3 columns.*query-id"),
    ("1 0 a high\n", "file.tsv:1: the score is 'high'"),
    ("1 0 a 1\n1 0 a 0\n", "file.tsv:2: 'a' is judged 1 and 0 for '1'"),
    ("query-id\tcorpus-id\tscore\n", "no judgements"),
    ("", "no judgements"),
])  # fmt: skip
def test_bad_judgements_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_qrels(written(tmp_path, text))


def test_queries_are_read(tmp_path: Path) -> None:
    text = '{"_id": "1", "text": "Why?", "metadata": {}}\n{"_id": "2", "text": " How? "}\n'
    assert read_queries(written(tmp_path, text)) == {"1": "Why?", "2": "How?"}


@pytest.mark.parametrize(("text", "message"), [
    ('{"_id": "1", "text": "Why?"}\n{"_id": "1", "text": "How?"}', "file.tsv:2: id '1' appears twice"),
    ('{"id": "1", "text": "Why?"}', "file.tsv:1: '_id' is None"),
    ("", "no queries"),
])  # fmt: skip
def test_bad_queries_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_queries(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere.tsv"):
        read_qrels(tmp_path / "nowhere.tsv")
