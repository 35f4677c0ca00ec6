"""vLLM's processes: started apart from whoever starts them, watched, ended with all their children."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from llmops.errors import EngineError
from llmops.serving.engine.api import EngineApi

_CLOSE_S = 10.0  # how near the beginning of a process and the writing of its id are to each other, to be the same one's
_TELLING = ("Error", "error", "Exception", "not ")
_NOISE = (" File ", "Traceback", "^^^", "WARNING", "INFO", "See root cause", "stack trace")


def start(command: Sequence[str], environment: Mapping[str, str], log: Path, pid_file: Path) -> None:
    """Start an engine in a session of its own; it writes its id down itself, so that a kill of ours loses none."""
    writer = 'echo $$ > "$0.part" && mv "$0.part" "$0" && exec "$@"'
    pid_file.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", writer, str(pid_file), *command], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, env=dict(environment), cwd=pid_file.parent, start_new_session=True,
        )  # fmt: skip
    while not pid_file.exists() and process.poll() is None:
        time.sleep(0.01)


def leader(pid_file: Path) -> psutil.Process | None:
    """The process that wrote the file, if it runs still: ids are given out again."""
    try:
        pid, written = int(pid_file.read_text()), pid_file.stat().st_mtime
        process = psutil.Process(pid)
        if abs(process.create_time() - written) < _CLOSE_S and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (OSError, ValueError, psutil.NoSuchProcess):
        pass
    return None


def wait_until_up(api: EngineApi, pid_file: Path, log: Path, timeout_s: float) -> None:
    """Wait until the engine says that it is well.

    Raises:
        EngineError: it ended, or `timeout_s` passed; it says why, as its log does.
    """
    deadline = time.monotonic() + timeout_s
    while not api.is_up():
        if leader(pid_file) is None:
            raise EngineError(f"vLLM ended while starting: {last_words(log)} Its log: {log}")
        if time.monotonic() > deadline:
            raise EngineError(f"vLLM was not up after {timeout_s:.0f} s: {last_words(log)} Its log: {log}")
        time.sleep(0.2)


def stop(pid_file: Path, drain_s: float, spare_s: float = 15.0) -> None:
    """End an engine: it finishes what it is at within `drain_s` seconds; whatever is left of its session is killed."""
    if (process := leader(pid_file)) is not None and drain_s > 0:
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.send_signal(signal.SIGTERM)
            process.wait(drain_s + spare_s)
    kill(pid_file)


def kill(pid_file: Path) -> None:
    """Kill all processes of an engine's session, those that outlived the first one included."""
    left = members(pid_file)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=20)
    pid_file.unlink(missing_ok=True)


def members(pid_file: Path) -> list[psutil.Process]:
    """The processes of an engine's session. While one of them lives, no other process gets the session's id."""
    try:
        session, written = int(pid_file.read_text()), pid_file.stat().st_mtime
    except (OSError, ValueError):
        return []
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session and process.create_time() > written - _CLOSE_S:
                found.append(process)
    first = next((process for process in found if process.pid == session), None)
    return [] if first is not None and leader(pid_file) is None and first.status() != psutil.STATUS_ZOMBIE else found


def last_words(log: Path) -> str:
    """The line of the log that tells most about why it ended."""
    with suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 100_000))
            lines = file.read().decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        telling = [line for line in said if any(w in line for w in _TELLING) and not any(w in line for w in _NOISE)]
        words = next((line for line in telling if "Error:" in line), (telling or said or [""])[-1])
        return words.rpartition("] ")[2][:400] or "it said nothing."
    return "it said nothing."
