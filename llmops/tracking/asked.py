"""The questions of an evaluation, and where else they stand: in what was trained on or chosen by, and in the index."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import mlflow

from llmops.datasets.overlap import Overlap, check_overlaps, find_overlaps
from llmops.datasets.questions import with_default_slices
from llmops.retrieval.index import VectorIndex
from llmops.tracking.question_sets import load_questions
from llmops.types import Question

OVERLAPS_FILE = "overlaps.json"
INDEX = "index"  # of overlaps, the one that is told and never refused
_CALLED = {"training": "training examples", "dev": "development questions", "calibration": "calibration questions"}

Overlaps = Mapping[str, Sequence[Overlap]]
"""Questions that stand elsewhere, by where: training, dev, calibration, index."""


@dataclass(frozen=True)
class Asked:
    """The questions that judge, those that choose settings, and those that calibrate abstention, if any."""

    test: list[Question]
    dev: list[Question]
    calibration: list[Question]


def read_asked(test: str, dev: str, calibration: str, calibrates: bool) -> Asked:
    """Read the sets, each as `load_questions` does; where none calibrates, every other development question may have to."""
    asked, choosing = with_default_slices(load_questions(test)), load_questions(dev)
    if not calibrates:
        return Asked(asked, choosing, [])
    if not calibration:
        return Asked(asked, choosing[::2], choosing[1::2])
    return Asked(asked, choosing, load_questions(calibration))


def check_leaks(asked: Asked, training: Iterable[tuple[str, str]], allowed: bool) -> dict[str, list[Overlap]]:
    """Where questions that judge stand in training texts, (where, text), or among the others; near-duplicates count.

    Raises:
        DataError: one does, and that isn't allowed.
    """
    judging = _texts(asked.test)
    known = {"training": training, "dev": _texts(asked.dev), "calibration": _texts(asked.calibration)}
    return {name: check_overlaps(texts, judging, allowed, _CALLED[name]) for name, texts in known.items()}


def find_indexed(questions: Sequence[Question], index: VectorIndex) -> list[Overlap]:
    """Questions that stand in passages of an index, which may be how they are answered, so nobody refuses them."""
    return find_overlaps(_passages(index), _texts(questions))


def log_overlaps(found: Overlaps) -> None:
    """Log how many questions stand elsewhere, and which."""
    mlflow.log_metrics({f"overlaps/{where}": len(_kinds(overlaps)) for where, overlaps in found.items()})
    if any(found.values()):
        mlflow.log_dict({where: [asdict(one) for one in overlaps] for where, overlaps in found.items()}, OVERLAPS_FILE)


def describe_overlaps(found: Overlaps) -> dict[str, str]:
    """What was found, in words for a report."""
    counts = {where: Counter(_kinds(overlaps).values()) for where, overlaps in found.items()}
    return {
        f"Found in the {_CALLED.get(where, where)}": f"{kinds.total()}, {kinds['exact']} word for word" if kinds else "none"
        for where, kinds in counts.items()
    }


def _kinds(overlaps: Sequence[Overlap]) -> dict[str, str]:
    """Each question found, and whether it stands there word for word."""
    return {one.question_id: one.kind for one in sorted(overlaps, key=lambda one: one.kind == "exact")}


def _texts(questions: Sequence[Question]) -> list[tuple[str, str]]:
    return [(question.question_id, question.text) for question in questions]


def _passages(index: VectorIndex) -> Iterator[tuple[str, str]]:
    for batch in index.chunks.batches(["chunk_id", "text"]):
        yield from zip(batch["chunk_id"].to_pylist(), batch["text"].to_pylist(), strict=True)
