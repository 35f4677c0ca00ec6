"""How a chunk is read: by the embedder, by the model, and by whoever checks the answer."""

from llmops.documents.splitter import heading_line
from llmops.types import Chunk


def passage_text(chunk: Chunk) -> str:
    """A chunk with its title, heading and table header: what is embedded, and what the model reads."""
    where = heading_line(chunk.title, chunk.heading)
    return "\n".join(part for part in (where, chunk.table_header.strip(), chunk.text.strip()) if part)


def citation(chunk: Chunk) -> str:
    """Where a chunk stands, for a reader: "leave.pdf, page 3", "talk.mp3, 1:05-1:20", "leave.md, Leave > Carry-over"."""
    if chunk.page is not None:
        return f"{chunk.doc_id}, page {chunk.page}"
    if chunk.start_s is not None and chunk.end_s is not None:
        return f"{chunk.doc_id}, {_clock(chunk.start_s)}-{_clock(chunk.end_s)}"
    return f"{chunk.doc_id}, {chunk.heading}" if chunk.heading else chunk.doc_id


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
