"""Chat completions on this machine, for libraries that ask nothing else; what answers may be a server or a function."""

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmops.errors import EngineError
from llmops.models.http.connections import open_session
from llmops.models.http.failure import Failure, Patience, explain
from llmops.models.http.pace import Pace
from llmops.models.http.server import Server
from llmops.types import Completion

NO_ANSWER = "no answer:"
"""How the message begins of what is replied where none came."""

Answering = Callable[[dict[str, Any]], Completion]
"""Answers the body of a request for a chat completion, from any thread."""


@contextmanager
def open_relay(answer: Answering) -> Iterator[tuple[str, str]]:
    """The address of the chat completions, and the token that whoever asks there must send, for other users may try.

    What raises is replied to with 400, which clients don't ask again after.
    """
    token = secrets.token_urlsafe()

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not secrets.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
                self.reply(401, {"error": {"message": "This is not for you."}})
                return
            try:
                self.reply(200, _chat_completion(answer(body), str(body["model"])))
            except Exception as error:  # the client is told; nobody else waits for it
                self.reply(400, {"error": {"message": f"{NO_ANSWER} {str(error) or type(error).__name__}"}})

        def reply(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/chat/completions", token
        finally:
            server.shutdown()


def _chat_completion(said: Completion, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": said.text}
    tokens = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
    return {
        "id": "relayed", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason}],
        "usage": tokens | {"total_tokens": said.prompt_tokens + said.completion_tokens},
    }  # fmt: skip


class Forward:
    """Hands requests on to a model at a server, as `HttpEngine` asks; the server's timeout is for all tries together."""

    def __init__(self, server: Server, model: str, retries: int = 3) -> None:
        self._server, self._model, self._retries = server, model, retries
        self._pace, self._refused = Pace(), set[str]()  # parameters that the server doesn't take

    async def __call__(self, body: dict[str, Any]) -> Completion:
        """Answer the body of a request.

        Raises:
            EngineError: the server refuses, can't be reached, keeps failing, or takes too long.
        """
        patience, last = Patience(self._retries, self._pace), "none came in time"
        try:
            async with asyncio.timeout(self._server.timeout_s), open_session() as session:
                while True:
                    while wait_s := self._pace.claim():
                        await asyncio.sleep(wait_s)
                    outcome = await self._server.complete(session, self._fitting(body))
                    if isinstance(outcome, Completion):
                        return outcome
                    last = outcome.reason
                    await asyncio.sleep(self._wait_s(outcome, patience))
        except TimeoutError:
            within = f"within {self._server.timeout_s:g} s"
            raise EngineError(f"{self._server.url} gave no answer {within} ({last}). Check that it runs.") from None

    def _wait_s(self, failure: Failure, patience: Patience) -> float:
        if failure.refused:
            self._refused.add(failure.refused)
            return 0.0
        wait_s = patience.next_wait_s(failure)
        if wait_s is None:
            server = self._server
            raise EngineError(explain(failure, server.url, self._model, server.api_key_env, patience.tries))
        return wait_s

    def _fitting(self, body: dict[str, Any]) -> dict[str, Any]:
        newer = {"max_completion_tokens": body["max_tokens"]} if "max_tokens" in self._refused else {}
        return {name: value for name, value in body.items() if name not in self._refused} | newer | {"model": self._model}
