"""The peer: LangChain's FAISS store over HuggingFaceEmbeddings, made as its documentation shows."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmops.errors import LLMOpsError


def check() -> None:
    """Make sure that LangChain's packages are there.

    Raises:
        LLMOpsError: one is missing.
    """
    for name in ("langchain_community", "langchain_huggingface"):
        if find_spec(name) is None:
            raise LLMOpsError(f"the benchmark's package {name} is missing. Run: pip install -r benchmarks/requirements.txt")


class LangChain:
    """A loaded and warmed embedding model of LangChain's; `bf16` loads its weights in bfloat16."""

    def __init__(self, model: Path, bf16: bool = False) -> None:
        import torch
        from langchain_huggingface import HuggingFaceEmbeddings

        options = {"model_kwargs": {"dtype": torch.bfloat16}} if bf16 else {}
        self._embeddings = HuggingFaceEmbeddings(model_name=str(model), model_kwargs=options)
        self.build(["A passage of a few words, as long as it takes to fill the window. " * 20] * 16)

    def build(self, passages: Sequence[str]) -> Any:
        """Embed passages and put them into a FAISS store."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # langchain_community announces its successors
            from langchain_community.vectorstores import FAISS
            from langchain_core.documents import Document

            return FAISS.from_documents([Document(page_content=passage) for passage in passages], self._embeddings)
