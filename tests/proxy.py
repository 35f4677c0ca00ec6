"""A proxy that stands in front of a real server and lets a chosen writing request go wrong."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import httpx

READS = ("/search", "/get", "-search", "-get")  # of the paths that are posted to and write nothing
ERROR = b'{"error_code": "INTERNAL_ERROR", "message": "the store is out of order"}'


class Proxy:
    """Forwards to `target`; `fail` tells what becomes of a writing request by its number, from 1.

    refuse: answers 500, the server hears nothing. lose: the server does it, the answer is 500. cut: the connection is closed
    before the server hears. forget: it is closed after the server did it. delay: the server hears `delay_s` later.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.client = httpx.Client(timeout=60, trust_env=False)
        self.lock, self.busy = Lock(), 0
        self.fail()

    def fail(
        self, how: str = "", at: int = 0, times: int = 1, delay_s: float = 0.0, then: Callable[[], None] | None = None,
        only: str = "",
    ) -> None:  # fmt: skip
        """From the writing request number `at`, counted from now, let `times` go wrong; before the first call `then`.

        `only` counts requests with this in their path.
        """
        with self.lock:
            self.how, self.failing, self.delay_s, self.then, self.only = how, range(at, at + times), delay_s, then, only
            self.writes: list[str] = []

    def wait(self) -> None:
        """Wait until every request that came was answered, or given up."""
        while self.busy:
            time.sleep(0.01)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with self.lock:
            self.busy += 1
        try:
            yield
        finally:
            with self.lock:
                self.busy -= 1

    def note(self, method: str, path: str) -> str:
        """Count a request, and say what becomes of it."""
        path = path.partition("?")[0].rpartition("mlflow/")[2]
        if method == "GET" or path.endswith(READS) or self.only not in path:
            return ""
        with self.lock:
            self.writes.append(f"{method} {path}")
            number = len(self.writes)
            if self.then and number == self.failing.start:
                self.then()
            return self.how if number in self.failing else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _forward(self) -> None:
        with self.proxy.at_work():
            self._deal()

    def _deal(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        how = self.proxy.note(self.command, self.path)
        if how == "cut":
            self.close_connection = True
            return
        if how == "delay":
            time.sleep(self.proxy.delay_s)
        status, headers, content = (500, {}, ERROR) if how == "refuse" else self._ask(body)
        if how == "forget":
            self.close_connection = True
            return
        self._answer(*(500, {}, ERROR) if how == "lose" else (status, headers, content))

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")}
        try:
            found = self.proxy.client.request(self.command, self.proxy.target + self.path, headers=headers, content=body)
        except httpx.HTTPError:
            return 502, {}, b"the server is not there"
        return found.status_code, {"Content-Type": found.headers.get("Content-Type", "text/plain")}, found.content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the caller has given up
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def proxy(target: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of the server at `target`, and its own URL."""
    made = Proxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": made}))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        made.client.close()
