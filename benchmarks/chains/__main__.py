"""Benchmark answering: what guards stop and what they hinder, and what batches are worth.

    python -m benchmarks.chains --json out.json
    python -m benchmarks.chains --json out.json --only guards

Needs no data but the pack beside this file and the sample handbook. The file is written anew after each section, whole.
"""

from dataclasses import dataclass
from typing import Any

from benchmarks import sections
from benchmarks.chains import batching, guarding
from benchmarks.sections import Section
from llmops import step


@dataclass(frozen=True)
class ChainsBenchmark:
    """Measure guards and batched generation."""

    json: str = step.setting("file for the results")
    only: str = step.setting("sections to run, between commas", "guards,batching")
    rounds: int = step.setting("batching: interleaved rounds", 3)
    failures: str = step.setting("guards: file for what was judged wrongly; empty means none", "")


def guards_section(config: ChainsBenchmark) -> dict[str, Any]:
    return guarding.measure(config.failures)


def batching_section(config: ChainsBenchmark) -> dict[str, Any]:
    return batching.measure(config.rounds)


SECTIONS = {"guards": Section(guards_section), "batching": Section(batching_section)}


def main(config: ChainsBenchmark) -> None:
    """Run the sections asked for."""
    sections.run(SECTIONS, config)


if __name__ == "__main__":
    step.run(main, ChainsBenchmark)
