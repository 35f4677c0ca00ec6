"""A place for one process of a deployment, a worker or the reconciler: who has it, and how one is started."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmops.serving import process
from llmops.serving.options import Options
from llmops.serving.process import Running
from llmops.serving.state import Deployment
from llmops.serving.supervisor.starting import environment_of, log_of

WORKER = "llmops.serving.gateway.worker"
RECONCILER = "llmops.serving.rollout.reconciler"
RECONCILER_SLOT = "reconciler"
METRICS, METRICS_VARIABLE = "metrics", "PROMETHEUS_MULTIPROC_DIR"
_NOT_WORKERS = (
    "port", "host", "workers", "follow", "poll_s", "canary", "shadow", "allow_unattested", "base_change", "timeout_s",
    "threads", "window", "gpu_share",
)  # fmt: skip


@dataclass
class Child:
    """A place for a process: who has it, and how it has gone so far. `due` is when the next one may start."""

    slot: str
    running: Running | None = None
    since: float = 0.0
    failures: int = 0
    restarts: int = 0
    due: float = 0.0
    said: str = ""
    options: Mapping[str, Any] | None = None  # those that it started with, for a worker

    def told(self) -> dict[str, Any]:
        """What the record says of it."""
        running = vars(self.running) if self.running else {"pid": 0, "started": 0.0}
        return {**running, "failures": self.failures, "restarts": self.restarts, "said": self.said}


def start_child(deployment: Deployment, slot: str, fd: int) -> Running:
    """Start a worker on the listening socket `fd`, or the reconciler."""
    is_worker = slot != RECONCILER_SLOT
    arguments = ["--name", deployment.name, *(["--fd", str(fd)] if is_worker else [])]
    environment = environment_of(deployment) | {METRICS_VARIABLE: str(deployment.folder / METRICS)}
    started = process.start(
        [sys.executable, "-m", WORKER if is_worker else RECONCILER, *arguments], log_of(deployment, slot), environment,
        [fd] if is_worker else [],
    )  # fmt: skip
    started.returncode = 0  # the supervisor waits for it, in `_reap`
    return Running(started.pid, process.started(started.pid))


def worker_slots(options: Options) -> list[str]:
    return [f"worker-{number}" for number in range(1, options.workers + 1)]


def for_workers(options: Options) -> dict[str, Any]:
    """The options that a worker reads when it starts."""
    return {name: value for name, value in options.to_dict().items() if name not in _NOT_WORKERS}
