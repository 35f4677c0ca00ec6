"""Many questions answered by one candidate: in batches, each remembered when it is done, failures by question."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from llmops.chains.answerer import Unanswered
from llmops.journal import JsonJournal
from llmops.types import Answer, Chunk, Hit, Progress, Question

BATCH = 64
_HOPELESS = 3  # questions that fail one after the other before any was answered


class BulkAnswerer(Protocol):
    """Answers many questions at once."""

    @property
    def identity(self) -> dict[str, str]:
        """What generates: name, version and dtype."""

    def answer(self, queries: Sequence[str], progress: Progress | None = None) -> list[Answer]: ...

    def with_seed(self, seed: int | None) -> Self:
        """One that draws with this seed, where it draws at all."""


@dataclass(frozen=True)
class Outcome:
    """An answer, or why there is none, and the seconds it took: an equal share of its batch's."""

    answer: Answer | None
    error: str = ""
    seconds: float = 0.0


def answer_all(
    answerer: BulkAnswerer, questions: Sequence[Question], journal: JsonJournal, progress: Progress | None = None
) -> list[Outcome]:
    """Answer questions in order. What the journal holds isn't asked again; a question that fails leaves the rest alone.

    Raises:
        Exception: whatever the answerer raised, where it fails on one question after the other and has answered none.
    """
    texts = list(dict.fromkeys(question.text for question in questions))
    todo = [text for text in texts if text not in journal]
    failed: dict[str, str] = {}
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        for text, outcome in _answer_batch(answerer, batch, journal):
            if outcome.answer is None:
                failed[text] = outcome.error
        if progress:
            progress("answering", len(texts) - len(todo) + start + len(batch), len(texts))
    return [Outcome(None, failed[q.text]) if q.text in failed else _outcome(journal[q.text]) for q in questions]


def _answer_batch(answerer: BulkAnswerer, batch: Sequence[str], journal: JsonJournal) -> Iterator[tuple[str, Outcome]]:
    try:
        outcomes = _ask(answerer, batch)
    except Exception:  # which of them it was shows when they are asked alone
        yield from _one_by_one(answerer, batch, journal)
    else:
        journal.put({text: asdict(one) for text, one in zip(batch, outcomes, strict=True) if one.answer})
        yield from zip(batch, outcomes, strict=True)


def _one_by_one(answerer: BulkAnswerer, batch: Sequence[str], journal: JsonJournal) -> Iterator[tuple[str, Outcome]]:
    failures = 0
    for text in batch:
        try:
            (outcome,) = _ask(answerer, [text])
        except Exception as error:
            failures += 1
            if not len(journal) and failures == min(_HOPELESS, len(batch)):
                raise
            yield text, _failed(error)
        else:
            journal.put({text: asdict(outcome)})
            yield text, outcome


def _ask(answerer: BulkAnswerer, texts: Sequence[str]) -> list[Outcome]:
    started = time.perf_counter()
    found: Sequence[Answer | Exception]
    try:
        found = answerer.answer(texts)
    except Unanswered as error:
        found = error.outcomes
    seconds = (time.perf_counter() - started) / len(texts)
    return [_failed(one) if isinstance(one, Exception) else Outcome(one, seconds=seconds) for one in found]


def _failed(error: Exception) -> Outcome:
    return Outcome(None, f"{type(error).__name__}: {error}")


def _outcome(data: dict[str, Any]) -> Outcome:
    """What JSON was made of."""
    answer = data["answer"]
    hits = tuple(Hit(Chunk(**hit["chunk"]), hit["score"], hit["similarity"], tuple(hit["also"])) for hit in answer["hits"])
    tuples = {name: tuple(answer.get(name, ())) for name in ("guards", "places", "citations", "passages")}
    return Outcome(Answer(**{**answer, **tuples, "hits": hits}), data["error"], data["seconds"])
