"""What is known of an engine: one file each, beside its lock, process id, key and log, in $LLMOPS_STATE/engines."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llmops import digests, files
from llmops.serving import state
from llmops.serving.engine.flags import HOST, EngineSpec


@dataclass(frozen=True)
class Record:
    """An engine: its spec, its port, who holds it, and who holds which adapter by name.

    `baseline` is how likely, in nats, the base held the first token of a probe when the engine was new.
    """

    spec: EngineSpec
    version: str = ""  # vLLM's
    port: int = 0
    holders: tuple[str, ...] = ()
    adapters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: float | None = None
    started: float = 0.0  # seconds since the epoch
    restarts: int = 0
    scratch: str = ""  # its folder for temporary files

    @property
    def key(self) -> str:
        return engine_key(self.spec)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def engine_key(spec: EngineSpec) -> str:
    """What all who may share an engine have in common: the base, its dtype, and what computes."""
    return digests.of_data([spec.base_digest, spec.dtype, spec.device])[:12]


def read(key: str) -> Record | None:
    try:
        data = json.loads(path(key).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    adapters = {name: tuple(holders) for name, holders in data["adapters"].items()}
    given: dict[str, Any] = {"spec": EngineSpec(**data["spec"]), "holders": tuple(data["holders"]), "adapters": adapters}
    return Record(**{**data, **given})


def read_all() -> list[Record]:
    found = [read(file.stem) for file in sorted(folder().glob("*.json")) if file.stem != "environment"]
    return [record for record in found if record is not None]


def write(record: Record) -> None:
    files.write_whole(path(record.key), json.dumps(asdict(record), indent=2) + "\n")


def remove(record: Record) -> None:
    for kind in ("json", "secret", "pid"):
        path(record.key, kind).unlink(missing_ok=True)


def secret(key: str) -> Path:
    """The file with the key that the engine asks for, which only its owner may read; made where there is none."""
    file = path(key, "secret")
    if not file.exists():
        part = file.with_name(f"{file.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(secrets.token_urlsafe(32))
        part.rename(file)
    return file


@contextmanager
def lock(key: str, wait: bool = True) -> Iterator[None]:
    """Hold an engine's lock: it is started, ended and given adapters by one at a time. A kill lets go of it.

    Raises:
        BlockingIOError: another one holds it, and it isn't to be waited for.
    """
    files.make_private(folder())
    with path(key, "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def folder() -> Path:
    return state.state_folder() / "engines"


def path(key: str, kind: str = "json") -> Path:
    return folder() / f"{key}.{kind}"
