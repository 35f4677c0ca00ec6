"""Mixed load for minutes or hours: whole and streamed answers, feedback, alias moves; memory and files of each process."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import psutil

from benchmarks.serving.application import APP, CHAMPION, SEAT, promote, questions
from benchmarks.serving.growth import Watch, slope
from benchmarks.serving.load import failures, percentiles, run_clients
from benchmarks.serving.place import deployed, processes_of, workplace
from benchmarks.serving.rollouts import CLIENTS, Traffic, check_engine, make_releases, move
from llmops.errors import LLMOpsError
from llmops.registry.rollback import roll_back
from llmops.serving.engine import engines, record
from llmops.serving.gateway.tracing.process import WRITER
from llmops.serving.state import Deployment
from llmops.serving.supervisor.record import find_processes
from llmops.tracking.versions import Registered

_LOOK_S = 5.0
_FEEDBACK_S = 2.0  # between two
_TRACED_S = 10.0  # after which an answer's trace should be written, unless many wait


def measure(base: str, tokens: int, minutes: float, move_s: float, engine: str) -> dict[str, Any]:
    """An alias move, or the rollback of one, every `move_s` seconds; the rest all the time."""
    with workplace() as place:
        releases = make_releases(base, tokens, place)
        promote(releases[0])
        with deployed(APP, CHAMPION, engine=check_engine(engine), poll_s=1.0) as deployment:
            return asyncio.run(_Soak(deployment, releases, minutes * 60, move_s).run())


class _Soak:
    """One soak, and what it has seen so far."""

    def __init__(self, deployment: Deployment, releases: list[Registered], seconds: float, move_s: float) -> None:
        self._deployment, self._releases, self._move_s = deployment, releases, move_s
        self._end = time.monotonic() + seconds
        self._traffic = Traffic(deployment.url, questions(1000), is_over=self._is_over)
        self._watch, self._feedback = Watch(), Counter[str]()
        self._moves, self._is_moving, self._trouble = 0, False, list[str]()

    async def run(self) -> dict[str, Any]:
        async with asyncio.TaskGroup() as group:
            for work in (run_clients(self._traffic, CLIENTS, self._traffic.heard), self._move(), self._look(), self._say()):
                group.create_task(work)
        return self._told()

    def _is_over(self) -> bool:
        return time.monotonic() > self._end and not self._is_moving

    async def _move(self) -> None:
        """To a release that isn't loaded, and back, in turns."""
        first, *others = self._releases
        while await self._waited(self._move_s):
            number, self._is_moving = self._moves, True
            target = first if number % 2 else others[number // 2 % len(others)]
            work = (
                partial(roll_back, SEAT, first.version, "soak", f"soak {number}") if number % 2 else partial(promote, target)
            )
            try:
                await move(self._deployment, self._traffic, target, work)
            except LLMOpsError as error:
                self._trouble.append(str(error))
            finally:
                self._moves, self._is_moving = number + 1, False

    async def _look(self) -> None:
        await asyncio.to_thread(self._watch.look, _processes(self._deployment))
        while await self._waited(_LOOK_S):
            await asyncio.to_thread(self._watch.look, _processes(self._deployment))

    async def _say(self) -> None:
        """Thumbs up for answers; 404 means that one isn't traced yet, or never, where more come than can be written."""
        age_s = _TRACED_S
        async with httpx.AsyncClient(trust_env=False, timeout=120) as http:
            while await self._waited(_FEEDBACK_S):
                old = [one for one in self._traffic.heard if one.ended < time.time() - age_s and one.outcome.answer_id]
                if old:
                    body = {"id": old[-1].outcome.answer_id, "thumb": "up"}
                    status = await _post(http, f"{self._deployment.url}/v1/feedback", body)
                    self._feedback[status] += 1
                    age_s *= 1.5 if status == "404" else 1.0

    async def _waited(self, seconds: float) -> bool:
        """Wait so long; whether it goes on then."""
        await asyncio.sleep(max(0.0, min(seconds, self._end - time.monotonic())))
        return time.monotonic() < self._end

    def _told(self) -> dict[str, Any]:
        heard, (memory, handles) = self._traffic.heard, self._watch.total
        failed = failures(heard)
        answered = [one.ended - one.began for one in heard if not one.outcome.failure]
        return {
            "soak_requests": len(heard), "soak_failed_requests": failed.total(), "soak_moves": self._moves,
            "soak_failed_moves": len(self._trouble), "soak_feedback": self._feedback["200"],
            "soak_memory_mb_max": max(memory.values), "soak_memory_mb_per_hour": slope(memory),
            "soak_handles_max": max(handles.values), "soak_handles_per_hour": slope(handles),
            "soak_details": {
                "failures": dict(failed), "feedback": dict(self._feedback), "trouble": self._trouble,
                "processes": self._watch.told(), "memory_mb": vars(memory), "handles": vars(handles),
                "seconds": percentiles(answered) if answered else {},
            },
        }  # fmt: skip


async def _post(http: httpx.AsyncClient, url: str, body: dict[str, Any]) -> str:
    """The status, or what went wrong."""
    try:
        return str((await http.post(url, json=body)).status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


def _processes(deployment: Deployment) -> dict[str, psutil.Process]:
    """Those of a deployment and of its engine, by what they are."""
    found = {}
    for slot, running in find_processes(deployment.name).items():
        if running.alive:
            with suppress(psutil.Error):  # it has ended
                found[slot] = process = psutil.Process(running.pid)
                found |= {f"{slot} traces": child for child in process.children() if WRITER in child.cmdline()}
    engine = engines.engine_of(deployment.name)
    for number, process in enumerate(processes_of(record.path(engine.key, "pid")) if engine else ()):
        found[f"engine {number}"] = process
    return found


def show(details: dict[str, Any]) -> str:
    """A line for each process: slope an hour and the most, of memory and of open files."""
    rows = []
    for name, one in details["processes"].items():
        memory, handles = one["memory_mb"], one["handles"]
        rows.append(
            f"  {name}: {_shown(memory['per_hour'])} MB an hour, {memory['max']:.0f} MB at most; "
            f"{_shown(handles['per_hour'])} files an hour, {handles['max']:.0f} at most"
        )
    return "\n".join(rows)


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.1f}"
