"""The HTTP server in front of a release: OpenAI's chat completions, with the sources of each answer.

    python -m llmops.serving.gateway --name handbook --uri models:/handbook/5 --port 8210

A process serves one version. Started by a deployment, which resolved the alias to that version.
"""

import json
import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from typing import Any, Literal, TypeVar, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ChatMessage(BaseModel):
    """One turn. The last user message is the question, the turns before it are the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class ChatRequest(BaseModel):
    """The part of OpenAI's request that a release obeys. Sampling settings are pinned by the release, so not read."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False


def create_app(name: str, uri: str, digest: str, model: Any) -> FastAPI:
    """Serve `model`, a loaded pyfunc of a release, under the model name `name`."""
    app = FastAPI(title=f"{name}: {uri}")
    release = {"uri": uri, "digest": digest}

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "name": name, "release": release}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "llmops", "release": release}]}

    @app.post("/v1/chat/completions")
    def complete(request: ChatRequest) -> Any:
        if request.model != name:
            return problem(404, f"model {request.model!r} is not served here; ask for {name!r}.", "model_not_found")
        while request.messages and request.messages[-1].role != "user":
            request.messages.pop()
        if not request.messages or not request.messages[-1].content.strip():
            return problem(400, "messages hold no user message with text.")
        asked = {"input": [message.model_dump() for message in request.messages]}
        if request.stream:
            events = _in_one_context(model.predict_stream(asked))
            return StreamingResponse(chunks(name, release, events), media_type="text/event-stream")
        return completion(name, release, model.predict(asked))

    return app


def completion(name: str, release: dict[str, str], answer: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's response, and beside its fields `sources` and `release`."""
    extra = answer["custom_outputs"]
    text = answer["output"][0]["content"][0]["text"]
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time()), "model": name,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": extra["finish_reason"]}
        ],
        **_extra(extra, release),
    }  # fmt: skip


def chunks(name: str, release: dict[str, str], events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """OpenAI's stream of server-sent events; the last one before [DONE] has `sources`, `release` and the token counts.

    A stream that breaks off ends with an error in OpenAI's envelope, and without [DONE].
    """
    answer = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": name}
    start = {**answer, "object": "chat.completion.chunk"}
    try:
        yield _event(start, {"role": "assistant", "content": ""})
        for event in events:
            if event["type"] != "response.output_item.done":
                yield _event(start, {"content": event["delta"]})
                continue
            extra = event["custom_outputs"]
            yield _event({**start, **_extra(extra, release)}, {}, extra["finish_reason"])
        yield "data: [DONE]\n\n"
    except Exception as error:
        _log.exception("a stream broke off")
        message = f"the answer broke off ({type(error).__name__}). Ask again."
        yield f"data: {json.dumps(_envelope('server_error', message))}\n\n"


def _in_one_context(events: Iterator[T]) -> Iterator[T]:
    """The server asks for each event in another context; MLflow closes a trace only in the one that it was opened in."""
    context, end = copy_context(), object()
    while (event := context.run(next, events, end)) is not end:
        yield cast(T, event)


def _event(start: dict[str, Any], delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({**start, 'choices': [choice]})}\n\n"


def _extra(extra: dict[str, Any], release: dict[str, str]) -> dict[str, Any]:
    counts = {"prompt_tokens": extra["prompt_tokens"], "completion_tokens": extra["completion_tokens"]}
    return {"usage": {**counts, "total_tokens": sum(counts.values())}, "sources": extra["sources"], "release": release}


def problem(status: int, message: str, code: str | None = None) -> JSONResponse:
    """An error in OpenAI's envelope."""
    return JSONResponse(_envelope("invalid_request_error", message, code), status_code=status)


def _envelope(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def serve(name: str, uri: str, port: int) -> None:
    """Load the release and serve it on the loopback interface until the process is ended."""
    import mlflow
    import uvicorn

    from llmops.tracking.versions import get_version

    version = get_version(uri)
    app = create_app(name, uri, version.digest, mlflow.pyfunc.load_model(uri))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="info")


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    serve(arguments.name, arguments.uri, arguments.port)
