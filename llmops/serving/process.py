"""Gateway processes: started apart from the shell, waited for, ended by process id."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from llmops.errors import DeploymentError
from llmops.tracking.environment import store_environment


def check_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        DeploymentError: another process listens there, or it is no port.
    """
    if not 0 <= port <= 65535:
        raise DeploymentError(f"port {port} is no port. Give one from 1 to 65535, or 0 for any free one.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DeploymentError(
                f"port {port} is in use on {host} ({error.strerror}). Give another, or 0 for any."
            ) from error
        return int(probe.getsockname()[1])


def start_gateway(name: str, release_uri: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a gateway in its own session, so that it outlives the shell; its output goes to `log`."""
    environment = store_environment() | {"PYTHONUNBUFFERED": "1"}
    module = [sys.executable, "-m", "llmops.serving.gateway"]
    command = [*module, "--name", name, "--uri", release_uri, "--port", str(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True,
        )  # fmt: skip


def wait_until_ready(process: subprocess.Popen[bytes], url: str, name: str, log: Path, timeout_s: float) -> None:
    """Wait for the gateway to say that it is healthy.

    Raises:
        DeploymentError: it ended, or `timeout_s` passed. The process is ended then.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DeploymentError(f"the gateway ended while starting: {last_words(log)} Its log: {log}")
        if health(url) == name:
            return
        time.sleep(0.2)
    stop(process.pid, started(process.pid))
    raise DeploymentError(f"the gateway was not ready after {timeout_s:.0f} s and was stopped. Its log: {log}")


def health(url: str) -> str | None:
    """The name of the deployment that answers at `url`, if one does."""
    try:
        return str(httpx.get(f"{url}/health", timeout=5).json()["name"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:400] if lines else "it said nothing."


def started(pid: int) -> float:
    """When a process began, in seconds since the epoch; 0.0 if there is none."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return 0.0


def is_running(pid: int, began: float) -> bool:
    """Whether the process that began then still runs: ids are given out again."""
    return began > 0 and abs(started(pid) - began) < 2.0


def stop(pid: int, began: float, grace_s: float = 10.0) -> None:
    """End a process: ask first, then force. Nothing happens if it has ended already."""
    if not is_running(pid, began):
        return
    process = psutil.Process(pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(grace_s)
