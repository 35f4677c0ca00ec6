"""What a caller is told when there is no answer: OpenAI's envelope, and nothing of prompts, secrets or code."""

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from llmops.errors import EngineError, WindowError
from llmops.serving.keys.check import KeyRefused
from llmops.serving.roster import Unbounded, UnknownModel, Unrestricted

_log = logging.getLogger(__name__)
_TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
    429: "rate_limit_error", 500: "server_error", 503: "server_error", 504: "timeout_error",
}  # fmt: skip


class Refusal(Exception):
    """A request that isn't answered. `retry_after_s` says when it may be worth to ask again."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None, retry_after_s: float = 0
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after_s = retry_after_s

    @property
    def envelope(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> Mapping[str, str]:
        told = {"retry-after": str(max(1, round(self.retry_after_s + 0.5)))} if self.retry_after_s else {}
        return {**told, "www-authenticate": "Bearer"} if self.status == 401 else told

    def response(self) -> JSONResponse:
        return JSONResponse(self.envelope, self.status, dict(self.headers))


def refusal_of(error: BaseException, request_id: str) -> Refusal:
    """What to say of an error. What isn't the caller's doing is logged, by where it happened: its text may hold a prompt."""
    match error:
        case Refusal():
            return error
        case KeyRefused():
            return Refusal(401, str(error), "invalid_api_key")
        case UnknownModel():
            return Refusal(404, str(error), "model_not_found", "model")
        case Unrestricted():
            return Refusal(403, str(error), "groups_not_supported")
        case Unbounded():
            return Refusal(400, str(error), "unsupported_parameter", "max_tokens")
        case WindowError():
            return Refusal(400, "the question doesn't fit the model's window. Ask shorter.", "context_length_exceeded")
    kind, frames = type(error).__name__, traceback.extract_tb(error.__traceback__)
    if isinstance(error, EngineError):  # one line: while an engine is away, each request has one
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
        _log.error("request %s failed: %s, at %s", request_id, kind, place)
        return Refusal(503, f"the engine gave no answer ({kind}, request {request_id}). Ask again.", "engine_error", None, 1)
    _log.error("request %s failed: %s\n%s", request_id, kind, "".join(traceback.format_list(frames)))
    return Refusal(
        500, f"the answer failed ({kind}, request {request_id}). Tell who runs this deployment.", "internal_error"
    )
