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
    """Map each file below `folder` (relative, forward slashes) to its digest.

    Left out are those named in `skip`, and hidden ones: tools put theirs beside the content.
    """
    names = {path: path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()}
    shown = {path: name for path, name in names.items() if not any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): of_file(path) for path, name in shown.items() if name.as_posix() not in skip}


def of_folder(folder: Path, skip: tuple[str, ...] = ()) -> str:
    """Digest a folder: its files' names and contents, nothing else."""
    return of_data(of_files(folder, skip))
