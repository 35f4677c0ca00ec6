"""Exact and near-duplicate chunks: found as they pass by, the first one is kept.

MinHash (Broder 1997) over shingles of 3 to 5 words, 16 bits of each value (b-bit MinHash, Li & König 2010), and bands.
"""

import re
import zlib
from array import array
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from llmops.errors import ConfigError

PERMUTATIONS = 128  # the estimate's standard error is sqrt(s * (1 - s) / 128): 0.027 at a similarity of 0.9
SIGNATURE_BYTES = 8 + 2 * PERMUTATIONS
_FEWEST_WORDS = 10
_MISSED = 0.005  # pairs just at the threshold whose bands all differ
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")
_NEGATION = re.compile(r"\b(?:not|no|never|without|cannot)\b|n['’]t\b")  # English
_ODD = np.random.RandomState(1).randint(0, 1 << 62, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def text_key(text: str) -> bytes:
    """16 bytes, equal for texts that differ only in case and in the whitespace between words."""
    return blake2b(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def signature(text: str) -> bytes:
    """The guard's hash (8 bytes) and the MinHash (128 times uint16); empty for fewer than ten words."""
    words = _WORD.findall(text.casefold())
    if len(words) < _FEWEST_WORDS:
        return b""
    minhash = _empty_minhash().copy()
    minhash.update_batch(_shingles(words))
    values: bytes = minhash.hashvalues.astype("<u2").tobytes()
    return _guard(text) + values


def _guard(text: str) -> bytes:
    """Equal for texts with the same numbers, the same words with a capital, and the same negations, each in the same order.

    A capital makes a name in most scripts that have them; the words that begin a sentence have one too, and are compared.
    """
    names = [word for word in _WORD.findall(text) if word != word.lower()]
    negations = [word.replace("’", "'") for word in _NEGATION.findall(text.lower())]
    guarded = "\n".join(" ".join(words) for words in (_NUMBER.findall(text), names, negations))
    return blake2b(guarded.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _shingles(words: list[str]) -> list[int]:
    """The 32-bit hashes of all runs of three, four and five words."""
    hashes = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], np.uint64)
    runs = []
    for size in (3, 4, 5):
        mixed = np.zeros(len(words) - size + 1, np.uint64)
        for offset in range(size):  # order counts: each place has its own factor
            mixed += (hashes[offset : offset + len(mixed)] + np.uint64(size)) * _ODD[offset]
        runs.append((mixed ^ (mixed >> np.uint64(29))) * _ODD[size] >> np.uint64(32))
    shingles: list[int] = np.unique(np.concatenate(runs)).tolist()
    return shingles


@cache
def _empty_minhash() -> Any:
    from datasketch import MinHash

    # The scheme is named, so that a later version of the library computes the same.
    return MinHash(PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")


class Duplicates:
    """The chunks kept so far; some 700 bytes each.

    Near-duplicates have an estimated Jaccard similarity of their shingles of at least `threshold`, and the same numbers,
    names and negations in the same order: "30 days" is never taken for "25 days". 0 switches them off. Of 80-word passages
    that differ in one other word inside, 0.9 merges half and 0.95 one in twenty; near their ends 0.95 merges half.

    Raises:
        ConfigError: `threshold` is not in [0, 1].
    """

    def __init__(self, threshold: float) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigError(f"the duplicate threshold must be in [0, 1], 0 for exact duplicates only; got {threshold}.")
        self.exact = self.near = 0
        self._threshold = threshold
        self._rows_by_key: dict[bytes, int] = {}
        self._rows = array("q")  # of those kept with a signature
        self._signatures = bytearray()
        self._width = _band_width(threshold)
        self._bands = PERMUTATIONS // self._width
        # A hash table: a slot has the last entry that fell into it, an entry the one before; entry e is of e // bands.
        self._slots = array("i", [-1]) * (1 << 12)
        self._hashes, self._earlier = array("I"), array("i")

    def add(self, row: int, key: bytes, signature: bytes) -> int | None:
        """The earlier row that this one duplicates, or None: it is kept."""
        found = self._rows_by_key.get(key)
        if found is not None:
            self.exact += 1
            return found
        if signature and self._threshold:
            hashes = self._band_hashes(signature)
            found = self._nearest(signature, hashes)
            if found is not None:
                self.near += 1
                return found
            self._keep(row, signature, hashes)
        self._rows_by_key[key] = row
        return None

    def _nearest(self, signature: bytes, hashes: list[int]) -> int | None:
        """The most similar of those kept that share a band, the earliest of equals; None below the threshold."""
        candidates = set()
        for value in hashes:
            entry = self._slots[value % len(self._slots)]
            while entry >= 0:
                if self._hashes[entry] == value:
                    candidates.add(entry // self._bands)
                entry = self._earlier[entry]
        if not candidates:
            return None
        ordered = sorted(candidates)
        kept = np.frombuffer(self._signatures, "<u2").reshape(-1, SIGNATURE_BYTES // 2)[ordered]
        equal = kept == np.frombuffer(signature, "<u2")
        similarity = equal[:, 4:].mean(axis=1) * equal[:, :4].all(axis=1)
        best = int(similarity.argmax())
        return self._rows[ordered[best]] if similarity[best] >= self._threshold else None

    def _keep(self, row: int, signature: bytes, hashes: list[int]) -> None:
        self._rows.append(row)
        self._signatures += signature
        for entry, value in enumerate(hashes, start=len(self._hashes)):
            slot = value % len(self._slots)
            self._hashes.append(value)
            self._earlier.append(self._slots[slot])
            self._slots[slot] = entry
        if 2 * len(self._hashes) > len(self._slots):
            self._grow()

    def _grow(self) -> None:
        """Twice the slots, and each entry in its new one."""
        self._slots = array("i", [-1]) * (2 * len(self._slots))
        slots = np.frombuffer(self._hashes, np.uint32) % np.uint32(len(self._slots))
        order = slots.argsort(kind="stable")
        same = slots[order[1:]] == slots[order[:-1]]
        earlier = np.frombuffer(self._earlier, np.int32)
        earlier[:] = -1
        earlier[order[1:][same]] = order[:-1][same]
        last = np.append(~same, True)
        np.frombuffer(self._slots, np.int32)[slots[order[last]]] = order[last]

    def _band_hashes(self, signature: bytes) -> list[int]:
        values = np.frombuffer(signature, "<u2", offset=8)[: self._bands * self._width]
        mixed = values.astype(np.uint64).reshape(self._bands, self._width) @ _ODD[: self._width] + _ODD[: self._bands]
        hashes: list[int] = ((mixed ^ (mixed >> np.uint64(31))) * _ODD[0] >> np.uint64(32)).tolist()
        return hashes


def _band_width(threshold: float) -> int:
    """The widest bands by which a pair at the threshold is still found."""
    widths = range(PERMUTATIONS, 1, -1)
    return next((w for w in widths if (1 - threshold**w) ** (PERMUTATIONS // w) <= _MISSED), 1)
