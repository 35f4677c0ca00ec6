"""What every request passes before it is read: a number, its key, its body's size. And what every error becomes."""

import asyncio
import uuid
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmops.serving.gateway.refusal import Refusal, refusal_of
from llmops.serving.gateway.settings import Settings
from llmops.serving.keys.check import Keys

OPEN = ("/health", "/ready", "/hooks/mlflow")  # without a key; a hook has its signature


class Edge:
    """Middleware. `refuse` makes a response of a refusal; with `closing` connections aren't used again."""

    def __init__(
        self, app: ASGIApp, keys: Keys, settings: Settings, refuse: Callable[[Refusal], Response],
        closing: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._app, self._keys, self._settings, self._refuse, self._closing = app, keys, settings, refuse, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, begun = uuid.uuid4().hex, False

        async def told(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                closing = [(b"connection", b"close")] if self._closing() else []
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *closing]
            await send(message)

        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        try:
            if scope["path"] not in OPEN:
                scope["state"]["key"] = self._keys.check(_header(scope, b"authorization"))
            await self._app(scope, await self._with_body(scope, receive), told)
        except Exception as error:
            refusal = refusal_of(error, request_id)
            if begun:  # nothing more can be said
                raise ConnectionAbortedError from None
            await self._refuse(refusal)(scope, receive, told)

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """What receives the whole body at once, and then whatever comes.

        Raises:
            Refusal: it is too large (413), or takes too long (408).
        """
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        most, within_s = self._settings.max_body, self._settings.body_timeout_s
        if _header(scope, b"content-length").isdecimal() and int(_header(scope, b"content-length")) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(within_s):
                body = await _read(receive, most)
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {within_s:g} s. Send it again.", "body_timeout") from None
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def received() -> Message:
            return waiting.pop() if waiting else await receive()

        return received


async def _read(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the connection was closed before the body had arrived.", "body_incomplete")
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > most:
            raise _too_large(most)
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most} bytes. Send less.", "request_too_large")


def _header(scope: Scope, name: bytes) -> str:
    found: bytes = next((value for given, value in scope["headers"] if given == name), b"")
    return found.decode("latin-1")
