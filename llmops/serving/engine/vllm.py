"""vLLM's processes: started apart from whoever starts them, watched, ended with all their children. They need /proc."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from llmops.errors import EngineError
from llmops.serving import process
from llmops.serving.engine.api import EngineApi
from llmops.serving.process import Running

_TELLING = ("Error", "error", "Exception", "not ")
_NOISE = (" File ", "Traceback", "^^^", "WARNING", "INFO", "See root cause", "stack trace")


def start(command: Sequence[str], environment: Mapping[str, str], log: Path, pid_file: Path) -> None:
    """Start an engine in a session of its own; it writes its id down itself, so that a kill of ours loses none."""
    noted = "{ echo $$; cat /proc/$$/stat /proc/sys/kernel/random/boot_id 2>/dev/null; }"
    writer = f'{noted} > "$0.part"; mv "$0.part" "$0" && exec "$@"'
    pid_file.unlink(missing_ok=True)
    with log.open("ab") as output:
        started = subprocess.Popen(
            ["/bin/sh", "-c", writer, str(pid_file), *command], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, env=dict(environment), cwd=pid_file.parent, start_new_session=True,
        )  # fmt: skip
    while not pid_file.exists() and started.poll() is None:
        time.sleep(0.01)


def leader(pid_file: Path) -> psutil.Process | None:
    """The process that wrote the file, if it runs still: ids are given out again."""
    noted = _noted(pid_file)
    if noted is None or not noted.alive:
        return None
    try:
        return psutil.Process(noted.pid)
    except psutil.NoSuchProcess:
        return None


def _noted(pid_file: Path) -> Running | None:
    """Who wrote the file, running or not, whatever the clock says; None for nobody since the machine was started."""
    try:
        number, stat, *boot = pid_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return Running(int(number), process.started_by_stat(stat)) if "".join(boot) == process.boot_id() else None
    except (OSError, ValueError, IndexError):
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
    if (first := leader(pid_file)) is not None and drain_s > 0:
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            first.send_signal(signal.SIGTERM)
            first.wait(drain_s + spare_s)
    kill(pid_file)


def kill(pid_file: Path) -> None:
    """Kill all processes of an engine's session, those that outlived the first one included."""
    left = members(pid_file)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=20)
    pid_file.unlink(missing_ok=True)


def members(pid_file: Path) -> list[psutil.Process]:
    """The processes of an engine's session. While one of them lives, no other process gets the session's id."""
    if (noted := _noted(pid_file)) is None or process.started(noted.pid) not in (0.0, noted.started):
        return []
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(one.pid) == noted.pid and (one.pid == noted.pid or process.started(one.pid) >= noted.started):
                found.append(one)
    return found


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
