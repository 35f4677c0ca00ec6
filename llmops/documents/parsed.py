"""What a parser makes of a file, and a draft to write it in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops.types import MetadataValue, Section, Table


@dataclass(frozen=True)
class Parsed:
    """A file as text. The title may be empty."""

    title: str
    text: str
    sections: list[Section]
    tables: list[Table] = field(default_factory=list)
    metadata: dict[str, MetadataValue] = field(default_factory=dict)


class HeadingPath:
    """The headings that stand above a place."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> str:
        """Go below a heading; returns the path to it, outermost first: "Leave > Carry-over"."""
        self._above = [(above, name) for above, name in self._above if above < level]
        self._above.append((level, one_line(heading)))
        return " > ".join(name for _, name in self._above if name)


class Draft:
    """A text that grows line by line, and the places in it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._places: list[tuple[int, dict[str, Any]]] = [(0, {})]
        self._path = HeadingPath()
        self._tables: list[Table] = []

    def add(self, text: str, end: str = "\n\n") -> None:
        if text.strip():
            self._parts += [text, end]
            self._length += len(text) + len(end)

    def head(self, level: int, heading: str) -> None:
        """Begin a section below a heading, which is part of its text."""
        if heading.strip():
            self.place(heading=self._path.enter(level, heading))
            self.add(one_line(heading))

    def place(self, **place: Any) -> None:
        """Begin a section; `place` holds the fields of `Section` besides start and end."""
        self._places.append((self._length, place))

    def table(self, rows: Iterable[Sequence[str]], header_rows: int = 1) -> None:
        """Add a table, a row a line: "a | b | c". Empty rows are left out, and empty cells at a row's end."""
        start = header_end = self._length
        for row in rows:
            cells = [one_line(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            self.add(" | ".join(cells), end="\n")
            if cells and header_rows > 0:
                header_rows, header_end = header_rows - 1, self._length
        if self._length > start:
            self._tables.append(Table(start, header_end, self._length))
            self._parts.append("\n")
            self._length += 1

    def parsed(self, title: str = "", metadata: dict[str, MetadataValue] | None = None) -> Parsed:
        ends = [*(start for start, _ in self._places[1:]), self._length]
        spans = zip(self._places, ends, strict=True)
        sections = [Section(start, end, **place) for (start, place), end in spans if start < end]
        return Parsed(title, "".join(self._parts), sections, self._tables, metadata or {})


def cut_at_headings(text: str, headings: Iterable[tuple[int, str]]) -> list[Section]:
    """Cut `text` at (offset, heading) pairs; what stands before the first has no heading."""
    cuts = [(0, ""), *headings, (len(text), "")]
    if len(cuts) > 2 and not text[: cuts[1][0]].strip():
        cuts[:2] = [(0, cuts[1][1])]
    return [Section(start, end, heading) for (start, heading), (end, _) in zip(cuts, cuts[1:], strict=False) if start < end]


def one_line(text: str) -> str:
    return " ".join(text.split())
