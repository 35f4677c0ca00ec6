"""What is deployed: a folder for each deployment, which outlives the shell and the machine's restarts.

    deployment.json   what was asked for; written by create and update
    processes.json    who runs; written by the supervisor
    plan.json         which releases are served; written by the reconciler
    worker-<pid>.json what a worker has loaded
    events.jsonl      what happened: rollouts, refusals, restarts
    keys.json rates/ deliveries/ metrics/ logs/

Files are written whole. Nothing heavy is imported here, as the supervisor reads it too.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmops import files
from llmops.errors import ConfigError, DeploymentError
from llmops.serving.options import Options, read_options

DEPLOYMENT, PROCESSES, PLAN = "deployment.json", "processes.json", "plan.json"
COPIES = "copies"
_TAKEN = ("engines", "adapters", COPIES)  # folders that deployments share
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


@dataclass(frozen=True)
class Deployment:
    """What was asked for. `store` holds MLflow's settings by environment variable; `port` is never 0.

    `old` is the process of a gateway that an earlier version of this package started: its id, and when it began.
    """

    name: str
    model_uri: str  # what is served: models:/handbook@champion, or where it isn't followed the version that it meant
    options: Options
    port: int
    store: Mapping[str, str] = field(default_factory=dict, repr=False)
    created: str = ""
    updated: str = ""
    asked: str = ""  # the model URI that was asked for, where it is another
    old: tuple[int, float] | None = None
    old_release: str = ""

    @property
    def folder(self) -> Path:
        return deployment_folder(self.name)

    @property
    def url(self) -> str:
        host = _ANYWHERE.get(self.options.host, self.options.host)
        return f"{self.options.scheme}://{f'[{host}]' if ':' in host and '[' not in host else host}:{self.port}"

    @property
    def release_uri(self) -> str:
        """The release that answers now, such as models:/handbook/5; "" if none does yet."""
        return str(read_plan(self.name).get("current") or self.old_release)

    @property
    def releases(self) -> tuple[str, ...]:
        """All releases that are held: the one that answers, and those that it may be changed for at once."""
        plan = read_plan(self.name)
        held = (*plan.get("loaded", ()), *plan.get("leaving", ()))
        return tuple(dict.fromkeys(filter(None, (self.release_uri, *held))))


def state_folder() -> Path:
    """The folder named by LLMOPS_STATE, else `~/.local/state/mlflow-llmops`."""
    default = Path.home() / ".local" / "state" / "mlflow-llmops"
    return Path(os.environ.get("LLMOPS_STATE") or default).expanduser().resolve()


def deployment_folder(name: str) -> Path:
    return state_folder() / check_name(name)


def check_name(name: str) -> str:
    """Raises DeploymentError unless the name can be a folder's and a URL's."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name) or name in _TAKEN or name.endswith(".json"):
        raise DeploymentError(
            f"deployment name {name!r}: expected letters, digits, '.', '_' and '-', no .json at the end, and not "
            f"{' or '.join(_TAKEN)}. Rename it."
        )
    return name


def read(name: str) -> Deployment | None:
    """Raises DeploymentError if what is there can't be read."""
    folder = deployment_folder(name)
    path, old = folder / DEPLOYMENT, folder.with_name(f"{name}.json")
    try:
        if path.exists():
            return _from_dict(json.loads(path.read_text(encoding="utf-8")))
        return _from_old(json.loads(old.read_text(encoding="utf-8"))) if old.exists() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DeploymentError(
            f"{path if path.exists() else old} can't be read ({error}). Delete the deployment {name!r} and create it again."
        ) from error


def read_all() -> list[Deployment]:
    """All deployments by name. Raises DeploymentError if one can't be read."""
    return [deployment for name in names() if (deployment := read(name)) is not None]


def names() -> list[str]:
    """Those of all deployments, in order, whether they can be read or not."""
    found = {path.parent.name for path in state_folder().glob(f"*/{DEPLOYMENT}")}
    found |= {path.stem for path in state_folder().glob("*.json")}  # an earlier version's
    return sorted(found - set(_TAKEN))


def write(deployment: Deployment) -> None:
    """Write what was asked for; only its owner may read it, for a store's address may hold a password."""
    files.make_private(deployment.folder)
    data = {
        "format": 1, "name": deployment.name, "model_uri": deployment.model_uri, "options": deployment.options.to_dict(),
        "port": deployment.port, "store": dict(deployment.store), "created": deployment.created or now(), "updated": now(),
        "asked": deployment.asked,
    }  # fmt: skip
    write_json(deployment.folder / DEPLOYMENT, data)
    deployment.folder.with_name(f"{deployment.name}.json").unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write a file whole, for its owner alone to read."""
    part = path.with_name(f"{path.name}.part")
    with suppress(FileNotFoundError):
        part.unlink()
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    files.write_whole(path, json.dumps(data, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where it isn't there, or is being removed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_plan(name: str) -> dict[str, Any]:
    return read_json(deployment_folder(name) / PLAN)


def forget(name: str) -> None:
    """Let no process start any more for a deployment: what runs ends by itself."""
    (deployment_folder(name) / DEPLOYMENT).unlink(missing_ok=True)
    deployment_folder(name).with_name(f"{name}.json").unlink(missing_ok=True)


def remove(name: str, keep: tuple[str, ...] = ()) -> None:
    """Remove what is known of a deployment, but for files to keep; with the last one what they copied from stores.

    As long as there are others, those remove copies that they don't need.
    """
    forget(name)
    folder = deployment_folder(name)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in keep:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    if not names():
        shutil.rmtree(state_folder() / COPIES, ignore_errors=True)


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the deployment's lock: creating, updating and deleting happen one at a time. A kill lets go of it."""
    state_folder().mkdir(parents=True, exist_ok=True)
    with (state_folder() / f".{check_name(name)}.lock").open("w") as file:  # not in the folder, which may be removed
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _from_dict(data: Mapping[str, Any]) -> Deployment:
    if data["format"] != 1:
        raise ValueError(f"format {data['format']}, expected 1: a newer version of this package wrote it")
    options = read_options(data["options"])
    return Deployment(
        data["name"], data["model_uri"], options, int(data["port"]), data["store"], data["created"], data["updated"],
        data["asked"],
    )  # fmt: skip


def _from_old(data: Mapping[str, Any]) -> Deployment:
    """One file, one process, one release: what version 0.1.0 of this package had."""
    options = Options(host=data["host"], port=int(data["port"]))
    process = (int(data["pid"]), float(data["started"]))
    return Deployment(
        data["name"], data["model_uri"], options, int(data["port"]), old=process, old_release=data["release_uri"]
    )  # fmt: skip
