"""Benchmark answering: what guards stop and hinder, what batches are worth, and which rules of a prompt a model keeps.

    python -m benchmarks.chains --json out.json
    python -m benchmarks.chains --json out.json --only guards

Needs no data but the pack beside this file and the sample handbook. The file is written anew after each section, whole.
"""

from dataclasses import dataclass
from typing import Any

from benchmarks import sections
from benchmarks.chains import batching, guarding, ruling
from benchmarks.sections import Section
from llmops import step


@dataclass(frozen=True)
class ChainsBenchmark:
    """Measure guards, batched generation, and a prompt's rules."""

    json: str = step.setting("file for the results")
    only: str = step.setting("sections to run, between commas", "guards,batching,rules")
    rounds: int = step.setting("batching: interleaved rounds", 3)
    cases: int = step.setting("rules: examples that cases are made of", 24)
    adapter: str = step.setting("rules: folder of an adapter to ask beside the base; empty means none", "")
    failures: str = step.setting("guards: file for what was judged wrongly; empty means none", "")


def guards_section(config: ChainsBenchmark) -> dict[str, Any]:
    return guarding.measure(config.failures)


def batching_section(config: ChainsBenchmark) -> dict[str, Any]:
    return batching.measure(config.rounds)


def rules_section(config: ChainsBenchmark) -> dict[str, Any]:
    return ruling.measure(config.cases, config.adapter)


SECTIONS = {
    "guards": Section(guards_section),
    "batching": Section(batching_section),
    "rules": Section(rules_section),
}


def main(config: ChainsBenchmark) -> None:
    """Run the sections asked for."""
    sections.run(SECTIONS, config)


if __name__ == "__main__":
    step.run(main, ChainsBenchmark)
