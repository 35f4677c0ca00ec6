"""Checkpoints that are whole: a folder counts only with the list of its files that is written last."""

import json
import shutil
from pathlib import Path

from llmops.files import write_whole

SEAL = "whole.json"


def seal(checkpoint: Path) -> None:
    """Say that everything is written, and how large each file is."""
    write_whole(checkpoint / SEAL, json.dumps(_sizes(checkpoint)))


def newest(folder: Path) -> Path | None:
    """The whole checkpoint of the most steps; those that a kill or a full disk left in pieces are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=step_of)
    for path in found:
        if not _is_whole(path):
            shutil.rmtree(path)
    return next((path for path in reversed(found) if path.is_dir()), None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(sizes == _sizes(checkpoint))


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = [path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith(SEAL)]
    return {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
