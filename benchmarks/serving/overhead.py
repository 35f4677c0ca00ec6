"""What a gateway adds to an engine of fixed latency: traced as by default, without retrieval and with it."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving.application import APP, CHAMPION, Application, chat, promote, questions
from benchmarks.serving.load import TIMEOUT_S, Ask, percentiles
from benchmarks.serving.place import deployed, server, workplace
from benchmarks.serving.throughput import prompts
from llmops.models.http.wire import request_body

_WARM = 20  # requests before it counts


def measure(base: str, requests: int, ms: float) -> dict[str, Any]:
    """Milliseconds that the gateway's median is above the engine's own, the same prompts, one client, taking turns.

    Beside it a server of the same libraries that only passes requests on, to tell what the machine takes for that alone.
    """
    with workplace() as place, ExitStack() as stack:
        version = Application.on(base, 24).prompted()
        promote(version)
        stub = stack.enter_context(stub_server(place, ms))
        passing = stack.enter_context(pass_through(place, stub))
        asked = questions(requests + _WARM)
        ours = stack.enter_context(deployed(APP, CHAMPION, **on_stub(stub)))
        bodies = [request_body(one, "stub", ()) for one in prompts(version, asked)]
        took = take_turns(
            {
                "direct": [Ask(f"{stub}/v1/chat/completions", body) for body in bodies],
                "passing": [Ask(f"{passing}/v1/chat/completions", body) for body in bodies],
                "gateway": [chat(ours.url, question) for question in asked],
            }
        )
    return {
        "p50_added_ms": took["gateway"]["p50"] - took["direct"]["p50"],
        "p95_added_ms": took["gateway"]["p95"] - took["direct"]["p95"],
        "p50_passing_ms": took["passing"]["p50"] - took["direct"]["p50"],
        "added_details_ms": {**took, "requests": requests, "engine": ms},
    }  # fmt: skip


def take_turns(asks: Mapping[str, Sequence[Ask]], warm: int = _WARM) -> dict[str, dict[str, float]]:
    """Percentiles of each one's milliseconds: the first requests of all, then the second ones, in changing order.

    The first `warm` ones don't count.

    Raises:
        httpx.HTTPStatusError: one was refused.
    """
    took: dict[str, list[float]] = {name: [] for name in asks}
    with ExitStack() as stack:
        clients = {name: stack.enter_context(httpx.Client(trust_env=False, timeout=TIMEOUT_S)) for name in asks}
        for number in range(min(map(len, asks.values()))):
            for name in list(asks)[:: 1 if number % 2 == 0 else -1]:
                ask, start = asks[name][number], time.perf_counter()
                clients[name].post(ask.url, json=dict(ask.body), headers=dict(ask.headers)).raise_for_status()
                took[name].append((time.perf_counter() - start) * 1000)
    return {name: percentiles(values[warm:]) for name, values in took.items()}


def stub_server(place: Path, ms: float) -> AbstractContextManager[str]:
    """The engine of fixed latency, in a process of its own."""
    return _beside(place, "stub.py", "--ms", str(ms))


def pass_through(place: Path, to: str) -> AbstractContextManager[str]:
    """A server before another one that only passes on, in a process of its own."""
    return _beside(place, "passing.py", "--to", to)


def _beside(place: Path, file: str, *words: str) -> AbstractContextManager[str]:
    return server(place, [sys.executable, str(Path(__file__).with_name(file)), *words], "/health")


def on_stub(url: str) -> dict[str, Any]:
    """Options of a deployment on it."""
    return {"engine": "url", "engine_url": f"{url}/v1", "engine_model": "stub"}
