"""Texts inside a text: what base64, hexadecimal, percent signs, entities, escapes, bits and Morse in it spell."""

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

_MOST_CHARS, _MOST_PARTS, _DEPTH = 20_000, 40, 2  # decoded of one text; a code inside a code is read, no further

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{12,}={0,2}(?![A-Za-z0-9+/=_-])")
_BASE32 = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{16,}={0,6}")
_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{2}(?:[\s:,-]{0,2}[0-9A-Fa-f]{2}){7,}(?![0-9A-Za-z])")
_BITS = re.compile(r"(?<!\d)[01]{8}(?:[ ,]?[01]{8}){3,}(?!\d)")
_CODES = re.compile(r"(?<!\d)\d{2,3}(?:[ ,;]{1,2}\d{2,3}){7,}(?!\d)")
_MORSE = re.compile(r"[.\-−–·•]{1,5}(?:[ /|]{1,3}[.\-−–·•]{1,5}){7,}")
_ASCII85 = re.compile(r"<~[!-uz\s]{10,}~>")
_ESCAPES = re.compile(r"\\u\{?([0-9a-fA-F]{4})\}?|\\x([0-9a-fA-F]{2})|(?<![0-9A-Za-z])0x([0-9a-fA-F]{2})[ ,]?")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2}){4,}")
_WRAPPED = re.compile(r"(?m)(?<=[A-Za-z0-9+/_-]{16})\r?\n(?=[A-Za-z0-9+/_-]++={0,2}[ \t\r]*$)")  # base64 in lines
_CODE_LAST = re.compile(r"(?:(?<!\S)[A-Za-z0-9+/_-]{20,}={0,2}|(?:[0-9A-Fa-f]{2}[\s:,-]{1,2}){7}[0-9A-Fa-f]{2})\Z")
_LONGEST_LINE = 200  # characters of a code
_READABLE = re.compile(r"[^\W\d_]{3}")
_LETTERS = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...-"
    " w.-- x-..- y-.-- z--.."
)
_MORSE_LETTERS = {entry[1:]: entry[0] for entry in _LETTERS.split()}


def decoded(text: str) -> list[str]:
    """What codes in a text spell, each as a text; at most 20,000 characters in all, of what is readable."""
    found: list[str] = []
    layer, left = [text], _MOST_CHARS
    for _ in range(_DEPTH):
        spelt = []
        for part in (part for source in layer for part in _parts(source)):
            if left <= 0 or len(found) == _MOST_PARTS:
                return found
            if part not in found and _is_readable(part):
                spelt.append(part[:left])
                found.append(part[:left])
                left -= len(part)
        layer = spelt
    return found


def ends_in_code(text: str) -> bool:
    """Whether a text ends in base64 or hexadecimal, which may go on in the next line."""
    return bool(_CODE_LAST.search(text.rstrip()[-_LONGEST_LINE:]))


def _is_readable(text: str) -> bool:
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return printable >= 0.9 * len(text) and bool(_READABLE.search(text))


def _parts(text: str) -> Iterator[str]:
    unescaped = _ESCAPES.sub(_escaped, text) if "\\" in text or "0x" in text else text
    if "%" in unescaped:
        unescaped = unquote(unescaped, errors="replace")
    if "&" in unescaped:
        unescaped = html.unescape(unescaped)
    unescaped = _QUOTED.sub(lambda run: _utf8(bytes.fromhex(run[0].replace("=", ""))), unescaped)
    if unescaped != text:
        yield unescaped
    for source in dict.fromkeys((text, _WRAPPED.sub("", text))):
        yield from _codes(source)


def _codes(text: str) -> Iterator[str]:
    for pattern, decode in _DECODERS:
        for match in pattern.finditer(text):
            try:
                yield decode(match[0][:_MOST_CHARS])
            except (ValueError, binascii.Error):
                continue


def _escaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1] or escape[2] or escape[3], 16))


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _base64(chunk: str) -> str:
    chunk = chunk.rstrip("=").replace("-", "+").replace("_", "/")
    chunk = chunk[: len(chunk) - (len(chunk) % 4 == 1)]
    return _utf8(base64.b64decode(chunk + "=" * (-len(chunk) % 4)))


def _base32(chunk: str) -> str:
    chunk = chunk.rstrip("=")
    return _utf8(base64.b32decode(chunk + "=" * (-len(chunk) % 8)))


def _numbers(base: int) -> Callable[[str], str]:
    def decode(chunk: str) -> str:
        digits = re.sub(r"[^0-9A-Fa-f]+", "" if base != 10 else " ", chunk)
        width = {2: 8, 16: 2}.get(base)
        numbers = digits.split() if width is None else [digits[i : i + width] for i in range(0, len(digits), width)]
        return _utf8(bytes(int(number, base) for number in numbers))

    return decode


def _morse(chunk: str) -> str:
    chunk = re.sub(r"[−–]", "-", re.sub(r"[·•]", ".", chunk))
    words = re.split(r" ?[/|] ?| {2,3}", chunk)
    return " ".join("".join(_MORSE_LETTERS[letter] for letter in word.split() if letter in _MORSE_LETTERS) for word in words)


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (_BASE64, _base64),
    (_BASE32, _base32),
    (_HEX, _numbers(16)),
    (_BITS, _numbers(2)),
    (_CODES, _numbers(10)),
    (_MORSE, _morse),
    (_ASCII85, lambda chunk: _utf8(base64.a85decode(chunk, adobe=True))),
)
