"""How often a key may ask: token buckets in small files, which all workers of a deployment share.

A bucket holds a minute's worth and fills evenly. Workers agree exactly, as each reads and writes it under a lock: some tens
of microseconds, and nothing to divide by a number of workers that changes.
"""

import fcntl
import logging
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmops.serving.gateway.refusal import Refusal
from llmops.serving.keys.key import Key

_log = logging.getLogger(__name__)
_BUCKET = struct.Struct("<dd")  # what is left, and when that was: seconds since 1970


class Rates:
    """The buckets of a folder."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder, self._now = folder, now

    def ask(self, key: Key) -> None:
        """Count a request.

        Raises:
            Refusal: it is one too many, or earlier answers took too many tokens (429).
        """
        if key.tokens_per_minute is not None:
            self._claim(key, "tokens", key.tokens_per_minute, 0)
        if key.requests_per_minute is not None:
            self._claim(key, "requests", key.requests_per_minute, 1)

    def spend(self, key: Key, tokens: int) -> None:
        """Count an answer's tokens, of which one knows afterwards only: a bucket may go below nothing."""
        if key.tokens_per_minute is not None:
            self._change(key, "tokens", key.tokens_per_minute, tokens, least=float("-inf"))

    def _claim(self, key: Key, what: str, per_minute: int, amount: int) -> None:
        missing = self._change(key, what, per_minute, amount, least=float(max(amount, 1)))
        if missing > 0:
            wait_s = missing * 60 / per_minute
            message = f"the key {key.name!r} may use {per_minute} {what} a minute. Ask again in {wait_s:.0f} s."
            raise Refusal(429, message, "rate_limit_exceeded", None, max(wait_s, 0.1))

    def _change(self, key: Key, what: str, per_minute: int, amount: int, least: float) -> float:
        """Take an amount from a bucket if it holds at least so much; return how much it misses, 0 or less if taken."""
        try:
            with self._opened(f"{key.key_id}.{what}") as file:
                now, found = self._now(), os.pread(file, _BUCKET.size, 0)
                left, since = _BUCKET.unpack(found) if len(found) == _BUCKET.size else (float(per_minute), now)
                left = min(float(per_minute), left + max(0.0, now - since) * per_minute / 60)
                missing: float = least - left
                os.pwrite(file, _BUCKET.pack(left - amount if missing <= 0 else left, now), 0)
                return missing
        except OSError as error:  # a full disk: callers are answered all the same
            _log.error("the rate of key %s isn't counted now: %s", key.key_id, error)
            return 0.0

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """The file, which no other worker has then: closing it lets go of the lock. None is kept open, there may be many."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)
