"""The documents of an index as plain text again, without what neighbouring chunks share."""

from llmops.retrieval.index import VectorIndex


def document_texts(index: VectorIndex) -> dict[str, str]:
    """Document id -> the text that its chunks cover, each character once; a gap between chunks becomes a blank line."""
    texts: dict[str, str] = {}
    ends: dict[str, int] = {}
    for row in range(len(index.chunks.column("start"))):
        chunk = index.chunks[row]
        covered = ends.get(chunk.doc_id, 0)
        gap = "\n\n" if texts.get(chunk.doc_id) and chunk.start > covered else ""
        texts[chunk.doc_id] = texts.get(chunk.doc_id, "") + gap + chunk.text[max(0, covered - chunk.start) :]
        ends[chunk.doc_id] = max(covered, chunk.end)
    return {doc_id: text for doc_id, text in texts.items() if text.strip()}
