"""How a worker sees to it that it has a supervisor. Imports nothing heavy."""

import logging
import os
import signal
import threading
import time

from llmops.serving.supervisor.record import find_supervisor, read_record
from llmops.serving.supervisor.starting import revive

_LOOK_S = 0.25
_REVIVED_S = 5.0  # that a supervisor has to start
_UNKNOWN_S = 10.0  # until a worker that no supervisor has recorded ends
_log = logging.getLogger(__name__)


def watch(name: str, fd: int, is_leaving: threading.Event) -> None:
    """Until this worker leaves, see to it that there is a supervisor: without one, start it on the listening socket `fd`.

    Unknown to its supervisor, or without a deployment, the worker ends.
    """
    known = time.monotonic()
    while not is_leaving.wait(_LOOK_S):
        try:
            if _is_looked_after(name, fd):
                known = time.monotonic()
        except Exception as error:  # a full disk, or a damaged file: what answers goes on
            _log.warning("the supervisor could not be looked at: %s", error)
        if time.monotonic() - known > _UNKNOWN_S:
            _log.warning("nobody looks after this worker any more, so it ends")
            os.kill(os.getpid(), signal.SIGTERM)
            break
    os.close(fd)


def _is_looked_after(name: str, fd: int) -> bool:
    if find_supervisor(name) is not None:
        return _is_known(name)
    if revive(name, fd):
        _log.warning("the supervisor had ended and was started again")
        time.sleep(_REVIVED_S)
        return True
    return False


def _is_known(name: str) -> bool:
    record = read_record(name)
    return os.getpid() in {one["pid"] for one in (*record.get("children", {}).values(), *record.get("leaving", ()))}
