"""A text cut into sentences while it is still arriving: the same sentences however it arrives."""

import re
from collections.abc import Iterable, Iterator

_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st no nr vs etc inc ltd approx dept fig vol cf al e.g i.e z.b d.h u.a bzw ca art abs str tel ext sr"
    " sra m mme dott sig p pp a.m p.m p.ej".split()
)
# Where a sentence may end: before a character that has arrived. Possessive, so that a long run is read once.
_GAP = re.compile(r"(?<!\s)\s++(?=\S)|(?<![。！？])[。！？]++[」』”）]*+\s*+(?=\S)")
_END = re.compile(r"[.!?…؟।][\"”»')\]]{0,4}$")
_LONGEST_END = 16  # characters that decide whether a gap ends a sentence
_BLOCK_BEGINS, _BLOCK_ENDS = "-----BEGIN ", "-----END "
_MOST_HELD = 8000  # characters of a block, such as a private key, that is kept whole


def sentences(text: str) -> list[str]:
    """Cut a text into sentences and lines that make it up again, each with the space that follows it."""
    return list(arriving([text]))


def arriving(pieces: Iterable[str]) -> Iterator[str]:
    """Yield each sentence of a text that arrives in pieces as soon as it is whole."""
    waiting, searched = "", 0
    for piece in pieces:
        waiting += piece
        if not piece.strip():  # a gap ends with the character after it
            continue
        while (end := _first_end(waiting, searched)) is not None:
            yield waiting[:end]
            waiting, searched = waiting[end:], 0
        searched = max(0, len(waiting.rstrip()) - _LONGEST_END)
    if waiting:
        yield waiting


def _first_end(text: str, searched: int) -> int | None:
    return next(
        (gap.end() for gap in _GAP.finditer(text, searched) if _ends(text, gap) and not _is_in_block(text[: gap.start()])),
        None,
    )


def _ends(text: str, gap: re.Match[str]) -> bool:
    if "\n" in gap[0] or gap[0][0] in "。！？":
        return True
    before = text[max(0, gap.start() - _LONGEST_END) : gap.start()]
    return bool(_END.search(before)) and not _is_abbreviated(before)


def _is_abbreviated(before: str) -> bool:
    word = re.split(r"[\s(\"']", before)[-1].rstrip(".").casefold()
    listed = word.isdigit() and before.strip() == f"{word}."
    return before.endswith(".") and (word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha()) or listed)


def _is_in_block(text: str) -> bool:
    begin = text.rfind(_BLOCK_BEGINS)
    return begin >= 0 and len(text) - begin < _MOST_HELD and _BLOCK_ENDS not in text[begin:]
