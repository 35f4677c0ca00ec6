"""An event loop in the background, one in a process, for threads that ask for one thing: starting one takes 2 ms."""

import asyncio
import atexit
import ctypes
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any, TypeVar

from llmops.models.giving_up import stopped_by
from llmops.models.http.connections import open_session

if TYPE_CHECKING:
    from aiohttp import ClientSession

T = TypeVar("T")
_lock = Lock()
_at_work: tuple[asyncio.AbstractEventLoop, Thread] | None = None
_session: "ClientSession | None" = None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, while this thread waits; what interrupts the wait ends the work.

    Raises:
        CancelledError: the answer that this thread works on was given up. The work is ended too.
    """
    waited_for = start(work)
    try:
        with stopped_by(waited_for.cancel):
            return waited_for.result()
    except BaseException:
        waited_for.cancel()
        raise


def start(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Begin, for this thread to wait for the result; cancelled, the work is ended."""
    loop, thread = _started()
    assert thread is not current_thread(), "what runs in the loop can't wait for it"
    return asyncio.run_coroutine_threadsafe(work, loop)


def kept_session() -> "ClientSession":
    """The connections of all who ask in the background, where this is called."""
    global _session
    if _session is None:
        _session = open_session()
    return _session


def _started() -> tuple[asyncio.AbstractEventLoop, Thread]:
    global _at_work
    with _lock:
        if _at_work is None:
            loop = _new_loop()
            _at_work = (loop, Thread(target=loop.run_forever, name="asks-servers", daemon=True))
            _at_work[1].start()
        return _at_work


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _forget() -> None:
    """A forked process has no threads but its own."""
    global _at_work, _lock, _session
    if _session is not None:  # collected, it would take its connections out of what the parent listens to
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_session))
    _at_work, _lock, _session = None, Lock(), None


@atexit.register
def _stop() -> None:
    if _at_work is not None:
        loop, thread = _at_work
        if _session is not None:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(_session.close(), loop).result(1)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(1)


os.register_at_fork(after_in_child=_forget)
