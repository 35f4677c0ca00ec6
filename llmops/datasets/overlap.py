"""Questions of an application's sets that stand in training data, word for word or nearly so.

Near is the Jaccard similarity between a question and a sentence or line, of their words and pairs of neighbours. MinHash
(Broder 1997) in bands finds candidates; their similarity is then computed, not estimated.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmops.datasets.tables import RejectedRow, read_rows
from llmops.errors import ConfigError, DataError

# The 165 questions of the sample handbook, against its 172 examples with their contexts and of one set against the other:
# two rewordings, since replaced, reached 0.50 and 0.78, all else at most 0.35. A question of five words or more, all
# different, and a copy in which one word is another, or two neighbours changed places, have at least 0.5.
THRESHOLD = 0.5
_BANDS, _WIDTH = 128, 3  # of pairs at 0.5, one in 26 million has no band in common
_RUN = 3  # words that index a question; a shorter one stands in many texts by chance
# Chinese and Japanese put no space between words: each character counts as one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_SENTENCE_END = re.compile(r"(?<=[.?!:])\s+|(?<=[。？！：])|\n\s*\n")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Overlap:
    """A question found in a training text. `kind` is "exact" or "near"; `similarity` is in (0, 1], 1 where exact."""

    where: str
    question_id: str
    kind: str
    similarity: float
    question: str

    def __str__(self) -> str:
        return f"{self.where} holds {self.question_id} ({self.kind}): {self.question!r:.80}"


def check_overlaps(
    training: Iterable[tuple[str, str]], questions: Iterable[tuple[str, str]], allowed: bool, what: str = "training data"
) -> list[Overlap]:
    """What `find_overlaps` finds, where that is allowed; `what` names the texts that are searched.

    Raises:
        DataError: it isn't, and there is one.
    """
    found = find_overlaps(training, questions)
    if found and not allowed:
        shown = "; ".join(map(str, found[:3]))
        raise DataError(
            f"questions that the app is measured by are in the {what}, {len(found)} times: {shown}. "
            "Remove them, or set allow_overlap=yes."
        )
    return found


def find_overlaps(
    training: Iterable[tuple[str, str]], questions: Iterable[tuple[str, str]], threshold: float = THRESHOLD
) -> list[Overlap]:
    """Find questions, (id, text), in training texts, (where, text). A pair is listed once, in the order of both.

    Exact: the question's words follow one another in the text, whatever their case, spacing and punctuation; one of fewer
    than three words must be a sentence or line. Near: the similarity to a sentence or line is at least `threshold`.
    Training texts are read one by one and not kept.

    Raises:
        ConfigError: `threshold` is not in [0.5, 1].
    """
    if not 0.5 <= threshold <= 1:
        raise ConfigError(f"the overlap threshold is {threshold}, expected one in [0.5, 1].")
    asked = list(questions)
    index = _Index([words_of(text) for _, text in asked], threshold)
    return [
        Overlap(where, asked[number][0], kind, similarity, asked[number][1])
        for where, text in training
        for number, (kind, similarity) in sorted(index.find(text).items())
    ]


def training_texts(path: Path) -> Iterator[tuple[str, str]]:
    """The texts of each row of a file of training data, whatever its columns, as (where, text).

    Raises:
        DataError: the file can't be read.
    """
    for row in read_rows(path):
        if not isinstance(row, RejectedRow):
            yield row[0], "\n".join(_texts(row[1]))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


class _Index:
    """Questions as words, by what a training text is searched with."""

    def __init__(self, questions: Sequence[Words], threshold: float) -> None:
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._by_words: dict[Words, list[int]] = defaultdict(list)
        self._by_run: dict[Words, list[Words]] = defaultdict(list)
        for number, words in enumerate(questions):
            self._by_words[words].append(number)
        self._by_words.pop((), None)
        self._hashes: dict[str, int] = {}
        self._bands = MinHashLSH(num_perm=_BANDS * _WIDTH, params=(_BANDS, _WIDTH))
        for words in self._by_words:
            if len(words) >= _RUN:
                self._by_run[words[:_RUN]].append(words)
            shingles = _shingles(words)
            self._hashes |= {shingle: zlib.crc32(shingle.encode("utf-8", "surrogatepass")) for shingle in shingles}
            self._bands.insert(words, self._minhash(shingles))

    def find(self, text: str) -> dict[int, tuple[str, float]]:
        """The numbers of the questions that the text holds, each with its kind and similarity."""
        sentences = {words_of(part) for part in (*text.split("\n"), *_SENTENCE_END.split(text))}
        found = {words: ("exact", 1.0) for words in (*self._contained(words_of(text)), *(sentences & self._by_words.keys()))}
        for sentence in sentences:
            for words, similarity in self._similar(sentence):
                if found.get(words, ("", 0.0))[1] < similarity:
                    found[words] = ("near", similarity)
        return {number: how for words, how in found.items() for number in self._by_words[words]}

    def _contained(self, words: Words) -> list[Words]:
        runs = self._by_run.keys() & set(zip(*(words[start:] for start in range(_RUN)), strict=False))
        text = f" {' '.join(words)} " if runs else ""
        return [question for run in runs for question in self._by_run[run] if f" {' '.join(question)} " in text]

    def _similar(self, sentence: Words) -> list[tuple[Words, float]]:
        shingles = _shingles(sentence)
        known = shingles & self._hashes.keys()
        if not known or not self._may_be_similar(sentence, known):
            return []
        candidates = ((words, _shingles(words)) for words in self._bands.query(self._minhash(known)))
        compared = ((words, len(known & asked) / len(shingles | asked)) for words, asked in candidates)
        return [(words, similarity) for words, similarity in compared if similarity >= self._threshold]

    def _may_be_similar(self, sentence: Words, known: set[str]) -> bool:
        """Whether enough pairs of neighbours are some question's; nearly all sentences are out by this.

        A and Q are similar from t on if they share t / (1 + t) of |A| + |Q| shingles. At most as many words are shared as
        the one with fewer has, and there are at least as many pairs as different words, less one: the rest must be pairs.
        """
        share = self._threshold / (1 + self._threshold)
        different = set(sentence)
        return len(known - different) >= (4 * share - 1) * len(different) - 2 * share

    def _minhash(self, shingles: Iterable[str]) -> Any:
        minhash = _empty_minhash().copy()
        minhash.update_batch([self._hashes[shingle] for shingle in shingles])
        return minhash


def words_of(text: str) -> Words:
    """The words of a text, whatever their case; of Chinese and Japanese the characters."""
    return tuple(_WORD.findall(text.casefold()))


def _shingles(words: Words) -> set[str]:
    return {*words, *map(" ".join, zip(words, words[1:], strict=False))}


@cache
def _empty_minhash() -> Any:
    from datasketch import MinHash

    # The scheme is named, so that a later version of the library computes the same.
    return MinHash(_BANDS * _WIDTH, seed=1, hashfunc=int, scheme="affine32")
