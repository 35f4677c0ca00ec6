"""Split documents into passages that fit the embedder: along headings, by structure alone, or into equal windows."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from llmops.documents.cutting import CHARACTERS_PER_TOKEN, INK, Cutter, Tokenizer
from llmops.errors import ConfigError
from llmops.types import Chunk, Document, Section

__all__ = ["SPLITTERS", "Splitting", "Tokenizer", "heading_line", "split_document"]

SPLITTERS = ("heading", "recursive", "fixed")


@dataclass(frozen=True)
class Splitting:
    """How documents are split. Sizes in the embedder's tokens.

    Raises:
        ConfigError: an unknown splitter, or not 0 <= chunk_overlap < chunk_tokens.
    """

    splitter: str = "heading"
    chunk_tokens: int = 96
    chunk_overlap: int = 0

    def __post_init__(self) -> None:
        if self.splitter not in SPLITTERS:
            raise ConfigError(f"unknown splitter {self.splitter!r}. Known: {', '.join(SPLITTERS)}.")
        if not 0 <= self.chunk_overlap < self.chunk_tokens:
            found = f"{self.chunk_overlap} with chunk_tokens {self.chunk_tokens}"
            raise ConfigError(f"chunk_overlap must be in [0, chunk_tokens); got {found}.")


@dataclass(frozen=True)
class _Region:
    """A span that is split on its own; `body` is where the headings it begins with end. No section: each chunk's own."""

    start: int
    body: int
    end: int
    section: Section | None = None
    bare: bool = False  # nothing but headings so far


@dataclass(frozen=True)
class _Place:
    """What is said of a chunk before its text, short enough to leave `budget` tokens for the text."""

    path: str  # the section's heading before it was shortened
    title: str
    heading: str
    budget: int


def split_document(document: Document, splitting: Splitting, tokenizer: Tokenizer, window: int) -> Iterator[Chunk]:
    """Yield chunks of at most `chunk_tokens` tokens, whose whole passage has at most `window`.

    Every character is in some chunk, and `chunk.text` is `document.text[chunk.start:chunk.end]`.

    - heading: no chunk crosses a heading or a page; inside, cuts at paragraphs first, then lines, sentences, words.
    - recursive: the same cuts without regard to headings and pages.
    - fixed: windows of `chunk_tokens` tokens, wherever they end.

    A table is cut only when it doesn't fit in a chunk, between rows, and its header is repeated (not by `fixed`).
    A document of nothing but whitespace yields nothing.
    """
    if not INK.search(document.text):
        return
    sections = document.sections or (Section(0, len(document.text)),)
    section_starts = [0, *(section.start for section in sections[1:])]
    cutter = Cutter(document.text, document.tables, tokenizer)
    regions = _regions(document.text, sections) if splitting.splitter == "heading" else [_Region(0, 0, len(document.text))]
    ordinal, place = 0, None
    for region in regions:
        start = last = region.start
        while last < region.end:
            section = region.section or sections[bisect_right(section_starts, cutter.ink(start)) - 1]
            if place is None or place.path != section.heading:
                place = _place(document.title, section.heading, splitting, tokenizer, window)
            header, room = _table_header(cutter, start, place.budget)
            end = _end(cutter, region, start, last, place.budget, room, splitting)
            if end <= last and start < last:  # the overlap leaves no room for anything new
                start = last
                continue
            start_s, end_s = _times(sections, section_starts, start, end, document.text)
            yield Chunk(
                f"{document.doc_id}#{ordinal}", document.doc_id, place.title, place.heading, document.text[start:end], start,
                end, section.page, start_s, end_s, header,
            )  # fmt: skip
            ordinal, last = ordinal + 1, end
            if last < region.end:
                start = _next_start(cutter, start, end, min(splitting.chunk_overlap, room - 1), splitting)


def heading_line(title: str, heading: str) -> str:
    """Title and heading path as one line; a title that is the first heading is said once."""
    if heading == title or heading.startswith(f"{title} > "):
        return heading
    return " > ".join(part for part in (title, heading) if part)


def _end(cutter: Cutter, region: _Region, start: int, last: int, budget: int, room: int, splitting: Splitting) -> int:
    """Where the chunk ends that begins at `start` and has `room` tokens of its `budget` left for text."""
    end = region.end + 1
    limit: int | None = cutter.limit(start, region.end, room)
    while limit is not None:
        cut = limit
        if splitting.splitter != "fixed":
            # Some text after the headings, unless they fill most of the chunk.
            beyond = region.body if start < region.body < start + (limit - start) * 2 // 3 else start
            cut = cutter.cut(start, region.end, limit, budget, max(beyond, last))
        absorbed = cutter.absorb(start, cut, region.end, room)
        end = absorbed if absorbed < end else cut
        limit = cutter.lower_limit(start, end, room)
    return end


def _next_start(cutter: Cutter, start: int, end: int, overlap: int, splitting: Splitting) -> int:
    if overlap < 1:
        return end
    if splitting.splitter == "fixed":
        return max(cutter.back(end, overlap), start + 1)
    return cutter.overlap(start, end, overlap)


def _regions(text: str, sections: tuple[Section, ...]) -> list[_Region]:
    """Join sections of one heading and page; a heading alone joins the section after it, whitespace the one before."""
    ends = [*(section.start for section in sections[1:]), len(text)]
    regions: list[_Region] = []
    start = 0
    for section, end in zip(sections, ends, strict=True):
        last = regions[-1] if regions else None
        if not INK.search(text, start, end):
            if last is None:
                continue  # leading whitespace: the next section begins here
            regions[-1] = _Region(last.start, last.body, end, last.section, last.bare)
        else:
            bare = _is_bare(text, start, end, section.heading)
            if last and last.section and (last.section.heading, last.section.page) == (section.heading, section.page):
                regions[-1] = _Region(last.start, last.body, end, last.section, last.bare and bare)
            elif last and last.section and last.bare and last.section.page == section.page:
                regions[-1] = _Region(last.start, _body(text, start, end, section.heading), end, section, bare)
            else:
                regions.append(_Region(start, _body(text, start, end, section.heading), end, section, bare))
        start = end
    return regions


def _is_bare(text: str, start: int, end: int, heading: str) -> bool:
    """Whether a section says nothing besides its heading."""
    if not heading or end - start > 2 * len(heading) + 1000:
        return False
    return _without_marks(heading).endswith(_without_marks(text[start:end]))


def _body(text: str, start: int, end: int, heading: str) -> int:
    """Where a section goes on after the line that is its heading."""
    line = INK.search(text, start, end)
    line_end = text.find("\n", line.start(), end) if line else -1
    body = INK.search(text, line_end, end) if line_end >= 0 and _is_bare(text, start, line_end, heading) else None
    return body.start() if body else start


def _without_marks(text: str) -> str:
    return re.sub(r"[\s#=*_-]", "", text)


def _place(title: str, path: str, splitting: Splitting, tokenizer: Tokenizer, window: int) -> _Place:
    """Shorten title and heading to half of the window: outer headings go first, then the rest is cut."""
    parts = path.split(" > ")
    room = window // 2
    for outer in range(len(parts)):
        heading = " > ".join(parts[outer:])
        tokens = _line_tokens(heading_line(title, heading), room, tokenizer)
        if tokens <= room:
            break
    else:
        title = _shorten(title, room // 2, tokenizer)
        for left in range(room - tokenizer.count_tokens(title), -1, -1):
            heading = _shorten(parts[-1], left, tokenizer)
            tokens = _line_tokens(heading_line(title, heading), room, tokenizer)
            if tokens <= room:
                break
        else:
            title, heading, tokens = "", "", 0
    return _Place(path, title, heading, max(1, min(splitting.chunk_tokens, window - tokens)))


def _line_tokens(line: str, room: int, tokenizer: Tokenizer) -> int:
    """The tokens of a line and its end; just too many when it is far too long to be counted."""
    if not line:
        return 0
    return tokenizer.count_tokens(line + "\n") if len(line) <= 100 * (room + 1) else room + 1


def _shorten(text: str, tokens: int, tokenizer: Tokenizer) -> str:
    """The beginning of `text` of at most `tokens` tokens, cut after a word if it can be."""
    if tokens < 1 or not text.strip():
        return ""
    cutter = Cutter(text, (), tokenizer)
    limit = cutter.limit(0, len(text), tokens)
    while (lower := cutter.lower_limit(0, limit, tokens)) is not None:
        limit = lower
    word = text.rfind(" ", 0, limit + 1) if limit < len(text) else limit
    return text[: word if word > limit // 2 else limit].strip()


def _table_header(cutter: Cutter, start: int, budget: int) -> tuple[str, int]:
    """The header of the table whose rows go on at `start`, and the tokens it leaves for them.

    It gets at most half of the budget, and less where a row would be cut for it.
    """
    table = cutter.table_at(start)
    if table is None or start < table.header_end:
        return "", budget
    row_end = cutter.text.find("\n", cutter.ink(start), table.end)
    row_end = table.end if row_end < 0 else row_end
    row = cutter.count(start, row_end) if row_end - start <= CHARACTERS_PER_TOKEN * budget else budget + 1
    room = min(budget // 2, budget - row if row <= budget else budget)
    header = _shorten_header(cutter.text[table.start : table.header_end].strip(), room, cutter.tokenizer)
    return header, budget - _line_tokens(header, room, cutter.tokenizer)


def _shorten_header(header: str, room: int, tokenizer: Tokenizer) -> str:
    """Cut a header after a line or a cell; one that can't be is dropped."""
    if _line_tokens(header, room, tokenizer) <= room:
        return header
    lines = header.split("\n")
    while len(lines) > 1:
        lines.pop()
        if _line_tokens("\n".join(lines), room, tokenizer) <= room:
            return "\n".join(lines)
    short = _shorten(lines[0], room - 1, tokenizer)
    return short[: max(short.rfind(mark) for mark in "|\t;,") + 1].strip()


def _times(
    sections: tuple[Section, ...], section_starts: list[int], start: int, end: int, text: str
) -> tuple[float | None, float | None]:
    """The first and last second of the sections that a chunk overlaps with more than whitespace."""
    if sections[0].start_s is None and sections[-1].end_s is None:
        return None, None
    first, behind = bisect_right(section_starts, start) - 1, bisect_left(section_starts, end)
    inked = [
        section
        for section, begin, stop in zip(
            sections[first:behind], section_starts[first:behind], [*section_starts[first + 1 : behind], end], strict=True
        )
        if INK.search(text, max(begin, start), stop)
    ]
    begins = [section.start_s for section in inked if section.start_s is not None]
    ends = [section.end_s for section in inked if section.end_s is not None]
    return (begins[0] if begins else None), (ends[-1] if ends else None)
