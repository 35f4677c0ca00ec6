"""Benchmark evaluation: answering in bulk, scoring, statistics on simulations, and what is decided about known candidates.

    python -m benchmarks.evaluation --data DIR --json out.json
    python -m benchmarks.evaluation --data DIR --json out.json --only deciding

DIR holds the data sets that benchmarks/data.py describes. The file is written anew after each section, whole.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, sections
from benchmarks.evaluation import agreeing, answering, deciding, simulating
from benchmarks.sections import Section
from llmops import step


@dataclass(frozen=True)
class EvaluationBenchmark:
    """Measure how fast candidates are answered and scored, and how far the figures can be trusted."""

    data: str = step.setting("folder of the data sets")
    json: str = step.setting("file for the results")
    only: str = step.setting("sections to run, between commas", "answering,agreeing,simulating,deciding")
    questions: int = step.setting("answering: questions that are answered both ways", 48)
    rows: int = step.setting("answering: questions that each candidate is scored on", 10_000)
    candidates: int = step.setting("answering: candidates scored", 5)
    simulations: int = step.setting("simulating: simulations of each case", 5_000)
    repetitions: int = step.setting("deciding: question sets drawn for each candidate", 200)


def answering_section(config: EvaluationBenchmark) -> dict[str, Any]:
    return answering.measure(config.questions, config.rows, config.candidates)


def agreeing_section(config: EvaluationBenchmark) -> dict[str, Any]:
    return agreeing.measure(Path(config.data))


def simulating_section(config: EvaluationBenchmark) -> dict[str, Any]:
    return simulating.measure(config.simulations)


def deciding_section(config: EvaluationBenchmark) -> dict[str, Any]:
    return deciding.measure(config.repetitions)


SECTIONS = {
    "answering": Section(answering_section),
    "agreeing": Section(agreeing_section, (data.SQUAD,)),
    "simulating": Section(simulating_section),
    "deciding": Section(deciding_section),
}


def main(config: EvaluationBenchmark) -> None:
    """Run the sections asked for."""
    sections.run(SECTIONS, config)


if __name__ == "__main__":
    step.run(main, EvaluationBenchmark)
