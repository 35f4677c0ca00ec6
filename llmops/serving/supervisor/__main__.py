"""The supervisor of a deployment: it owns the listening socket, and starts again whatever of it ends.

    python -m llmops.serving.supervisor --name handbook [--foreground]

SIGTERM lets what is under way end, then ends it all. When the options change, or the files of the certificate, or on SIGHUP,
workers are replaced one by one, each by one that answers already. It is small, and imports neither torch nor MLflow.

If it is killed its workers go on: the first that sees it starts another and hands it the socket (`revive`), and that one
takes over the workers and the reconciler that it finds recorded.
"""

import argparse
import fcntl
import logging
import os
import signal
import socket
import sys

from llmops.errors import DeploymentError, LLMOpsError
from llmops.serving import process, state
from llmops.serving.state import Deployment
from llmops.serving.supervisor.supervisor import Supervisor


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
    parser = argparse.ArgumentParser(
        "python -m llmops.serving.supervisor", description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
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
