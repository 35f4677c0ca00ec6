"""When requests may go out to a server: not too many at once or a minute, and none while it asks for rest."""

import time
from collections.abc import Callable
from threading import Lock

from llmops.errors import ConfigError

_NEXT_LOOK_S = 0.02  # where as many as may be are under way


class Pace:
    """Shared by all who ask one server, in any thread. Requests are spread evenly over the minute, without bursts."""

    def __init__(
        self, requests_per_minute: float | None = None, clock: Callable[[], float] = time.monotonic,
        at_once: int | None = None,
    ) -> None:  # fmt: skip
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ConfigError(f"requests_per_minute is {requests_per_minute}, expected more than 0, or None for no limit.")
        self._interval_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._clock, self._lock = clock, Lock()
        self._open_at = clock()
        self._at_once, self._under_way = at_once, 0

    def claim(self) -> float:
        """Take the next place, to be given back, and return 0.0; or return the seconds to wait before claiming again."""
        with self._lock:
            if self._under_way == self._at_once:
                return _NEXT_LOOK_S
            now = self._clock()
            if now < self._open_at:
                return self._open_at - now
            self._open_at = now + self._interval_s
            self._under_way += 1
            return 0.0

    def give_back(self) -> None:
        """Say that the request of a place has ended."""
        with self._lock:
            self._under_way -= 1

    def pause(self, seconds: float) -> None:
        """Give out no place for that long."""
        with self._lock:
            self._open_at = max(self._open_at, self._clock() + seconds)
