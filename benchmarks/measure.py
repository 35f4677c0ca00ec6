"""CPU seconds, memory, and processes in which they are measured without traces of what ran before."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Timing:
    """How long a block took; 0 until it has ended."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def timed() -> Iterator[Timing]:
    """Time a block: CPU seconds of this process, its threads and the children that ended in it, and wall seconds."""
    timing = Timing()
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield timing
    timing.cpu_s, timing.wall_s = cpu_seconds() - cpu, time.perf_counter() - wall


def cpu_seconds() -> float:
    """User and system time of this process so far, and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def resident_mb() -> float:
    """Memory of this process that is in RAM now, mapped files included; 1 MB is 10^6 bytes."""
    return _status_mb("VmRSS")


def anonymous_mb() -> float:
    """The part of `resident_mb` that no file is behind: what the system can't drop when memory is short."""
    return _status_mb("RssAnon")


def peak_mb() -> float:
    """The most that was in RAM since `reset_peak`, or since the process began."""
    return _status_mb("VmHWM")


def reset_peak() -> None:
    """Let `peak_mb` forget what was before; see proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:"))


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a module's function in a fresh process and return what it returns."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def on_one_core(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a module's function in a fresh process on one core.

    Every library then works with one thread, and no CPU time is spent on threads that wait for each other. The process
    is born there: libraries count the cores when they are imported.
    """
    cores, threads = os.sched_getaffinity(0), os.environ.get("OMP_NUM_THREADS")
    os.sched_setaffinity(0, {max(cores)})
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        return apart(function, *args, **kwargs)
    finally:
        os.sched_setaffinity(0, cores)
        os.environ.pop("OMP_NUM_THREADS")
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
