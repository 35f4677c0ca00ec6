"""Local copies of registered versions, by which a deployment starts again while the store is away.

Only processes with LLMOPS_COPIES in their environment keep any, and only of what a store elsewhere holds. A version's number
means the same files for ever; whoever loads a part compares it with the digest that its release pins.

    <store>/handbook/5/        the files
    <store>/handbook/5.json    the version as the registry knew it
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from llmops import digests, files

VARIABLE = "LLMOPS_COPIES"
_LOCAL = ("", "file", "sqlite")  # stores on this machine, which need no copies
_PINNED = re.compile(r"models:/([^/@\"]+)/([0-9]+)")


def place_of(uri: str) -> Path | None:
    """Where the copy of a version is, or would be; None where none are kept, or of what may mean another version later."""
    folder, pinned = _folder(), _PINNED.fullmatch(uri)
    return folder / quote(pinned[1], safe="") / pinned[2] if folder and pinned else None


def fetch(uri: str, download: Callable[[str | None], str]) -> Path:
    """The files of a model: a copy where one is kept, else what `download` gives, told a folder to fill or None."""
    place = place_of(uri)
    if place is None:
        return Path(download(None))
    if not place.is_dir():
        with files.new_folder(place) as scratch:
            download(str(scratch))
    return place


def recall(uri: str) -> dict[str, str] | None:
    """What `remember` was told of a version."""
    place = place_of(uri)
    try:
        return dict(json.loads(_record(place).read_text(encoding="utf-8"))) if place else None
    except (OSError, ValueError):
        return None


def remember(uri: str, version: dict[str, str]) -> None:
    """Note what the registry says of a version, where copies are kept; it is asked again where that can't be noted."""
    if (place := place_of(uri)) is not None:
        with suppress(OSError):  # another process notes the same, or the disk is full
            files.make_private(place.parent)
            files.write_whole(_record(place), json.dumps(version) + "\n")


@contextmanager
def fetching() -> Iterator[None]:
    """Nothing is pruned in the block: what is fetched in it has no part in anything yet."""
    with _locked(fcntl.LOCK_SH):
        yield


def prune(uris: Iterable[str]) -> None:
    """Remove the copies of all but these releases and what they name; another time, if somebody fetches some just now."""
    folder = _folder()
    if folder is None or not folder.is_dir():
        return
    with suppress(BlockingIOError), _locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
        kept = _with_parts(uris)
        for place in folder.glob("*/*"):
            if place.name.startswith("."):  # a kill left it
                shutil.rmtree(place, ignore_errors=True)
            elif place.with_suffix("") not in kept:
                shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)


def _with_parts(uris: Iterable[str]) -> set[Path]:
    """The places of these versions, and of all that is named in their descriptions, and in those of what is named."""
    kept: set[Path] = set()
    waiting = list(uris)
    while waiting:
        place = place_of(waiting.pop())
        if place is not None and place not in kept:
            kept.add(place)
            described = [*place.glob("MLmodel"), *place.rglob("*.json")]
            waiting += [one.group() for file in described for one in _PINNED.finditer(file.read_text(errors="replace"))]
    return kept


def _folder() -> Path | None:
    """Where the copies of this store are, if any are kept."""
    if not (found := os.environ.get(VARIABLE)):
        return None
    from mlflow import get_registry_uri

    registry = get_registry_uri()
    return None if urlsplit(registry).scheme in _LOCAL else Path(found) / digests.of_data(registry)[:16]


def _record(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


@contextmanager
def _locked(how: int) -> Iterator[None]:
    folder = _folder()
    if folder is None:
        yield
        return
    files.make_private(folder)  # documents that not all may read are in there
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, how)
        yield
