"""Text in a document that its readers don't see: comments, invisible elements, invisible characters."""

import re
from collections.abc import Iterator
from functools import reduce
from operator import or_

from llmops.guards.reading import read
from llmops.guards.views import View, plain
from llmops.guards.words import kinds as k

_STYLE = (
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?!\.)|left\s*:\s*-\d{3,}"
    r"|color\s*:\s*(?:white|transparent|#fff(?:fff)?)\b"
)
_HIDDEN = re.compile(
    r"^\[(?://|comment|_)\]: ?#? ?[(\"'][^\n]{0,2000}"
    rf"|<(?P<tag>\w{{1,20}})\b[^<>]{{0,300}}?(?:{_STYLE}|\bhidden\b|aria-hidden=\"true\")[^<>]{{0,300}}>"
    r"[^<]{0,20000}(?:</(?P=tag)>)?",
    re.IGNORECASE | re.MULTILINE,
)
_INVISIBLE = re.compile("[\U000e0020-\U000e007e]{4,}")  # ASCII in characters that are never shown
_ADDRESSEES = frozenset(("assistant", "assistants", "bot", "chatbot", "asistente", "assistente", "assistent", "ассистент"))
_TO_AI = k.AI | k.PROMPT | k.ASKED | k.WHEN_READ
_ORDERED = k.DROP | k.ORDERS | k.SHOW | k.TELL | k.OBEY | k.ANSWER | k.MUST | k.USER | k.NOT


def find_hidden(text: str) -> list[tuple[int, int]]:
    """The stretches of hidden text that speak to a reader: of what people don't see that can only be the assistant."""
    spans = [*_comments(text), *(match.span() for match in _HIDDEN.finditer(text))]
    found = [span for span in spans if _speaks(text[slice(*span)])]
    return sorted([*found, *(match.span() for match in _INVISIBLE.finditer(text))])


def _comments(text: str) -> Iterator[tuple[int, int]]:
    """HTML comments; one that isn't closed goes to the end, as in a browser."""
    start = text.find("<!--")
    while start >= 0:
        end = text.find("-->", start)
        end = len(text) if end < 0 else end + len("-->")
        yield start, end
        start = text.find("<!--", end)


def _speaks(text: str) -> bool:
    inner = re.sub(r"<!--|-->|<[^<>!]{0,700}>", " ", text)
    tokens = [token for sentence in read(View(plain(inner))) for token in sentence]
    kinds = reduce(or_, (token.kinds for token in tokens), 0)
    drops = bool(kinds & k.DROP and kinds & (k.ORDERS | k.THE_ABOVE | k.ASKED | k.SHOW | k.TELL))
    addressed = bool(kinds & _TO_AI) or any(token.text in _ADDRESSEES for token in tokens)
    return drops or (addressed and bool(kinds & _ORDERED))
