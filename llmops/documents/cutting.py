"""Where a text may be cut: its tokens' offsets, and the coarsest boundary within a budget of tokens."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llmops.types import Table

CHARACTERS_PER_TOKEN = 20  # at most: WordPiece takes a megabyte without a space for one unknown token
_PIECE = 1 << 16  # characters tokenised at a time
_SLACK = 2  # tokens that a cut between words may add; mid-word it may add any number
_SPACE = " \n\t\r"  # what every tokenizer takes for a space

PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
LINE = re.compile(r"\n\s*")
SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]*\s+(?![a-z])|[。！？][」』”’）]*\s*")
WORD = re.compile(r"\s+")
INK = re.compile(r"\S")


class Tokenizer(Protocol):
    """The embedder's own, without special tokens."""

    def count_tokens(self, text: str) -> int: ...

    def token_starts(self, text: str) -> npt.NDArray[np.int64]:
        """The character at which each token begins, ascending."""
        ...


class Cutter:
    """Cuts one text from front to back; it is tokenised once, piece by piece, just ahead of the cuts."""

    def __init__(self, text: str, tables: Sequence[Table], tokenizer: Tokenizer) -> None:
        self.text = text
        self.tokenizer = tokenizer
        self.tables = [Table(t.start, t.header_end, _rstrip(text, t.start, t.end)) for t in tables]
        self._table_starts = [table.start for table in tables]
        self._starts = np.empty(0, np.int64)
        self._done = 0  # the text is tokenised up to here
        self._low = 0  # offsets before it are forgotten
        self._blank = (1, 0)  # the whitespace that was looked at last; none yet

    def ink(self, position: int) -> int:
        """The next character that is not whitespace, or the text's end."""
        if not self._blank[0] <= position <= self._blank[1]:
            found = INK.search(self.text, position)
            self._blank = (position, found.start() if found else len(self.text))
        return self._blank[1]

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in [start, end), a span after the begin of the chunk in hand."""
        self._reach(end)
        return int(self._starts.searchsorted(end) - self._starts.searchsorted(start))

    def back(self, position: int, tokens: int) -> int:
        """Where the last `tokens` tokens before `position` begin."""
        index = int(self._starts.searchsorted(position)) - tokens
        return int(self._starts[max(index, 0)]) if tokens and len(self._starts) else position

    def table_at(self, position: int) -> Table | None:
        """The table that a cut at `position` would cut in two."""
        index = bisect_right(self._table_starts, position - 1) - 1
        return self.tables[index] if index >= 0 and position < self.tables[index].end else None

    def limit(self, start: int, end: int, budget: int) -> int:
        """The furthest end of a chunk of `budget` tokens from `start`."""
        self._low = start
        furthest = min(end, self.ink(start) + CHARACTERS_PER_TOKEN * budget)
        self._reach(furthest)
        index = int(self._starts.searchsorted(start)) + budget
        if index < len(self._starts):
            furthest = min(furthest, int(self._starts[index]))
        return max(furthest, start + 1)

    def cut(self, start: int, end: int, limit: int, budget: int, beyond: int) -> int:
        """Cut [start, end) at `limit` or before: at the coarsest boundary after `beyond` that leaves it a third full.

        `budget` is that of a chunk without a table header.
        """
        if limit >= end:
            return end
        table = self.table_at(limit)
        found = self._cut_table(table, start, limit, budget) if table else None
        if found:
            return found
        first = self.ink(start)
        low, middle = first + (limit - first) // 3, start + (end - start) * 3 // 5
        if middle > beyond and self._is_little_over(start, end, budget):  # two halves rather than a few words left over
            low, limit = start + (end - start) * 2 // 5, min(limit, middle)
        low = max(low, beyond + 1, first + 1)
        for pattern in (SENTENCE, WORD) if table else (PARAGRAPH, LINE, SENTENCE, WORD):
            found = self._last(pattern, low, limit, within_table=table is not None)
            if found:
                return found
        return self._token_at(limit, low)

    def lower_limit(self, start: int, end: int, budget: int) -> int | None:
        """Where to cut instead when the text has more tokens on its own than in its place; None: it fits."""
        between_words = end == len(self.text) or self.text[end - 1] in _SPACE or self.text[end] in _SPACE
        between_words &= start == 0 or self.text[start - 1] in _SPACE or self.text[start] in _SPACE
        if end == start + 1 or (between_words and self.count(start, end) + _SLACK <= budget):
            return None
        far = end - start > CHARACTERS_PER_TOKEN * budget  # whitespace without end: it has no tokens, or fewer would fit
        first = min(self.ink(start), end - 1) if far else start
        text = self.text[first:end].rstrip() if far else self.text[start:end]
        tokens = self.tokenizer.count_tokens(text)
        if tokens <= budget:
            return None
        starts = self.tokenizer.token_starts(text)
        keep = max(1, min(budget, len(starts) * budget // tokens))
        limit = first + (int(starts[keep]) if keep < len(starts) else len(text) // 2)
        return min(max(limit, start + 1), end - 1)

    def absorb(self, start: int, cut: int, end: int, budget: int) -> int:
        """Whitespace after a cut belongs to the chunk before it, unless its tokens don't fit."""
        ink = min(self.ink(cut), end)
        return ink if ink == cut or self.count(start, ink) <= budget else cut

    def overlap(self, start: int, end: int, tokens: int) -> int:
        """Where the next chunk begins: a sentence or word after `start`, at most `tokens` tokens before `end`."""
        low = max(self.back(end, tokens), start + 1)
        if low >= end or self.table_at(end):
            return end
        for pattern in (SENTENCE, WORD):
            ends = (match.end() for match in pattern.finditer(self.text, max(low - 4, start), end))
            found = next((p for p in ends if low <= p < end and not self.table_at(p)), None)
            if found:
                return found
        return end

    def _cut_table(self, table: Table, start: int, limit: int, budget: int) -> int | None:
        """Cut before the table if it fits in one chunk, else between rows; None: inside a row too long for one."""
        first = self.ink(start)
        row = min(self.text.rfind("\n", max(first, table.start), limit + 1) + 1, limit)
        if start >= table.start or (first >= table.start and not self.count(start, table.start)):
            return row if row > start else None
        fits = table.end - table.start <= CHARACTERS_PER_TOKEN * budget and self.count(table.start, table.end) <= budget
        return table.start if fits or row <= table.header_end else row

    def _is_little_over(self, start: int, end: int, budget: int) -> bool:
        most = CHARACTERS_PER_TOKEN * budget * 5 // 4
        index = bisect_right(self._table_starts, end - 1) - 1
        if end - start > most or (index >= 0 and self.tables[index].end > start):
            return False
        return self.count(start, end) * 4 <= budget * 5

    def _last(self, pattern: re.Pattern[str], low: int, high: int, within_table: bool) -> int | None:
        # From where a boundary at `low` may begin, and one character more, so that one at `high` is seen to end.
        ends = [match.end() for match in pattern.finditer(self.text, max(low - 4, 0), min(high + 1, len(self.text)))]
        return next((p for p in reversed(ends) if low <= p <= high and (within_table or not self.table_at(p))), None)

    def _token_at(self, position: int, low: int) -> int:
        """The last token start in [low, position], or `position` when that lies inside one long token."""
        index = int(self._starts.searchsorted(position, side="right")) - 1
        return int(self._starts[index]) if index >= 0 and self._starts[index] >= low else position

    def _reach(self, end: int) -> None:
        end = min(end, len(self.text))
        while self._done < end:
            piece = self.text[self._done : _break(self.text, self._done)]
            starts = self.tokenizer.token_starts(piece) + self._done
            kept = self._starts[self._starts.searchsorted(self._low) :]
            self._starts = np.concatenate([kept, starts])
            self._done += len(piece)


def _break(text: str, start: int) -> int:
    """The end of a piece, after whitespace if there is some in its second half."""
    end = start + _PIECE
    if end >= len(text):
        return len(text)
    space = max(text.rfind(" ", start + _PIECE // 2, end), text.rfind("\n", start + _PIECE // 2, end))
    return space + 1 if space >= 0 else end


def _rstrip(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end
