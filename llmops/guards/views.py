"""The readings of a text that a model may see and a pattern would miss: disguised letters, gaps, codes.

A reading is searched, never shown: it has no offsets into the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from llmops.guards.decoding import decoded

_KANA = "\u3099\u309a"  # they tell か from が
_DEVANAGARI = "\u0900-\u0903\u093a\u093b\u093e-\u094f\u0955-\u0957\u0962\u0963"  # vowels, nasals, no vowel; not the nukta
_SIGN = re.compile(f"[{_KANA}{_DEVANAGARI}]")
_ASTRAY = re.compile(f"(?<![\u0900-\u097f])[{_DEVANAGARI}]+")  # on another script's letters
_FORMS = str.maketrans("ıىةکیہ\u0901؟،؛۔।॥", "iيهكيه\u0902?,;...", "ـ")  # one form of each letter and mark; no stretching
_ALIKE = {
    "авекмнорстухіјѕԁԛԝһӏгԍ": "abekmhopctyxijsdqwhlrg",  # Cyrillic
    "αβεηικνορτυχωγ": "abenikvoptuxwy",  # Greek
    "ոսօհցքյա": "nuohgqju",  # Armenian
    "ɡɑɩøđłħŧʟɪɴɢʀʙʏʜ": "gaiodlhtlingrbyh",
    "ᴀᴄᴅᴇꜰᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢ": "acdefjkmopstuvwz",
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LOOKALIKES = str.maketrans(
    {
        **{odd: usual for row, plain in _ALIKE.items() for odd, usual in zip(row, plain, strict=True)},
        **{chr(first + i): letter for first in (0x1F150, 0x1F170, 0x1F1E6) for i, letter in enumerate(_LETTERS)},
    }
)
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}  # invisible ASCII
_TAGGED = re.compile("[\U000e0020-\U000e007e]+")
_LEET = str.maketrans("013457@$!|€", "oieastasiie")
_ROT13 = str.maketrans(_LETTERS, _LETTERS[13:] + _LETTERS[:13])

_LEET_WORD = re.compile(r"[a-z0-9@$!|€]{3,}")
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[ .\-_*|/·•,~+][^\W_]){2,}(?![^\W_])")
_INSIDE = re.compile(r"(?<=[^\W_])[\-_.*~^|'\"`+=#\\/·•]{1,2}(?=[^\W_])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class View:
    """A reading in plain letters. `exact`: it is put together by rule, so words in it that look misspelt are chance."""

    text: str
    exact: bool = False


def plain(text: str) -> str:
    """Lower case, one form of each letter, no accents, nothing invisible."""
    text = text.translate(_CONTROLS)
    if not text.isascii():
        text = _TAGGED.sub(lambda run: f" {run[0].translate(_TAGS)} ", text)
        text = unicodedata.normalize("NFKD", text)
        text = unicodedata.normalize("NFC", "".join(filter(_visible, text))).translate(_FORMS)
        text = _ASTRAY.sub("", text)
    return text.casefold()


def _visible(character: str) -> bool:
    return unicodedata.category(character) not in ("Cf", "Mn", "Me", "Co", "Cn") or bool(_SIGN.match(character))


def views(text: str) -> Iterator[View]:
    """Yield the different readings of a text, the most usual first."""
    seen = set()
    for view in _all_views(text):
        if view.text not in seen:
            seen.add(view.text)
            yield view


def _all_views(text: str) -> Iterator[View]:
    folded = plain(text)
    yield View(folded)
    if not text.isascii():
        yield View(plain("".join(c if _visible(c) or unicodedata.combining(c) else " " for c in text)))
        folded = folded.translate(_LOOKALIKES)
    yield from _unmasked(folded)
    yield View(plain(_CAMEL.sub(" ", text)).translate(_LOOKALIKES), exact=True)
    for hidden in decoded(text):
        yield View(plain(hidden).translate(_LOOKALIKES), exact=True)
    yield from (View(reading, exact=True) for reading in ciphered(folded))


def _unmasked(folded: str) -> Iterator[View]:
    joined = _SPACED.sub(_join, folded)
    yield View(_INSIDE.sub("", joined))
    for one in "il":
        yield View(_LEET_WORD.sub(partial(_unleet, one), joined))


def _unleet(one: str, match: re.Match[str]) -> str:
    """The word behind digits and signs that look like letters; a name such as "LR-3" or "2nd" is none."""
    if match[0].isalpha():
        return match[0]
    word = match[0].rstrip("!")
    letters = sum(map(str.isalpha, word))
    if letters == len(word) or letters < len(word) / 3:
        return match[0]
    return word.replace("1", one).translate(_LEET)


def _join(spaced: re.Match[str]) -> str:
    return spaced[0][::2]


def ciphered(folded: str) -> Iterator[str]:
    """The text turned around whole, word by word, and by thirteen letters."""
    yield folded[::-1]
    yield " ".join(word[::-1] for word in folded.split(" "))
    yield folded.translate(_ROT13)
