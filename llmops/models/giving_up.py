"""Answers that nobody waits for any more: whoever works on one, however deep below the caller, is told to stop."""

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Lock


class GivingUp:
    """Of one answer. It may be given up in any thread, at any time, and again."""

    def __init__(self) -> None:
        self.is_so = False
        self._lock, self._stops = Lock(), list[Callable[[], object]]()

    def give_up(self) -> None:
        """Stop what works on the answer now, and what will."""
        with self._lock:
            self.is_so = True
            for stop in self._stops:
                stop()

    @contextmanager
    def stops(self, stop: Callable[[], object]) -> Iterator[None]:
        """Call `stop` when the answer is given up within the block, or was before it. It must not block."""
        with self._lock:
            self._stops.append(stop)
            if self.is_so:
                stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)

    @contextmanager
    def hears(self) -> Iterator[None]:
        """Have what runs in the block work on this answer."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


_current: ContextVar[GivingUp] = ContextVar("giving_up")


@contextmanager
def stopped_by(stop: Callable[[], object]) -> Iterator[None]:
    """As `GivingUp.stops`, for the answer that is worked on here, if there is one that can be given up."""
    giving_up = _current.get(None)
    if giving_up is None:
        yield
        return
    with giving_up.stops(stop):
        yield


def sleep(seconds: float) -> None:
    """Wait, unless the answer is given up.

    Raises:
        CancelledError: it is.
    """
    stopped = Event()
    with stopped_by(stopped.set):
        if stopped.wait(seconds):
            raise CancelledError
