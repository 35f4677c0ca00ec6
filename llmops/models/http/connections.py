"""Connections to servers, by aiohttp: the openai client and its transport take four times its work for an answer."""

import ssl
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from aiohttp import ClientSession

MOST, IDLE_S = 1000, 3.0
"""As many at once as the openai client's own default, but let go of before servers close them: 5 s is their usual time."""


def open_session() -> "ClientSession":
    """Connections of the event loop that runs; close it there."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    connector = TCPConnector(limit=MOST, keepalive_timeout=IDLE_S, ssl=certificates())
    return ClientSession(connector=connector, timeout=ClientTimeout(total=None), cookie_jar=DummyCookieJar())


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for this address, as for the openai client."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]) else proxy


@cache
def certificates() -> ssl.SSLContext:
    """Those that the openai client trusts by default, read once: 30 ms, which each client would take again."""
    from httpx2 import create_ssl_context  # that client's own transport

    return create_ssl_context()
