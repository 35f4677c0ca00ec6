"""Memory and open files of processes over time, and whether they grow."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from scipy.stats import theilslopes

_WARM = 1 / 3  # share of the time, in which caches fill, that a slope leaves out
_FEWEST = 3  # samples for a slope


@dataclass
class Series:
    """What was seen at which second."""

    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, second: float, value: float) -> None:
        self.seconds.append(second)
        self.values.append(value)

    def told(self) -> dict[str, float | None]:
        """The slope an hour, the most, the first and the last."""
        first, last = self.values[0], self.values[-1]
        return {"per_hour": slope(self), "max": max(self.values), "first": first, "last": last}


def slope(series: Series) -> float | None:
    """Growth an hour once warm, by the median of slopes between pairs (Theil 1950, Sen 1968); None for too few samples."""
    if not series.seconds:
        return None
    start = series.seconds[0] + _WARM * (series.seconds[-1] - series.seconds[0])
    warm = [(at, value) for at, value in zip(series.seconds, series.values, strict=True) if at >= start]
    if len(warm) < _FEWEST:
        return None
    seconds, values = zip(*warm, strict=True)
    return float(theilslopes(values, seconds)[0]) * 3600


class Watch:
    """Samples processes by name; one that was replaced by another is a series of its own."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._series: dict[str, tuple[Series, Series]] = {}
        self.total = (Series(), Series())

    def look(self, processes: Mapping[str, psutil.Process]) -> None:
        """Note the memory of each that it shares with nobody (USS), its open file handles, and those of all together.

        What processes share would count for fewer of them when others end, and look like growth.
        """
        second, seen = time.monotonic() - self._start, []
        for name, process in processes.items():
            with suppress(psutil.Error, OSError):  # it has ended
                found = float(process.memory_full_info().uss) / 1e6, float(process.num_fds())
                seen.append(found)
                self._add(self._series.setdefault(f"{name} ({process.pid})", (Series(), Series())), second, found)
        if seen:
            self._add(self.total, second, (sum(one[0] for one in seen), sum(one[1] for one in seen)))

    def told(self) -> dict[str, dict[str, Any]]:
        """By process: `memory_mb` and `handles`."""
        return {
            name: {"memory_mb": memory.told(), "handles": handles.told()} for name, (memory, handles) in self._series.items()
        }

    @staticmethod
    def _add(pair: tuple[Series, Series], second: float, found: tuple[float, float]) -> None:
        for series, value in zip(pair, found, strict=True):
            series.add(second, value)


def pss_mb(process: psutil.Process) -> float:
    """Memory of a process, shared pages in proportion; 1 MB is 10^6 bytes."""
    return float(process.memory_full_info().pss) / 1e6


def total_mb(processes: Sequence[psutil.Process]) -> float:
    """That of several, those left out that have ended."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error, OSError):
            total += pss_mb(process)
    return total
