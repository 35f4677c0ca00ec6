"""The gateway under uvicorn: on an address or an inherited socket, with TLS by files, and a graceful end."""

import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

_KEEP_ALIVE_S = 75  # longer than clients and load balancers (60 s) keep connections, or they ask on one that is being closed
SWITCH_S = 0.0005  # between threads: with Python's 5 ms one who answers waits for another that long


class Server(uvicorn.Server):
    """Asked to end, it first says that it isn't ready any more; requests under way have `grace_s` to end.

    Asked again, it ends at once.
    """

    def __init__(
        self, app: FastAPI, host: str = "127.0.0.1", port: int = 0, grace_s: float = 60.0, certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:  # fmt: skip
        self._gateway = app.state.gateway
        super().__init__(
            uvicorn.Config(
                app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
                timeout_graceful_shutdown=int(grace_s), timeout_keep_alive=_KEEP_ALIVE_S, ssl_certfile=certificate,
                ssl_keyfile=private_key,
            )
        )  # fmt: skip

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        sys.setswitchinterval(SWITCH_S)
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._gateway.drain()
        super().handle_exit(sig, frame)

    def serve_on(self, inherited: socket.socket) -> None:
        """Serve on a listening socket that others may serve on too, until told to end."""
        self.run(sockets=[inherited])
