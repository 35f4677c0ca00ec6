"""The supervisor of a deployment: it owns the listening socket, and starts again whatever of it ends.

    python -m llmops.serving.supervisor --name handbook [--foreground]

SIGTERM lets what is under way end, then ends it all. When the options change, or on SIGHUP, workers are replaced one by one,
each by one that answers already. It is small, and imports neither torch nor MLflow.

If it is killed its workers go on: the first that sees it starts another and hands it the socket (`revive`), and that one
takes over the workers and the reconciler that it finds recorded.
"""

import argparse
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from llmops.errors import DeploymentError, LLMOpsError
from llmops.serving import process, state
from llmops.serving.options import Options
from llmops.serving.process import Running
from llmops.serving.rollout.events import add_event
from llmops.serving.state import Deployment

SUPERVISOR = "llmops.serving.supervisor"
WORKER = "llmops.serving.gateway.worker"
RECONCILER = "llmops.serving.rollout.reconciler"
METRICS, METRICS_VARIABLE = "metrics", "PROMETHEUS_MULTIPROC_DIR"
_LOOK_S = 0.1
_CALM_S = 60.0  # that a child must run for its failures to be forgotten
_MOST_S = 30.0  # between two starts of a child that keeps ending
_END_S = 15.0  # for ending, beyond the time that a request may take
_NOT_WORKERS = (
    "port", "host", "workers", "follow", "poll_s", "canary", "shadow", "allow_unattested", "base_change", "timeout_s"
)  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass
class Child:
    """A place for a process: who has it, and how it has gone so far. `due` is when the next one may start."""

    slot: str
    running: Running | None = None
    since: float = 0.0
    failures: int = 0
    restarts: int = 0
    due: float = 0.0
    said: str = ""
    options: Mapping[str, Any] | None = None  # those that it started with, for a worker


@dataclass
class Renewal:
    """Workers to be replaced, in order; `spare` is to take the place of the first of them."""

    slots: list[str] = field(default_factory=list)
    spare: Running | None = None
    deadline: float = 0.0


class Supervisor:
    """Looks after the processes of one deployment."""

    def __init__(self, deployment: Deployment, listener: socket.socket, foreground: bool = False) -> None:
        self._deployment, self._listener, self._is_foreground = deployment, listener, foreground
        self._applied, self._problem = "", ""
        self._children: dict[str, Child] = {}
        self._retiring: list[tuple[Running, float]] = []
        self._renewal = Renewal()
        self._is_ending, self._is_asked_to_read = False, False
        self._recorded: dict[str, Any] = {}
        self._seen: tuple[int, int] | None = None

    @property
    def _folder(self) -> Path:
        return self._deployment.folder

    def run(self) -> None:
        """Look after them until told to end."""
        self._adopt(read_record(self._deployment.name))
        while not self._is_ending and (stamp := self._stamp()):
            try:
                if self._is_asked_to_read or stamp != self._seen:
                    self._read_again(stamp)
                self._look()
            except (OSError, LLMOpsError) as error:  # a full disk, or a damaged file: what runs goes on
                _log.warning("not all could be looked after: %s", error)
            time.sleep(_LOOK_S)
        self._end()

    def ask_to_end(self, *_: Any) -> None:
        self._is_ending = True

    def ask_to_read(self, *_: Any) -> None:
        self._is_asked_to_read = True

    def _adopt(self, record: Mapping[str, Any]) -> None:
        """Take over what runs of an earlier supervisor's; of a replacement under way, the replacement is given up."""
        found = {slot: running for slot, one in record.get("children", {}).items() if (running := _running(one)).alive}
        for slot in [RECONCILER_SLOT, *_worker_slots(self._deployment.options)]:
            self._children[slot] = Child(slot, found.pop(slot, None), time.monotonic())
        if all(child.running is None for child in self._children.values()):
            shutil.rmtree(self._folder / METRICS, ignore_errors=True)
        (self._folder / METRICS).mkdir(exist_ok=True)
        left = [*found.values(), *(_running(one) for one in record.get("leaving", ()))]
        for running in left:
            self._retire(running)
        taken = sum(child.running is not None for child in self._children.values())
        if taken:
            self._tell("supervisor", f"The supervisor was started again and took over {taken} processes.")
        if record.get("applied") == self._deployment.updated:
            for child in self._children.values():
                child.options = _for_workers(self._deployment.options)
        self._plan_renewal()

    def _look(self) -> None:
        _reap()
        for child in self._children.values():
            if child.running is not None and not child.running.alive:
                self._note_end(child, child.running)
            if child.running is not None and time.monotonic() - child.since > _CALM_S:
                child.failures = 0
            if child.running is None and time.monotonic() >= child.due:
                child.running, child.since = self._start(child.slot), time.monotonic()
                child.options = _for_workers(self._deployment.options)
        self._kill_late()
        self._renew()
        self._record()

    def _start(self, slot: str) -> Running:
        deployment = self._deployment
        is_worker, fd = slot != RECONCILER_SLOT, self._listener.fileno()
        arguments = ["--name", deployment.name, *(["--fd", str(fd)] if is_worker else [])]
        environment = environment_of(deployment) | {METRICS_VARIABLE: str(self._folder / METRICS)}
        started = process.start(
            [sys.executable, "-m", WORKER if is_worker else RECONCILER, *arguments], log_of(deployment, slot), environment,
            [fd] if is_worker else [],
        )  # fmt: skip
        started.returncode = 0  # `_reap` waits for it
        return Running(started.pid, process.started(started.pid))

    def _note_end(self, child: Child, ended: Running) -> None:
        """Start it again at once; later and later where it keeps ending."""
        self._forget(ended)
        child.running = None
        child.failures, child.restarts = child.failures + 1, child.restarts + 1
        wait_s = 0.0 if child.failures == 1 else min(_MOST_S, 2.0 ** (child.failures - 2))
        child.due = time.monotonic() + wait_s
        child.said = process.last_words(log_of(self._deployment, child.slot))
        when = f"again in {wait_s:.0f} s" if wait_s else "again at once"
        self._tell(
            "restart", f"{child.slot} ended and starts {when}: {child.said}", process=child.slot, pid=ended.pid,
            failures=child.failures,
        )  # fmt: skip

    def _tell(self, event: str, text: str, **details: Any) -> None:
        add_event(self._folder, event, text=text, **details)

    def _forget(self, ended: Running) -> None:
        from llmops.serving.gateway.metrics import forget_worker

        os.environ[METRICS_VARIABLE] = str(self._folder / METRICS)
        with suppress(Exception):  # a disk that is full: the sums are off by one worker
            forget_worker(ended.pid)

    def _stamp(self) -> tuple[int, int] | None:
        """What tells one version of the deployment's file from the next; None once it is gone."""
        try:
            found = os.stat(self._folder / state.DEPLOYMENT)
        except FileNotFoundError:
            return None
        except OSError:  # a disk that fails for a while
            return self._seen
        return found.st_mtime_ns, found.st_ino

    def _read_again(self, stamp: tuple[int, int]) -> None:
        self._is_asked_to_read, self._seen = False, stamp
        found = state.read(self._deployment.name)
        if found is None:
            return
        self._deployment, self._problem = found, ""
        self._resize(_worker_slots(found.options))
        self._give_up_spare()
        self._plan_renewal()

    def _plan_renewal(self) -> None:
        """Replace workers that started with other options; the reconciler reads them again by itself."""
        wanted, workers = _for_workers(self._deployment.options), _worker_slots(self._deployment.options)
        old = [slot for slot in workers if self._children[slot].running and self._children[slot].options != wanted]
        self._renewal, self._applied = Renewal(old), "" if old else self._deployment.updated

    def _resize(self, slots: Sequence[str]) -> None:
        for slot in [slot for slot in self._children if slot not in (*slots, RECONCILER_SLOT)]:
            child = self._children.pop(slot)
            self._retire(child.running)
        for slot in slots:
            self._children.setdefault(slot, Child(slot))

    def _renew(self) -> None:
        """One step on the way to workers with other options."""
        renewal = self._renewal
        if not renewal.slots:
            return
        if (spare := renewal.spare) is None:
            renewal.spare = self._start(renewal.slots[0])
            renewal.deadline = time.monotonic() + self._deployment.options.timeout_s
        elif not spare.alive:
            said = process.last_words(log_of(self._deployment, renewal.slots[0]))
            self._stay(f"a worker with the new options ended while starting: {said}")
        elif _is_ready(self._folder, spare):
            child = self._children[renewal.slots.pop(0)]
            self._retire(child.running)
            child.running, child.since, child.failures, renewal.spare = spare, time.monotonic(), 0, None
            child.options = _for_workers(self._deployment.options)
            if not renewal.slots:
                self._applied = self._deployment.updated
        elif time.monotonic() > renewal.deadline:
            self._stay("a worker with the new options was not ready in time.")

    def _stay(self, problem: str) -> None:
        self._give_up_spare()
        self._renewal, self._problem = Renewal(), problem
        self._tell("options", f"Workers keep the options they had: {problem}")

    def _give_up_spare(self) -> None:
        if self._renewal.spare is not None:
            process.stop(self._renewal.spare.pid, self._renewal.spare.started, 1.0)
            self._renewal.spare = None

    def _retire(self, running: Running | None) -> None:
        """Let a process finish what it has under way, and end."""
        if running is not None:
            process.ask_to_end(running)
            self._retiring.append((running, time.monotonic() + self._grace_s))

    @property
    def _grace_s(self) -> float:
        return self._deployment.options.request_timeout_s + _END_S

    def _kill_late(self) -> None:
        for running, deadline in self._retiring:
            if time.monotonic() > deadline:
                process.ask_to_end(running, signal.SIGKILL)
        for running in [running for running, _ in self._retiring if not running.alive]:
            self._forget(running)
        self._retiring = [one for one in self._retiring if one[0].alive]

    def _record(self) -> None:
        leaving = [running for running, _ in self._retiring]
        if self._renewal.spare is not None:
            leaving.append(self._renewal.spare)
        record = {
            "boot": process.boot_id(), "supervisor": vars(process.ourselves()), "applied": self._applied,
            "problem": self._problem, "foreground": self._is_foreground, "leaving": [vars(one) for one in leaving],
            "children": {slot: _told(child) for slot, child in self._children.items() if child.running or child.said},
        }  # fmt: skip
        if record != self._recorded:
            try:
                state.write_json(self._folder / state.PROCESSES, record)
                self._recorded = record
            except OSError as error:  # a full disk, or the deployment is being deleted: what runs goes on
                _log.warning("the processes could not be recorded: %s", error)

    def _end(self) -> None:
        self._listener.close()
        self._give_up_spare()
        for child in self._children.values():
            self._retire(child.running)
        while self._retiring:
            _reap()
            self._kill_late()
            time.sleep(0.05)
        with suppress(OSError):
            state.write_json(self._folder / state.PROCESSES, {})


RECONCILER_SLOT = "reconciler"


def _worker_slots(options: Options) -> list[str]:
    return [f"worker-{number}" for number in range(1, options.workers + 1)]


def _for_workers(options: Options) -> dict[str, Any]:
    """The options that a worker reads when it starts."""
    return {name: value for name, value in options.to_dict().items() if name not in _NOT_WORKERS}


def _told(child: Child) -> dict[str, Any]:
    running = vars(child.running) if child.running else {"pid": 0, "started": 0.0}
    return {**running, "failures": child.failures, "restarts": child.restarts, "said": child.said}


def _is_ready(folder: Path, worker: Running) -> bool:
    """Whether a worker has loaded what it is to answer with, if that is known yet."""
    report = state.read_json(folder / f"worker-{worker.pid}.json")
    expected = state.read_json(folder / state.PLAN).get("current")
    return bool(report) and (not expected or bool(report.get("current")))


def _reap() -> None:
    """Take note of all processes that ended: in a container also of those that nobody else waits for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _running(found: Mapping[str, Any]) -> Running:
    return Running(int(found["pid"]), float(found["started"]))


def log_of(deployment: Deployment, slot: str) -> Path:
    return deployment.folder / "logs" / f"{slot}.log"


def read_record(name: str) -> dict[str, Any]:
    """Who runs, as the supervisor wrote it; nothing after the machine was started anew."""
    record = state.read_json(state.deployment_folder(name) / state.PROCESSES)
    return record if record.get("boot") == process.boot_id() else {}


def find_supervisor(name: str) -> Running | None:
    """The supervisor, if it runs."""
    found = read_record(name).get("supervisor")
    running = _running(found) if found else None
    return running if running and running.alive else None


def find_processes(name: str) -> dict[str, Running]:
    """All processes of a deployment that run, by what they are."""
    record = read_record(name)
    named = {**record.get("children", {}), **{f"leaving-{one['pid']}": one for one in record.get("leaving", ())}}
    if "supervisor" in record:
        named["supervisor"] = record["supervisor"]
    return {name: running for name, one in named.items() if (running := _running(one)).alive}


def command(name: str, foreground: bool = False) -> list[str]:
    return [sys.executable, "-m", SUPERVISOR, "--name", name, *(["--foreground"] if foreground else [])]


def environment_of(deployment: Deployment) -> dict[str, str]:
    """Ours without the run of this process, and what the deployment knows of its store."""
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"} | dict(deployment.store)


def start(deployment: Deployment, fd: int | None = None) -> Popen[bytes]:
    """Start a supervisor apart from this process; with `fd` it takes over a listening socket of ours."""
    taken_over = ["--fd", str(fd)] if fd is not None else []
    log, inherited = log_of(deployment, "supervisor"), [] if fd is None else [fd]
    return process.start([*command(deployment.name), *taken_over], log, environment_of(deployment), inherited)


def revive(name: str, fd: int | None = None) -> bool:
    """Start a supervisor if there is none; of several, one stays. To be called now and then by workers, which have the
    socket, and by others without it: those leave it to the workers as long as there are any. Return whether it did.
    """
    deployment = state.read(name)
    if deployment is None or find_supervisor(name) is not None:
        return False
    if fd is None and any(slot.startswith("worker") for slot in find_processes(name)):
        return False
    start(deployment, fd)
    return True


def stop(deployment: Deployment) -> None:
    """End all processes of a deployment, also those that its workers start meanwhile; requests under way are finished."""
    grace_s = deployment.options.request_timeout_s + 2 * _END_S
    while running := find_processes(deployment.name):
        first = running.pop("supervisor", None)
        if first is not None:
            process.stop(first.pid, first.started, grace_s)
            continue
        for one in running.values():
            process.ask_to_end(one)
        for one in running.values():
            process.stop(one.pid, one.started, grace_s)
    (deployment.folder / state.PROCESSES).unlink(missing_ok=True)


def main(name: str, fd: int | None = None, foreground: bool = False) -> None:
    """Supervise until told to end. In the foreground the deployment is forgotten then.

    Raises:
        DeploymentError: there is no such deployment, it has a supervisor, or its port is taken.
    """
    deployment = state.read(name)
    if deployment is None:
        raise DeploymentError(f"no deployment named {name!r}.")
    with _alone(deployment):
        listener = socket.socket(fileno=fd) if fd is not None else process.listen(deployment.options.host, deployment.port)
        supervisor = Supervisor(deployment, listener, foreground)
        _handle_signals(supervisor)
        supervisor.run()
        if foreground:
            _forget(name)


def _forget(name: str) -> None:
    from llmops.serving.deployments import forget

    forget(name)


class _Taken(DeploymentError):
    """Another supervisor looks after this deployment."""


class _alone:
    """Holds the supervisor's lock for as long as it lives; a kill lets go of it."""

    def __init__(self, deployment: Deployment) -> None:
        self._file = (deployment.folder / "supervisor.lock").open("w")
        self._name = deployment.name

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _Taken(f"{self._name!r} has a supervisor that runs. Nothing was started.") from None

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _handle_signals(supervisor: Supervisor) -> None:
    """A terminal that closes sends SIGHUP too: who was started in one ends with it."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, supervisor.ask_to_end)
    signal.signal(signal.SIGHUP, supervisor.ask_to_end if os.isatty(0) else supervisor.ask_to_read)


def run() -> None:
    """Be the supervisor that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--fd", type=int, help="a listening socket to take over")
    parser.add_argument("--foreground", action="store_true", help="forget the deployment at the end")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        main(given.name, given.fd, given.foreground)
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    run()
