"""A registered release as an answerer in bulk, with the code it was judged with."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import mlflow

from llmops.chains.release import Release
from llmops.evaluation.bulk import BulkAnswerer
from llmops.tracking.loading import load_answerer
from llmops.tracking.sources import source_digest
from llmops.types import Answer, Chunk, Hit, Progress

AGENT = "llmops.tracking.agent"  # the module whose sources decide what a release answers


def load_registered(uri: str, release: Release) -> BulkAnswerer:
    """The registered release: in this process if it was made by the code that runs here, else by its own.

    Raises:
        ArtifactError, WeightsError: as `load_answerer`, or its own code answers otherwise than it did.
    """
    if release.code_digest in ("", source_digest(AGENT)) or release.format == 1:  # format 1 carried no code
        return load_answerer(release)
    return _Loaded(mlflow.pyfunc.load_model(uri))


class _Loaded:
    """Asks a loaded model one question after the other."""

    def __init__(self, model: Any, seed: int | None = None) -> None:
        self._model = model
        self._inputs = {} if seed is None else {"custom_inputs": {"seed": seed}}
        self.identity = {"name": "its own package", "version": version("transformers")}

    def answer(self, queries: Sequence[str], progress: Progress | None = None) -> list[Answer]:
        answers = []
        for query in queries:
            response = self._model.predict({"input": [{"role": "user", "content": query}], **self._inputs})
            answers.append(_answer(response))
            if progress:
                progress("answering", len(answers), len(queries))
        return answers

    def with_seed(self, seed: int | None) -> "_Loaded":
        return _Loaded(self._model, seed)


def _answer(response: dict[str, Any]) -> Answer:
    """What an agent's response says; one of an earlier package says less."""
    said = response["custom_outputs"]
    hits = [
        Hit(Chunk(s["chunk"], s["document"], "", s["heading"], s["text"], 0, 0), s["score"], None, tuple(s["also"]))
        for s in said["sources"]
    ]
    return Answer(
        response["output"][0]["content"][0]["text"], said["abstained"], tuple(hits), said["prompt_tokens"],
        said["completion_tokens"], said["finish_reason"], said["blocked"], tuple(said["guards"]), said["engine"],
        tuple(s.get("passage", 1) for s in said["sources"]), tuple(said.get("citations", ())), said.get("confidence"),
    )  # fmt: skip
