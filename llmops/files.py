"""Folders that are written whole or not at all, folders to work in, and disks that are full."""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmops.errors import LLMOpsError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a scratch folder that becomes `target` only when the block ends without an error.

    Whoever is second to the same target finds it there and throws the own copy away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    scratch.chmod(0o755)
    try:
        yield scratch
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def make_private(folder: Path) -> None:
    """Make a folder that its owner alone can look into; one that is there becomes so."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a kill leaves the old one or the new one."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.rename(file)


@contextmanager
def open_workplace(folder: Path, alone: bool = False) -> Iterator[Path]:
    """Lend the folder in which something is made; what a kill left in `scratch` is cleared, the rest is kept.

    While another process works there, the next one gets the folder beside it.

    Raises:
        LLMOpsError: it is to be `alone` there, and another process works in the folder.
    """
    number = 0
    while True:
        place = folder if number == 0 else folder.with_name(f"{folder.name}-{number}")
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            os.close(lock)
            if alone:
                raise LLMOpsError(f"another process is at the same work (in {folder}). Wait for it, or end it.") from None
            number += 1
    try:
        shutil.rmtree(place / "scratch", ignore_errors=True)
        (place / "scratch").mkdir()
        for part in place.glob("*.part"):
            part.unlink()
        yield place
    finally:
        shutil.rmtree(place / "scratch", ignore_errors=True)
        os.close(lock)


@contextmanager
def told_when_full(folder: Path, kept: str) -> Iterator[None]:
    """Turn whatever a library raises on a full disk into one line that says what is kept.

    Raises:
        LLMOpsError: there is no space left.
    """
    try:
        yield
    except LLMOpsError:
        raise
    except Exception as error:
        if not any(map(_says_full, _with_causes(error))):
            raise
        raise LLMOpsError(f"no space left on a disk ({folder}, or the store's). Free some and run again: {kept}.") from error


# faiss and pyarrow; numpy's tofile; SQLite; torch, twice
_FULL = re.compile(
    "No space left|Disk quota exceeded|requested and [0-9]+ written|disk is full|failed writing file|iostream error"
)


def _says_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or bool(_FULL.search(str(error)))


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those in whose handling it was raised: torch closes a file it couldn't write and fails again."""
    while error is not None:
        yield error
        error = error.__context__
