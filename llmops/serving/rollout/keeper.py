"""The reconciler's hand on the plan: it writes the next one, and sees whether the workers have carried it out."""

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from llmops.errors import ArtifactError, DeploymentError, EngineError
from llmops.registry.parts import check_parts
from llmops.serving import state
from llmops.serving.rollout.backend import Backend
from llmops.serving.rollout.events import add_event
from llmops.serving.rollout.plan import Plan, read_plan, write_plan
from llmops.serving.rollout.report import read_reports
from llmops.serving.rollout.target import resolve
from llmops.tracking import copies

LOAD_S = 900.0  # that workers have for a release
_TICK_S = 0.05
_log = logging.getLogger(__name__)

Made = TypeVar("Made")


class Ended(DeploymentError):
    """The reconciler was told to end."""


class Keeper:
    """The plan of the deployment in `folder`; `ended` is set when nothing is to be waited for any more.

    `meanwhile` is called again and again where something is waited for. It may write the plan, but for which releases are
    loaded: what follows goes on from the plan as it is then. All of this happens in one thread.
    """

    def __init__(self, folder: Path, ended: threading.Event, meanwhile: Callable[[], None]) -> None:
        self.folder, self._ended, self._meanwhile = folder, ended, meanwhile
        self.plan = self._read()

    def write(self, plan: Plan) -> None:
        self.plan = write_plan(self.folder, plan)

    def prune(self) -> None:
        """Let workers drop what has no part in the plan."""
        if self.plan.pruned() != self.plan:
            self.write(self.plan.pruned())

    def tell(self, event: str, text: str, **details: object) -> None:
        add_event(self.folder, event, text=text, **details)

    def load(self, uri: str, backend: Backend, engine: str) -> float:
        """Have all workers hold a release, whose parts are checked before; return when they were, seconds since the epoch.

        Raises:
            LLMOpsError: a part is not what it was, or it can't be loaded. Then nobody has it any more.
        """
        try:
            if uri not in self.plan.loaded:
                with copies.fetching():
                    how = self.beside(lambda: backend.prepare(check_parts(resolve(uri))))
                    self.write(replace(self.plan.holding(uri, how), engine=engine))
            checked = time.time()
            self.wait_until_held(uri)
            return checked
        except Ended:
            raise
        except BaseException:
            with suppress(OSError):  # upkeep does it then
                self.prune()
            prune_copies()  # one that isn't what it was is fetched anew
            raise

    def wait_until_held(self, *uris: str) -> None:
        """Wait until all workers have releases, as the plan says now.

        Raises:
            ArtifactError: one of them can't load one.
            EngineError: it takes too long.
            Ended: the reconciler ends.
        """
        if not self.wait(lambda: all(map(self._is_held, uris)), LOAD_S):
            raise EngineError(f"no worker loaded {', '.join(uris)} within {LOAD_S:.0f} s. Their logs say more.")

    def beside(self, work: Callable[[], Made]) -> Made:
        """What slow work comes to, done in a thread of its own, which ends with the process.

        Raises:
            Ended: the reconciler ends; what was begun is left as a kill leaves it.
        """
        made: Future[Made] = Future()

        def run() -> None:
            try:
                made.set_result(work())
            except BaseException as error:
                made.set_exception(error)

        threading.Thread(target=run, name="beside", daemon=True).start()
        self.wait(made.done, math.inf)
        return made.result()

    def wait(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is so; return whether it is.

        Raises:
            Ended: the reconciler ends.
        """
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if self._ended.wait(_TICK_S):
                raise Ended("the reconciler was told to end.")
            if time.monotonic() > deadline:
                return False
            self._meanwhile()
        return True

    def is_warm(self, uri: str) -> bool:
        """Whether workers could answer with it at once."""
        reports = read_reports(self.folder)
        return uri in self.plan.loaded and bool(reports) and all(uri in one.held for one in reports)

    def is_answering(self, uri: str) -> bool:
        return all(one.current == uri for one in read_reports(self.folder))

    def _is_held(self, uri: str) -> bool:
        generation, reports = self.plan.generation, read_reports(self.folder)
        for one in reports:
            if one.generation == generation and uri in one.errors:
                raise ArtifactError(one.errors[uri])
        return bool(reports) and all(one.generation == generation and uri in one.held for one in reports)

    def _read(self) -> Plan:
        try:
            return read_plan(self.folder)
        except DeploymentError as error:
            self.tell("failed", f"{error} It is made anew.")
            return Plan(generation=int(time.time()))  # above all that workers have seen


def prune_copies() -> None:
    """Remove local copies of what no deployment has any more; after the next rollout, where it isn't known what one has."""
    try:
        copies.prune([uri for deployment in state.read_all() for uri in deployment.releases])
    except (DeploymentError, OSError) as error:
        _log.warning("copies are not pruned: %s", error)
