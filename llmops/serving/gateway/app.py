"""The gateway as a FastAPI application.

POST /v1/chat/completions, /v1/responses (both streamed too), /invocations (MLflow's), /v1/feedback, /hooks/mlflow
GET  /v1/models, /health (it lives), /ready (it can answer), /metrics (Prometheus)
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from llmops.serving.gateway.call import Outcome
from llmops.serving.gateway.chat import ChatShape
from llmops.serving.gateway.edge import Edge
from llmops.serving.gateway.gateway import Gateway
from llmops.serving.gateway.invocations import InvocationsShape
from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.requests import ChatRequest, FeedbackRequest, InvocationsRequest, ResponsesRequest
from llmops.serving.gateway.responses import ResponsesShape
from llmops.serving.gateway.settings import Settings
from llmops.serving.gateway.shapes import release
from llmops.serving.roster import Roster


def create_app(
    roster: Roster, folder: Path, settings: Settings | None = None, wake: Callable[[], None] = lambda: None,
    heard: Callable[[Outcome], None] = lambda _: None,
) -> FastAPI:  # fmt: skip
    """The application; its `state.gateway` is the `Gateway`.

    `folder` is the deployment's: its keys.json, and rates and deliveries that its workers share. `wake` is called when a
    signed webhook says that an alias moved, `heard` with what came of each request.

    Raises:
        ConfigError: the keys can't be read.
    """
    gateway = Gateway(roster, folder, settings or Settings(), wake, heard)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(gateway.close)

    app = FastAPI(title=f"{roster.name}, by mlflow-llmops", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.gateway = gateway
    app.add_middleware(
        Edge, keys=gateway.keys, settings=gateway.settings, refuse=gateway.refuse, closing=lambda: gateway.parting
    )
    _handle_errors(app, gateway)
    _add_answers(app, gateway)
    _add_signs_of_life(app, gateway)
    return app


def _handle_errors(app: FastAPI, gateway: Gateway) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]  # its `input` holds what was sent, so it isn't told
        place = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
        message = "the body is no JSON." if first["type"] == "json_invalid" else f"{place or 'body'}: {first['msg'][:200]}"
        return gateway.refuse(Refusal(400, message, "invalid_request", place or None))

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        told = {404: "no such address", 405: "no such method"}.get(error.status_code, "the request can't be read")
        return gateway.refuse(Refusal(error.status_code, f"{told}: {request.method} {request.url.path[:200]}."))

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return gateway.refuse(error)


def _add_answers(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/chat/completions")
    async def complete(request: Request, asked: ChatRequest) -> Response:
        usage = bool(asked.stream_options and asked.stream_options.include_usage)
        return await gateway.answer(request, asked, lambda model, one: ChatShape(model, one, usage), "chat")

    @app.post("/v1/responses")
    async def respond(request: Request, asked: ResponsesRequest) -> Response:
        return await gateway.answer(request, asked, ResponsesShape, "responses")

    @app.post("/invocations")
    async def invoke(request: Request, asked: InvocationsRequest) -> Response:
        return await gateway.answer(request, asked, InvocationsShape, "invocations")

    @app.post("/v1/feedback")
    async def say(request: Request, said: FeedbackRequest) -> Response:
        trace = await gateway.tell(said, request.state.key)
        return JSONResponse({"object": "feedback", "id": said.id, "trace": trace})

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        served = [(model, one) for model, one in gateway.roster.models() if request.state.key.may_ask(one.name)]
        rows = [{"id": model, "object": "model", "owned_by": "llmops", "release": release(one)} for model, one in served]
        return {"object": "list", "data": rows}


def _add_signs_of_life(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        served = gateway.roster.models()
        return {"status": "ok", "name": gateway.roster.name, "release": release(served[0][1]) if served else None}

    @app.get("/ready")
    async def ready() -> Response:
        reason = gateway.unready()
        if reason is not None:
            raise Refusal(503, reason, "not_ready", None, 1)
        return JSONResponse({"status": "ready", "name": gateway.roster.name})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await asyncio.to_thread(gateway.metrics.text), media_type=CONTENT_TYPE_LATEST)

    @app.post("/hooks/mlflow")
    async def hook(request: Request) -> Response:
        if not gateway.has_signed(request, await request.body()):
            raise Refusal(
                401, "the delivery isn't signed with this deployment's secret, is late, or came before.", "unsigned"
            )
        gateway.wake()
        return Response(status_code=204)
