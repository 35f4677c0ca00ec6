"""Searching vectors: time, recall against exact search, and memory, by the number of vectors."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from benchmarks.measure import anonymous_mb, apart, on_one_core, peak_mb, reset_peak, resident_mb, timed
from llmops.retrieval.embedder import Vectors
from llmops.retrieval.vectors import VectorFacts, VectorStore

DIM, K = 384, 10
CLUSTER = 100  # vectors around one centre
SPREAD = 0.7  # length of the noise beside a centre of length 1: cosine 0.67 between two vectors of a cluster
QUERIES, BATCHED, EXACT_QUERIES = 500, 5000, 50
_BLOCK = 50_000
T = TypeVar("T")


def measure(sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Measure each size in fresh processes: one builds, one searches on one core what the first has saved.

    The result maps a figure's name to its value by size.
    """
    found: dict[str, dict[str, Any]] = {}
    for size in sizes:
        with TemporaryDirectory() as folder:
            built = apart(measure_build, Path(folder), size)
            searched = on_one_core(measure_search, Path(folder), built["search_facts"])
        for name, value in (searched | built).items():
            found.setdefault(name, {})[str(size)] = value
    return found


def measure_build(folder: Path, size: int) -> dict[str, Any]:
    """Write `size` vectors, their index, and the queries with their true neighbours."""
    import faiss

    rng = np.random.default_rng(size)
    centres = _unit(rng.standard_normal((max(size // CLUSTER, 1), DIM), dtype=np.float32))
    matrix = np.lib.format.open_memmap(folder / "matrix.npy", "w+", np.float32, (size, DIM))
    for start in range(0, size, _BLOCK):
        matrix[start : start + _BLOCK] = _around(centres, min(_BLOCK, size - start), rng)
    queries = _around(centres, BATCHED, rng)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "true.npy", faiss.knn(queries[:QUERIES], matrix, K, metric=faiss.METRIC_INNER_PRODUCT)[1])
    reset_peak()
    before = resident_mb()
    with timed() as timing:
        store = VectorStore.build(matrix, "auto")
    store.save(folder / "vectors")
    return {
        "kind": store.facts.kind, "search_facts": asdict(store.facts), "build_s": timing.wall_s, "build_cpu_s": timing.cpu_s,
        "build_memory_mb": peak_mb() - before,
        "files_mb": sum(file.stat().st_size for file in (folder / "vectors").iterdir()) / 1e6,
    }  # fmt: skip


def measure_search(folder: Path, facts: dict[str, Any]) -> dict[str, float]:
    """Load an index and ask it; memory is what loading it and asking one query at a time add to the process.

    `memory_mb` counts the mapped files as far as they were read, `memory_anonymous_mb` doesn't.
    """
    import faiss

    queries, true = np.load(folder / "queries.npy"), np.load(folder / "true.npy")
    VectorStore.build(queries[:100], "flat").search(queries[:1], K)  # BLAS takes its buffers
    reset_peak()
    before, anonymous_before = resident_mb(), anonymous_mb()
    store = VectorStore.load(folder / "vectors", VectorFacts(**facts))
    store.search(queries[:10], K)
    found, times = _ask(lambda query: store.search(query, K)[1][0], queries[:QUERIES])
    memory_mb, memory_anonymous_mb = peak_mb() - before, anonymous_mb() - anonymous_before
    with timed() as batch:
        store.search(queries, K)
    exact = faiss.IndexFlatIP(DIM)
    exact.add(np.load(folder / "matrix.npy", mmap_mode="r"))
    exact_ms = _ask(lambda query: exact.search(query, K), queries[:EXACT_QUERIES])[1]
    recall = np.mean([len(np.intersect1d(rows, wanted)) / K for rows, wanted in zip(found, true, strict=True)])
    p50, exact_p50 = float(np.median(times)), float(np.median(exact_ms))
    return {
        "search_ms_p50": p50, "search_ms_p95": float(np.percentile(times, 95)), "exact_ms_p50": exact_p50,
        "search_vs_exact": exact_p50 / p50, "queries_per_s": len(queries) / batch.wall_s,
        "queries_per_cpu_s": len(queries) / batch.cpu_s, "recall_at_10": float(recall), "memory_mb": memory_mb,
        "memory_anonymous_mb": memory_anonymous_mb,
    }  # fmt: skip


def _around(centres: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Unit vectors, shape (count, dim), each near a centre of chance."""
    noise = rng.standard_normal((count, DIM), dtype=np.float32) * np.float32(SPREAD / np.sqrt(DIM))
    return _unit(centres[rng.integers(len(centres), size=count)] + noise)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _ask(search: Callable[[Vectors], T], queries: Vectors) -> tuple[list[T], list[float]]:
    """Ask one query at a time: the answers, and the milliseconds each took."""
    answers, times = [], []
    for query in queries:
        started = time.perf_counter()
        answers.append(search(query[None]))
        times.append(1000 * (time.perf_counter() - started))
    return answers, times
