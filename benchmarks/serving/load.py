"""Closed-loop clients: each asks again when it was answered. All of them run in one event loop of this process."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import numpy as np

from benchmarks.serving.answers import RELEASE_HEADER, Outcome, read_stream, read_whole

TIMEOUT_S = 900.0  # for completed answers alone to count, none may be given up early


@dataclass(frozen=True)
class Ask:
    """A request: where, and what. It is read as a stream if its body asks for one."""

    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """A request and what came of it; times in seconds since 1970."""

    ask: Ask
    outcome: Outcome
    began: float
    ended: float


Asks = Callable[[int], Ask | None]
"""The request of a number, or None where there is none any more."""


async def run_clients(asks: Asks, clients: int, heard: list[Heard], timeout_s: float = TIMEOUT_S) -> None:
    """Ask with so many clients until there is nothing to ask; each outcome is added to `heard` as it comes."""
    numbers = count()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(trust_env=False, timeout=timeout_s, limits=limits) as http:

        async def client() -> None:
            while (ask := asks(next(numbers))) is not None:
                heard.append(await send(http, ask))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())


async def send(http: httpx.AsyncClient, ask: Ask) -> Heard:
    """Ask once. A timeout and a broken connection are failures too."""
    began = time.time()
    try:
        outcome = await _send(http, ask)
    except httpx.TimeoutException:
        outcome = Outcome("timeout")
    except httpx.HTTPError as error:
        outcome = Outcome(type(error).__name__)
    return Heard(ask, outcome, began, time.time())


async def _send(http: httpx.AsyncClient, ask: Ask) -> Outcome:
    async with http.stream("POST", ask.url, json=dict(ask.body), headers=dict(ask.headers)) as reply:
        header = reply.headers.get(RELEASE_HEADER, "")
        if not ask.body.get("stream"):
            return read_whole(reply.status_code, header, (await reply.aread()).decode(errors="replace"))
        return read_stream(reply.status_code, header, [line async for line in reply.aiter_lines()])


def ask_all(asks: Sequence[Ask], clients: int) -> list[Heard]:
    """Ask each once, with so many clients."""
    heard: list[Heard] = []
    asyncio.run(run_clients(lambda number: asks[number] if number < len(asks) else None, clients, heard))
    return heard


def tokens_per_s(heard: Sequence[Heard]) -> float:
    """Generated tokens a second, of completed answers only; time runs from the first request to the last answer.

    Raises:
        ValueError: nothing was answered.
    """
    done = [one for one in heard if not one.outcome.failure]
    if not done:
        raise ValueError(f"none of {len(heard)} requests was answered: {dict(failures(heard))}")
    return sum(one.outcome.tokens for one in done) / (max(one.ended for one in done) - min(one.began for one in heard))


def failures(heard: Sequence[Heard]) -> Counter[str]:
    """How often each kind of failure came: a refusal (429), a timeout and an error in a stream are some."""
    return Counter(one.outcome.failure for one in heard if one.outcome.failure)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile, between values linearly, and the most."""
    found = np.percentile(values, [50, 95, 99, 100])
    return dict(zip(("p50", "p95", "p99", "max"), map(float, found), strict=True))
