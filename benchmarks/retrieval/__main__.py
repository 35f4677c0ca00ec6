"""Benchmark retrieval against its peers, everything side by side in one run.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.retrieval --data DIR --json out.json
    python -m benchmarks.retrieval --data DIR --json out.json --only search --sizes 10000

DIR holds the data sets that benchmarks/data.py describes. The file is written anew after each section, whole.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, measure, sections
from benchmarks.retrieval import indexing, langchain, memory, quality, reindexing, searching
from benchmarks.sections import Section
from llmops import step
from llmops.errors import ConfigError


@dataclass(frozen=True)
class RetrievalBenchmark:
    """Measure the quality of retrieval, and the speed and memory of indexing, re-indexing and searching."""

    data: str = step.setting("folder of the data sets")
    json: str = step.setting("file for the results")
    only: str = step.setting("sections to run, between commas", "quality,index,reindex,search,memory")
    backend: str = step.setting("embedding backend; auto takes what a short measurement finds fastest", "auto")
    rounds: int = step.setting("index: interleaved rounds", 3)
    round_chunks: int = step.setting("index: chunks in a round", 250)
    reindex_chunks: int = step.setting("reindex: chunks", 10_000)
    langchain_sample: int = step.setting("reindex: passages LangChain's rebuild is timed on, then scaled; 0 is all", 1_000)
    sizes: str = step.setting("search: numbers of vectors, between commas", "10000,100000,1000000")
    memory_chunks: int = step.setting("memory: chunks of the smaller build", 2_000)


def quality_section(config: RetrievalBenchmark) -> dict[str, Any]:
    return measure.apart(quality.measure, Path(config.data), config.backend)


def index_section(config: RetrievalBenchmark) -> dict[str, Any]:
    folder = Path(config.data)
    return measure.on_one_core(indexing.measure, folder, config.backend, config.rounds, config.round_chunks)


def reindex_section(config: RetrievalBenchmark) -> dict[str, Any]:
    folder = Path(config.data)
    return measure.on_one_core(reindexing.measure, folder, config.backend, config.reindex_chunks, config.langchain_sample)


def search_section(config: RetrievalBenchmark) -> dict[str, Any]:
    return searching.measure(_sizes(config.sizes))


def memory_section(config: RetrievalBenchmark) -> dict[str, Any]:
    return memory.measure(Path(config.data), config.backend, config.memory_chunks)


SECTIONS = {
    "quality": Section(quality_section, (*data.SCIFACT, data.SQUAD)),
    "index": Section(index_section, (data.DOCS,), langchain.check),
    "reindex": Section(reindex_section, (data.DOCS,), langchain.check),
    "search": Section(search_section),
    "memory": Section(memory_section, (data.DOCS,)),
}


def main(config: RetrievalBenchmark) -> None:
    """Run the sections asked for."""
    _sizes(config.sizes)
    sections.run(SECTIONS, config)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < searching.K:
        raise ConfigError(f"sizes is {text!r}, expected whole numbers from {searching.K} on, between commas.")
    return sizes


if __name__ == "__main__":
    step.run(main, RetrievalBenchmark)
