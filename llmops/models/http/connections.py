"""Connections to servers, by aiohttp: the openai client and its transport take four times its work for an answer."""

import ssl
from contextlib import suppress
from functools import cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from llmops.errors import ConfigError

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
    """The proxy that the environment names for this address, as for the openai client.

    Raises:
        ConfigError: it is none of http or https.
    """
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc) or _is_within(parts.hostname or "", proxies.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if (scheme := urlsplit(proxy).scheme) not in ("http", "https"):
        raise ConfigError(
            f"the environment's proxy is one of {scheme}, expected http(s)://. Put {parts.hostname} in NO_PROXY."
        )
    return proxy


def _is_within(host: str, networks: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for network in networks.split(","):
        with suppress(ValueError):
            if address in ip_network(network.strip(" []"), strict=False):
                return True
    return False


@cache
def certificates() -> ssl.SSLContext:
    """Those that the openai client trusts by default, read once: 30 ms, which each client would take again."""
    from httpx2 import create_ssl_context  # that client's own transport

    return create_ssl_context()
