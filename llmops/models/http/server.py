"""The server that an engine asks: its address, the key for it, and single tries to get an answer from it."""

import asyncio
import base64
import json
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llmops.errors import ConfigError, EngineError
from llmops.models.http.connections import IDLE_S, MOST, certificates, proxy_of
from llmops.models.http.failure import Failure, read_failure, read_refusal
from llmops.models.http.wire import StreamedAnswer, read_completion
from llmops.types import Completion

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from openai import OpenAI

_PATH = "/chat/completions"  # asked as such, for plain objects: the client's models of it take it 2 ms an answer
NO_KEY = "none"  # what servers without keys are sent: the client insists on one


class Server:
    """An OpenAI-compatible API. `url` is its base without a login, such as http://127.0.0.1:8000/v1.

    An address without a path gets /v1. A login in the address goes out as basic authorization, in the key's place. The key
    is read at each use, from the environment or from `key_file` where that is given, and never kept but by clients. A
    server that is `ours`, on this machine, is asked without the environment's proxy.

    Raises:
        ConfigError: the address is none of http or https, or has a query; or its proxy is none.
    """

    def __init__(
        self, url: str, api_key_env: str, timeout_s: float, key_file: Path | None = None, ours: bool = False
    ) -> None:
        try:
            parts = urlsplit(url.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("http", "https"):
            raise ConfigError(f"{_without_login(url)!r} is no server's address; expected http(s)://host[:port][/v1].")
        if parts.query or parts.fragment:
            raise ConfigError(f"the address of {host} has a query or fragment; expected http(s)://host[:port][/v1].")
        place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        self.url = f"{parts.scheme}://{place}{path or '/v1'}"
        self.api_key_env, self.timeout_s, self._key_file = api_key_env, timeout_s, key_file
        self._kept: tuple[Any, Any] = (None, None)  # for which process and key a client is, and that client
        self._ours, self._proxy = ours, None if ours else proxy_of(self.url)
        self._login = (unquote(parts.username or ""), unquote(parts.password or ""))

    def __repr__(self) -> str:
        return f"Server({self.url!r}, {self.api_key_env!r})"

    def client(self) -> "OpenAI":
        """A client that tries once, for all threads, kept and never closed: a new one takes 4 ms, and connects anew."""
        from openai import DefaultHttpxClient, OpenAI  # 0.9 s to import

        wanted = (os.getpid(), self._key())  # a forked process has no part in its parent's connections
        made_for, client = self._kept
        if made_for != wanted:
            transport = DefaultHttpxClient(verify=certificates(), limits=_limits(), trust_env=not self._ours)
            client = OpenAI(**self._settings(), http_client=transport)
            self._kept = (wanted, client)
        kept: OpenAI = client
        return kept

    async def complete(self, session: "ClientSession", body: dict[str, Any]) -> Completion | Failure:
        """Ask once; `timeout_s` is for the whole of it."""
        from aiohttp import ClientError

        headers = {name: value for name, value in self.client().default_headers.items() if isinstance(value, str)}
        asked = session.post(f"{self.url}{_PATH}", json=body, headers=headers, proxy=self._proxy)
        try:
            async with asyncio.timeout(self.timeout_s), asked as response:
                said = await response.read()
                if not response.ok:
                    return read_refusal(response.status, response.headers, said, self._secrets(), body)
                return read_completion(json.loads(said))
        except (ClientError, OSError, ValueError) as error:
            return read_failure(error, self._secrets())

    def open_stream(self, body: dict[str, Any]) -> Any:
        """Ask once for a stream of events: those, to be closed, or a Failure."""
        from openai import OpenAIError, Stream

        client = self.client()
        try:
            return client.post(_PATH, body=body, cast_to=object, stream=True, stream_cls=Stream[object])
        except (OpenAIError, ValueError) as error:
            return read_failure(error, self._secrets(), body)

    def read_piece(self, events: Any, answer: StreamedAnswer) -> str | Failure | None:
        """Take the next event into the answer and return its text; None at the end of a whole answer."""
        from openai import OpenAIError

        try:
            return answer.add(next(events))
        except StopIteration:
            return None if answer.whole else Failure(200, "it ended in the middle of the answer")
        except (OpenAIError, ValueError) as error:
            return read_failure(error, self._secrets())

    def _settings(self) -> dict[str, Any]:
        key = self._key() or NO_KEY
        # Said outright, or OPENAI_CUSTOM_HEADERS could replace it.
        headers = {"Authorization": f"Basic {self._basic()}" if any(self._login) else f"Bearer {key}"}
        return {
            "api_key": key, "base_url": self.url, "timeout": self.timeout_s, "max_retries": 0, "default_headers": headers,
        }  # fmt: skip

    def _secrets(self) -> list[str]:
        """What nobody must be shown: longest first, so that none is left in part."""
        proxy = urlsplit(self._proxy or "").password or ""
        found = {self._key(), self._login[1], self._basic(), proxy, unquote(proxy)} - {"", NO_KEY}
        return sorted(found, key=len, reverse=True)

    def _key(self) -> str:
        key = os.environ.get(self.api_key_env, "").strip() if self._key_file is None else _read_key(self._key_file)
        if not re.fullmatch("[!-~]*", key):
            raise ConfigError(
                f"{self.api_key_env} holds no key: a space, line break or non-ASCII letter is in it. Set it anew."
            )
        return key

    def _basic(self) -> str:
        return base64.b64encode(":".join(self._login).encode()).decode() if any(self._login) else ""


def break_off(events: Any) -> None:
    """End the connection of an open stream in any thread: who waits for its next event hears that it broke."""
    with suppress(OSError):
        events.response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _without_login(url: str) -> str:
    return url.strip().rpartition("@")[2].partition("?")[0]


def _read_key(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EngineError(f"the server's key can't be read ({error.strerror}: {file}). It may have been ended.") from error


def _limits() -> Any:
    from httpx2 import Limits

    return Limits(max_connections=MOST, max_keepalive_connections=100, keepalive_expiry=IDLE_S)
