"""Vectors: what a search finds under any filter, what is stored, what is written."""

import json
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import ArtifactError, ConfigError
from llmops.retrieval.vectors import Floats, VectorFacts, VectorStore

ROWS, DIM = 8_000, 32
BUILT = ("flat", "hnsw", "ivfpq")


def unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@cache
def clustered(count: int = ROWS + 100, dim: int = DIM) -> Floats:
    """Points around 100 centres, as passages lie around topics."""
    random = np.random.default_rng(5)
    centres = unit(random.standard_normal((100, dim)))
    return unit(centres[random.integers(0, 100, count)] + random.standard_normal((count, dim)) * 0.6 / np.sqrt(dim))


@cache
def built(kind: str) -> VectorStore:
    return VectorStore.build(clustered()[:ROWS], kind)


def questions(count: int = 20) -> Floats:
    """Points that are not in the store."""
    return clustered()[ROWS : ROWS + count]


def brute_force(matrix: Floats, queries: Floats, k: int, allowed: np.ndarray) -> np.ndarray:
    scores = np.where(allowed, queries.astype(np.float64) @ matrix.astype(np.float64).T, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, : min(k, int(allowed.sum()))]


def saved(store: VectorStore, folder: Path) -> dict[str, bytes]:
    store.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def reopened(store: VectorStore, folder: Path) -> VectorStore:
    store.save(folder)
    return VectorStore.load(folder, VectorFacts(**json.loads(json.dumps(asdict(store.facts)))))


# -- what is found


@pytest.mark.parametrize("kind", BUILT)
def test_the_recorded_recall_is_reached_by_queries_that_were_not_measured(kind: str) -> None:
    store = built(kind)
    truth = brute_force(clustered()[:ROWS], questions(100), 10, np.ones(ROWS, dtype=bool))
    _, rows = store.search(questions(100), 10)
    recall = np.mean([len(set(found) & set(true)) / 10 for found, true in zip(rows, truth, strict=True)])
    assert store.facts.kind == kind
    assert store.facts.recall_at_10 >= 0.95 and recall >= 0.95


@settings(max_examples=30)
@given(
    kind=st.sampled_from(BUILT),
    share=st.sampled_from([0.0, 0.001, 0.1, 0.5, 0.7, 1.0]),
    seed=st.integers(0, 99),
    k=st.integers(1, 60),
)
def test_any_filter_leaves_k_allowed_rows_best_first(kind: str, share: float, seed: int, k: int) -> None:
    allowed = np.random.default_rng(seed).random(ROWS) < share
    scores, rows = built(kind).search(questions(5), k, allowed)
    found = min(k, int(allowed.sum()))
    assert rows.shape == scores.shape == (5, k)
    assert allowed[rows[:, :found]].all() and (rows[:, found:] == -1).all()
    assert all(len(set(line[:found])) == found for line in rows.tolist())
    assert (np.diff(scores[:, :found], axis=1) <= 0).all()
    if kind == "flat":
        assert np.array_equal(rows[:, :found], brute_force(clustered()[:ROWS], questions(5), k, allowed))


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_a_filter_on_half_of_the_rows_keeps_the_recall(kind: str) -> None:
    allowed = np.random.default_rng(1).random(ROWS) < 0.5
    truth = brute_force(clustered()[:ROWS], questions(100), 10, allowed)
    _, rows = built(kind).search(questions(100), 10, allowed)
    assert np.mean([len(set(found) & set(true)) / 10 for found, true in zip(rows, truth, strict=True)]) >= 0.95


@pytest.mark.parametrize("kind", BUILT)
def test_only_what_is_far_from_the_question_may_be_allowed(kind: str) -> None:
    question = questions(1)
    order = np.argsort(clustered()[:ROWS] @ question[0])
    for count in (1, 7, ROWS // 2):
        allowed = np.zeros(ROWS, dtype=bool)
        allowed[order[:count]] = True
        _, rows = built(kind).search(question, 10, allowed)
        assert allowed[rows[0, : min(10, count)]].all() and (rows[0, min(10, count) :] == -1).all()


@pytest.mark.parametrize("together", [1, 64])
def test_equal_vectors_are_ranked_by_row_alone_and_in_a_batch(together: int) -> None:
    matrix = np.repeat(clustered()[:50], 9, axis=0)
    matrix = matrix[np.random.default_rng(0).permutation(len(matrix))]
    queries = np.repeat(questions(1), together, axis=0)
    scores, rows = VectorStore.build(matrix).search(queries, 60)
    assert np.array_equal(rows[-1], brute_force(matrix, queries[-1:], 60, np.ones(len(matrix), dtype=bool))[0])
    assert (scores == scores[0]).all()


@pytest.mark.parametrize("kind", BUILT)
@pytest.mark.parametrize("count", [1, 2, 300])
def test_a_few_vectors_are_all_found(kind: str, count: int) -> None:
    _, rows = VectorStore.build(clustered()[:count], kind).search(questions(2), count + 3)
    assert all(sorted(line) == [-1, -1, -1, *range(count)] for line in rows.tolist())


def test_no_vectors_find_nothing(tmp_path: Path) -> None:
    store = reopened(VectorStore.build(np.zeros((0, DIM), dtype=np.float32)), tmp_path)
    assert store.search(questions(2), 3)[1].tolist() == [[-1, -1, -1]] * 2


# -- what is kept


@pytest.mark.parametrize("kind", BUILT)
def test_vectors_from_a_file_make_the_same_store(kind: str, tmp_path: Path) -> None:
    clustered()[:ROWS].tofile(tmp_path / "raw")
    store = VectorStore.build_from_file(tmp_path / "raw", DIM, kind)
    assert saved(store, tmp_path / "from file") == saved(built(kind), tmp_path / "from memory")


@pytest.mark.parametrize("kind", BUILT)
def test_vectors_and_similarities_are_exact_whatever_the_kind(kind: str, tmp_path: Path) -> None:
    store, picked = reopened(built(kind), tmp_path), np.array([7, 0, ROWS - 1, 7])
    assert np.array_equal(store.take(picked), clustered()[picked])
    assert np.allclose(store.similarity(questions(1)[0], picked), clustered()[picked] @ questions(1)[0], atol=1e-6)
    scores, rows = store.search(questions(1), 10)
    assert np.array_equal(scores[0], store.similarity(questions(1)[0], rows[0]))


@pytest.mark.parametrize("kind", BUILT)
def test_a_reopened_store_answers_as_before(kind: str, tmp_path: Path) -> None:
    store, allowed = reopened(built(kind), tmp_path), np.arange(ROWS) % 2 == 0
    assert store.facts == built(kind).facts
    for mask in (None, allowed):
        for now, before in zip(store.search(questions(), 10, mask), built(kind).search(questions(), 10, mask), strict=True):
            assert np.array_equal(now, before)


@pytest.mark.parametrize("kind", BUILT)
def test_the_same_vectors_give_the_same_files_from_memory_and_from_a_mapped_file(kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", clustered()[:ROWS])
    mapped = VectorStore.build(np.load(tmp_path / "matrix.npy", mmap_mode="r"), kind)
    assert mapped.facts == built(kind).facts
    assert saved(mapped, tmp_path / "mapped") == saved(built(kind), tmp_path / "memory")


@pytest.mark.parametrize("kind", BUILT)
def test_opening_and_searching_leave_the_files_on_disk(kind: str, tmp_path: Path) -> None:
    store = VectorStore.build(clustered(17_000, 256), kind)
    store.save(tmp_path / "store")
    size = sum(file.stat().st_size for file in (tmp_path / "store").iterdir())
    code = f"""
from pathlib import Path
import faiss, numpy as np
from llmops.retrieval.vectors import VectorFacts, VectorStore
def own_kilobytes():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])
VectorStore.build(np.eye(256, dtype=np.float32)).search(np.eye(256, dtype=np.float32)[:1], 10)
before = own_kilobytes()
VectorStore.load(Path({str(tmp_path / "store")!r}), {store.facts!r}).search(np.ones((1, 256), dtype=np.float32), 10)
print(own_kilobytes() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown * 1024 < size / 4


# -- what goes wrong


def test_queries_of_another_dimension_are_refused() -> None:
    with pytest.raises(ArtifactError, match="queries have 31 dimensions, the index has 32"):
        built("flat").search(questions()[:, :31], 3)
    with pytest.raises(ArtifactError, match="queries have 31 dimensions"):
        built("flat").similarity(questions()[0, :31], np.array([0]))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="'lsh'. Choose one of auto, flat, hnsw, ivfpq"):
        VectorStore.build(clustered(), "lsh")


@pytest.mark.parametrize("name", ["exact.faiss", "neighbours.faiss"])
@pytest.mark.parametrize("damage", ["short", "empty", "missing"])
def test_damaged_files_are_refused(name: str, damage: str, tmp_path: Path) -> None:
    built("ivfpq").save(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage != "missing":
        (tmp_path / name).write_bytes(data[:-100] if damage == "short" else b"")
    with pytest.raises(ArtifactError, match="Build the index anew"):
        VectorStore.load(tmp_path, built("ivfpq").facts)


def test_files_of_another_store_are_refused(tmp_path: Path) -> None:
    VectorStore.build(clustered()[:20]).save(tmp_path)
    with pytest.raises(ArtifactError, match=r"expected an IndexFlatIP of \(8000, 32\)"):
        VectorStore.load(tmp_path, built("flat").facts)


@pytest.mark.parametrize("name", ["exact.faiss", "neighbours.faiss"])
def test_a_full_disk_is_an_error_and_not_a_short_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        built("ivfpq").save(tmp_path)
