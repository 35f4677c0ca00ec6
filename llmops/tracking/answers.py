"""Answers of a release to many questions, remembered on this machine: what was answered once isn't asked again."""

from collections.abc import Sequence
from typing import Any

from llmops import digests
from llmops.chains.answerer import Answerer
from llmops.chains.release import Release
from llmops.evaluation.bulk import BulkAnswerer, Outcome, answer_all
from llmops.evaluation.rows import Row
from llmops.evaluation.safety import Case, digest, run_pack
from llmops.journal import JsonJournal
from llmops.models.cache import cache_folder
from llmops.types import Answer, Progress, Question


def answer_questions(
    release: Release, answerer: BulkAnswerer, questions: Sequence[Question], progress: Progress | None = None,
    seed: int = 0,
) -> list[Outcome]:  # fmt: skip
    """Answer questions in bulk, in order; errors as those of `answer_all`.

    Answers are kept by release, its decoding among the rest, by engine (name, version, dtype), question and, where the
    release draws them, seed.
    """
    seeds = seeds_of(release, seed)
    journal = _journal(release.digest, answerer.identity, *seeds)
    return answer_all(answerer.with_seed(*seeds) if seeds else answerer, questions, journal, progress)


def seeds_of(release: Release, first: int, repeats: int = 1) -> list[int]:
    """The seeds of so many repeats; none where the release is greedy, for it says the same each time."""
    return list(range(first, first + repeats)) if release.generator.temperature else []


def answer_pack(
    release: Release, answerer: BulkAnswerer, cases: Sequence[Case], progress: Progress | None = None, seed: int = 0
) -> list[Row]:
    """Ask a release the safety pack, and keep its answers too; none where it answers by its own, earlier code.

    Such a release has no place to plant passages in.
    """
    if not isinstance(answerer, Answerer):
        return []
    seeds = seeds_of(release, seed)
    journal = _journal(release.digest, answerer.identity, digest(cases), *seeds)
    return run_pack(answerer.with_seed(*seeds) if seeds else answerer, cases, journal, progress)


def _journal(*parts: Any) -> JsonJournal:
    return JsonJournal(cache_folder() / "answers" / f"{digests.of_data(parts)}.jsonl")


def answered(questions: Sequence[Question], outcomes: Sequence[Outcome]) -> tuple[list[Question], list[Answer]]:
    """The questions that have an answer, and the answers."""
    pairs = [(q, o.answer) for q, o in zip(questions, outcomes, strict=True) if o.answer is not None]
    return [question for question, _ in pairs], [answer for _, answer in pairs]
