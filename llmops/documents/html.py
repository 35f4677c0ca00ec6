"""HTML: what a reader of the page sees, a block a line."""

from collections.abc import Iterator
from typing import Any

from llmops.documents.parsed import Draft, Parsed, one_line
from llmops.documents.text import decode, refuse_binary

_NOISE = ["script", "style", "nav", "footer", "template", "noscript"]
_HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
_CELLS = ("td", "th")
_INLINE = set("a abbr b bdi bdo cite code data dfn em i kbd mark q s samp small span strong sub sup time u var".split())


def parse_html(data: bytes) -> Parsed:
    from bs4 import BeautifulSoup
    from bs4.dammit import EncodingDetector

    refuse_binary(data)
    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    markup, metadata = (data, {}) if declared else decode(data)
    soup = BeautifulSoup(markup, "lxml")  # html.parser takes minutes for a page with 100,000 <br>
    for noise in soup(_NOISE):
        noise.decompose()
    for header in soup("header"):
        if header.find_parent(["main", "article"]) is None:  # the page's, not the text's
            header.decompose()
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    draft = Draft()
    for tag, block in _blocks(soup.main or soup):
        if tag == "table":
            _add_table(draft, block)
        elif tag in _HEADINGS:
            draft.head(int(tag[1]), block)
            title = title or block
        else:
            draft.add(block, end="\n" if tag in ("tr", "li") else "\n\n")
    return draft.parsed(title, metadata)


def _blocks(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield each line of an element's text with the tag it stands in, and each table as an element.

    A table with headings or tables inside is there for the layout: its cells are blocks like any other.
    """
    from bs4.element import NavigableString, PreformattedString

    words: list[str] = []
    open_elements = [(root.name, iter(root.children))]  # an explicit stack: pages nest deeper than Python may recurse
    while open_elements:
        tag, children = open_elements[-1]
        child = next(children, None)
        if isinstance(child, PreformattedString):
            continue  # a comment, a doctype
        if isinstance(child, NavigableString) or child is not None and child.name in _INLINE:
            words.append(child if isinstance(child, NavigableString) else child.get_text())
            continue
        if line := one_line("".join(words)):
            yield tag, line
        words.clear()
        if child is None:
            open_elements.pop()
        elif child.name == "pre":
            yield "pre", child.get_text().strip("\n")
        elif child.name == "table" and child.find(["table", *_HEADINGS]) is None:
            yield "table", child
        elif child.name != "title":
            open_elements.append((child.name, iter(child.children)))


def _add_table(draft: Draft, table: Any) -> None:
    """A cell ends where the next begins, as in browsers: many pages leave out </td> and </tr>."""
    from bs4.element import PreformattedString, Tag

    caption: list[str] = []
    rows: dict[int, list[list[str]]] = {}
    cells: dict[int, list[str]] = {}
    for node in table.descendants:
        if isinstance(node, PreformattedString):
            continue
        if isinstance(node, Tag) and node.name == "tr":
            rows[id(node)] = []
        elif isinstance(node, Tag) and node.name in _CELLS:
            cells[id(node)] = []
            rows.setdefault(id(node.find_parent("tr")), []).append(cells[id(node)])
        elif not isinstance(node, Tag) or node.name not in _INLINE:
            words = cells.get(id(node.find_parent(_CELLS)), caption)
            words.append(" " if isinstance(node, Tag) else node)
    draft.add(one_line("".join(caption)))
    filled = {key: ["".join(cell) for cell in row] for key, row in rows.items() if "".join(map("".join, row)).strip()}
    heads = sum(id(row) in filled for row in table.thead("tr")) if table.thead else 0
    draft.table(filled.values(), header_rows=heads or 1)
