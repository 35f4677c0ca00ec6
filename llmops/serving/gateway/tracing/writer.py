"""Writes the traces of a gateway, which is served first.

    python -m llmops.serving.gateway.tracing.writer

It reads batches from the pipe that its gateway opened, and says after each how many failed. It ends with the pipe.

MLflow's own exporter would write each trace in two or more transactions, in an order that costs its store twice the time,
a second after it was told to, and wouldn't say what failed.
"""

import logging
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from llmops.serving.gateway.tracing.composer import Composer
from llmops.serving.gateway.tracing.recorder import Told

if TYPE_CHECKING:
    from mlflow.entities import Trace

T = TypeVar("T")
_NICE = 10  # less than those who answer
_AWAY = 3  # failures in a row
_log = logging.getLogger(__name__)


class StoreWriter:
    """Writes to the experiment that is active where it is made."""

    def __init__(self) -> None:
        from mlflow.tracing.client import TracingClient
        from mlflow.tracking.fluent import _get_experiment_id

        self._experiment_id = str(_get_experiment_id())
        self._composer, self._client = Composer(self._experiment_id), TracingClient()

    def write(self, batch: Sequence[Told]) -> int:
        """Write traces, and return how many could not be.

        One that can't costs no other; after `_AWAY` in a row the store is taken to be away, and the rest for lost.
        """
        begun = _in_turn(self._begun, batch)
        written = begun if self._has_spans(begun) else _in_turn(lambda one: one if self._has_spans([one]) else None, begun)
        return len(batch) - len(written)

    def _begun(self, told: Told) -> "Trace | None":
        """First the traces: spans that come before theirs would have the store begin one, and mend it afterwards."""
        try:
            trace = self._composer.trace_of(told)
            self._client.start_trace(trace.info)
        except Exception as error:  # whatever it is: the next may be written
            _log.error("a trace could not be written: %s", type(error).__name__)
            return None
        return trace

    def _has_spans(self, traces: "Sequence[Trace]") -> bool:
        """Write their spans, in one transaction."""
        try:
            self._client.log_spans(self._experiment_id, [span for trace in traces for span in trace.data.spans])
        except Exception as error:
            _log.error("the spans of %d traces could not be written: %s", len(traces), type(error).__name__)
            return False
        return True


def _in_turn(work: "Callable[[T], Trace | None]", items: Sequence[T]) -> "list[Trace]":
    """What comes of each, but for those of which nothing does; it gives up after `_AWAY` of them in a row."""
    found, failed = [], 0
    for item in items:
        if failed < _AWAY and (trace := work(item)) is not None:
            found.append(trace)
            failed = 0
        else:
            failed += 1
    return found


def _give_way() -> None:
    """Leave the processors to others: to those of this session, and, where sessions share them, to other sessions."""
    os.nice(_NICE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")


def main() -> None:
    """Write batches until nobody sends any more."""
    _give_way()
    for number in (signal.SIGTERM, signal.SIGINT):  # it ends with its gateway, when that has written its last
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w") as said:
        os.dup2(2, 1)  # what MLflow prints goes where errors go
        writer: StoreWriter | None = None
        while True:
            try:
                batch = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            writer = writer or _writer()
            print(len(batch) if writer is None else writer.write(batch), file=said, flush=True)


def _writer() -> StoreWriter | None:
    """None while the store doesn't say which experiment that is."""
    try:
        return StoreWriter()
    except Exception as error:
        _log.error("no trace can be written: %s", type(error).__name__)
        return None


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    main()
