"""One worker of a deployment: the gateway on the socket that its supervisor gave it.

    python -m llmops.serving.gateway.worker --name handbook --fd 3

It begins to take requests once it has loaded what answers them, so that one that was started again loses none. If its
supervisor has ended it starts another, and hands it the socket.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from fastapi import FastAPI

from llmops.errors import DeploymentError, LLMOpsError
from llmops.registry.webhook import read_secret
from llmops.serving import state
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.server import Server
from llmops.serving.gateway.settings import Settings
from llmops.serving.keys.check import check_bind
from llmops.serving.options import Options
from llmops.serving.rollout.plan import read_plan
from llmops.serving.rollout.planned import PlannedRoster
from llmops.serving.watch import watch

_LAST_S = 0.5  # for the requests of callers who were let in just before the end
_MOVE_S = 2.0  # that callers on open connections have for a next answer, which closes theirs
_LOOK_S = 0.05
_log = logging.getLogger(__name__)


class Worker(Server):
    """Asked to end, it first leaves new callers to the other workers; those whom it let in are answered.

    Their next answer closes their connection. Those that are left are closed after a while.
    Asked again, as by systemd beside the supervisor, it does the same.
    """

    def __init__(self, app: FastAPI, options: Options, is_leaving: threading.Event) -> None:
        files = [Path(file) if file else None for file in (options.certificate, options.private_key)]
        super().__init__(app, options.host, options.port, options.request_timeout_s, *files)
        self._is_leaving = is_leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._is_leaving.is_set():
            return
        if not self.started:
            super().handle_exit(sig, frame)
            return
        self._is_leaving.set()
        self._gateway.part()
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(self._close_door)
        loop.call_soon_threadsafe(loop.call_later, _LAST_S, self._leave, loop.time() + _MOVE_S)

    def _close_door(self) -> None:
        for server in self.servers:
            server.close()

    def _leave(self, latest: float) -> None:
        """End once no connection is left, and at the `latest` then."""
        loop = asyncio.get_running_loop()
        if self.server_state.connections and loop.time() < latest:
            loop.call_later(_LOOK_S, self._leave, latest)
        else:
            self.should_exit = True


def main(name: str, fd: int) -> None:
    """Serve until told to end.

    Raises:
        DeploymentError: there is no such deployment.
        ConfigError: its options can't be carried out here.
    """
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises the signal once more when it has ended
    deployment = state.read(name)
    if deployment is None:
        raise DeploymentError(f"no deployment named {name!r}.")
    options, listener = deployment.options, socket.socket(fileno=fd)
    roster = PlannedRoster(deployment.folder, name)
    try:
        app = create_app(roster, deployment.folder, settings_of(options), roster.wake, roster.heard)
        check_bind(options.host, app.state.gateway.keys.required)
        is_leaving = threading.Event()
        threading.Thread(target=watch, args=(name, os.dup(fd), is_leaving), name="watch", daemon=True).start()
        if read_plan(deployment.folder).current:
            _wait(roster, options.timeout_s)
        Worker(app, options, is_leaving).serve_on(listener)
    finally:
        roster.close()


def settings_of(options: Options) -> Settings:
    """The gateway's bounds.

    Raises:
        ConfigError: the webhook's secret isn't in the environment.
    """
    secret = read_secret(options.webhook_secret_env) if options.webhook_secret_env else ""
    return Settings(
        max_in_flight=options.max_in_flight, max_waiting=options.max_waiting, timeout_s=options.request_timeout_s,
        trace_rate=options.trace_rate, webhook_secret=secret,
    )  # fmt: skip


def _wait(roster: PlannedRoster, timeout_s: float) -> None:
    """Let callers wait in the socket's queue while the release is loaded; where that takes too long they hear so."""
    try:
        roster.wait_until_ready(timeout_s)
    except DeploymentError as error:
        _log.warning("%s", error)


def _end(*_: Any) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        main(given.name, given.fd)
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
