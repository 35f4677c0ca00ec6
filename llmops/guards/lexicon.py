"""The words of all languages, looked up whole, by how they begin, and misspelt; and phrases of them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_

from llmops.guards.views import plain
from llmops.guards.words import kinds as k
from llmops.guards.words.arabic import WORDS as ARABIC
from llmops.guards.words.asian import WORDS as ASIAN
from llmops.guards.words.english import WORDS as ENGLISH
from llmops.guards.words.germanic import WORDS as GERMANIC
from llmops.guards.words.hindi import WORDS as HINDI
from llmops.guards.words.romance import WORDS as ROMANCE
from llmops.guards.words.slavic import WORDS as SLAVIC
from llmops.guards.words.turkish import WORDS as TURKISH

ASIAN_LETTERS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_FUZZY_FROM, _FUZZY_TO = 6, 24  # letters; a shorter word is one letter from too many others
LONGEST_KEPT = 40  # letters of the words whose kinds are remembered
_FUZZY = k.DROP | k.SHOW | k.ORDERS | k.PRIOR | k.RULES | k.HIDDEN


@dataclass(frozen=True)
class Token:
    """A word or mark, with its kinds as bits."""

    text: str
    kinds: int = 0


Sentence = list[Token]

_WHOLE: dict[str, int] = defaultdict(int)
_STEMS: dict[str, int] = defaultdict(int)
_ASIAN: dict[str, int] = defaultdict(int)
PHRASES: dict[tuple[str, str], list[tuple[tuple[str, ...], int]]] = defaultdict(list)
"""The first two words of phrases -> the phrases that begin with them, and their kinds."""


def _add(entry: str, kind: int) -> None:
    words = tuple(entry.split())
    if is_asian(entry):
        _ASIAN[entry] |= kind
    elif len(words) > 1:
        for ending in ("", "s") if entry.endswith("*") else ("",):
            last = words[-1].rstrip("*") + ending
            PHRASES[words[0], words[1] if len(words) > 2 else last].append(((*words[:-1], last), kind))
    elif entry.endswith("*"):
        _STEMS[entry[:-1]] |= kind
    else:
        _WHOLE[entry] |= kind


def is_asian(text: str) -> bool:
    """Whether a text begins with a letter of a script that is written without gaps, or glues endings on."""
    return "\u3040" <= text[0] <= "\u30ff" or "\u3400" <= text[0] <= "\u9fff" or "\uac00" <= text[0] <= "\ud7af"


def _with_contained(entry: str) -> int:
    """The kinds of a word that is written without gaps and of the words inside it."""
    pieces = {entry[i:j] for i in range(len(entry)) for j in range(i + 1, len(entry) + 1)}
    return reduce(or_, (_ASIAN[piece] for piece in pieces & _ASIAN.keys()))


def _misspellable() -> Iterator[str]:
    for kind, entries in ENGLISH.items():
        if kind & _FUZZY:
            yield from (word for word in entries.replace("*", "s").replace(",", " ").split() if len(word) >= _FUZZY_FROM)


def _without_one(word: str) -> Iterator[str]:
    """The word less one of its letters, but neither the first nor the last, which may be an ending: "ignored"."""
    return (word[:i] + word[i + 1 :] for i in range(1, len(word) - 1))


def _jumbled(word: str) -> str:
    return word[0] + "".join(sorted(word[1:-1])) + word[-1] + "\0"


for _language in (ENGLISH, GERMANIC, ROMANCE, SLAVIC, ASIAN, ARABIC, TURKISH, HINDI):
    for _kind, _entries in _language.items():
        for _entry in _entries.split(","):
            _add(plain(_entry.strip()), _kind | (k.FINAL if _language in (TURKISH, HINDI) else 0))
_ASIAN.update({entry: _with_contained(entry) for entry, kinds in _ASIAN.items() if kinds})
_LENGTHS = sorted({len(stem) for stem in _STEMS}, reverse=True)
KNOWN = {*_WHOLE, *(word for phrases in PHRASES.values() for phrase, _ in phrases for word in phrase)}
"""Words that are listed whole, alone or in a phrase."""
_MEANT = {form: word for word in reversed([*_misspellable()]) for form in (*_without_one(word), _jumbled(word))}
_SHORTEST = 3  # letters of the words that are looked for in a long one
_GAPLESS: dict[str, set[int]] = defaultdict(
    set
)  # how words begin that are looked for where there are no gaps -> their lengths
for _entry in _ASIAN:
    _GAPLESS[_entry[0]].add(len(_entry))
for _entry in KNOWN:
    if _entry.isascii() and len(_entry) >= _SHORTEST:
        _GAPLESS[_entry[:_SHORTEST]].add(len(_entry))


def words_within(run: str) -> Iterator[tuple[int, int]]:
    """Where known words stand in text that is written without gaps: the longest at each place, left to right."""
    known, start_letters = (_ASIAN, 1) if is_asian(run) else (KNOWN, _SHORTEST)
    start = 0
    while start < len(run):
        lengths = _GAPLESS.get(run[start : start + start_letters])
        end = max((start + length for length in lengths or () if run[start : start + length] in known), default=start)
        if end > start:
            yield start, end
        start = max(end, start + 1)


def word(text: str, exact: bool) -> Token:
    """A word with its kinds. Unless `exact`, one that is known to no language may be a misspelt English one."""
    return _word(text, exact) if len(text) <= LONGEST_KEPT else Token(text, kinds_in(text))


@lru_cache(maxsize=65_536)
def _word(text: str, exact: bool) -> Token:
    kinds = kinds_in(text)
    if kinds or exact or not _FUZZY_FROM - 1 <= len(text) <= _FUZZY_TO or text in KNOWN or not text.isalpha():
        return Token(text, kinds)
    meant = _meant(text)
    return Token(meant, kinds_in(meant)) if meant else Token(text)


def asian_word(text: str) -> Token:
    return Token(text, _ASIAN[text])


def kinds_in(text: str) -> int:
    """The kinds of a word, and of how it begins."""
    kinds = _WHOLE.get(text, 0)
    for length in _LENGTHS:
        if length <= len(text):
            kinds |= _STEMS.get(text[:length], 0)
    return kinds


def _meant(text: str) -> str | None:
    """The known word that a misspelt one differs from by a letter, or by the order of the letters inside."""
    if text in _MEANT:
        return _MEANT[text]
    for form in (_jumbled(text), *_without_one(text)):
        if form in _MEANT:
            return _MEANT[form]
        if len(form) >= _FUZZY_FROM and form in _WHOLE:
            return form
    return None
