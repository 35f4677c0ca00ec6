"""What a release answered when it was made: proof, later, that it still does."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmops.chains.answerer import Answerer
from llmops.errors import ArtifactError

SEED = 0  # that answers are drawn with, where they are


@dataclass(frozen=True)
class Golden:
    """A question, its answer, and the engine that gave it: another one may say the same in other words."""

    question: str
    answer: str
    engine: dict[str, str]


def record(answerer: Answerer, questions: Sequence[str]) -> list[Golden]:
    """Let a release answer questions, to be stored with it: one at a time, as `replay` asks. A batch may round otherwise."""
    seeded = answerer.with_seed(SEED)
    answers = [seeded.answer([question])[0] for question in questions]
    return [Golden(q, a.text, dict(a.engine)) for q, a in zip(questions, answers, strict=True)]


def write_golden(path: Path, golden: Sequence[Golden]) -> None:
    path.write_text(json.dumps([asdict(one) for one in golden], indent=1), encoding="utf-8")


def replay(path: Path, predict: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Ask what was asked then, of whatever takes and gives what a Responses API does.

    Raises:
        ArtifactError: it says something else on the same engine.
    """
    for data in json.loads(path.read_text(encoding="utf-8")):
        golden = Golden(**data)
        asked = [{"role": "user", "content": golden.question}]
        response = predict({"input": asked, "custom_inputs": {"seed": SEED}})
        text = response["output"][0]["content"][0]["text"]
        if text != golden.answer and response["custom_outputs"]["engine"] == golden.engine:
            raise ArtifactError(
                f"the release answers {text!r} to {golden.question!r}, expected {golden.answer!r} as when it was made. "
                "What it runs on was changed beneath it."
            )
