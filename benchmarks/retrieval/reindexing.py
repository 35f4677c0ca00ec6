"""Bringing an index up to date after 1 % of its documents changed, against building it from nothing."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.data import Page, read_pages
from benchmarks.measure import timed
from benchmarks.retrieval.building import build, first_pages, kept_passages, load_embedder, weights, write_corpus
from benchmarks.retrieval.langchain import LangChain
from llmops.documents.splitter import Splitting
from llmops.retrieval.index import VectorIndex

SPLITTING = Splitting(chunk_tokens=96)
CHANGED = 0.01
SENTENCE = " This sentence was added when the page was revised."


def measure(data: Path, backend: str, chunks: int, sample: int) -> dict[str, Any]:
    """Build and rebuild about `chunks` chunks in this process, after model load.

    LangChain has nothing to bring up to date: its rebuild is timed on `sample` passages and scaled, or on all if 0.
    """
    embedder = load_embedder(backend)
    pages = read_pages(data)
    warm_up, pages = pages[:3], first_pages(pages[3:], chunks, embedder, SPLITTING)
    with TemporaryDirectory() as name:
        folder = Path(name)
        build(write_corpus(warm_up, folder / "corpus"), folder / "warm-up", embedder, SPLITTING)
        corpus = write_corpus(pages, folder / "corpus")
        with timed() as full:
            before = build(corpus, folder / "full", embedder, SPLITTING)
        write_corpus(revise(pages), folder / "corpus")
        with timed() as again:
            after = build(corpus, folder / "again", embedder, SPLITTING, VectorIndex(folder / "full"))
        passages = kept_passages(folder / "again")
    timed_passages = passages[:: max(len(passages) // sample, 1)][:sample] if sample else passages
    peer = LangChain(weights().folder)
    with timed() as rebuild:
        peer.build(timed_passages)
    langchain_cpu_s = rebuild.cpu_s * len(passages) / len(timed_passages)
    return {
        "reindex_vs_full": full.cpu_s / again.cpu_s, "reindex_vs_full_wall": full.wall_s / again.wall_s,
        "reindex_vs_langchain": langchain_cpu_s / again.cpu_s, "langchain_rebuild_cpu_s": langchain_cpu_s,
        "langchain_rebuild_scaled_from": len(timed_passages), "full_s": full.wall_s, "full_cpu_s": full.cpu_s,
        "reindex_s": again.wall_s, "reindex_cpu_s": again.cpu_s, "reindex_chunks": before.chunks,
        "reindex_documents": before.documents, "reindex_documents_changed": after.changed,
        "reindex_passages_embedded": after.embedded, "reindex_passages_reused": after.embedded_before,
        "reindex_backend": embedder.identity.backend, "reindex_chunk_tokens": SPLITTING.chunk_tokens,
    }  # fmt: skip


def revise(pages: list[Page]) -> list[Page]:
    """Add a sentence in the middle of 1 % of the pages, at least one."""
    step = min(round(1 / CHANGED), len(pages))
    return [_revise(page) if number % step == step // 2 else page for number, page in enumerate(pages)]


def _revise(page: Page) -> Page:
    end = page.text.find(". ", len(page.text) // 2) + 1 or len(page.text)
    return replace(page, text=page.text[:end] + SENTENCE + page.text[end:])
