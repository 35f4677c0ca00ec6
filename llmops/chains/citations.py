"""Citations: marks such as [2] in an answer, each the place of a passage that was shown."""

import re
from collections.abc import Iterable, Iterator, Sequence

# A mark, with the gap before it and open brackets that what stands after it would make a mark of: "[1, [9]2". The gap is
# taken whole or not at all, by looking ahead: possessive quantifiers, which say the same, are broken in Python 3.11.2.
_MARK = re.compile(r"(?<!\[)(?=([ \t]*(?:\[[\d, \t]*(?=\[))*))\1\[(\d{1,3}(?:[ \t]*,[ \t]*\d{1,3})*)\]")
_MAY_BEGIN = re.compile(r"[ \t]*(?:\[[\d, \t]*)*$")
"""The end of a text that may go on as a mark."""


def number(passages: Sequence[str]) -> list[str]:
    """Passages as a prompt shows them to whoever is to cite."""
    return [f"[{place}] {passage}" for place, passage in enumerate(passages, start=1)]


def mark(answer: str, passages: Sequence[str]) -> str:
    """A worked answer with the mark of the first passage that holds its words; without one where none does."""
    words = _plain(answer)
    place = next((place for place, passage in enumerate(passages, start=1) if words in _plain(passage)), None)
    return f"{answer} [{place}]" if place and words else answer


def cited(text: str) -> tuple[int, ...]:
    """The places that a text cites, in order, each once."""
    return tuple(dict.fromkeys(place for found in _MARK.finditer(text) for place in _places(found)))


def keep_shown(text: str, shown: int) -> str:
    """The text without what points at none of the `shown` passages."""

    def kept(found: re.Match[str]) -> str:
        places = [place for place in _places(found) if 1 <= place <= shown]
        return f"{found[1]}[{', '.join(map(str, places))}]" if places else ""

    return _MARK.sub(kept, text)


def keep_shown_arriving(pieces: Iterable[str], shown: int) -> Iterator[str]:
    """`keep_shown` of a text that arrives in pieces: what may become a mark waits until it is one or is none."""
    waiting = ""
    for piece in pieces:
        waiting += piece
        begun = _MAY_BEGIN.search(waiting)
        assert begun is not None  # at the latest the empty end
        if ready := keep_shown(waiting[: begun.start()], shown):
            yield ready
        waiting = waiting[begun.start() :]
    if rest := keep_shown(waiting, shown):
        yield rest


def without_marks(text: str) -> str:
    return _MARK.sub("", text).strip()


def _places(found: re.Match[str]) -> list[int]:
    return [int(place) for place in found[2].split(",")]


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
