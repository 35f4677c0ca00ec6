"""An engine that takes a fixed time to say the same: what a gateway takes longer than that is its own.

python -m benchmarks.serving.stub --port 8300 --ms 50
"""

import argparse
import asyncio
import time
from typing import Any

import uvicorn
from fastapi import FastAPI

_SAID = {"role": "assistant", "content": "Parental leave is forty weeks for each parent."}
_USAGE = {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50}


def create(ms: float) -> FastAPI:
    """An app with /v1/chat/completions, of whole answers only."""
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {}

    @app.post("/v1/chat/completions")
    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(ms / 1000)
        choice = {"index": 0, "message": _SAID, "finish_reason": "stop", "logprobs": None}
        return {
            "id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()), "model": body["model"],
            "choices": [choice], "usage": _USAGE,
        }  # fmt: skip

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ms", type=float, required=True)
    given = parser.parse_args()
    uvicorn.run(create(given.ms), host="127.0.0.1", port=given.port, log_level="warning")
