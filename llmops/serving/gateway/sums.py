"""What all workers of a deployment have counted: a file a kind of each that runs, and one of all that ended.

The supervisor alone folds, in an order in which a kill at any point loses nothing and has nothing count twice:
`counter_ended-7.db`, written whole, stands for `counter_ended.db` and `counter_7.db` as long as it is there. Then
`counter_7.db` is removed, and the new file takes the name of the old one.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from llmops.serving import process

_ENDED, _ENTRY = "_ended", 28  # bytes of an entry beside its key, at most


class Sums:
    """The sums over the files of a folder, as Prometheus' registry collects them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Read all files; again where some were folded meanwhile."""
        while True:
            before = _stamps(self._folder)
            try:
                found: Iterable[Metric] = MultiProcessCollector.merge(_counting(self._folder))  # type: ignore[no-untyped-call]
            except FileNotFoundError:
                continue
            if _stamps(self._folder) == before:
                return found


def fold_ended(folder: Path) -> None:
    """Put what workers that ended have counted into one file a kind; what they had under way is forgotten."""
    _finish(folder)
    files = [file for file in folder.glob("*_*.db") if _has_ended(file)]
    for file in [one for one in files if one.name.startswith("gauge")]:
        file.unlink()
    for file in [one for one in files if not one.name.startswith("gauge")]:
        _fold(file)


def _has_ended(file: Path) -> bool:
    pid = file.stem.rpartition("_")[2]
    return pid.isdecimal() and not process.started(int(pid))


def _fold(file: Path) -> None:
    kind, _, pid = file.stem.partition("_")
    counted, part = Counter[str](dict(_values(file))), file.with_suffix(".part")
    if any(counted.values()):
        ended = file.with_name(f"{kind}{_ENDED}.db")
        counted.update(dict(_values(ended)) if ended.exists() else {})
        _write(part, counted)
        part.rename(file.with_name(f"{kind}{_ENDED}-{pid}.db"))
    file.unlink()
    _finish(file.parent)


def _finish(folder: Path) -> None:
    """Take up a fold where it was left."""
    for both in folder.glob(f"*{_ENDED}-*.db"):
        kind, _, pid = both.stem.partition(f"{_ENDED}-")
        both.with_name(f"{kind}_{pid}.db").unlink(missing_ok=True)
        both.rename(both.with_name(f"{kind}{_ENDED}.db"))


def _values(file: Path) -> Iterator[tuple[str, float]]:
    if not file.stat().st_size:  # its worker was killed before it had room
        return
    for key, value, *_ in MmapedDict.read_all_values_from_file(file):  # type: ignore[no-untyped-call]
        yield key, value


def _write(file: Path, counted: Counter[str]) -> None:
    """Write sums as a worker writes its own."""
    file.unlink(missing_ok=True)
    reserve(file, 8 + sum(len(key.encode()) + _ENTRY for key in counted))
    written: Any = MmapedDict(file)  # type: ignore[no-untyped-call]
    for key, value in counted.items():
        written.write_value(key, value, 0.0)
    written.close()


def reserve(file: Path, room: int) -> None:
    """Take the room of a file, in bytes, now: it is written as memory, and a disk that is full then is a SIGBUS."""
    if sys.platform == "darwin":  # which has no such call
        return
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(handle, 0, room)
    finally:
        os.close(handle)


def _counting(folder: Path) -> list[str]:
    """The files that count now, without those that have no room yet."""
    names = {file.name for file in folder.glob("*.db") if file.stat().st_size}
    for both in [name for name in names if f"{_ENDED}-" in name]:
        kind, _, rest = both.partition(f"{_ENDED}-")
        names -= {f"{kind}_{rest}", f"{kind}{_ENDED}.db"}
    return [str(folder / name) for name in names]


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """What is another after each step of a fold."""
    files = sorted(folder.glob(f"*{_ENDED}*.db"))
    try:
        return [(file.name, (found := file.stat()).st_ino, found.st_mtime_ns) for file in files]
    except FileNotFoundError:  # in the middle of one
        return _stamps(folder)
