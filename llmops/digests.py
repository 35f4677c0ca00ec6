"""Identity by content: sha256 of bytes, files, folders and plain data."""

import hashlib
import json
from pathlib import Path
from typing import Any


def of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_data(data: Any) -> str:
    """Digest JSON-like data; key order doesn't matter."""
    return of_bytes(json.dumps(data, sort_keys=True, ensure_ascii=False).encode())


def of_files(folder: Path, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """Map each file below `folder` (relative, forward slashes) to its digest, except those named in `skip`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    return {name: of_file(path) for path, name in names.items() if name not in skip}


def of_folder(folder: Path, skip: tuple[str, ...] = ()) -> str:
    """Digest a folder: its files' names and contents, nothing else."""
    return of_data(of_files(folder, skip))
