"""PDF: the text layer, a section a page."""

from io import BytesIO

from llmops.documents.parsed import Draft, Parsed
from llmops.errors import DataError


def parse_pdf(data: bytes) -> Parsed:
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise DataError("the PDF is encrypted. Give a version without a password.")
    draft = Draft()
    first, empty = "", 0
    for number, page in enumerate(reader.pages, start=1):
        text = page.extract_text().strip()
        draft.place(page=number)
        draft.add(text)
        first = first or text.partition("\n")[0].strip()
        empty += not text
    if not first:
        raise DataError("the PDF has no text layer. Run OCR over it.")
    title = str((reader.metadata and reader.metadata.title) or "").strip()
    return draft.parsed(title or first[:120], {"pages_without_text": empty} if empty else {})
