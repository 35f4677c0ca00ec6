"""The server that an engine asks: its address, the key for it, and single tries to get an answer from it."""

import asyncio
import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llmops.errors import ConfigError, EngineError
from llmops.models.http.connections import proxy_of
from llmops.models.http.events import DONE, OPENED, Events, read_events
from llmops.models.http.failure import Failure, read_event, read_failure, read_refusal
from llmops.models.http.wire import StreamedAnswer, read_completion
from llmops.types import Completion

if TYPE_CHECKING:
    from aiohttp import ClientSession

_PATH, _LAST_S = "/chat/completions", 1.0  # seconds that a server has to end a response after its last event
NO_KEY = "none"  # what servers without keys are sent


class Server:
    """An OpenAI-compatible API. `url` is its base without a login, such as http://127.0.0.1:8000/v1.

    An address without a path gets /v1. A login in the address goes out as basic authorization, in the key's place. The key
    is read at each use, from the environment or from `key_file` where that is given, and never kept. A
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
        self._proxy = None if ours else proxy_of(self.url)
        self._login = (unquote(parts.username or ""), unquote(parts.password or ""))

    def __repr__(self) -> str:
        return f"Server({self.url!r}, {self.api_key_env!r})"

    async def complete(self, session: "ClientSession", body: dict[str, Any]) -> Completion | Failure:
        """Ask once; `timeout_s` is for the whole of it."""
        from aiohttp import ClientError

        try:
            async with asyncio.timeout(self.timeout_s), self._post(session, body) as response:
                said = await response.read()
                if not response.ok:
                    return read_refusal(response.status, response.headers, said, self._secrets(), body)
                return read_completion(json.loads(said))
        except (ClientError, OSError, ValueError) as error:
            return read_failure(error, self._secrets())

    async def stream(self, session: "ClientSession", body: dict[str, Any], hear: Callable[[Any], None]) -> Failure | None:
        """Ask once for a stream, and tell OPENED, each event, and DONE; `timeout_s` is for each of them."""
        from aiohttp import ClientError

        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self.timeout_s) as limit, self._post(session, body) as response:
                if not response.ok:
                    return read_refusal(response.status, response.headers, await response.read(), self._secrets(), body)
                hear(OPENED)
                async for event in read_events(response.content):
                    limit.reschedule(now() + (self.timeout_s if event is not DONE else _LAST_S))
                    if isinstance(event, dict) and event.get("error"):
                        return read_event(event["error"], self._secrets())
                    hear(event)
            return None
        except (ClientError, OSError, ValueError) as error:
            return read_failure(error, self._secrets())

    def read_piece(self, events: Events, answer: StreamedAnswer) -> str | Failure | None:
        """Take the next event into the answer and return its text; None at the end of a whole answer."""
        said = events.next()
        if isinstance(said, Failure):
            return said
        if said is None or said is DONE:
            return None if answer.whole else Failure(200, "it ended in the middle of the answer")
        try:
            return answer.add(said)
        except ValueError as error:
            return read_failure(error, self._secrets())

    def _post(self, session: "ClientSession", body: dict[str, Any]) -> Any:
        return session.post(f"{self.url}{_PATH}", json=body, headers=self._headers(), proxy=self._proxy)

    def _headers(self) -> dict[str, str]:
        """The key's, and those that the environment has for the openai client."""
        named = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
        headers = {name: os.environ[variable] for name, variable in named.items() if os.environ.get(variable)}
        custom = [line.partition(":") for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()]
        headers |= {name.strip(): value.strip() for name, colon, value in custom if colon}
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        login = f"Basic {self._basic()}" if any(self._login) else f"Bearer {self._key() or NO_KEY}"
        return {**headers, "Authorization": login}

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


def _without_login(url: str) -> str:
    return url.strip().rpartition("@")[2].partition("?")[0]


def _read_key(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EngineError(f"the server's key can't be read ({error.strerror}: {file}). It may have been ended.") from error
