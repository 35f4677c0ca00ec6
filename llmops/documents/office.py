"""Word, PowerPoint and Excel files, which are zip archives of XML."""

import datetime
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from llmops.documents.parsed import Draft, Parsed, one_line
from llmops.errors import DataError

_MAX_UNPACKED = 500_000_000  # bytes
_MAX_MEMBERS = 20_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Office files before 2007, and those with a password


def _check_archive(data: bytes) -> None:
    """Raise DataError unless `data` is a zip archive that unpacks to a bounded size, by its directory.

    zipfile never unpacks more of a member than the directory says.
    """
    if data.startswith(_OLE):
        raise DataError("the file has a password or is in the format from before 2007. Save it as a new one without.")
    try:
        members = zipfile.ZipFile(BytesIO(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError("the file is damaged: an Office file is a zip archive, this is none. Export it again.") from error
    unpacked = sum(member.file_size for member in members)
    if unpacked > _MAX_UNPACKED:
        raise DataError(f"unpacks to {unpacked / 1e6:,.0f} MB: a zip bomb. At most {_MAX_UNPACKED / 1e6:,.0f} MB are read.")
    if len(members) > _MAX_MEMBERS:
        raise DataError(f"holds {len(members):,} parts: a zip bomb. At most {_MAX_MEMBERS:,} are read.")


def parse_docx(data: bytes) -> Parsed:
    import docx

    _check_archive(data)
    document = docx.Document(BytesIO(data))
    roles = {style.style_id: _docx_role(style) for style in document.styles}
    draft = Draft()
    titles: dict[str, str] = {}
    for block in _docx_blocks(document.element.body):
        if _tag(block) == "tbl":
            draft.table(_docx_rows(block))
            continue
        text, role = "".join(_docx_words(block)).strip(), roles.get(block.style, "")
        if role.isdigit() or role == "Title":
            titles.setdefault(role, one_line(text))
            draft.head(int(role) if role.isdigit() else 0, text)
        else:
            draft.add(text, end="\n" if role == "List" or block.xpath("./w:pPr/w:numPr") else "\n\n")
    return draft.parsed(titles.get("Title") or titles.get("1") or document.core_properties.title or "")


def _docx_role(style: Any) -> str:
    """What paragraphs in a style are: "1" to "9" headings, "Title", "List", or "" for the rest."""
    while style is not None:
        name, _, level = (style.name or "").partition(" ")
        if name == "Heading" and level.isdigit():
            return level
        if name in ("Title", "List"):
            return name
        style = getattr(style, "base_style", None)
    return ""


def _docx_blocks(parent: Any) -> Iterator[Any]:
    """The paragraphs and tables of a body, also those inside content controls."""
    for child in parent:
        if _tag(child) in ("p", "tbl"):
            yield child
        elif _tag(child) in ("sdt", "sdtContent", "ins", "moveTo", "customXml"):
            yield from _docx_blocks(child)


def _docx_rows(table: Any) -> Iterator[list[str]]:
    """The text of each cell; a merged cell's stands in its first place, its other places are empty."""
    for row in table.xpath("./w:tr | ./w:sdt/w:sdtContent/w:tr"):
        cells: list[str] = []
        for cell in row.xpath("./w:tc | ./w:sdt/w:sdtContent/w:tc"):
            below = cell.vMerge == "continue"
            cells += ["" if below else "".join(_docx_words(cell)), *[""] * (min(cell.grid_span, 64) - 1)]
        yield cells


_DOCX_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DOCX_UNSEEN = {"pPr", "rPr", "tblPr", "tcPr", "del", "moveFrom", "instrText", "Fallback"}


def _docx_words(element: Any) -> Iterator[str]:
    """The text below an element as it reads with all changes accepted."""
    for child in element:
        tag = _tag(child)
        if tag == "t":
            yield child.text or ""
        elif tag in _DOCX_SIGNS:
            yield _DOCX_SIGNS[tag]
        elif tag not in _DOCX_UNSEEN:
            yield from _docx_words(child)
            if tag == "p":
                yield "\n"


def _tag(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""  # else a comment


def parse_pptx(data: bytes) -> Parsed:
    import pptx

    _check_archive(data)
    presentation = pptx.Presentation(BytesIO(data))
    draft = Draft()
    first = ""
    for number, slide in enumerate(presentation.slides, start=1):
        headline = slide.shapes.title
        heading = one_line(headline.text_frame.text) if headline is not None else ""
        first = first or heading
        draft.place(heading=heading, page=number)
        draft.add(heading)
        for shape in _pptx_shapes(slide.shapes):
            if headline is None or shape.shape_id != headline.shape_id:
                _add_shape(draft, shape)
        notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        draft.add(notes.text.strip() if notes is not None else "")
    return draft.parsed(first or presentation.core_properties.title or "")


def _pptx_shapes(shapes: Iterable[Any]) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes"):  # a group
            yield from _pptx_shapes(shape.shapes)
        else:
            yield shape


def _add_shape(draft: Draft, shape: Any) -> None:
    if shape.has_text_frame:
        lines = (paragraph.text.replace("\v", "\n").strip() for paragraph in shape.text_frame.paragraphs)
        draft.add("\n".join(line for line in lines if line))
    elif getattr(shape, "has_table", False):
        draft.table(["" if cell.is_spanned else cell.text for cell in row.cells] for row in shape.table.rows)


def parse_xlsx(data: bytes) -> Parsed:
    import openpyxl

    _check_archive(data)
    book = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True)
    draft = Draft()
    try:
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what the file says of its size is often wrong
            draft.place(heading=one_line(sheet.title))
            draft.table([_xlsx_value(value) for value in row] for row in sheet.iter_rows(values_only=True))
    finally:
        book.close()
    return draft.parsed(book.properties.title or "")


def _xlsx_value(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return "" if value is None else str(value)
