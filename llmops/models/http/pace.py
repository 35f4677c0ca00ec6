"""When requests may go out to a server: not too many a minute, and none while it asks for rest."""

import time
from collections.abc import Callable
from threading import Lock

from llmops.errors import ConfigError


class Pace:
    """Shared by all who ask one server, in any thread. Requests are spread evenly over the minute, without bursts."""

    def __init__(self, requests_per_minute: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ConfigError(f"requests_per_minute is {requests_per_minute}, expected more than 0, or None for no limit.")
        self._interval_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._clock, self._lock = clock, Lock()
        self._open_at = clock()

    def claim(self) -> float:
        """Take the next place and return 0.0; where none is free yet, return the seconds to wait before claiming again."""
        with self._lock:
            now = self._clock()
            if now < self._open_at:
                return self._open_at - now
            self._open_at = now + self._interval_s
            return 0.0

    def pause(self, seconds: float) -> None:
        """Give out no place for that long."""
        with self._lock:
            self._open_at = max(self._open_at, self._clock() + seconds)
