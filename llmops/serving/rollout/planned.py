"""A roster that carries out the plan of its deployment: it loads, switches and lets go of releases while it answers."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from llmops.addresses import without_password
from llmops.errors import DeploymentError
from llmops.serving.gateway.call import Outcome
from llmops.serving.process import started
from llmops.serving.rollout.backend import let_go, load_planned
from llmops.serving.rollout.plan import How, Plan, PlanFile
from llmops.serving.rollout.report import Report, remove_report, write_report
from llmops.serving.rollout.shadow import Shadow
from llmops.serving.rollout.shares import place
from llmops.serving.rollout.tally import Tallies
from llmops.serving.rollout.waking import wake
from llmops.serving.roster import Identity, Serving, check_served

LOOK_S = 0.1
_RETRY_S = 5.0  # after a release could not be loaded
_COUNT_S = 1.0  # how old counts may get
_log = logging.getLogger(__name__)

Load = Callable[[str, str, How], Serving]


@dataclass
class _Held:
    """A loaded release, and how many requests it answers now."""

    serving: Serving
    how: How
    requests: int = 0


class PlannedRoster:
    """The releases of the plan in a deployment's folder, which a thread looks at ten times a second.

    A request keeps the release it began with. `heard` is to be told what came of requests, `wake` calls the reconciler.
    """

    def __init__(self, folder: Path, name: str, load: Load = load_planned) -> None:
        self._folder, self._name, self._load = folder, name, load
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._file, self._plan, self._current = PlanFile(folder), Plan(), ""
        self._held: dict[str, _Held] = {}
        self._leaving: list[_Held] = []
        self._loads: dict[str, tuple[How, Future[Serving]]] = {}
        self._errors: dict[str, tuple[str, float]] = {}
        self._tallies, self._shadow = Tallies(), Shadow(folder, self._pick_shadow)
        self._told, self._told_at = Report(os.getpid(), started(os.getpid())), 0.0
        self._loader = ThreadPoolExecutor(1, "load")  # MLflow loads one model at a time
        self._thread = threading.Thread(target=self._watch, name="plan", daemon=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._name

    @contextmanager
    def pick(self, model: str, user: str) -> Iterator[Serving]:
        with self._lock:
            check_served(model, [name for name, _ in self._models()])
            held = self._held[self._choose(user)] if model == self._name else self._pinned(model)
            held.requests += 1
        try:
            yield held.serving
        finally:
            self._give_back(held)

    def models(self) -> Sequence[tuple[str, Identity]]:
        with self._lock:
            return self._models()

    def ready(self) -> str | None:
        """Callers are told it, so it doesn't say why a release can't be loaded: that may quote its questions and answers."""
        with self._lock:
            if self._current:
                return None
            wanted, has_failed = self._plan.current, self._plan.current in self._errors
        if has_failed:
            return f"{wanted} can't be loaded: `mlflow deployments get` says why."
        return f"{wanted} is being loaded." if wanted else "no release has been rolled out yet."

    def wait_until_ready(self, timeout_s: float = 600.0) -> None:
        """Wait for a release that answers.

        Raises:
            DeploymentError: there is none in time; it says why.
        """
        deadline = time.monotonic() + timeout_s
        while (reason := self.ready()) is not None:
            if time.monotonic() > deadline:
                why = self._errors.get(self._plan.current, (reason, 0.0))[0]
                raise DeploymentError(f"nothing could be answered after {timeout_s:.0f} s: {why}")
            time.sleep(LOOK_S)

    def heard(self, outcome: Outcome) -> None:
        """Count a request, and show a copy to the shadow. What the caller did wrong counts for nobody."""
        uri, reply = outcome.identity.uri, outcome.reply
        if reply is None and outcome.status < 500:
            return
        failed = outcome.status >= 500
        self._tallies.add(uri, failed, bool(reply and not failed and reply.details["abstained"]), outcome.seconds)
        if self._plan.shadow and reply is not None and uri == self._current:
            self._shadow.offer(outcome.asked, reply, uri, outcome.seconds)

    def wake(self) -> None:
        """Have the reconciler ask the registry now."""
        wake(self._folder)

    def close(self) -> None:
        """Stop looking; the worker ends."""
        self._ended.set()
        self._thread.join(5)
        self._shadow.close()
        self._loader.shutdown(wait=False, cancel_futures=True)
        remove_report(self._folder, self._told.pid)

    def _models(self) -> list[tuple[str, Identity]]:
        if not self._current:
            return []
        shown = [held.serving.identity for uri, held in self._held.items() if not self._is_hidden(uri)]
        return [(self._name, self._held[self._current].serving.identity), *((one.pinned, one) for one in shown)]

    def _is_hidden(self, uri: str) -> bool:
        plan = self._plan
        return uri == plan.shadow and uri not in {self._current, plan.previous, plan.canary and plan.canary.uri}

    def _choose(self, user: str) -> str:
        canary = self._plan.canary
        if canary and canary.uri in self._held and place(canary.uri, user) < canary.percent:
            return canary.uri
        return self._current

    def _pinned(self, model: str) -> _Held:
        return next(held for held in self._held.values() if held.serving.identity.pinned == model)

    @contextmanager
    def _pick_shadow(self) -> Iterator[Serving | None]:
        with self._lock:
            held = self._held.get(self._plan.shadow)
            if held is not None:
                held.requests += 1
        try:
            yield held.serving if held else None
        finally:
            if held is not None:
                self._give_back(held)

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            held.requests -= 1

    def _watch(self) -> None:
        trouble = ""
        while not self._ended.wait(LOOK_S):
            try:
                self._look()
                trouble = ""
            except Exception as error:  # such as a full disk: what answers goes on
                if str(error) != trouble:
                    _log.exception("the plan could not be carried out")
                trouble = str(error)

    def _look(self) -> None:
        plan = self._file.read()
        if plan.generation != self._plan.generation:
            self._errors.clear()
        if plan.canary != self._plan.canary:
            self._tallies.clear()
        self._gather(plan)
        self._begin(plan)
        with self._lock:
            self._plan = plan
            self._switch(plan)
            gone = [held for held in self._leaving if not held.requests]
            self._leaving = [held for held in self._leaving if held.requests]
        for held in gone:
            let_go(held.serving)
        self._tell()

    def _gather(self, plan: Plan) -> None:
        """Take what has been loaded."""
        for uri, (how, load) in [(uri, load) for uri, load in self._loads.items() if load[1].done()]:
            del self._loads[uri]
            error = load.exception()
            if error is not None:
                line = without_password(str(error)).strip() or type(error).__name__
                _log.warning("%s could not be loaded: %s", uri, line, exc_info=error)
                self._errors[uri] = line.splitlines()[0][:500], time.monotonic() + _RETRY_S
            elif plan.loaded.get(uri) == how:
                self._hold(uri, _Held(load.result(), how))
            else:
                let_go(load.result())

    def _hold(self, uri: str, held: _Held) -> None:
        with self._lock:
            before = self._held.get(uri)
            self._leaving += [before] if before else []
            self._held[uri] = held
        self._errors.pop(uri, None)

    def _begin(self, plan: Plan) -> None:
        """Start to load what is missing, the current release first."""
        for uri in sorted(plan.loaded, key=lambda uri: uri != plan.current):
            how, held, failed = plan.loaded[uri], self._held.get(uri), self._errors.get(uri)
            is_there = uri in self._loads or (held is not None and held.how == how)
            if not is_there and (failed is None or time.monotonic() > failed[1]):
                self._loads[uri] = how, self._loader.submit(self._load, self._name, uri, how)

    def _switch(self, plan: Plan) -> None:
        if plan.current in self._held:
            self._current = plan.current
        for uri in [uri for uri in self._held if uri not in plan.loaded and uri != self._current]:
            self._leaving.append(self._held.pop(uri))

    def _tell(self) -> None:
        """Report what changed; what only counts, now and then."""
        with self._lock:
            there = {held.serving.identity.uri for held in (*self._held.values(), *self._leaving)}
            held = [uri for uri, one in self._held.items() if self._plan.loaded.get(uri) == one.how]
        report = replace(
            self._told, generation=self._plan.generation, current=self._current, held=tuple(sorted(held)),
            loaded=tuple(sorted(there)),
            errors={uri: line for uri, (line, _) in self._errors.items()},
        )  # fmt: skip
        if report == self._told and time.monotonic() - self._told_at < _COUNT_S and self._told_at:
            return
        canary, shadow = self._plan.canary, self._shadow
        report = replace(
            report, trial=canary.since if canary else 0.0, tallies=self._tallies.read(), shadowed=shadow.answered,
            dropped=shadow.dropped,
        )  # fmt: skip
        if report != self._told or not self._told_at:
            write_report(self._folder, report)
        self._told, self._told_at = report, time.monotonic()
