"""What this machine remembers of work done: answers, judgements, and workplaces of indexing, training and questions.

A cache says nothing of whose it is, only when it was used. Without it the work is done again, with the same result.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS, FILES = ("answers", "indexing", "training", "questions"), ("judgements.jsonl",)
DAY_S = 86400


@dataclass(frozen=True)
class Cache:
    """A file or folder, its size in bytes, and for how many days nobody has used it."""

    path: Path
    size: int
    unused_days: float


def find_unused(root: Path, days: float) -> list[Cache]:
    """What below `root` was neither written nor, as far as the file system keeps that, read for so many days."""
    found = [_measure(path) for path in _entries(root)]
    return [cache for cache in found if cache.unused_days >= days]


def _entries(root: Path) -> Iterator[Path]:
    yield from (path for name in FOLDERS if (root / name).is_dir() for path in sorted((root / name).iterdir()))
    yield from (root / name for name in FILES if (root / name).is_file())


def _measure(path: Path) -> Cache:
    stats = [file.lstat() for file in (path, *path.rglob("*"))]
    used = max(stat.st_mtime for stat in stats) if path.is_dir() else max(stats[0].st_mtime, stats[0].st_atime)
    return Cache(path, sum(stat.st_size for stat in stats), (time.time() - used) / DAY_S)


def remove_cache(cache: Cache) -> None:
    """Delete it, unless somebody works there now."""
    if not cache.path.is_dir():
        cache.path.unlink(missing_ok=True)
        return
    place = os.open(cache.path, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as whoever works there does
        shutil.rmtree(cache.path)
    except BlockingIOError:
        pass
    finally:
        os.close(place)
