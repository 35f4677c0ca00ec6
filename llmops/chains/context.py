"""The context: retrieved passages without repetition, neighbours as one, as many as there is room for."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from llmops.documents.cutting import LINE, PARAGRAPH, SENTENCE, WORD
from llmops.errors import WindowError
from llmops.retrieval.passage import passage_text
from llmops.types import Chunk, Hit

_IN_A_RUN = re.compile(r"(?<=\S{20})(?=\S)")  # of characters without white space: where words aren't parted, or no words

Fits = Callable[[Sequence[str]], bool]
"""Whether a prompt with these passages leaves the model room for its answer."""

Dropped = tuple[str, str]
"""A chunk's id, and why it is not shown."""


@dataclass(frozen=True)
class Passage:
    """What the model reads of one place: a chunk, or neighbours merged; `lead` characters of it are title and heading."""

    text: str
    chunk: Chunk
    hits: tuple[Hit, ...]  # best first
    lead: int = 0
    cut: bool = False


@dataclass(frozen=True)
class Context:
    """Passages, best first, and what was retrieved and is not among them."""

    passages: tuple[Passage, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def texts(self) -> list[str]:
        return [passage.text for passage in self.passages]

    @property
    def hits(self) -> tuple[Hit, ...]:
        return tuple(hit for passage in self.passages for hit in passage.hits)

    @property
    def places(self) -> tuple[int, ...]:
        """The place of the passage that each of the hits stands in; the first is 1."""
        return tuple(place for place, passage in enumerate(self.passages, start=1) for _ in passage.hits)


def merge_neighbours(hits: Sequence[Hit]) -> list[Passage]:
    """Chunks that touch or overlap, of one document under one heading on one page, as one passage at the best one's rank."""
    groups: list[list[Hit]] = []
    for hit in hits:
        touching = [group for group in groups if any(_touch(hit.chunk, other.chunk) for other in group)]
        merged = [other for group in touching for other in group] + [hit]
        if touching:
            groups[groups.index(touching[0])] = merged
        else:
            groups.append(merged)
        groups = [group for group in groups if group not in touching[1:]]
    return [_passage(tuple(sorted(group, key=hits.index))) for group in groups]


def drop_copies(hits: Sequence[Hit]) -> tuple[list[Hit], list[Dropped]]:
    """Hits that say something none before them says, white space aside; and the others."""
    originals: dict[str, Hit] = {}
    dropped: list[Dropped] = []
    for hit in hits:
        words = " ".join(hit.chunk.text.split())
        original = originals.setdefault(words, hit) if words else None
        if original is not hit:
            dropped.append((hit.chunk.chunk_id, f"the same as {original.chunk.chunk_id}" if original else "empty"))
    return list(originals.values()), dropped


def fit(passages: Sequence[Passage], fits: Fits) -> Context:
    """As many passages as there is room for, best first. Of the first one something is always shown.

    The one that has no room is cut at the end of a sentence, and what ranks below it is dropped.

    Raises:
        WindowError: there is no room for even one word, or the first 20 characters of one.
    """
    shown: list[Passage] = []
    for place, passage in enumerate(passages):
        before = [other.text for other in shown]
        kept = _cut(passage, lambda text, before=before: fits([*before, text]))  # type: ignore[misc]
        if kept is not None:
            shown.append(kept)
        if kept is None or kept.cut:
            rest = passages[place + bool(kept) :]
            return _context(shown, [(hit.chunk.chunk_id, "no room") for other in rest for hit in other.hits])
    return Context(tuple(shown))


def _context(shown: Sequence[Passage], dropped: Sequence[Dropped]) -> Context:
    if not shown:
        raise WindowError("question, history and examples leave no room for a passage in the model's window. Ask shorter.")
    return Context(tuple(shown), tuple(dropped))


def _touch(one: Chunk, other: Chunk) -> bool:
    where = (one.doc_id, one.title, one.heading, one.page) == (other.doc_id, other.title, other.heading, other.page)
    return where and one.start <= other.end and other.start <= one.end


def _passage(hits: tuple[Hit, ...]) -> Passage:
    chunk = _join(hit.chunk for hit in hits)
    text = passage_text(chunk)
    return Passage(text, chunk, hits, len(text) - len(chunk.text.strip()))


def _join(chunks: Iterable[Chunk]) -> Chunk:
    first, *others = sorted(chunks, key=lambda chunk: chunk.start)
    for other in others:
        if other.end > first.end:
            text = first.text + other.text[first.end - other.start :]
            first = replace(first, text=text, end=other.end, end_s=other.end_s)
    return first


def _cut(passage: Passage, fits: Callable[[str], bool]) -> Passage | None:
    """The passage if it fits, else as many of its sentences, or of its words and what is no word, as do; None if not one."""
    if fits(passage.text):
        return passage
    for patterns in ((PARAGRAPH, LINE, SENTENCE), (WORD, _IN_A_RUN)):
        matches = (match for pattern in patterns for match in pattern.finditer(passage.text, passage.lead))
        ends = sorted({match.end() for match in matches if match.end() > passage.lead})
        fitting = bisect_left(ends, True, key=lambda end: not fits(passage.text[:end].rstrip()))  # what is longer has more
        if fitting:
            return replace(passage, text=passage.text[: ends[fitting - 1]].rstrip(), cut=True)
    return None
