"""Unit vectors by row, and the rows nearest to a query by inner product (cosine similarity). Both files are memory-mapped.

exact.faiss       a flat index, float32: every score comes from it, whatever the kind
neighbours.faiss  hnsw: a graph over 8-bit vectors; ivfpq: product-quantised lists; flat has none. It proposes rows, which
                  are then ranked by their exact vectors
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import ArtifactError, ConfigError

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

KINDS = ("auto", "flat", "hnsw", "ivfpq")
EXACT, NEIGHBOURS = "exact.faiss", "neighbours.faiss"
FLAT_ROWS = 100_000  # up to here a search of every row takes about 10 ms, and nothing needs building
TRAINING_ROWS = 1_000  # fewer rows can't train a codebook of 256 entries: they are kept flat
TARGET_RECALL = 0.98  # of sampled stored vectors, moved a little; unseen queries measured up to 0.03 less, so 0.95 holds
BLOCK, FEW = 16_384, 1_024  # rows indexed, and read, at a time
SPARE = 32  # rows looked at beyond those wanted: in a batch near-equal ones may be ordered otherwise than alone
ROUNDING = 1e-6  # two sums of the same products may differ by this much


@dataclass(frozen=True)
class VectorFacts:
    """What was built. `parameters` are faiss's; `recall_at_10` is against exact search, with the search effort in them."""

    kind: str
    count: int
    dim: int
    recall_at_10: float = 1.0
    parameters: dict[str, int] = field(default_factory=dict)


class VectorStore:
    """Vectors to search. `exact` is flat and looks at every row; `index`, if there is one, proposes some."""

    def __init__(self, exact: Any, facts: VectorFacts, index: Any = None) -> None:
        self.facts = facts
        self._exact = exact
        self._index = index
        self._matrix: Floats = np.zeros((0, facts.dim), dtype=np.float32)
        if exact.ntotal:
            self._matrix = _faiss().rev_swig_ptr(exact.get_xb(), exact.ntotal * facts.dim).reshape(-1, facts.dim)

    @classmethod
    def build(cls, matrix: Floats, kind: str = "auto", seed: int = 0) -> "VectorStore":
        """Index unit vectors of shape (n, dim); the same matrix, kind and seed give the same files.

        Raises:
            ConfigError: the kind is unknown.
        """
        return cls._build(len(matrix), matrix.shape[1], _blocks(matrix), kind, seed)

    @classmethod
    def build_from_file(cls, path: Path, dim: int, kind: str = "auto", seed: int = 0) -> "VectorStore":
        """`build` for a file of float32 vectors one after the other, so that they are in memory once.

        Raises:
            ConfigError: the kind is unknown.
        """
        count = path.stat().st_size // (4 * dim)
        with path.open("rb") as file:
            sizes = (min(FEW, count - start) for start in range(0, count, FEW))
            blocks = (np.fromfile(file, np.float32, size * dim).reshape(size, dim) for size in sizes)
            return cls._build(count, dim, blocks, kind, seed)

    @classmethod
    def _build(cls, count: int, dim: int, blocks: Iterable[Floats], kind: str, seed: int) -> "VectorStore":
        check_kind(kind)
        facts = VectorFacts(_choose(kind, count), count, dim)
        exact = _faiss().IndexFlatIP(dim)
        exact.codes.resize(4 * count * dim)  # at once: by add() it would grow by doubling
        exact.ntotal = count
        store, start = cls(exact, facts), 0
        for block in blocks:
            store._matrix[start : start + len(block)] = block
            start += len(block)
        if facts.kind == "flat":
            return store
        index, parameters = _build_hnsw(store._matrix) if facts.kind == "hnsw" else _build_ivfpq(store._matrix, seed)
        return cls(exact, replace(facts, parameters=parameters), index)._tuned(seed)

    def save(self, folder: Path) -> None:
        """Write the vectors and what finds them into `folder`, made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss = _faiss()
        for name, index in ((EXACT, self._exact), (NEIGHBOURS, self._index)):
            if index is not None:
                with (folder / name).open("wb") as file:  # given a path, faiss 1.15 leaves a full disk unsaid
                    faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))

    @classmethod
    def load(cls, folder: Path, facts: VectorFacts) -> "VectorStore":
        """Open what `save` wrote, memory-mapped.

        Raises:
            ArtifactError: a file is missing, damaged, or not the one `facts` describe.
        """
        try:
            faiss = _faiss()
            names = (EXACT,) if facts.kind == "flat" else (EXACT, NEIGHBOURS)
            opened = [faiss.read_index(str(folder / name), faiss.IO_FLAG_MMAP_IFC) for name in names]
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"the vectors in {folder} can't be opened ({reason}). Build the index anew.") from error
        shapes = {(index.ntotal, index.d) for index in opened}
        if shapes != {(facts.count, facts.dim)} or not isinstance(opened[0], faiss.IndexFlatIP):
            raise ArtifactError(
                f"the vectors in {folder} are a {type(opened[0]).__name__} of shape {shapes}, expected an IndexFlatIP of "
                f"{(facts.count, facts.dim)}. Build the index anew."
            )
        return cls(opened[0], facts, *opened[1:])

    def search(self, queries: Floats, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> tuple[Floats, Rows]:
        """Return scores and rows, both (q, k), of the `k` nearest allowed rows to each query, best first, ties by row.

        `allowed` is a mask over the rows. Where fewer than `k` are allowed, the rest is row -1 at -inf.

        Raises:
            ArtifactError: the queries are not of the index's dimension.
        """
        queries = np.atleast_2d(self._checked(queries))
        if allowed is not None and allowed.shape != (self.facts.count,):
            raise ValueError(f"a mask of shape {allowed.shape} over {self.facts.count} rows")
        allowed_rows = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
        wanted = min(k, self.facts.count if allowed_rows is None else len(allowed_rows))
        scores, rows = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        if wanted:
            for at, near in enumerate(self._near(queries, wanted, allowed_rows)):
                similarity = self.similarity(queries[at], near)
                best = np.lexsort((near, -similarity))[:wanted]
                scores[at, :wanted], rows[at, :wanted] = similarity[best], near[best]
        return scores, rows

    def similarity(self, query: Floats, rows: Rows) -> Floats:
        """Exact inner products of one query, shape (dim,), with `rows`; a row's doesn't depend on the others."""
        similarity: Floats = np.einsum("ij,j->i", self._matrix[rows], self._checked(query))
        return similarity

    def take(self, rows: Rows) -> Floats:
        """Copy the exact vectors of `rows`."""
        return np.array(self._matrix[rows])

    def _near(self, queries: Floats, wanted: int, allowed_rows: Rows | None) -> Iterator[Rows]:
        """Yield rows for each query that hold its `wanted` nearest, in no order."""
        count = self.facts.count if allowed_rows is None else len(allowed_rows)
        few = count * count <= 1_000 * self.facts.count or wanted * 100 > count  # looking at each is as fast
        if self._index is None or few:
            yield from self._nearest(queries, wanted, allowed_rows)
            return
        for query, proposed in zip(queries, self._propose(queries, wanted, allowed_rows), strict=True):
            proposed = proposed[proposed >= 0]
            short = len(proposed) < wanted  # the filter leaves too little of where the query lies
            yield next(self._nearest(query[None], wanted, allowed_rows)) if short else proposed

    def _nearest(self, queries: Floats, wanted: int, allowed_rows: Rows | None) -> Iterator[Rows]:
        """Yield for each query its nearest rows by exact search, some more than `wanted`."""
        parameters = _faiss().SearchParameters(sel=self._selector(allowed_rows))
        found = self._exact.search(queries, min(wanted + SPARE, self.facts.count), params=parameters)[1]
        yield from (line[line >= 0] for line in found)

    def _selector(self, allowed_rows: Rows | None) -> Any:
        if allowed_rows is None:
            return None
        mask = np.zeros(self.facts.count, dtype=bool)
        mask[allowed_rows] = True
        return _faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))

    def _propose(self, queries: Floats, wanted: int, allowed_rows: Rows | None) -> Rows:
        """Let faiss propose more than `wanted` rows for each query, -1 where it ran out.

        The measured effort is for ten rows without a filter: more rows and fewer allowed ones need more.
        """
        faiss = _faiss()
        known, selector, wider = self.facts.parameters, self._selector(allowed_rows), max(1.0, wanted / 10)
        each = max(min(known["candidates"], 16), int(known["candidates"] / wider**0.5))  # the more rows, the fewer for each
        if allowed_rows is not None:
            wider *= 4 * self.facts.count / len(allowed_rows)  # 4: what is allowed may lie away from the query
        if self.facts.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=int(known["ef_search"] * wider))
        else:
            probes = min(int(known["probes"] * wider), known["lists"])
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
        rows: Rows = self._index.search(queries, wanted * each, params=parameters)[1]
        return rows

    def _tuned(self, seed: int) -> "VectorStore":
        """Raise the search effort until recall@10 reaches its target, or to the end."""
        generator = np.random.default_rng(seed)
        sample = self.take(np.sort(generator.choice(self.facts.count, min(200, self.facts.count), replace=False)))
        noise = generator.standard_normal(sample.shape, dtype=np.float32) * np.float32(0.5 / np.sqrt(self.facts.dim))
        queries = sample + noise
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        tenth = VectorStore(self._exact, self.facts).search(queries, 10)[0][:, -1:]
        tuned = self
        for effort in _efforts(self.facts):
            facts = replace(self.facts, parameters=self.facts.parameters | effort)
            found = VectorStore(self._exact, facts, self._index).search(queries, 10)[0]
            recall = float(np.mean(found >= tenth - ROUNDING))  # equally near rows are equally good
            tuned = VectorStore(self._exact, replace(facts, recall_at_10=round(recall, 4)), self._index)
            if recall >= TARGET_RECALL:
                break
        return tuned

    def _checked(self, queries: Floats) -> Floats:
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.shape[-1] != self.facts.dim:
            raise ArtifactError(
                f"queries have {queries.shape[-1]} dimensions, the index has {self.facts.dim}. Query with its embedder."
            )
        return queries


def check_kind(kind: str) -> None:
    """Refuse a kind that doesn't exist.

    Raises:
        ConfigError: `kind` is none of KINDS.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of vector index {kind!r}. Choose one of {', '.join(KINDS)}.")


def _faiss() -> Any:
    """Import faiss untyped: the stubs of 1.15 lack what is used here."""
    import faiss

    return faiss


def _choose(kind: str, count: int) -> str:
    """Above FLAT_ROWS lists: they build faster than a graph, and clustered vectors can leave parts of a graph unreached."""
    if kind == "auto":
        return "flat" if count <= FLAT_ROWS else "ivfpq"
    return "flat" if kind == "ivfpq" and count < TRAINING_ROWS else kind


def _blocks(matrix: Floats) -> Iterator[Floats]:
    for start in range(0, len(matrix), BLOCK):
        yield np.ascontiguousarray(matrix[start : start + BLOCK], dtype=np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _build_hnsw(matrix: Floats) -> tuple[Any, dict[str, int]]:
    """Build the graph with one thread: with more, its links depend on who comes first."""
    faiss = _faiss()
    links, effort = 16, 40
    index = faiss.IndexHNSWSQ(matrix.shape[1], faiss.ScalarQuantizer.QT_8bit, links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = effort
    with _one_thread():
        index.train(np.ascontiguousarray(matrix[:: max(1, len(matrix) // BLOCK)]))  # the range of each dimension
        for block in _blocks(matrix):
            index.add(block)
    return index, {"links": links, "ef_construction": effort, "candidates": 2}


def _build_ivfpq(matrix: Floats, seed: int) -> tuple[Any, dict[str, int]]:
    """Train on a sample and add in blocks; one code byte for 8 dimensions."""
    faiss = _faiss()
    count, dim = matrix.shape
    lists = min(int(2 * count**0.5), count // 40)
    step = next(size for size in range(min(8, dim), dim + 1) if dim % size == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, lists, dim // step, 8, faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.cp, index.pq.cp):
        clustering.seed, clustering.niter = seed, 10
        clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, 64
    wanted = min(count, max(64 * lists, BLOCK))
    sample = matrix[np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))]
    with _one_thread():  # codebooks are many small problems: two threads measured eight times the CPU seconds
        index.train(sample)
    del sample
    for block in _blocks(matrix):
        index.add(block)
    return index, {"lists": lists, "code_bytes": dim // step, "seed": seed}


def _efforts(facts: VectorFacts) -> Iterator[dict[str, int]]:
    """Yield search parameters, cheapest first. `candidates` a result are ranked by their exact vectors."""
    if facts.kind == "hnsw":
        yield from ({"ef_search": 2**power} for power in range(5, 11))
        return
    probes = 4
    while probes < facts.parameters["lists"]:
        probes = min(2 * probes, facts.parameters["lists"])
        yield from ({"probes": probes, "candidates": candidates} for candidates in (16, 32, 64))
