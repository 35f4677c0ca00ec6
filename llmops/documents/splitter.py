"""Split documents into passages that fit the embedder."""

from collections.abc import Callable, Iterable, Iterator

from llmops.errors import ConfigError
from llmops.types import Chunk, Document


def split_documents(
    documents: Iterable[Document], chunk_tokens: int, chunk_overlap: int, count_tokens: Callable[[str], int]
) -> Iterator[Chunk]:
    """Yield chunks of at most `chunk_tokens` tokens; none crosses a heading or a page.

    Cuts at paragraphs first, then lines (so a table row stays whole), sentences, words. A chunk's text is the
    document's own, `document.text[chunk.start:chunk.end]`.

    Raises:
        ConfigError: unless 0 <= chunk_overlap < chunk_tokens.
    """
    if not 0 <= chunk_overlap < chunk_tokens:
        raise ConfigError(f"chunk_overlap must be in [0, chunk_tokens); got {chunk_overlap} with {chunk_tokens}.")
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=chunk_tokens, chunk_overlap=chunk_overlap, length_function=count_tokens,
        separators=["\n\n", "\n", ". ", " ", ""], keep_separator="end",
    )  # fmt: skip
    for document in documents:
        ordinal = 0
        for section in document.sections:
            cursor = after = section.start  # a chunk begins past the last one's begin, at the latest right after its end
            for text in splitter.split_text(document.text[section.start : section.end]):
                gap = document.text[after : section.end]
                latest = after + len(gap) - len(gap.lstrip()) + len(text)
                start = document.text.rindex(text, cursor, latest)
                cursor, after = start + 1, start + len(text)
                if text.lstrip("#").strip() == section.heading:
                    continue  # a heading alone says nothing
                yield Chunk(
                    f"{document.doc_id}#{ordinal}", document.doc_id, document.title, section.heading, text, start,
                    start + len(text), section.page,
                )  # fmt: skip
                ordinal += 1
