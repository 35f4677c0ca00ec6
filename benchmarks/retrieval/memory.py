"""Does building stream? Its memory for four times the documents against that for one time."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.data import read_pages
from benchmarks.measure import on_one_core, peak_mb, reset_peak, resident_mb
from benchmarks.retrieval.building import build, first_pages, load_embedder, write_corpus
from llmops.documents.splitter import Splitting
from llmops.retrieval.index import VectorIndex

SPLITTING = Splitting(chunk_tokens=96)
WARM_UP = 100  # pages


def measure(data: Path, backend: str, chunks: int) -> dict[str, Any]:
    """Build about `chunks` chunks and four times the documents, each in a fresh process."""
    once = on_one_core(measure_build, data, backend, chunks, 1)
    fourfold = on_one_core(measure_build, data, backend, chunks, 4)
    more = fourfold["chunks"] - once["chunks"]
    return {
        "peak_memory_4x": fourfold["memory_mb"] / once["memory_mb"], "peak_memory_mb": once["memory_mb"],
        "peak_memory_4x_mb": fourfold["memory_mb"],
        "peak_memory_bytes_per_chunk": 1e6 * (fourfold["memory_mb"] - once["memory_mb"]) / more,
        "peak_memory_builds": {"1x": once, "4x": fourfold},
    }  # fmt: skip


def measure_build(data: Path, backend: str, chunks: int, times: int) -> dict[str, float]:
    """The most memory a build takes above the loaded and warm model, less the vectors' own 4 bytes a dimension.

    What libraries take once counts; `libraries_mb` is what a small build before it has left.
    """
    embedder = load_embedder(backend)
    pages = read_pages(data)
    warm_up, pages = pages[:WARM_UP], pages[WARM_UP:]
    embedder.embed_passages([page.text[:length] for page in warm_up for length in range(50, 500, 50)])
    documents = times * len(first_pages(pages, chunks, embedder, SPLITTING))
    with TemporaryDirectory() as name:
        folder = Path(name)
        few, corpus = write_corpus(warm_up, folder / "few"), write_corpus(pages[:documents], folder / "corpus")
        del pages
        model_mb = resident_mb()
        build(few, folder / "warm-up", embedder, SPLITTING)
        libraries_mb = resident_mb() - model_mb
        reset_peak()
        build(corpus, folder / "index", embedder, SPLITTING)
        memory_mb = peak_mb() - model_mb
        counts = VectorIndex(folder / "index").manifest["counts"]
    memory_mb -= 4 * embedder.identity.dim * counts["vectors"] / 1e6
    return {**counts, "model_mb": model_mb, "libraries_mb": libraries_mb, "memory_mb": memory_mb}
