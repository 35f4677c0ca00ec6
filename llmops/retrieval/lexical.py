"""Lexical search: BM25 in Lucene's variant over stemmed words, stored and scored by bm25s. No pickle.

score(q, d) = sum over the terms t of q of idf(t) * tf / (tf + k1 * (1 - b + b * |d| / mean |d|)),
idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))    (Kamphuis et al. 2020, "Which BM25 do you mean?")
"""

import json
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import ArtifactError, ConfigError

K1, B = 1.2, 0.75
NO_LANGUAGE = "none"
COUNTS, LANGUAGE = "counts.npy", "language.json"
Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
_WORD = re.compile(r"\w{2,}")
_BLOCK = 1000  # passages whose words are counted at once
_SLICE = 1_000_000  # scores computed at once
_KNOWN_WORDS = 1_000_000  # words whose stems are remembered while building: bounds memory


class LexicalIndex:
    """Passages by the stems of their words. Rows are numbered in the order of the passages."""

    def __init__(self, bm25: Any, counts: npt.NDArray[Any], language: str) -> None:
        self.language = language
        self._bm25 = bm25
        self._counts = counts  # how often a row has a term: one for each score of bm25, so that rows can be reused

    @classmethod
    def build(
        cls,
        passages: Iterable[str],
        language: str = "english",
        previous: "LexicalIndex | None" = None,
        reused: Rows | None = None,
    ) -> "LexicalIndex":
        """Index `passages`, reading each once.

        With a `previous` index, `reused` holds for each row the previous row of the same passage, or -1 for one that
        `passages` yields next. The index is the same as one built from all passages.

        Raises:
            ConfigError: `language` is neither "none" nor a Snowball language.
        """
        counts, terms = _count(passages, language)
        if previous is not None and reused is not None:
            if previous.language != language:
                raise ValueError(f"rows stemmed as {previous.language} can't be reused in an index for {language}")
            counts, terms = _with_reused(counts, terms, previous, reused)
        counts, terms = _in_order(counts, terms)  # rebinding frees the unordered counts
        return cls(*_weigh(counts, terms), language)

    def save(self, folder: Path) -> None:
        """Write the index into `folder` as npy and json files."""
        self._bm25.save(str(folder), show_progress=False, allow_pickle=False)
        np.save(folder / COUNTS, self._counts, allow_pickle=False)
        (folder / LANGUAGE).write_text(json.dumps({"language": self.language}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "LexicalIndex":
        """Open a saved index; its arrays are memory-mapped.

        Raises:
            ArtifactError: the folder holds no lexical index.
        """
        try:
            bm25 = _bm25s().BM25.load(str(folder), mmap=True, allow_pickle=False, show_progress=False)
            counts = np.load(folder / COUNTS, mmap_mode="r", allow_pickle=False)
            language = json.loads((folder / LANGUAGE).read_text(encoding="utf-8"))["language"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no lexical index ({error}). Build it anew.") from error
        for name in ("data", "indices", "indptr"):  # still mapped, but sliced without memmap's overhead
            bm25.scores[name] = np.asarray(bm25.scores[name])
        return cls(bm25, np.asarray(counts), language)

    @property
    def n_rows(self) -> int:
        return int(self._bm25.scores["num_docs"])

    def search(self, queries: Sequence[str], k: int, allowed: npt.NDArray[np.bool_] | None = None) -> tuple[Scores, Rows]:
        """Return the scores and rows of the `k` best rows for each query, best first, both of shape (n_queries, k).

        Only rows that share a term with the query are hits, ties go to the lower row, and the rest is padded with
        score 0 and row -1. `allowed`, of shape (n_rows,), leaves rows out before they are ranked.
        """
        scores = np.zeros((len(queries), k), dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        for place, ids in enumerate(self._term_ids(queries)):
            found = self._score(ids)
            best = _best(found, np.flatnonzero(found > 0 if allowed is None else (found > 0) & allowed), k)
            scores[place, : len(best)], rows[place, : len(best)] = found[best], best
        return scores, rows

    def scores(self, query: str, rows: npt.ArrayLike) -> Scores:
        """Score given rows for one query."""
        return self._score(self._term_ids([query])[0])[np.asarray(rows, dtype=np.int64)]

    def _score(self, ids: list[int]) -> Scores:
        """Score every row: float32, shape (n_rows,)."""
        return self._bm25.get_scores_from_ids(ids) if ids else np.zeros(self.n_rows, dtype=np.float32)

    def _term_ids(self, queries: Sequence[str]) -> list[list[int]]:
        """The known terms of each query; a term that is said twice counts twice."""
        stem, stop_words, terms = _stemmer(self.language), _stop_words(self.language), self._bm25.vocab_dict
        stems = ([stem(word) for word in _words(query) if word not in stop_words] for query in queries)
        return [[terms[term] for term in found if term in terms] for found in stems]


def _best(scores: Scores, rows: Rows, k: int) -> Rows:
    """The `k` of `rows` with the highest scores, best first, ties by row; `rows` ascends."""
    if len(rows) > k > 0:
        found = scores[rows]
        rows = rows[found >= np.partition(found, len(rows) - k)[len(rows) - k]]  # all ties with the k-th stay
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]


class _TermIds(dict[str, int]):
    """Word -> the number of its stem, or -1 for a stop word; it learns the words it is asked for."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self.terms: dict[str, int] = {}
        self._stem, self._stop_words = _stemmer(language), _stop_words(language)

    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN_WORDS:
            self.clear()
        self[word] = -1 if word in self._stop_words else self.terms.setdefault(self._stem(word), len(self.terms))
        return self[word]


def _count(passages: Iterable[str], language: str) -> tuple[Any, dict[str, int]]:
    """Count terms: a sparse matrix of shape (n_passages, n_terms) by rows, and each term's column."""
    from scipy.sparse import csr_array, vstack

    ids = _TermIds(language)
    blocks: list[Any] = []
    words: list[npt.NDArray[np.int32]] = []

    def count_block() -> None:
        ends = np.cumsum([0, *(len(found) for found in words)], dtype=np.int32)
        flat = np.concatenate(words) if words else np.empty(0, dtype=np.int32)
        block = csr_array((np.ones(len(flat), dtype=np.int32), flat, ends), shape=(len(words), len(ids.terms))).tocsc()
        block.sum_duplicates()  # linear by columns, where a row's repeated terms stand side by side
        blocks.append(block.tocsr())
        words.clear()

    for passage in passages:
        found = np.array([ids[word] for word in _words(passage)], dtype=np.int32)
        words.append(found[found >= 0])
        if len(words) == _BLOCK:
            count_block()
    count_block()
    for block in blocks:
        block.resize((block.shape[0], len(ids.terms)))
    return vstack(blocks, format="csr"), ids.terms


def _with_reused(fresh: Any, terms: dict[str, int], previous: LexicalIndex, reused: Rows) -> tuple[Any, dict[str, int]]:
    """Put the rows that are reused from `previous` between the `fresh` ones."""
    from scipy.sparse import csc_array, csr_array, vstack

    scores, all_terms = previous._bm25.scores, dict(previous._bm25.vocab_dict)
    shape = (previous.n_rows, len(all_terms))
    old = csc_array((previous._counts.astype(np.int32), scores["indices"], scores["indptr"]), shape=shape).tocsr()
    columns = np.array([all_terms.setdefault(term, len(all_terms)) for term in terms], dtype=np.int32)
    old.resize((previous.n_rows, len(all_terms)))
    new = csr_array((fresh.data, columns[fresh.indices], fresh.indptr), shape=(fresh.shape[0], len(all_terms)))
    places = np.where(reused >= 0, reused, previous.n_rows + np.cumsum(reused < 0) - 1)
    return vstack([old, new], format="csr")[places], all_terms


def _in_order(counts: Any, terms: dict[str, int]) -> tuple[Any, dict[str, int]]:
    """Drop terms that no row has and sort the others: equal passages make equal files, in whatever steps."""
    from scipy.sparse import csr_array

    used = np.bincount(counts.indices, minlength=len(terms)) > 0
    names = sorted(term for term, column in terms.items() if used[column])
    columns = np.zeros(len(terms), dtype=np.int32)
    columns[[terms[name] for name in names]] = np.arange(len(names), dtype=np.int32)
    shape = (counts.shape[0], len(names))
    ordered = csr_array((counts.data, columns[counts.indices], counts.indptr), shape=shape).tocsc()
    return ordered, {name: column for column, name in enumerate(names)}


def _weigh(counts: Any, terms: dict[str, int]) -> tuple[Any, npt.NDArray[Any]]:
    """BM25 of every term in every row, as bm25s keeps it, and the counts it was made from."""
    n_rows = counts.shape[0]
    lengths = np.bincount(counts.indices, weights=counts.data, minlength=n_rows)
    mean = lengths.mean() if lengths.any() else 1.0
    saturation = (K1 * (1 - B + B * lengths / mean)).astype(np.float32)
    frequencies = np.diff(counts.indptr)
    idf = np.log(1 + (n_rows - frequencies + 0.5) / (frequencies + 0.5)).astype(np.float32)
    data = counts.data.astype(np.float32)
    for start in range(0, len(data), _SLICE):  # in place, without temporary arrays of the same size
        part = slice(start, start + _SLICE)
        data[part] /= data[part] + saturation[counts.indices[part]]
    data *= np.repeat(idf, frequencies)
    bm25 = _bm25s().BM25(method="lucene", k1=K1, b=B)
    indptr = counts.indptr.astype(np.int64)
    bm25.scores = {"data": data, "indices": counts.indices.astype(np.int32), "indptr": indptr, "num_docs": n_rows}
    bm25.vocab_dict, bm25.nonoccurrence_array = terms, None
    return bm25, counts.data.astype(np.min_scalar_type(int(counts.data.max(initial=0))))


def _words(text: str) -> list[str]:
    """Words of two characters and more in lower case; ligatures and full-width letters count as plain ones."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def check_language(language: str) -> None:
    """Refuse a language that has no stemmer.

    Raises:
        ConfigError: `language` is neither "none" nor a Snowball language.
    """
    import Stemmer

    if language != NO_LANGUAGE and language not in Stemmer.algorithms():
        raise ConfigError(f"unknown language {language!r}. Give {NO_LANGUAGE} or one of {', '.join(Stemmer.algorithms())}.")


def _stemmer(language: str) -> Any:
    """A function from word to stem. Not shared: a Stemmer is not safe between threads."""
    import Stemmer

    check_language(language)
    if language == NO_LANGUAGE:
        return str
    return Stemmer.Stemmer(language).stemWord


def _stop_words(language: str) -> frozenset[str]:
    name = "EN" if language == "english" else language.upper()
    return frozenset(getattr(_bm25s().stopwords, f"STOPWORDS_{name}", ()))


def _bm25s() -> Any:
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # on import it sets DEBUG and talks about every build
    return bm25s
