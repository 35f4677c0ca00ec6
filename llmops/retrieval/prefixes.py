"""What a model wants written before a query and before a passage.

Retrieval models are trained with such prefixes and rank worse without them. Each family's are those on its model card.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

_SEARCH = "Represent this sentence for searching relevant passages: "
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
_FAMILIES = (  # (pattern of the model's name, query prefix, passage prefix); the first that fits counts
    (r"e5-.*instruct", _INSTRUCT, ""),  # cards of intfloat/e5-mistral-7b-instruct, multilingual-e5-large-instruct
    (r"e5", "query: ", "passage: "),  # cards of intfloat/e5-base-v2, multilingual-e5-base; Wang et al. 2022
    (r"bge-(small|base|large)-zh", "为这个句子生成表示以用于检索相关文章：", ""),  # card of BAAI/bge-large-zh-v1.5
    (r"bge-(small|base|large)", _SEARCH, ""),  # card of BAAI/bge-base-en-v1.5; bge-m3 takes none
    (r"nomic-embed-text|modernbert-embed", "search_query: ", "search_document: "),  # card of nomic-ai/nomic-embed-text-v1.5
    (r"mxbai-embed-(2d-)?large", _SEARCH, ""),  # card of mixedbread-ai/mxbai-embed-large-v1
    (r"arctic-embed-[ml]-v2", "query: ", ""),  # card of Snowflake/snowflake-arctic-embed-m-v2.0
    (r"arctic-embed", _SEARCH, ""),  # card of Snowflake/snowflake-arctic-embed-m
)


def find_prefixes(source: str, folder: Path, prompts: Mapping[str, str]) -> tuple[str, str]:
    """Query and passage prefix: the model's own `prompts`, else those of its family, known by its name."""
    if any(prompts.values()):
        passage = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), "")
        return prompts.get("query", ""), passage
    for name in (_model_name(source), _model_name(_trained_as(folder))):
        for pattern, query, passage in _FAMILIES:
            if re.search(rf"(^|[-_.])({pattern})([-_.]|$)", name):
                return query, passage
    return "", ""


def _model_name(source: str) -> str:
    """The model's own name: "e5-base-v2" of "intfloat/e5-base-v2@main", of a folder, wheel or registered model's URI."""
    name = source.split("@")[0].rstrip("/").lower()
    if name.startswith("models:/"):
        name = name.removeprefix("models:/").lstrip("/").split("/")[0]
    return re.split(r"[/\\:]", name)[-1]


def _trained_as(folder: Path) -> str:
    """The name that its authors saved the model under, where its configuration tells."""
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path", ""))
    except (OSError, ValueError):
        return ""
