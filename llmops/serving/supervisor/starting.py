"""How other processes start a deployment's supervisor, start it again with the socket they have, and end it."""

import os
import sys
from pathlib import Path
from subprocess import Popen

from llmops.serving import process, state
from llmops.serving.state import Deployment
from llmops.serving.supervisor.record import find_processes, find_supervisor
from llmops.tracking.copies import VARIABLE as COPIES_VARIABLE

SUPERVISOR = "llmops.serving.supervisor"
END_S = 15.0  # for ending, beyond the time that a request may take


def log_of(deployment: Deployment, slot: str) -> Path:
    return deployment.folder / "logs" / f"{slot}.log"


def command(name: str, foreground: bool = False) -> list[str]:
    return [sys.executable, "-m", SUPERVISOR, "--name", name, *(["--foreground"] if foreground else [])]


def environment_of(deployment: Deployment) -> dict[str, str]:
    """Ours without the run of this process, what the deployment knows of its store, and where copies of it are kept."""
    ours = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    return ours | dict(deployment.store) | {COPIES_VARIABLE: str(state.state_folder() / state.COPIES)}


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
    grace_s = deployment.options.request_timeout_s + 2 * END_S
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
