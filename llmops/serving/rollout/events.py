"""What happened to a deployment, in order: a line of JSON each, only ever added to. Decisions are in the ledger."""

import json
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "events.jsonl"
_LINE = 2000  # bytes that an event has about, at most
_log = logging.getLogger(__name__)


def add_event(folder: Path, event: str, **told: Any) -> None:
    """Add an event, in one write, and log it. A disk that is full loses the line, and nothing else."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **told}
    _log.info("%s: %s", event, told)
    try:
        handle = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, (json.dumps(line) + "\n").encode())
        finally:
            os.close(handle)
    except OSError as error:  # or the deployment is being deleted
        _log.warning("an event could not be written: %s", error)


def read_events(folder: Path, last: int = 20) -> list[dict[str, Any]]:
    """The last events, oldest first; a line that was cut off is left out."""
    try:
        with (folder / FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LINE * last))
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found[-last:]
