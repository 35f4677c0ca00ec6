"""Read a folder of documents: each format has one function from bytes to title, text and sections."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from llmops import digests
from llmops.errors import DataError
from llmops.types import Document, Section

Parsed = tuple[str, str, list[Section]]  # title (may be empty), text, sections


@dataclass(frozen=True)
class Rejected:
    """A file that was skipped, and why, in words a user can act on."""

    doc_id: str
    reason: str


def read_documents(folder: Path) -> tuple[list[Document], list[Rejected]]:
    """Read every file below `folder`, in name order. A bad file is reported, never fatal; hidden files are ignored.

    Raises:
        DataError: `folder` is no folder, or no file in it could be read.
    """
    if not folder.is_dir():
        raise DataError(f"documents folder {str(folder)!r} does not exist or is a file. Give a folder of documents.")
    documents: list[Document] = []
    rejected: list[Rejected] = []
    for path in sorted(folder.rglob("*")):
        doc_id = path.relative_to(folder).as_posix()
        if not path.is_file() or any(part.startswith(".") for part in Path(doc_id).parts):
            continue
        try:
            documents.append(read_document(path, doc_id))
        except DataError as error:
            rejected.append(Rejected(doc_id, str(error)))
    if not documents:
        reasons = "; ".join(f"{r.doc_id}: {r.reason}" for r in rejected[:3]) or "it holds no files"
        raise DataError(f"no readable document in {str(folder)!r} ({reasons}). Formats read: {', '.join(PARSERS)}.")
    return documents, rejected


def read_document(path: Path, doc_id: str) -> Document:
    """Read one file.

    Raises:
        DataError: the format is unknown, the file can't be parsed, or it holds no text.
    """
    parser = PARSERS.get(path.suffix.lower())
    if parser is None:
        raise DataError(f"format {path.suffix or '(none)'!r} is not read. Formats read: {', '.join(PARSERS)}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"the file can't be read ({error.strerror}).") from error
    title, text, sections = parser(data)
    if not text.strip():
        raise DataError("the document holds no text. Remove it, or give a version with a text layer.")
    return Document(doc_id, title or Path(doc_id).stem, text, tuple(sections), digests.of_bytes(data))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start}). Save it as UTF-8.") from error


def _sections(text: str, headings: list[tuple[int, str]]) -> list[Section]:
    """Cut `text` at the given (offset, heading) pairs; what stands before the first has no heading."""
    cuts = [(0, ""), *headings, (len(text), "")]
    spans = zip(cuts, cuts[1:], strict=False)
    return [Section(start, end, heading) for (start, heading), (end, _) in spans if text[start:end].strip()]


def parse_text(data: bytes) -> Parsed:
    text = _decode(data)
    title = next((line.strip() for line in text.splitlines() if line.strip()), "")
    headings = [(m.start(), m.group().strip()) for m in _TEXT_HEADING.finditer(text)]
    return title[:120], text, _sections(text, headings)


# A heading in plain text: "3. Title", or a line in capitals, alone between line breaks.
_TEXT_HEADING = re.compile(r"^(?:\d+(?:\.\d+)*\.? +[A-Z][^\n.]{2,70}|[A-Z][A-Z0-9 ,:&'()/-]{3,70})$", re.MULTILINE)


def parse_markdown(data: bytes) -> Parsed:
    from markdown_it import MarkdownIt

    text = _decode(data)
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    tokens = MarkdownIt().parse(text)
    headings: list[tuple[int, str]] = []
    title = ""
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.map:
            headings.append((starts[token.map[0]], inline.content))
            title = title or (inline.content if token.tag == "h1" else "")
    return title, text, _sections(text, headings)


def parse_html(data: bytes) -> Parsed:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(data, "html.parser")
    for noise in soup(["script", "style", "nav", "header", "footer", "template", "noscript"]):
        noise.decompose()
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    text, headings = "", []
    for tag, line in _html_lines(soup.main or soup.body or soup):
        if re.fullmatch("h[1-6]", tag):
            headings.append((len(text), line))
            title = title or line
        text += line + ("\n" if tag in ("tr", "li") else "\n\n")
    return title, text, _sections(text, headings)


_HTML_INLINE = set("a abbr b bdi bdo cite code data dfn em i kbd mark q s samp small span strong sub sup time u var".split())


def _html_lines(element: Any) -> Iterator[tuple[str, str]]:
    """Yield each line of an element's text, and the tag it stands in; a table row is one line."""
    from bs4.element import NavigableString, PreformattedString

    words: list[str] = []

    def line() -> Iterator[tuple[str, str]]:
        text = " ".join("".join(words).split())
        words.clear()
        if text:
            yield element.name, text

    for child in element.children:
        if isinstance(child, PreformattedString):
            continue  # a comment, a doctype
        if isinstance(child, NavigableString) or child.name in _HTML_INLINE:
            words.append(child if isinstance(child, NavigableString) else child.get_text())
            continue
        yield from line()
        if child.name == "tr":
            cells = (" ".join(cell.get_text(" ").split()) for cell in child.find_all(["td", "th"]))
            yield "tr", " | ".join(cells)
        elif child.name == "pre":
            yield "pre", child.get_text().strip("\n")
        elif child.name != "title":
            yield from _html_lines(child)
    yield from line()


def parse_pdf(data: bytes) -> Parsed:
    from pypdf import PdfReader

    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("the PDF is encrypted. Give a version without a password.")
        pages = [page.extract_text() for page in reader.pages]
        title = str((reader.metadata and reader.metadata.title) or "")
    except DataError:
        raise
    except Exception as error:  # pypdf meets damaged files with almost any
        raise DataError(f"the PDF can't be read ({type(error).__name__}). Export it again.") from error
    text, sections = "", []
    for number, page in enumerate(pages, start=1):
        start, text = len(text), text + page.strip() + "\n\n"
        if page.strip():
            sections.append(Section(start, len(text), page=number))
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return title or first[:120], text, sections


PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    ".md": parse_markdown, ".markdown": parse_markdown, ".txt": parse_text, ".html": parse_html, ".htm": parse_html,
    ".pdf": parse_pdf,
}  # fmt: skip
