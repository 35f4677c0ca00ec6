"""What is deployed: one file per deployment, in a folder that outlives the shell. Files are written whole, under a lock."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from llmops.errors import DeploymentError


@dataclass(frozen=True)
class Deployment:
    """A gateway process, and the release it serves. `started` tells the process from a later one with its id."""

    name: str
    model_uri: str  # as asked for, such as models:/handbook@champion
    release_uri: str  # what it was resolved to, such as models:/handbook/5
    digest: str
    host: str
    port: int
    pid: int
    started: float
    log: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def state_folder() -> Path:
    """The folder named by LLMOPS_STATE, else `~/.local/state/mlflow-llmops`."""
    default = Path.home() / ".local" / "state" / "mlflow-llmops"
    return Path(os.environ.get("LLMOPS_STATE") or default).expanduser().resolve()


def check_name(name: str) -> str:
    """Raises DeploymentError unless the name can be a file's and a URL's."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise DeploymentError(f"deployment name {name!r} has other than letters, digits, '.', '_' and '-'. Rename it.")
    return name


def read(name: str) -> Deployment | None:
    path = _path(name)
    return Deployment(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def read_all() -> list[Deployment]:
    return [Deployment(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(state_folder().glob("*.json"))]


def write(deployment: Deployment) -> None:
    path = _path(deployment.name)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(deployment), indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)


def remove(name: str) -> None:
    _path(name).unlink(missing_ok=True)


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the deployment's lock: creating, updating and deleting happen one at a time."""
    path = _path(name).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(name: str) -> Path:
    return state_folder() / f"{check_name(name)}.json"
