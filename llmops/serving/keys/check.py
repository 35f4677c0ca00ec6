"""The check of a caller's API key. The file is read again when it changes: keys come and go without a restart."""

import hmac
import ipaddress
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from llmops.errors import ConfigError, LLMOpsError
from llmops.serving.keys.file import read_keys
from llmops.serving.keys.key import ANYONE, Key, digest_of

_log = logging.getLogger(__name__)


class KeyRefused(LLMOpsError):
    """A caller has no key, or one that isn't known or valid any more."""


class Keys:
    """The keys of a file, which is looked at for each request. Where there is one nobody gets in without a key, even if
    all were taken away; and it going away opens nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._stamp, self._keys = path, _stamp(path), read_keys(path)
        self._required = self._stamp is not None

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
        digest, found = digest_of(token.strip()), None
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
        self._required |= self._stamp is not None


def check_bind(host: str, has_keys: bool) -> None:
    """Raises ConfigError if others than this machine's users could ask without a key."""
    if has_keys or _is_loopback(host):
        return
    raise ConfigError(
        f"host is {host!r} and there are no API keys: anyone could ask. Make one with "
        "`python -m llmops.serving.keys create --state FOLDER --name NAME`, or serve on 127.0.0.1."
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
