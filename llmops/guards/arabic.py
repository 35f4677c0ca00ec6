"""Arabic words, which hold others: "and", "the" and "to" before them, "your" and "it" after them."""

from functools import lru_cache

from llmops.guards.lexicon import KNOWN, Token, kinds_in
from llmops.guards.words import kinds as k

_BEFORE = ("", "ال", "بال", "لل", "كال", "ب", "ل", "ك")  # the, by the, to the, like the, by, to, like
_AFTER = ("ها", "هم", "ه", "ني", "نا", "ي", "وا", "وها", "يها", "ك", "كم")  # it, them, me, us, my, your
_YOURS, _OURS = ("ك", "كم"), ("ي", "نا")
_FEWEST = 3  # letters that are left of an Arabic word
_THINGS = k.ORDERS | k.RULES | k.SHIELD | k.PROMPT | k.TEXT | k.STUFF
_VERBS = k.DROP | k.LIFT | k.SHOW | k.REPEAT | k.RENDER | k.PLAY | k.TURN_ON | k.ANSWER | k.OBEY | k.SEND | k.TELL


def is_arabic(text: str) -> bool:
    return "\u0620" <= text[0] <= "\u064a"


def arabic_words(text: str) -> tuple[Token, ...]:
    """An Arabic word with its kinds, and the "and" before it, where one is written with it, as a word."""
    if text[0] in "وف" and text not in KNOWN and not _arabic_kinds(text) and (kinds := _arabic_kinds(text[1:])):
        return Token(text[0]), Token(text[1:], kinds)
    return (Token(text, _arabic_kinds(text)),)


@lru_cache(maxsize=65_536)
def _arabic_kinds(text: str) -> int:
    kinds = 0
    for before in _BEFORE:
        bare = text[len(before) :]
        if text.startswith(before) and (not before or len(bare) >= _FEWEST):
            kinds |= _without_ending(bare) & ~(_VERBS if before else 0)
    return kinds


def _without_ending(text: str) -> int:
    kinds = kinds_in(text)
    for after in _AFTER:
        bare = text[: -len(after)]
        if text.endswith(after) and len(bare) >= _FEWEST and (found := kinds_in(bare)):
            kinds |= found | (k.OWN if after in _YOURS and found & _THINGS else 0)
            kinds |= k.MINE if after in _OURS and found & _THINGS else 0
    return kinds
