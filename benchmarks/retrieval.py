"""Benchmark retrieval against its peers, everything side by side in one run.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.retrieval --data DIR --json out.json
    python -m benchmarks.retrieval --data DIR --json out.json --only search --sizes 10000

DIR holds the data sets that benchmarks/data.py describes. The file is written anew after each section, whole.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, indexing, langchain, measure, memory, quality, reindexing, report, searching
from benchmarks.machine import machine_facts
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


SECTIONS: dict[str, tuple[Callable[[RetrievalBenchmark], dict[str, Any]], tuple[str, ...]]] = {
    "quality": (quality_section, (*data.SCIFACT, data.SQUAD)),
    "index": (index_section, (data.DOCS,)),
    "reindex": (reindex_section, (data.DOCS,)),
    "search": (search_section, ()),
    "memory": (memory_section, (data.DOCS,)),
}
"""Section -> what it does and the data it needs."""


def main(config: RetrievalBenchmark) -> None:
    """Run the sections one after the other, each in processes of its own."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # models are on disk; a look at the hub would cost time
    names = _check(config)
    results: dict[str, Any] = {"machine": machine_facts(), "seconds": {}}
    for name in names:
        print(f"{name} ...", flush=True)
        started = time.perf_counter()
        found = SECTIONS[name][0](config)
        results["seconds"][name] = round(time.perf_counter() - started, 1)
        results |= found
        report.write(Path(config.json), results)
        print(report.table(found), f"  took {results['seconds'][name]:,.0f} s", sep="\n", flush=True)
    print(f"results -> {config.json}")


def _check(config: RetrievalBenchmark) -> list[str]:
    """The sections to run, once it is sure that nothing they need is missing.

    Raises:
        LLMOpsError: a section is unknown, or a data set or package is missing.
    """
    names = [name.strip() for name in config.only.split(",") if name.strip()]
    if unknown := set(names) - set(SECTIONS):
        raise ConfigError(f"unknown section {', '.join(sorted(unknown))}. Known: {', '.join(SECTIONS)}.")
    folder = step.existing_folder(config.data, "the benchmark's data folder")
    step.existing_folder(str(Path(config.json).parent), "the folder of --json")
    data.check(folder, [file for name in names for file in SECTIONS[name][1]])
    _sizes(config.sizes)
    if {"index", "reindex"} & set(names):
        langchain.check()
    return names


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
