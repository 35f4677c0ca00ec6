"""Benchmark fine-tuning against what a team would use instead, everything side by side in one run.

    python -m benchmarks.finetuning --data DIR --json out.json
    python -m benchmarks.finetuning --data DIR --json out.json --only speed --rounds 1

DIR holds the data sets that benchmarks/data.py describes. The file is written anew after each section, whole.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, sections
from benchmarks.finetuning import answering, gpu, memory, preferring, speed, stages, texts
from benchmarks.sections import Section
from llmops import step


@dataclass(frozen=True)
class FinetuningBenchmark:
    """Measure the speed and memory of training, and what comes of it: answers, abstention, texts, preferences."""

    data: str = step.setting("folder of the data sets")
    json: str = step.setting("file for the results")
    only: str = step.setting("sections to run, between commas", "speed,memory,answering,texts,stages,preferences,gpu")
    rounds: int = step.setting("speed: interleaved rounds", 3)
    steps: int = step.setting("speed: optimiser steps of a contender in a round", 8)
    seeds: int = step.setting("answering: adapters trained", 3)
    examples: int = step.setting("answering: conversations trained on; 0 is all", 0)
    choosing: int = step.setting("answering: questions of each kind that choose the number of shots; 0 is all", 150)
    held_out: int = step.setting("answering: held-out questions of each kind that are answered; 0 is all", 0)
    scored: int = step.setting("answering: held-out questions of each kind for abstention; 0 is all", 0)
    characters: int = step.setting("texts: characters of documentation for a model from scratch", 6_000_000)
    domain_characters: int = step.setting("texts: characters of a domain", 800_000)
    stage_characters: int = step.setting("stages: characters of a domain", 400_000)
    stage_examples: int = step.setting("stages: conversations", 400)
    stage_held_out: int = step.setting("stages: held-out questions of each kind; 0 is all", 200)
    pairs: int = step.setting("preferences: pairs trained on", 320)
    gpu_steps: int = step.setting("gpu: optimiser steps", 40)


def speed_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return speed.measure(Path(config.data), config.rounds, config.steps)


def memory_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return memory.measure(Path(config.data))


def answering_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return answering.measure(
        Path(config.data), config.seeds, config.examples, config.choosing, config.held_out, config.scored
    )


def texts_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return texts.measure(Path(config.data), config.characters, config.domain_characters)


def stages_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return stages.measure(Path(config.data), config.stage_characters, config.stage_examples, config.stage_held_out)


def preferences_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return preferring.measure(Path(config.data), config.pairs, config.pairs)


def gpu_section(config: FinetuningBenchmark) -> dict[str, Any]:
    return gpu.measure(config.gpu_steps)


SECTIONS = {
    "speed": Section(speed_section, (data.SQUAD,)),
    "memory": Section(memory_section, (data.SQUAD,)),
    "answering": Section(answering_section, (data.SQUAD,)),
    "texts": Section(texts_section, (data.SQUAD, data.DOCS)),
    "stages": Section(stages_section, (data.SQUAD, data.DOCS)),
    "preferences": Section(preferences_section, (data.SQUAD,)),
    "gpu": Section(gpu_section),
}


def main(config: FinetuningBenchmark) -> None:
    """Run the sections asked for."""
    sections.run(SECTIONS, config)


if __name__ == "__main__":
    step.run(main, FinetuningBenchmark)
