"""What a deployment's verbs do to its processes: start, move, change, put back, end."""

from llmops.errors import DeploymentError
from llmops.serving import process, state
from llmops.serving.keys.file import FILE as KEYS
from llmops.serving.options import Options
from llmops.serving.readiness import wait_until_served
from llmops.serving.rollout.events import FILE as EVENTS
from llmops.serving.state import Deployment
from llmops.serving.status import runs_old
from llmops.serving.supervisor import starting
from llmops.serving.supervisor.record import find_processes, find_supervisor
from llmops.serving.wanted import place, stores
from llmops.tracking.versions import Registered


def write(wanted: Deployment, before: Deployment | None) -> None:
    """Write down what is asked for; a plan about another store's releases is none for this one's."""
    if before is not None and stores(before) != stores(wanted):
        (wanted.folder / state.PLAN).unlink(missing_ok=True)
    state.write(wanted)


def restore(name: str, existing: Deployment | None) -> None:
    if existing is None or existing.old is not None:
        state.remove(name, keep=(KEYS, EVENTS, "logs"))
    else:
        state.write(existing)


def bring_up(wanted: Deployment, target: Registered) -> None:
    started, since = starting.start(wanted), state.now()

    def check() -> None:
        if started.poll() is not None and find_supervisor(wanted.name) is None:
            log = starting.log_of(wanted, "supervisor")
            raise DeploymentError(f"the supervisor ended while starting: {process.last_words(log)} Its log: {log}")

    wait_until_served(wanted, target, since, check)


def move(existing: Deployment, wanted: Deployment, target: Registered) -> None:
    """To another address or store: end it there, and start it here."""
    starting.stop(existing)
    write(wanted, existing)
    bring_up(wanted, target)


def change(wanted: Deployment, target: Registered) -> None:
    """Let those that run take the new options."""
    since = state.now()
    state.write(wanted)
    wait_until_served(wanted, target, since, lambda: None)


def back(existing: Deployment, wanted: Deployment) -> None:
    """As it was before an update."""
    if place(existing) != place(wanted):
        starting.stop(wanted)
    write(existing, wanted)
    if find_supervisor(existing.name) is None:
        starting.start(existing)


def end(name: str, existing: Deployment | None, keep_engine: bool = False) -> None:
    """End all processes. The record of what was asked for is gone then, so that none of them starts another."""
    state.forget(name)
    if existing is not None and existing.old is not None:
        _end_old(*existing.old)
    elif existing is not None or find_processes(name):
        starting.stop(existing or Deployment(name, "", Options(), 0))
    if not keep_engine:
        release_engine(name)


def _end_old(pid: int, started: float) -> None:
    """The gateway process of version 0.1.0, which knew processes by the clock."""
    if runs_old(pid, started):
        process.stop(pid, process.started(pid))


def release_engine(name: str) -> None:
    from llmops.serving.engine import engines

    engines.release(name)
