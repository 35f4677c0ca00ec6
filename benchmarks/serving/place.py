"""A store and a state that only this run sees, and servers beside it. All that was started ends with the blocks, by id."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import httpx
import mlflow
import psutil

from llmops.errors import EngineError
from llmops.serving import deployments, state
from llmops.serving.engine import engines, vllm
from llmops.serving.process import check_port
from llmops.serving.state import Deployment

HOST = "127.0.0.1"
START_S = 900.0  # for vLLM, or a model that is loaded, on a busy machine


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder with a store, and with what deployments write down; whatever is deployed ends with the block.

    So it does when the run is interrupted, or told to end. One compute thread a process, as engines have.
    """
    before = mlflow.get_tracking_uri()
    with TemporaryDirectory(prefix="serving-") as folder, _ends_in_order():
        known = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "LLMOPS_STATE": f"{folder}/state", "NO_PROXY": "*",
            "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        with variables(known):
            mlflow.set_tracking_uri(known["MLFLOW_TRACKING_URI"])
            mlflow.create_experiment("benchmark", artifact_location=(Path(folder) / "artifacts").as_uri())
            os.environ["MLFLOW_EXPERIMENT_ID"] = mlflow.set_experiment("benchmark").experiment_id
            try:
                yield Path(folder)
            finally:
                for deployment in state.read_all():
                    deployments.delete(deployment.name)
                engines.release_gone(())
                mlflow.set_tracking_uri(before)


@contextmanager
def variables(known: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a block; all are as before afterwards."""
    before = dict(os.environ)
    os.environ.update(known)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """Have SIGTERM leave the blocks, as Ctrl-C does."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deployed(name: str, uri: str, **options: Any) -> Iterator[Deployment]:
    """A deployment, with its engine, for a block."""
    wanted = {"timeout_s": START_S, "request_timeout_s": START_S, **options}
    try:
        yield deployments.create(name, uri, wanted).deployment
    finally:
        deployments.delete(name)


@contextmanager
def server(place: Path, command: list[str], health: str, **known: str) -> Iterator[str]:
    """The address of a server that is started with --port, for a block; `health` is the path that says it is up.

    Raises:
        EngineError: it doesn't come up.
    """
    port = check_port(HOST, 0)
    pid_file, log = place / f"{port}.pid", place / f"{port}.log"
    url, environment = f"http://{HOST}:{port}", {**os.environ, **known}
    try:
        vllm.start([*command, "--port", str(port)], environment, log, pid_file)
        _wait(url + health, pid_file, log)
        yield url
    finally:
        vllm.stop(pid_file, 5.0)


def processes_of(pid_file: Path) -> list[psutil.Process]:
    """What belongs to a server or an engine, its children included."""
    return vllm.members(pid_file)


def _wait(url: str, pid_file: Path, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False, timeout=5).is_success:
                return
        if vllm.leader(pid_file) is None or time.monotonic() > deadline:
            raise EngineError(f"{url} didn't come up: {vllm.last_words(log)}")
        time.sleep(0.2)
