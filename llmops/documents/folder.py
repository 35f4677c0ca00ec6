"""The files below a folder, each with its name and digest."""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from llmops.errors import DataError


@dataclass(frozen=True)
class File:
    """A file as it was when the folder was scanned. `name` is its path below the folder, printable and unique."""

    name: str
    path: Path
    digest: str  # sha256 of the bytes
    size: int


@dataclass(frozen=True)
class Rejected:
    """A file, or a record of one, that was skipped, and why, in words a user can act on."""

    doc_id: str
    reason: str


def scan(folder: Path) -> tuple[list[File], list[Rejected]]:
    """Find and digest every file below `folder`, in name order; `folder` may be a file itself.

    Hidden files and folders are ignored. Links are followed, but no folder is read twice.

    Raises:
        DataError: `folder` does not exist.
    """
    if folder.is_dir():
        paths, rejected = _walk(folder)
    elif os.path.lexists(folder):
        paths, rejected = [Path(folder.name)], []
        folder = folder.parent
    else:
        raise DataError(f"documents folder {str(folder)!r} does not exist. Give a folder of documents.")
    files: list[File] = []
    for path in sorted(paths):
        try:
            digest, size = _digest(folder / path)
            files.append(File(name_of(path), folder / path, digest, size))
        except OSError as error:
            rejected.append(Rejected(name_of(path), why(error)))
    return files, sorted(rejected, key=lambda found: found.doc_id.split("/"))


def _walk(root: Path) -> tuple[list[Path], list[Rejected]]:
    """The paths of regular files, relative to `root`. Links to folders wait until all real folders are known."""
    files: list[Path] = []
    rejected: list[Rejected] = []
    seen: dict[tuple[int, int], Path] = {}
    folders, links = [Path()], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            identity = (root / folder).stat()
            if first := seen.get((identity.st_dev, identity.st_ino)):
                raise OSError(None, f"a link to {name_of(first)!r}, which is read already; its files are read there")
            seen[identity.st_dev, identity.st_ino] = folder
            names = sorted(name for name in os.listdir(root / folder) if not name.startswith("."))
        except OSError as error:
            rejected.append(Rejected(name_of(folder), why(error)))
            continue
        for path in (folder / name for name in names):
            try:
                mode = (root / path).stat().st_mode
            except OSError as error:
                broken = (root / path).is_symlink() and isinstance(error, FileNotFoundError)
                rejected.append(Rejected(name_of(path), "a link to a file that does not exist." if broken else why(error)))
                continue
            if stat.S_ISDIR(mode):
                (links if (root / path).is_symlink() else folders).append(path)
            elif stat.S_ISREG(mode):
                files.append(path)
            else:
                rejected.append(Rejected(name_of(path), NOT_REGULAR))
    return files, rejected


NOT_REGULAR = "not a regular file but a pipe, socket or device. Remove it."


def open_regular(path: Path | str) -> FileIO:
    """Open a file for reading; a pipe is not waited for.

    Raises:
        OSError: it can't be opened, or is no regular file.
    """
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(None, NOT_REGULAR)
    return file


def _digest(path: Path) -> tuple[str, int]:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def why(error: OSError) -> str:
    """The reason of a failed system call, for a user."""
    if isinstance(error, FileNotFoundError):
        return "it vanished while the folder was read."
    return f"it can't be read: {error.strerror}." if error.errno else str(error.strerror)


def name_of(path: Path) -> str:
    """A path with forward slashes as printable UTF-8. Different paths have different names."""
    return printable(re.sub("%(?=[0-9A-Fa-f]{2})", "%25", path.as_posix()))


def printable(text: str) -> str:
    """Percent-escape line breaks, control characters and bytes that are not UTF-8: "%0A", "%FF"."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    undecoded = 0xDC80 <= code <= 0xDCFF  # a byte of a file name: PEP 383
    data = bytes([code - 0xDC00]) if undecoded else character.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in data)
