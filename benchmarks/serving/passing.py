"""A gateway that does nothing: what the same libraries take to pass a request on, and its answer back.

python -m benchmarks.serving.passing --port 8301 --to http://127.0.0.1:8300
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI


def create(to: str) -> FastAPI:
    """An app that passes /v1/chat/completions on to the server `to`, whole answers only."""

    @asynccontextmanager
    async def connected(app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as app.state.session:
            yield

    app = FastAPI(lifespan=connected)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {}

    @app.post("/v1/chat/completions")
    async def answer(body: dict[str, Any]) -> Any:
        async with app.state.session.post(f"{to}/v1/chat/completions", json=body) as reply:
            return await reply.json()

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", required=True)
    given = parser.parse_args()
    uvicorn.run(create(given.to), host="127.0.0.1", port=given.port, log_level="warning")
