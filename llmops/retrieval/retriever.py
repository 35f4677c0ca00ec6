"""LangChain's retriever seam over a vector index."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever

from llmops.retrieval.index import passage_text
from llmops.types import Hit


class IndexRetriever(BaseRetriever):
    """The `k` chunks nearest to a question; none of them unless the nearest scores at least `min_score`."""

    index: Any  # VectorIndex
    embedder: Any  # Embedder
    k: int = 3
    min_score: float = -1.0

    def hits(self, questions: Sequence[str]) -> list[list[Hit]]:
        """Retrieve for many questions at once; an empty list means that nothing in the index is near."""
        found = self.index.search_text(questions, self.embedder, self.k)
        return [hits if hits and hits[0].score >= self.min_score else [] for hits in found]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[LangChainDocument]:
        return [
            LangChainDocument(
                page_content=passage_text(hit.chunk),
                metadata={"doc_uri": hit.chunk.doc_id, "chunk_id": hit.chunk.chunk_id, "score": hit.score},
            )
            for hit in self.hits([query])[0]
        ]
