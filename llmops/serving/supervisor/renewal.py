"""The replacement of workers: of those that started with other options, or of all."""

import time
from pathlib import Path

from llmops.serving import process, state
from llmops.serving.process import Running
from llmops.serving.supervisor.child import for_workers, worker_slots
from llmops.serving.supervisor.children import Children
from llmops.serving.supervisor.leaving import forget_ended
from llmops.serving.supervisor.starting import log_of


class Renewal:
    """Replaces workers in order; `spare` is to take the place of the first of them.

    `applied` is the version of the options that all workers have, `problem` why they keep those they had.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self.applied, self.problem = "", ""
        self.spare: Running | None = None
        self._slots: list[str] = []
        self._deadline = 0.0

    def plan(self, anew: bool = False) -> None:
        """Replace workers that started with other options, or all of them `anew`; the reconciler reads options by itself."""
        children, deployment = self._children.by_slot, self._children.deployment
        wanted, workers = for_workers(deployment.options), worker_slots(deployment.options)
        self._slots = [slot for slot in workers if children[slot].running and (anew or children[slot].options != wanted)]
        self.applied = "" if self._slots else deployment.updated

    def step(self) -> None:
        """One step on the way to workers with other options."""
        children, deployment = self._children, self._children.deployment
        if not self._slots:
            return
        if (spare := self.spare) is None:
            self.spare = children.start(self._slots[0])
            self._deadline = time.monotonic() + deployment.options.timeout_s
        elif not spare.alive:
            said = process.last_words(log_of(deployment, self._slots[0]))
            self._stay(f"a worker with the new options ended while starting: {said}")
        elif _is_ready(deployment.folder, spare):
            child = children.by_slot[self._slots.pop(0)]
            children.retire(child.running)
            child.running, child.since, child.failures, self.spare = spare, time.monotonic(), 0, None
            child.options = for_workers(deployment.options)
            if not self._slots:
                self.applied = deployment.updated
        elif time.monotonic() > self._deadline:
            self._stay("a worker with the new options was not ready in time.")

    def _stay(self, problem: str) -> None:
        self.give_up_spare()
        self._slots, self.problem = [], problem
        self._children.tell("options", f"Workers keep the options they had: {problem}")

    def give_up_spare(self) -> None:
        if self.spare is not None:
            process.stop(self.spare.pid, self.spare.started, 1.0)
            forget_ended(self._children.deployment.folder)
            self.spare = None


def _is_ready(folder: Path, worker: Running) -> bool:
    """Whether a worker has loaded what it is to answer with, if that is known yet."""
    report = state.read_json(folder / f"worker-{worker.pid}.json")
    expected = state.read_json(folder / state.PLAN).get("current")
    return bool(report) and (not expected or bool(report.get("current")))
