"""The processes of a deployment, which are started again whenever they end."""

import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llmops.serving import process
from llmops.serving.process import Running
from llmops.serving.rollout.events import add_event
from llmops.serving.state import Deployment
from llmops.serving.supervisor.child import METRICS, RECONCILER_SLOT, Child, for_workers, start_child, worker_slots
from llmops.serving.supervisor.leaving import Leaving, forget_ended
from llmops.serving.supervisor.record import running_of
from llmops.serving.supervisor.starting import END_S, log_of

_CALM_S = 60.0  # that a child must run for its failures to be forgotten
_MOST_S = 30.0  # between two starts of a child that keeps ending


class Children:
    """The reconciler and the workers on the listening socket `fd`, by slot, and those that leave."""

    def __init__(self, deployment: Deployment, fd: int) -> None:
        self.deployment, self._fd = deployment, fd
        self.leaving = Leaving(deployment.folder)
        self.by_slot: dict[str, Child] = {}

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Take over what runs of an earlier supervisor's; of a replacement under way, the replacement is given up."""
        found = {slot: running for slot, one in record.get("children", {}).items() if (running := running_of(one)).alive}
        for slot in [RECONCILER_SLOT, *worker_slots(self.deployment.options)]:
            self.by_slot[slot] = Child(slot, found.pop(slot, None), time.monotonic())
        metrics = self.deployment.folder / METRICS
        if all(child.running is None for child in self.by_slot.values()):
            shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(exist_ok=True)
        forget_ended(self.deployment.folder)
        left = [*found.values(), *(running_of(one) for one in record.get("leaving", ()))]
        for running in left:
            self.retire(running)
        taken = sum(child.running is not None for child in self.by_slot.values())
        if taken:
            self.tell("supervisor", f"The supervisor was started again and took over {taken} processes.")
        if record.get("applied") == self.deployment.updated:
            for child in self.by_slot.values():
                child.options = for_workers(self.deployment.options)

    def look(self) -> None:
        """Start again what has ended, where it is due."""
        for child in self.by_slot.values():
            if child.running is not None and not child.running.alive:
                self._note_end(child, child.running)
            if child.running is not None and time.monotonic() - child.since > _CALM_S:
                child.failures = 0
            if child.running is None and time.monotonic() >= child.due:
                child.running, child.since = self.start(child.slot), time.monotonic()
                child.options = for_workers(self.deployment.options)

    def start(self, slot: str) -> Running:
        return start_child(self.deployment, slot, self._fd)

    def _note_end(self, child: Child, ended: Running) -> None:
        """Start it again at once; later and later where it keeps ending."""
        forget_ended(self.deployment.folder)
        child.running = None
        child.failures, child.restarts = child.failures + 1, child.restarts + 1
        wait_s = 0.0 if child.failures == 1 else min(_MOST_S, 2.0 ** (child.failures - 2))
        child.due = time.monotonic() + wait_s
        child.said = process.last_words(log_of(self.deployment, child.slot))
        when = f"again in {wait_s:.0f} s" if wait_s else "again at once"
        self.tell(
            "restart", f"{child.slot} ended and starts {when}: {child.said}", process=child.slot, pid=ended.pid,
            failures=child.failures,
        )  # fmt: skip

    def resize(self, slots: Sequence[str]) -> None:
        """Have workers in these slots, and in no others."""
        for slot in [slot for slot in self.by_slot if slot not in (*slots, RECONCILER_SLOT)]:
            child = self.by_slot.pop(slot)
            self.retire(child.running)
        for slot in slots:
            self.by_slot.setdefault(slot, Child(slot))

    def retire(self, running: Running | None) -> None:
        """Let a process finish what it has under way, and end."""
        self.leaving.retire(running, self.deployment.options.request_timeout_s + END_S)

    def tell(self, event: str, text: str, **details: Any) -> None:
        add_event(self.deployment.folder, event, text=text, **details)
