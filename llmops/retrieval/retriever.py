"""LangChain's retriever seam over a vector index."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever

from llmops.retrieval.passage import citation, passage_text
from llmops.retrieval.search import Search, nearness
from llmops.types import Hit


class IndexRetriever(BaseRetriever):
    """The best chunks for a question; none of them unless the nearest reaches `search.min_score`.

    `filter` restricts what may be found by metadata, `groups` by what the caller may see; None is a trusted caller.
    """

    index: Any  # VectorIndex
    embedder: Any  # Embedder
    search: Search = Search()
    filter: Any = None  # Filter
    groups: Sequence[str] | None = None
    reranker: Any = None  # CrossEncoderReranker

    def within(self, groups: Sequence[str]) -> "IndexRetriever":
        """One that also keeps to these groups: what a caller may see is what both allow, and what is everyone's."""
        allowed = tuple(groups) if self.groups is None else tuple(group for group in self.groups if group in groups)
        return self.model_copy(update={"groups": allowed})

    def hits(self, questions: Sequence[str]) -> list[list[Hit]]:
        """Retrieve for many questions at once; an empty list means that nothing in the index is near."""
        found = self.index.search(questions, self.embedder, self.search, self.filter, self.groups, self.reranker)
        return [hits if nearness(hits) >= self.search.min_score else [] for hits in found]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[LangChainDocument]:
        return [
            LangChainDocument(id=hit.chunk.chunk_id, page_content=passage_text(hit.chunk), metadata=describe(hit))
            for hit in self.hits([query])[0]
        ]


def describe(hit: Hit) -> dict[str, Any]:
    """Where a hit comes from and how near it is, as MLflow's RETRIEVER spans and retriever metrics read it."""
    chunk = hit.chunk
    place = {
        "doc_uri": chunk.doc_id, "chunk_id": chunk.chunk_id, "citation": citation(chunk), "title": chunk.title,
        "heading": chunk.heading, "page": chunk.page, "start": chunk.start, "end": chunk.end, "start_s": chunk.start_s,
        "end_s": chunk.end_s, "score": round(hit.score, 6), "similarity": hit.similarity, "also": list(hit.also),
    }  # fmt: skip
    return {name: value for name, value in place.items() if value not in (None, "", [])}
