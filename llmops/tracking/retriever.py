"""An index as MLflow's generic model: questions in, passages with their places out. Nothing is pickled.

mlflow.pyfunc.load_model("models:/handbook-index/1").predict({"question": ["How long is leave?"]}, params={"k": 3})
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import SpanType
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from llmops.errors import ConfigError
from llmops.retrieval.filters import parse_filter
from llmops.retrieval.index import VectorIndex
from llmops.retrieval.passage import passage_text
from llmops.retrieval.retriever import IndexRetriever, describe
from llmops.retrieval.search import Search
from llmops.tracking import loading

DEFAULTS: dict[str, Any] = {"k": 3, "search": "dense", "weight": 0.5, "floor": -1.0, "filter": "", "groups": "[]"}
_TYPES = {int: "long", float: "double", str: "string"}
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("string", "question")]),
    outputs=Schema([ColSpec(AnyType())]),  # type: ignore[no-untyped-call]
    params=ParamSchema([ParamSpec(name, _TYPES[type(value)], value) for name, value in DEFAULTS.items()]),
)


def add_to_model(model: Model) -> None:
    """Give the logged index its generic flavor."""
    model.signature = SIGNATURE
    mlflow.pyfunc.add_to_model(model, loader_module=__name__, data="index")


def _load_pyfunc(path: str) -> "RetrieverModel":
    return RetrieverModel(VectorIndex(Path(path)))


class RetrieverModel:
    """Finds passages. `filter` is JSON on metadata; `groups` a JSON list of the caller's, or * for one who may see all.

    Without groups only documents that are open to everyone are found.
    """

    def __init__(self, index: VectorIndex) -> None:
        self.retriever = IndexRetriever(index=index, embedder=loading.embedder_of(index))

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[list[dict[str, Any]]]:
        """Return for each question its passages, best first, each with `id`, `page_content` and `metadata`."""
        given = DEFAULTS | (params or {})
        search = Search(given["search"], int(given["k"]), float(given["weight"]), floor=float(given["floor"]))
        filter = parse_filter(given["filter"]) if given["filter"] else None
        settings = {"search": search, "filter": filter, "groups": _groups(given["groups"])}
        retriever = self.retriever.model_copy(update=settings)
        return [self._find(str(question), retriever) for question in model_input["question"]]

    def _find(self, question: str, retriever: IndexRetriever) -> list[dict[str, Any]]:
        with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
            span.set_inputs({"question": question})
            hits = retriever.hits([question])[0]
            found = [{"id": h.chunk.chunk_id, "page_content": passage_text(h.chunk), "metadata": describe(h)} for h in hits]
            span.set_outputs(found)
        return found


def _groups(text: str) -> list[str] | None:
    if text == "*":
        return None
    try:
        groups = json.loads(text)
    except ValueError:
        groups = None
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ConfigError(f"groups is {text!r}, expected a JSON list of names, or * for a caller who may see all.")
    return groups
