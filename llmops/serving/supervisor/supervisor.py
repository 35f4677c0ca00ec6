"""The loop of a supervisor: it looks after the processes of one deployment, and writes down who runs."""

import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmops.errors import LLMOpsError
from llmops.serving import process, state
from llmops.serving.state import Deployment
from llmops.serving.supervisor.child import worker_slots
from llmops.serving.supervisor.children import Children
from llmops.serving.supervisor.record import read_record
from llmops.serving.supervisor.renewal import Renewal

_LOOK_S = 0.1
_log = logging.getLogger(__name__)


class Supervisor:
    """Looks after the processes of one deployment."""

    def __init__(self, deployment: Deployment, listener: socket.socket, foreground: bool = False) -> None:
        self._name, self._folder = deployment.name, deployment.folder
        self._listener, self._is_foreground = listener, foreground
        self._children = Children(deployment, listener.fileno())
        self._renewal = Renewal(self._children)
        self._is_ending, self._is_asked_to_read = False, False
        self._recorded: dict[str, Any] = {}
        self._seen: tuple[int, int] | None = None
        self._certificate = self._certificate_stamps()

    def run(self) -> None:
        """Look after them until told to end."""
        self._children.adopt(read_record(self._name))
        self._renewal.plan()
        while not self._is_ending and (stamp := self._stamp()):
            try:
                anew = self._is_asked_to_read or self._certificate != self._certificate_stamps()
                if anew or stamp != self._seen:
                    self._read_again(stamp, anew)
                self._look()
            except (OSError, LLMOpsError) as error:  # a full disk, or a damaged file: what runs goes on
                _log.warning("not all could be looked after: %s", error)
            time.sleep(_LOOK_S)
        self._end()

    def ask_to_end(self, *_: Any) -> None:
        self._is_ending = True

    def ask_to_read(self, *_: Any) -> None:
        self._is_asked_to_read = True

    def _look(self) -> None:
        _reap()
        self._children.look()
        self._children.leaving.kill_late()
        self._renewal.step()
        self._record()

    def _stamp(self) -> tuple[int, int] | None:
        """What tells one version of the deployment's file from the next; None once it is gone."""
        try:
            return _stamp(self._folder / state.DEPLOYMENT)
        except OSError:  # a disk that fails for a while
            return self._seen

    def _certificate_stamps(self) -> list[tuple[int, int] | None]:
        options = self._children.deployment.options
        return [_stamp(Path(file)) for file in (options.certificate, options.private_key) if file]

    def _read_again(self, stamp: tuple[int, int], anew: bool) -> None:
        self._is_asked_to_read, self._seen = False, stamp
        found = state.read(self._name)
        if found is None:
            return
        self._children.deployment, self._renewal.problem = found, ""
        self._certificate = self._certificate_stamps()
        self._children.resize(worker_slots(found.options))
        self._renewal.give_up_spare()
        self._renewal.plan(anew)

    def _record(self) -> None:
        children, leaving = self._children.by_slot, self._children.leaving.running
        if self._renewal.spare is not None:
            leaving.append(self._renewal.spare)
        record = {
            "boot": process.boot_id(), "supervisor": vars(process.ourselves()), "applied": self._renewal.applied,
            "problem": self._renewal.problem, "foreground": self._is_foreground, "leaving": [vars(one) for one in leaving],
            "children": {slot: child.told() for slot, child in children.items() if child.running or child.said},
        }  # fmt: skip
        if record != self._recorded:
            try:
                state.write_json(self._folder / state.PROCESSES, record)
                self._recorded = record
            except OSError as error:  # a full disk, or the deployment is being deleted: what runs goes on
                _log.warning("the processes could not be recorded: %s", error)

    def _end(self) -> None:
        self._listener.close()
        self._renewal.give_up_spare()
        for child in self._children.by_slot.values():
            self._children.retire(child.running)
        while self._children.leaving.running:
            _reap()
            self._children.leaving.kill_late()
            time.sleep(0.05)
        with suppress(OSError):
            state.write_json(self._folder / state.PROCESSES, {})


def _stamp(file: Path) -> tuple[int, int] | None:
    """What tells one version of a file from the next; None where there is none."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


def _reap() -> None:
    """Take note of all processes that ended: in a container also of those that nobody else waits for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
