"""The file of a deployment's API keys: `keys.json` in its folder, where only their hashes stand."""

import fcntl
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmops.errors import ConfigError
from llmops.files import make_private
from llmops.serving.keys.key import Key, digest_of

PREFIX = "sk-llmops-"
FILE = "keys.json"


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file; none where it isn't there.

    Raises:
        ConfigError: it is no file of keys.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_key(row) for row in rows)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no file of keys ({type(error).__name__}). Make it again with keys create.") from error


def _key(row: dict[str, Any]) -> Key:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Key(**fields)


def create_key(
    folder: Path, name: str, applications: Sequence[str] | None = None, groups: Sequence[str] | None = None,
    expires: str | None = None, requests_per_minute: int | None = None, tokens_per_minute: int | None = None,
) -> tuple[Key, str]:  # fmt: skip
    """Add a key; return it and the secret, which is shown this once and stored nowhere."""
    secret = PREFIX + secrets.token_urlsafe(32)
    digest = digest_of(secret)
    key = Key(
        digest[:12], name, digest, datetime.now(UTC).isoformat(timespec="seconds"), expires,
        None if applications is None else tuple(applications), None if groups is None else tuple(groups),
        requests_per_minute, tokens_per_minute,
    )  # fmt: skip
    with _changing(folder / FILE) as keys:
        keys.append(key)
    return key, secret


def revoke_key(folder: Path, key_id: str) -> Key:
    """Take a key away.

    Raises:
        ConfigError: there is none of this id.
    """
    with _changing(folder / FILE) as keys:
        found = next((key for key in keys if key.key_id == key_id), None)
        if found is None:
            known = ", ".join(f"{key.key_id} ({key.name})" for key in keys) or "none"
            raise ConfigError(f"no key has the id {key_id!r}. Known: {known}.")
        keys.remove(found)
    return found


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, to be changed by one process at a time; written as a whole, for the user alone to read."""
    make_private(path.parent)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_keys(path))
        yield keys
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps([asdict(key) for key in keys], indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)
