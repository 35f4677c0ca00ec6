"""Alias moves and rollbacks under a load of clients that ask again when they were answered: how long, and what is lost."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.application import APP, CHAMPION, SEAT, Application, chat, promote, questions, respond
from benchmarks.serving.load import Ask, Heard, failures, run_clients
from benchmarks.serving.place import deployed, workplace
from llmops.errors import ConfigError, EngineError
from llmops.registry.rollback import roll_back
from llmops.serving.rollout.events import read_events
from llmops.serving.state import Deployment
from llmops.tracking.versions import Registered

CLIENTS = 4
ENGINES = ("vllm", "transformers")
_MOVE_S = 600.0  # that a move may take until the release answers
_TOLD_S = 30.0  # and until it is told, from then on


@dataclass
class Traffic:
    """What is asked of a deployment, in turns whole, streamed, and as the Responses API streams; what was heard so far."""

    url: str
    asked: Sequence[str]
    heard: list[Heard] = field(default_factory=list)
    is_over: Callable[[], bool] = lambda: False

    def __call__(self, number: int) -> Ask | None:
        if self.is_over():
            return None
        question = self.asked[number % len(self.asked)]
        if number % 3 == 2:
            return respond(self.url, question, stream=True, user=f"user-{number % 50}")
        return chat(self.url, question, stream=number % 3 == 1, user=f"user-{number % 50}")

    def first_answer(self, release: str, since: float) -> float | None:
        """When the first answer came that a release made to a question asked since then."""
        found = [one.ended for one in self.heard if one.began >= since and one.outcome.release == release]
        return min(found, default=None)


def measure(base: str, tokens: int, requests: int, moves: int, poll_s: float, engine: str) -> dict[str, Any]:
    """`moves` times to a release that isn't loaded, and back to the one that was left; at least so many requests."""
    with workplace() as place:
        first, *others = make_releases(base, tokens, place)
        promote(first)
        with deployed(APP, CHAMPION, engine=check_engine(engine), poll_s=poll_s) as deployment:
            return asyncio.run(_measure(deployment, first, others, requests, moves)) | {"rollback_poll_s": poll_s}


def check_engine(engine: str) -> str:
    """Raises ConfigError unless it is one that this is measured on."""
    if engine not in ENGINES:
        raise ConfigError(f"engine is {engine!r}, expected one of {', '.join(ENGINES)}.")
    return engine


def make_releases(base: str, tokens: int, place: Path) -> list[Registered]:
    """Four: the base with a prompt, with another, with an adapter, and with an index."""
    application = Application.on(base, tokens)
    adapter = application.make_adapter(place / "adapter", 1)
    return [application.prompted(0), application.prompted(1), application.adapted(adapter), application.retrieving()]


async def _measure(
    deployment: Deployment, first: Registered, others: Sequence[Registered], requests: int, moves: int
) -> dict[str, Any]:
    traffic = Traffic(deployment.url, questions(1000))
    is_moved = False
    traffic.is_over = lambda: is_moved and len(traffic.heard) >= requests
    load = asyncio.create_task(run_clients(traffic, CLIENTS, traffic.heard))
    forth, back = [], []
    try:
        for number in range(moves):
            target = others[number % len(others)]
            forth.append(await move(deployment, traffic, target, partial(promote, target)))
            put_back = partial(roll_back, SEAT, first.version, "measured", f"benchmark rollback {number}")
            back.append(await move(deployment, traffic, first, put_back))
        is_moved = True
        await load
    finally:
        load.cancel()
    return told(forth, back, traffic.heard)


async def move(deployment: Deployment, traffic: Traffic, to: Registered, work: Callable[[], object]) -> dict[str, Any]:
    """Move the alias, and see when the release answers. Times in seconds.

    `first_answer` is from when the decision began to be written, its writing included; `answering` from when the gateway
    saw the alias; `warm` says whether the release was loaded already.

    Raises:
        EngineError: it doesn't come to answer.
    """
    began = time.time()
    await asyncio.to_thread(work)
    written, deadline = time.time(), began + _MOVE_S
    while (answered := traffic.first_answer(to.uri, began)) is None:
        if time.time() > deadline:
            raise EngineError(f"{to.uri} didn't answer within {_MOVE_S:.0f} s: {read_events(deployment.folder, 1)}")
        await asyncio.sleep(0.02)
    event = await _event(deployment, to, began)
    return {
        "release": to.uri, "warm": event["warm"], "first_answer": answered - began, "writing": written - began,
        "answering": event["seconds"]["answering"],
    }  # fmt: skip


async def _event(deployment: Deployment, to: Registered, since: float) -> dict[str, Any]:
    """What the deployment wrote down about the rollout."""
    deadline = time.time() + _TOLD_S
    while time.time() < deadline:
        event: dict[str, Any]
        for event in reversed(read_events(deployment.folder, 100)):
            at = datetime.fromisoformat(event["time"]).timestamp()
            if (event["event"], event.get("release")) == ("rollout", to.uri) and at >= since:
                return event
        await asyncio.sleep(0.05)
    raise EngineError(f"{to.uri} answers, and no event says so.")


def told(forth: Sequence[dict[str, Any]], back: Sequence[dict[str, Any]], heard: Sequence[Heard]) -> dict[str, Any]:
    """The figures: medians, and the slowest rollback."""
    warm = [one["answering"] for one in back if one["warm"]]
    failed = failures(heard)
    return {
        "rollout_s": median(one["first_answer"] for one in forth), "rollback_s": median(warm) if warm else "none was warm",
        "rollback_s_max": max(warm, default=None), "rollback_first_answer_s": median(one["first_answer"] for one in back),
        "rollout_failed_requests": failed.total(), "rollout_requests": len(heard),
        "rollout_details": {"forth": list(forth), "back": list(back), "failures": dict(failed)},
    }  # fmt: skip
