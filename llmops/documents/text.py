"""Bytes -> text, and the formats that are text: plain and Markdown."""

import codecs
import datetime
import re
from collections.abc import Iterable
from typing import Any

from llmops.documents.parsed import HeadingPath, Parsed, cut_at_headings
from llmops.errors import DataError
from llmops.types import MetadataValue, Table

SAMPLE = 1_000_000  # bytes that an encoding is guessed from
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip  # UTF-32's mark begins with UTF-16's, so it goes first
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_CONTROL = bytes(code for code in [*range(32), 127] if code not in b"\t\n\v\f\r")


def decode(data: bytes) -> tuple[str, dict[str, MetadataValue]]:
    """Text with Unix line ends; a guessed encoding is told in the metadata.

    Raises:
        DataError: the data is binary, or its encoding can't be told.
    """
    encoding = find_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise DataError(f"byte {error.start} is not {encoding}. Save it as UTF-8.") from error
        encoding = _guess(data[max(0, error.start - SAMPLE // 2) :][:SAMPLE])
        text = data.decode(encoding, errors="replace")
    metadata: dict[str, MetadataValue] = {} if encoding.startswith("utf") else {"encoding": encoding}
    return text.replace("\r\n", "\n").replace("\r", "\n"), metadata


def find_encoding(data: bytes) -> str:
    """The encoding of text, by its byte order mark, UTF-8 if its beginning is that, else guessed.

    Raises:
        DataError: the data is binary, or its encoding can't be told.
    """
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            return encoding
    refuse_binary(data)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data[:SAMPLE])
    except UnicodeDecodeError:
        return _guess(data[:SAMPLE])
    return "utf-8"


def refuse_binary(data: bytes) -> None:
    """Raise DataError if `data` holds a zero byte or many control characters and no byte order mark."""
    if data.startswith(tuple(_BOMS)):
        return
    sample = data[:SAMPLE]
    if b"\0" in data or len(sample) - len(sample.translate(None, _CONTROL)) > len(sample) / 100:
        raise DataError("binary data, not text. Give it the suffix of its format, or remove it.")


def _guess(sample: bytes) -> str:
    """An encoding in which the text is in a known language, else Western European where few letters are accented."""
    from charset_normalizer import from_bytes

    unmarked = ["utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le", "utf_7"]
    best = from_bytes(sample, cp_exclusion=unmarked).best()
    try:
        western = sample.decode("cp1252")
    except UnicodeDecodeError:
        western = ""
    if best is not None and best.coherence > 0 and str(best) != western:
        return best.encoding
    accented = sum(byte > 127 for byte in sample)
    if western and accented < len(sample) / 4 and sample.translate(None, _CONTROL) == sample:
        return "cp1252"
    raise DataError("the encoding can't be told. Save it as UTF-8.")


def clean(text: str) -> str:
    """Put a space for control characters and U+FFFD for halves of characters; offsets stay."""
    return _UNREADABLE.sub(lambda found: "\ufffd" if found[0] >= "\ud800" else " ", text)


def clean_metadata(fields: dict[str, Any]) -> dict[str, MetadataValue]:
    """Keep what can be filtered by: text, numbers, dates as text, lists of text.

    Raises:
        DataError: `groups`, which says who may see the document, is neither text nor a list of text, or in capitals.
    """
    refuse_misspelt_groups(fields)
    kept: dict[str, MetadataValue] = {}
    for name, value in fields.items():
        if isinstance(value, datetime.date):
            value = value.isoformat()
        if isinstance(value, str):
            kept[clean(str(name))] = clean(value)
        elif isinstance(value, bool) or isinstance(value, int | float) and abs(value) < 2**63:  # not NaN either
            kept[clean(str(name))] = value
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            kept[clean(str(name))] = tuple(clean(item) for item in value)
    groups = kept.get("groups", ())
    kept |= {"groups": (groups,)} if isinstance(groups, str) else {}
    if "groups" in fields and not isinstance(kept.get("groups"), tuple):
        raise DataError(f"groups must be a list of names, got {fields['groups']!r:.50}. Correct or remove it.")
    return kept


def refuse_misspelt_groups(names: Iterable[Any]) -> None:
    """Raise DataError if a name is "groups" but for its case: it would leave a document open to everyone."""
    for name in names:
        if name != "groups" and str(name).strip().casefold() == "groups":
            raise DataError(f"the field {name!r} restricts nothing. Write 'groups' in lower case.")


def parse_text(data: bytes) -> Parsed:
    text, metadata = decode(data)
    first = re.search(r"\S[^\n]*", text)
    headings = [(found.start(), found.group().strip()) for found in _TEXT_HEADING.finditer(text)]
    return Parsed(first.group().strip()[:120] if first else "", text, cut_at_headings(text, headings), metadata=metadata)


# A heading in plain text: "3. Title", or a line in capitals, alone between line breaks.
_TEXT_HEADING = re.compile(r"^(?:\d+(?:\.\d+)*\.? +[A-Z][^\n.]{2,70}|[A-Z][A-Z0-9 ,:&'()/-]{3,70})$", re.MULTILINE)


def parse_markdown(data: bytes) -> Parsed:
    from markdown_it import MarkdownIt

    decoded, metadata = decode(data)
    front, text = _front_matter(decoded)
    title = str(front.pop("title", "") or "")
    lines = [0, *(found.end() for found in re.finditer("\n", text)), len(text)]
    headings, tables, path = [], [], HeadingPath()
    tokens = MarkdownIt().enable("table").disable("inline").parse(text)  # the places of blocks are enough
    for token, inside in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.map:
            headings.append((lines[token.map[0]], path.enter(int(token.tag[1]), inside.content)))
            title = title or (inside.content if token.tag == "h1" else "")
        elif token.type == "table_open" and token.map:
            first, last = token.map
            tables.append(Table(lines[first], lines[first + 2], lines[last]))
    return Parsed(title, text, cut_at_headings(text, headings), tables, metadata | clean_metadata(front))


_FRONT_BEGIN = re.compile(r"(?:[^\S\n]*\n)*---[^\S\n]*\n")
_FRONT_END = re.compile(r"^(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.MULTILINE)
_GROUPS_KEY = re.compile(r"""(?:^|[{,])[ \t"'?-]*groups["']?[ \t]*:""", re.MULTILINE | re.IGNORECASE)


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The YAML mapping between --- lines at the top, if there is one, and the text below it.

    Raises:
        DataError: what stands there names groups but is no mapping, so nobody knows who may see the document.
    """
    begin = _FRONT_BEGIN.match(text)
    if begin is None:
        return {}, text
    end = _FRONT_END.search(text, begin.end())
    block = text[begin.end() : end.start()] if end else text[begin.end() :].partition("\n\n")[0]
    front = _mapping(block) if end else None
    if end is not None and front is not None:
        return front, text[end.end() :]
    if _GROUPS_KEY.search(block):
        raise DataError("the lines below --- at the top name groups, but are no YAML mapping up to a ---. Correct them.")
    return {}, text


def _mapping(block: str) -> dict[str, Any] | None:
    import yaml

    try:
        found = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError):  # ValueError: a date such as 2024-13-45
        return None
    return found if isinstance(found, dict) else None
