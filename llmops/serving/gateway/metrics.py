"""What a gateway counts, as Prometheus reads it: exactly, by release and adapter, over all workers of a deployment.

With PROMETHEUS_MULTIPROC_DIR in the environment before this is imported, workers count in files of that folder, and each
shows the sum. Whoever starts a deployment empties it, and folds the files of workers that ended.
"""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from llmops.files import told_when_full
from llmops.serving.gateway.sums import Sums, reserve

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
RELEASE = ("application", "release", "adapter")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)


_KINDS, _ROOM = ("counter", "histogram", "gauge_livesum"), 1 << 18  # bytes of a file: the series of some 30 releases


class Metrics:
    """The series of one gateway process.

    Raises:
        LLMOpsError: the disk is full.
    """

    def __init__(self) -> None:
        _reserve()
        own = self._registry = CollectorRegistry()
        self.requests = Counter(
            "llmops_requests", "Requests to a release that ended, by HTTP status; 499 is a caller that left.",
            (*RELEASE, "endpoint", "status"), registry=own,
        )  # fmt: skip
        self.errors = Counter(
            "llmops_errors", "Requests refused or failed, whether they reached a release or not, by HTTP status and code.",
            ("status", "code"), registry=own,
        )  # fmt: skip
        self.tokens = Counter("llmops_tokens", "Tokens of answers, by kind.", (*RELEASE, "kind"), registry=own)
        self.abstentions = Counter("llmops_abstentions", "Answers that say that it isn't known.", RELEASE, registry=own)
        self.latency = Histogram(
            "llmops_request_seconds", "From a request to the end of its answer.", RELEASE, buckets=_SECONDS, registry=own
        )
        self.first_token = Histogram(
            "llmops_first_token_seconds", "From a request to the first piece of its streamed answer.", RELEASE,
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.in_flight = Gauge("llmops_in_flight", "Requests under way.", RELEASE, multiprocess_mode="livesum", registry=own)
        self.waiting = Gauge("llmops_waiting", "Requests that wait for a place.", multiprocess_mode="livesum", registry=own)
        self.traces_dropped = Counter("llmops_traces_dropped", "Traces that had no room in the queue.", registry=own)
        self.traces_failed = Counter("llmops_traces_failed", "Traces that could not be written.", registry=own)

    def text(self) -> bytes:
        """All series, in Prometheus' text format."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        together.register(Sums(Path(os.environ[FOLDER])))
        return generate_latest(together)


def _reserve() -> None:
    """Take the room of this process's files."""
    if FOLDER in os.environ:
        folder = Path(os.environ[FOLDER])
        with told_when_full(folder, "this worker doesn't start"):
            for kind in _KINDS:
                reserve(folder / f"{kind}_{os.getpid()}.db", _ROOM)
