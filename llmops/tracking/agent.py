"""A release as MLflow runs it: a ResponsesAgent over the answerer, or over a worker with the code it was judged with."""

import os
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent
from mlflow.types.responses_helpers import OutputItem

from llmops.chains.release import Release
from llmops.retrieval.passage import citation
from llmops.streams import Stream
from llmops.tracking.golden import replay
from llmops.tracking.loading import load_answerer
from llmops.tracking.sources import source_digest
from llmops.tracking.spans import mlflow_spans
from llmops.tracking.worker import IN_WORKER, Worker
from llmops.types import Answer, Message, Query

ITEM = "answer"  # the id of the one output item


class ReleaseAgent(ResponsesAgent):
    """Answers the last user message of a request, the ones before it being the conversation.

    A release that draws its answers gives the same one again to the same `seed` in `custom_inputs`.
    `custom_outputs` carries the sources, what guards noted, and the token counts.
    """

    def load_context(self, context: Any) -> None:
        config, wheel = context.model_config, (context.artifacts or {}).get("package")
        here = IN_WORKER in os.environ or config.get("code_digest", "") in ("", source_digest(__name__))
        self.worker: Worker | None = None
        if not here and wheel is not None:
            self.worker = Worker(Path(wheel).parent.parent, Path(wheel))
            replay(Path(context.artifacts["golden"]), self.worker.predict)
            return
        if not here:
            warnings.warn("the release carries no package; it answers with the code installed here.", stacklevel=2)
        self.answerer = load_answerer(Release.from_dict(config))

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:  # type: ignore[override]
        if self.worker is not None:
            return ResponsesAgentResponse(**self.worker.predict(request.model_dump(exclude_none=True)))
        answer = self.answerer.with_seed(read_seed(request)).answer([read_query(request)], spans=mlflow_spans)[0]
        return ResponsesAgentResponse(
            output=[OutputItem(**self.create_text_output_item(answer.text, ITEM))], custom_outputs=details(answer)
        )

    def predict_stream(  # type: ignore[override]
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        if self.worker is not None:
            for event in self.worker.predict_stream(request.model_dump(exclude_none=True)):
                yield ResponsesAgentStreamEvent(**event)
            return
        stream = Stream(self.answerer.with_seed(read_seed(request)).stream(read_query(request), mlflow_spans))
        for piece in stream:
            yield ResponsesAgentStreamEvent(**self.create_text_delta(piece, ITEM))
        assert stream.whole is not None
        item = self.create_text_output_item(stream.whole.text, ITEM)
        done: dict[str, Any] = {"type": "response.output_item.done", "item": item, "custom_outputs": details(stream.whole)}
        yield ResponsesAgentStreamEvent(**done)


def details(answer: Answer) -> dict[str, Any]:
    """What a response carries beside the text."""
    return {
        "abstained": answer.abstained, "blocked": answer.blocked, "guards": list(answer.guards),
        "sources": sources(answer), "citations": list(answer.citations), "confidence": answer.confidence,
        "prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
        "finish_reason": answer.finish_reason, "engine": dict(answer.engine),
    }  # fmt: skip


def read_query(request: ResponsesAgentRequest) -> Query:
    """The last user message, and the conversation before it.

    Raises:
        MlflowException: there is no user message, or it isn't the last. Of other errors MLflow's server says a traceback.
    """
    messages = [_message(item.model_dump()) for item in request.input]
    asked = [message for message in messages if message is not None]
    if not asked or asked[-1].role != "user":
        raise MlflowException.invalid_parameter_value(
            "the request doesn't end with a user message. Ask with {'role': 'user', 'content': '...'}."
        )
    return Query(asked[-1].content, tuple(asked[:-1]))


def read_seed(request: ResponsesAgentRequest) -> int | None:
    """The seed to draw with, if one is given.

    Raises:
        MlflowException: it is no whole number.
    """
    seed = (request.custom_inputs or {}).get("seed")
    if seed is not None and type(seed) is not int:
        raise MlflowException.invalid_parameter_value(f"seed is {seed!r}, expected a whole number.")
    return seed


def _message(item: dict[str, Any]) -> Message | None:
    """A message with its text; None for calls of tools and their results."""
    content = item.get("content")
    if "role" not in item or content is None:
        return None
    if isinstance(content, str):
        return Message(item["role"], content)
    return Message(item["role"], " ".join(str(part.get("text") or "") for part in content))


def sources(answer: Answer) -> list[dict[str, Any]]:
    """What an answer was given, best first: `text` as it was shown, `passage` the number by which the answer cites it."""
    return [
        {
            "document": hit.chunk.doc_id, "also": list(hit.also), "chunk": hit.chunk.chunk_id,
            "citation": citation(hit.chunk), "heading": hit.chunk.heading, "page": hit.chunk.page,
            "start_s": hit.chunk.start_s, "end_s": hit.chunk.end_s, "score": round(hit.score, 4),
            "passage": place, "text": answer.passages[place - 1],
        }
        for hit, place in zip(answer.hits, answer.places, strict=True)
    ]  # fmt: skip
