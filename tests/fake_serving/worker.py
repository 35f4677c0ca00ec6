"""Answers with its process id and the trace rate it was started with; /slow takes a while."""

import argparse
import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fake_serving.supervisor  # noqa: F401  # so that it starts the fake one
from llmops.serving import state
from llmops.serving.watch import watch


def main(name: str, fd: int) -> None:
    deployment = state.read(name)
    assert deployment is not None
    if (deployment.folder / "broken").exists() or deployment.options.trace_rate == 0.5:
        raise SystemExit("error: the weights are gone")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(1.0 if self.path == "/slow" else 0.0)
            body = json.dumps({"pid": os.getpid(), "rate": deployment.options.trace_rate}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.daemon_threads = False
    server.socket.close()
    server.socket = socket.socket(fileno=fd)
    server.socket.setblocking(False)  # another worker may take the caller that was seen
    is_leaving = threading.Event()
    threading.Thread(target=watch, args=(name, os.dup(fd), is_leaving), daemon=True).start()

    def end(*_: Any) -> None:
        is_leaving.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    report = deployment.folder / f"worker-{os.getpid()}.json"
    state.write_json(report, {"current": "models:/handbook/1"})
    server.serve_forever(0.02)
    server.server_close()  # waits for the answers under way
    report.unlink(missing_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    parser.add_argument("--fd", type=int)
    given = parser.parse_args()
    main(given.name, given.fd)
