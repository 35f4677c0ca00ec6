"""Processes and ports: who runs, known by process id and beginning; ended by asking first. Imports nothing heavy."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmops.errors import DeploymentError

BACKLOG = 2048  # connections that wait until a worker takes them
_MOST_LOG = 10_000_000  # bytes, from which on a log is put aside when a process starts


@dataclass(frozen=True)
class Running:
    """A process: ids are given out again, so its beginning tells it from a later one."""

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        return is_running(self.pid, self.started)


def check_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        DeploymentError: another process listens there, or it is no port.
    """
    if not 0 <= port <= 65535:
        raise DeploymentError(f"port {port} is no port. Give one from 1 to 65535, or 0 for any free one.")
    with _bound(host, port) as probe:
        return int(probe.getsockname()[1])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that processes started with it can serve on.

    Raises:
        DeploymentError: another process listens there.
    """
    listener = _bound(host, port)
    listener.listen(BACKLOG)
    return listener


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise DeploymentError(f"port {port} is in use on {host} ({error.strerror}). Give another, or 0 for any.") from error
    return bound


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str], inherited: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that it outlives who starts it; its output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        if log.stat().st_size > _MOST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**environment, "PYTHONUNBUFFERED": "1"}, start_new_session=True, pass_fds=tuple(inherited),
        )  # fmt: skip


def last_words(log: Path) -> str:
    try:
        text = log.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return "it said nothing."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "it said nothing."


def boot_id() -> str:
    """What is another after each start of the machine; "" where that can't be known."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def started(pid: int) -> float:
    """When a process began, in seconds since the machine did (since 1970 where there is no /proc); 0.0 if there is none.

    That time doesn't change when the clock is set.
    """
    if not Path("/proc/self/stat").exists():
        return _started_by_clock(pid)
    try:
        return started_by_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return 0.0


def started_by_stat(stat: str) -> float:
    """As `started`, of what the system has in a process's `/proc/<pid>/stat`; 0.0 for one that has ended."""
    fields = stat.rpartition(")")[2].split()
    return 0.0 if fields[0] in "ZX" else max(0.01, int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _started_by_clock(pid: int) -> float:
    import psutil

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return 0.0


def ourselves() -> Running:
    return Running(os.getpid(), started(os.getpid()))


def is_running(pid: int, began: float) -> bool:
    """Whether the process that began then still runs."""
    return began > 0 and abs(started(pid) - began) < 0.005


def ask_to_end(running: Running, how: signal.Signals = signal.SIGTERM) -> None:
    with suppress(ProcessLookupError):
        if running.alive:
            os.kill(running.pid, how)


def stop(pid: int, began: float, grace_s: float = 10.0) -> None:
    """End a process: ask first, then force. Nothing happens if it has ended already."""
    running = Running(pid, began)
    ask_to_end(running)
    if not wait_until_gone(running, grace_s):
        ask_to_end(running, signal.SIGKILL)
        wait_until_gone(running, 10.0)


def wait_until_gone(running: Running, timeout_s: float) -> bool:
    """Whether it has ended within that time."""
    deadline = time.monotonic() + timeout_s
    while running.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
