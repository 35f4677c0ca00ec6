"""Results by key in a file of JSON lines, so that work that was cut off goes on where it was."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class JsonJournal:
    """What was done, by key. A line that a kill tore is as if it had never been; what is put twice counts as put last."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found: dict[str, Any] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_bytes() if file.exists() else b""
        for line in text.split(b"\n"):
            self._read(line)
        self._torn = bool(text) and not text.endswith(b"\n")

    def _read(self, line: bytes) -> None:
        try:
            key, value = json.loads(line)
        except ValueError:  # torn, or not ours
            return
        if isinstance(key, str):
            self._found[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Any:
        return self._found[key]

    def __len__(self) -> int:
        return len(self._found)

    def put(self, done: Mapping[str, Any]) -> None:
        """Add results; they are on the disk when this returns."""
        lines = "".join(json.dumps([key, value], ensure_ascii=False) + "\n" for key, value in done.items())
        handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # answers may be confidential
        try:
            os.write(handle, ("\n" * self._torn + lines).encode("utf-8", "surrogatepass"))
            os.fsync(handle)
        finally:
            os.close(handle)
        self._torn = False
        self._found |= done
