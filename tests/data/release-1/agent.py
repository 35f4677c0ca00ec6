"""A release as MLflow runs it: this file is logged as the model's code, the release is its model config.

It loads without pickle, in any working directory, wherever `mlflow-llmops` is installed and the tracking server and the
weights can be reached.
"""

from typing import Any

import mlflow
from mlflow.entities import SpanType
from mlflow.pyfunc.model import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse
from mlflow.types.responses_helpers import OutputItem

from llmops.chains.release import Release
from llmops.errors import LLMOpsError
from llmops.retrieval.passage import citation, passage_text
from llmops.retrieval.retriever import describe as describe_hit
from llmops.tracking.loading import load_answerer
from llmops.types import Answer


class ReleaseAgent(ResponsesAgent):
    """Answers the last user message of a request; `custom_outputs` carries the sources and the token counts."""

    def load_context(self, context: Any) -> None:
        self.answerer = load_answerer(Release.from_dict(context.model_config))

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:  # type: ignore[override]
        answer = self.answer(last_question(request))
        return ResponsesAgentResponse(
            output=[OutputItem(**self.create_text_output_item(answer.text, "answer"))],
            custom_outputs={
                "abstained": answer.abstained,
                "sources": sources(answer),
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "finish_reason": answer.finish_reason,
            },
        )

    def answer(self, question: str) -> Answer:
        """Answer one question, with a span that shows what was retrieved."""
        answer = self.answerer.answer([question])[0]
        if self.answerer.release.retrieval is not None:
            with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
                span.set_inputs({"question": question})
                span.set_outputs(
                    [{"page_content": passage_text(hit.chunk), "metadata": describe_hit(hit)} for hit in answer.hits]
                )
        return answer


def last_question(request: ResponsesAgentRequest) -> str:
    """The text of the last user message.

    Raises:
        LLMOpsError: there is none.
    """
    for item in reversed(request.input):
        message = item.model_dump()
        if message.get("role") == "user":
            content = message["content"]
            return content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content)
    raise LLMOpsError("the request holds no user message. Ask with {'role': 'user', 'content': '...'}.")


def sources(answer: Answer) -> list[dict[str, Any]]:
    """The passages an answer was given, best first."""
    return [
        {
            "document": hit.chunk.doc_id, "citation": citation(hit.chunk), "heading": hit.chunk.heading,
            "page": hit.chunk.page, "start_s": hit.chunk.start_s, "end_s": hit.chunk.end_s,
            "score": round(hit.score, 4), "text": hit.chunk.text,
        }
        for hit in answer.hits
    ]  # fmt: skip


mlflow.models.set_model(ReleaseAgent())
