"""Whether an answer gives the system prompt away: a long run of its words, or a word planted in it."""

import re
from collections.abc import Sequence

from llmops.guards.decoding import decoded, ends_in_code
from llmops.guards.finding import Finding
from llmops.guards.views import ciphered, plain

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_PLACEHOLDER = re.compile(r"\{\w*\}")
_FEWEST = 5  # words; a shorter prompt has nothing to leak
_OPEN_FROM = 4  # words of the prompt, or letters of the canary, at a text's end, which the next sentence may complete
_FEWEST_LETTERS = 6  # of a canary that is found however it is spaced


class Leak:
    """Searches for runs of `n_words` of a prompt's words, or of all of them where it has fewer, and for a `canary`.

    What fills the prompt's {placeholders} is not part of it. Case, marks, gaps and numbers don't matter, nor whether the
    words come in base64, hexadecimal, reversed or by thirteen letters turned; a paraphrase or translation is not found.
    """

    def __init__(self, prompt: str, n_words: int, canary: str = "") -> None:
        parts = [_words(plain(part)) for part in _PLACEHOLDER.split(prompt)]
        self._n = max(min(n_words, max(map(len, parts))), _FEWEST)
        self._runs = {tuple(part[i : i + self._n]) for part in parts for i in range(len(part) - self._n + 1)}
        self._text = "".join(f" {' '.join(part)} \n" for part in parts)
        self._canary, self._letters = plain(canary), _letters(plain(canary))

    def find(self, text: str, known: Sequence[str] = ()) -> list[Finding]:
        """Find where a text gives the prompt away. What stands in the `known` texts, such as the question, is no leak."""
        readings = [plain(reading) for reading in (*decoded(text), *ciphered(plain(text)))]
        spans = [span for span in self._spans(text) if not self._stands_in(text[slice(*span)], known)]
        coded = any(self._runs_in(reading) or self._holds_canary(reading) for reading in readings)
        if coded or self._holds_canary(plain(text)):
            spans = [(len(text) - len(text.lstrip()), len(text.rstrip()))]
        return [Finding("leaked prompt", "the answer repeats the prompt", *span, "[removed]") for span in spans]

    def is_open(self, text: str) -> bool:
        """Whether a text ends in words of the prompt, in a code or in a part of the canary: a leak may be under way."""
        if ends_in_code(text) or self._ends_in_canary(text):
            return True
        words = _words(plain(text))
        longest = 0
        while longest < min(len(words), self._n) and f" {' '.join(words[-longest - 1 :])} " in self._text:
            longest += 1
        return longest >= _OPEN_FROM or 0 < longest == len(words)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        places = [match.span() for match in _WORD.finditer(text) if not match[0].isdigit()]
        words = [plain(text[start:end]) for start, end in places]
        found: list[tuple[int, int]] = []
        for i in range(len(words) - self._n + 1):
            if tuple(words[i : i + self._n]) in self._runs:
                start, end = places[i][0], places[i + self._n - 1][1]
                found = [*found[:-1], (found[-1][0], end)] if found and start <= found[-1][1] else [*found, (start, end)]
        return found

    def _runs_in(self, reading: str) -> bool:
        words = _words(reading)
        return any(tuple(words[i : i + self._n]) in self._runs for i in range(len(words) - self._n + 1))

    def _stands_in(self, text: str, known: Sequence[str]) -> bool:
        words = " ".join(_words(plain(text)))
        return any(f" {words} " in f" {' '.join(_words(plain(other)))} " for other in known)

    def _holds_canary(self, reading: str) -> bool:
        spaced = len(self._letters) >= _FEWEST_LETTERS and self._letters in _letters(reading)
        return spaced or (bool(self._canary) and self._canary in reading)

    def _ends_in_canary(self, text: str) -> bool:
        if not self._letters:
            return False
        said = _letters(plain(text))
        ends = any(said.endswith(self._letters[:length]) for length in range(_OPEN_FROM, len(self._letters)))
        return ends or (bool(said) and self._letters.startswith(said))


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if not word.isdigit()]  # which may number the words of a list


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
