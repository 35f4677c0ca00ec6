"""Pictures whose address has a gap to be filled in: whoever shows one sends what fills it to the picture's owner."""

import re

from llmops.guards.finding import Finding

_GAP = r"\.\.\.|…|[{<\[$%]{1,2}[A-Za-z][\w .-]{0,60}|[A-Z]{2,20}(?:_[A-Z]{1,20}){1,5}"
_PICTURE = re.compile(
    rf"!\[[^\]\n]{{0,200}}\]\( ?https?://[^\s)]{{1,300}}?[?&=/](?:{_GAP})[^)\n]{{0,200}}\)?"
    rf"|<img\b[^>]{{0,200}}?\bsrc ?= ?[\"']?https?://[^\s>\"']{{1,300}}?[?&=](?:{_GAP})[^>]{{0,200}}>"
)


def find_pictures(text: str) -> list[Finding]:
    """Find pictures, in Markdown or HTML, whose address is to be completed."""
    reason = "a picture would carry text to another site"
    return [Finding("instruction", reason, *match.span(), "[picture removed]") for match in _PICTURE.finditer(text)]
