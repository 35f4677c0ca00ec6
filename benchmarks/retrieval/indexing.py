"""A whole index build against LangChain's, on the same passages without duplicates."""

import random
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.data import Page, read_pages
from benchmarks.measure import timed
from benchmarks.retrieval.building import build, first_pages, kept_passages, load_embedder, weights, write_corpus
from benchmarks.retrieval.langchain import LangChain
from llmops.documents.splitter import Splitting
from llmops.retrieval.embedder import SentenceTransformerEmbedder

SPLITTING = Splitting(chunk_tokens=200)
OURS, PEERS = "index", ("langchain", "langchain_bf16")


def measure(data: Path, backend: str, rounds: int, chunks: int) -> dict[str, Any]:
    """Build `rounds` slices of about `chunks` chunks with each; the ratios are medians over the rounds.

    Ours reads, splits, finds duplicates, embeds, indexes vectors and words, and writes; the peer embeds and indexes
    vectors. Models are loaded and warm, and everything runs on one core.
    """
    embedder = load_embedder(backend)
    peers = {name: LangChain(weights().folder, name == "langchain_bf16") for name in PEERS}
    pages = read_pages(data)
    _round([pages.pop()], embedder, peers, 0)  # imports
    done: list[dict[str, float]] = []
    for number in range(rounds):
        own = first_pages(pages, chunks, embedder, SPLITTING)
        pages = pages[len(own) :]
        done.append(_round(own, embedder, peers, number))
    names = (OURS, *PEERS)
    return {
        **{f"index_vs_{name}": median(one[OURS] / one[name] for one in done) for name in PEERS},
        **{f"{name}_chunks_per_cpu_s": median(one[name] for one in done) for name in names},
        "index_rounds": done, "index_backend": embedder.identity.backend, "index_backends_measured": embedder.measured,
        "index_chunk_tokens": SPLITTING.chunk_tokens,
    }  # fmt: skip


def _round(
    pages: list[Page], embedder: SentenceTransformerEmbedder, peers: Mapping[str, LangChain], seed: int
) -> dict[str, float]:
    """Chunks per CPU-second of each, and what they were measured on; the peers in an order of chance."""
    with TemporaryDirectory() as folder:
        corpus, target = write_corpus(pages, Path(folder) / "corpus"), Path(folder) / "index"
        with timed() as own:
            build(corpus, target, embedder, SPLITTING)
        passages = kept_passages(target)
    rates = {OURS: len(passages) / own.cpu_s}
    for name in random.Random(seed).sample(sorted(peers), len(peers)):
        with timed() as peer:
            peers[name].build(passages)
        rates[name] = len(passages) / peer.cpu_s
    tokens = sum(map(embedder.count_tokens, passages)) / len(passages)
    return {**rates, "documents": len(pages), "chunks": len(passages), "mean_tokens": tokens}
