"""API keys of a deployment: `keys.json` in its folder, where only their hashes stand.

    python -m llmops.serving.keys create --state FOLDER --name alice [--applications handbook] [--groups hr,board]
    python -m llmops.serving.keys list   --state FOLDER
    python -m llmops.serving.keys revoke --state FOLDER --id 1f0c2a9b3d4e

A key is 256 random bits, so that one round of SHA-256 is enough: nobody can try them all, unlike passwords, for which slow
hashes are made. The file is read again when it changes: keys come and go without a restart.
"""

import argparse
import fcntl
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmops.errors import ConfigError, LLMOpsError

PREFIX = "sk-llmops-"
FILE = "keys.json"
_log = logging.getLogger(__name__)


class KeyRefused(LLMOpsError):
    """A caller has no key, or one that isn't known or valid any more."""


@dataclass(frozen=True)
class Key:
    """Who may ask, and what: None for `applications` is all of them, for `groups` whatever the release shows.

    `requests_per_minute` and `tokens_per_minute` are rates that hold for all workers together; None is no bound.
    `created` and `expires` are times in UTC, as ISO 8601 has them.
    """

    key_id: str
    name: str
    digest: str
    created: str
    expires: str | None = None
    applications: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.expires is not None:
            _time(self.expires)
        for name in ("requests_per_minute", "tokens_per_minute"):
            if (rate := getattr(self, name)) is not None and rate < 1:
                raise ConfigError(f"{name} is {rate}, expected 1 or more. Leave it out for no bound.")

    def may_ask(self, application: str) -> bool:
        return self.applications is None or application in self.applications

    def is_valid(self, now: datetime) -> bool:
        return self.expires is None or now < _time(self.expires)


ANYONE = Key("", "anonymous", "", "")  # where there are no keys, which is on loopback only


class Keys:
    """The keys of a file, which is looked at for each request. One that had keys never lets anyone in without."""

    def __init__(self, path: Path) -> None:
        self._path, self._stamp, self._keys = path, _stamp(path), read_keys(path)
        self._required = bool(self._keys)

    @property
    def required(self) -> bool:
        self._read_again()
        return self._required

    def check(self, authorization: str) -> Key:
        """The key in a header `Bearer sk-...`. All keys are compared, each in constant time.

        Raises:
            KeyRefused: there is none, or it isn't valid. What was given isn't repeated.
        """
        if not self.required:
            return ANYONE
        kind, _, token = authorization.strip().partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise KeyRefused("no API key was given. Send the header 'authorization: Bearer sk-...'.")
        digest, found = _digest(token.strip()), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None or not found.is_valid(datetime.now(UTC)):
            raise KeyRefused("the API key is not known here, was revoked, or has expired. Ask who runs this deployment.")
        return found

    def _read_again(self) -> None:
        if (stamp := _stamp(self._path)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
        except ConfigError as error:
            _log.error("the keys stay as they were: %s", error)
            return
        self._required |= bool(self._keys)


def check_bind(host: str, has_keys: bool) -> None:
    """Raises ConfigError if others than this machine's users could ask without a key."""
    if has_keys or _is_loopback(host):
        return
    raise ConfigError(
        f"host is {host!r} and there are no API keys: anyone could ask. Make one with "
        "`python -m llmops.serving.keys create --state FOLDER --name NAME`, or serve on 127.0.0.1."
    )


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
    digest = _digest(secret)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_keys(path))
        yield keys
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps([asdict(key) for key in keys], indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"expires is {text!r}, expected a date or time such as 2027-01-31 or 2027-01-31T12:00Z."
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main(argv: Sequence[str] | None = None) -> None:
    """Create, list or revoke keys, as the command line says."""
    parser = argparse.ArgumentParser(description="API keys of a deployment.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    create, listed, revoke = (commands.add_parser(name, allow_abbrev=False) for name in ("create", "list", "revoke"))
    for command in (create, listed, revoke):
        command.add_argument("--state", type=Path, required=True, help="the deployment's folder")
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--applications", type=_names, help="that may be asked, with commas between (default: all)")
    create.add_argument("--groups", type=_names, help="whose documents may be shown (default: as the release has it)")
    create.add_argument("--expires", help="a date or time in UTC (default: never)")
    create.add_argument("--requests_per_minute", type=int)
    create.add_argument("--tokens_per_minute", type=int)
    revoke.add_argument("--id", required=True, help="as list shows it")
    given = parser.parse_args(argv)
    if given.command == "create":
        settings = {name: value for name, value in vars(given).items() if name not in ("command", "state", "name")}
        key, secret = create_key(given.state, given.name, **settings)
        print(f"{key.key_id}  {key.name}\n{secret}\nIt is shown this once: only its hash is stored.")
    elif given.command == "revoke":
        print(f"revoked {revoke_key(given.state, given.id).name}")
    else:
        for key in read_keys(given.state / FILE):
            scope = f"applications {_shown(key.applications)}, groups {_shown(key.groups)}"
            print(f"{key.key_id}  {key.name}: {scope}, created {key.created}, expires {key.expires or 'never'}")


def _shown(names: Sequence[str] | None) -> str:
    return "all" if names is None else "/".join(names) or "none"


if __name__ == "__main__":
    try:
        main()
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
