"""An engine's process as its record wants it: started, well, with its adapters; started anew where it isn't."""

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from llmops.errors import EngineError
from llmops.models.cache import cache_folder
from llmops.serving.engine import adapters, flags, proof, record, vllm
from llmops.serving.engine.api import EngineApi
from llmops.serving.engine.environment import find_environment
from llmops.serving.engine.record import Record
from llmops.serving.process import check_port

START_S = 600.0  # for a large base from a slow disk


def api_of(found: Record) -> EngineApi:
    return EngineApi(found.url, record.secret(found.key).read_text(encoding="utf-8"))


def trouble(found: Record) -> str:
    """Why it doesn't answer as it should, a line; empty where it does."""
    if vllm.leader(record.path(found.key, "pid")) is None:
        return "its process has ended."
    try:
        proof.check_base(api_of(found), found.spec.model, found.baseline)
    except EngineError as error:
        return str(error)
    return ""


def missing(found: Record) -> set[str]:
    """The adapters that it should have, and hasn't."""
    return set(found.adapters) - set(api_of(found).adapters())


def ensure(found: Record, start_s: float = START_S) -> Record:
    """See that it runs, is well, and has its adapters; one that somebody began to start is waited for."""
    pid_file, young_s = record.path(found.key, "pid"), found.started + start_s - time.time()
    if vllm.leader(pid_file) is not None and young_s > 0 and found.baseline is None:
        with suppress(EngineError):
            found = _settle(found, young_s)
    if found.baseline is None or trouble(found):
        found = start(found, start_s)
    load_missing(found)
    return found


def load_missing(found: Record) -> None:
    """Load what it should have; one that can't be loaded keeps no other from it."""
    errors = []
    for name in sorted(missing(found)):
        try:
            api_of(found).load(name, str(adapters.adapters_folder() / name))
        except EngineError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def start(found: Record, start_s: float) -> Record:
    """Start it, whatever of it is left from before; where it doesn't come up nothing is left."""
    pid_file, log = record.path(found.key, "pid"), record.path(found.key, "log")
    vllm.kill(pid_file)
    shutil.rmtree(found.scratch, ignore_errors=True) if found.scratch else None
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    environment = find_environment()
    restarts = found.restarts + (found.baseline is not None)
    scratch = tempfile.mkdtemp(prefix="vllm-")  # short: sockets are in it
    found = replace(
        found, port=_port(found.port), version=environment.version, started=time.time(), scratch=scratch, baseline=None,
        restarts=restarts,
    )  # fmt: skip
    record.write(found)
    key = record.secret(found.key).read_text(encoding="utf-8")
    variables = flags.variables(found.spec, key, _cache_folder(), Path(scratch))
    try:
        vllm.start(flags.command(found.spec, environment.command, found.port), variables, log, pid_file)
        return _settle(found, start_s)
    except BaseException:
        vllm.kill(pid_file)
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _settle(found: Record, start_s: float) -> Record:
    """Wait until it answers: what it says first it has to say ever after."""
    api = api_of(found)
    vllm.wait_until_up(api, record.path(found.key, "pid"), record.path(found.key, "log"), start_s)
    found = replace(found, baseline=api.probe(found.spec.model, start_s).logprobs[0])
    record.write(found)
    return found


def _port(before: int) -> int:
    """The port it had, so that who asks there goes on, or a free one where another process took it."""
    with suppress(Exception):
        return check_port(flags.HOST, before)
    return check_port(flags.HOST, 0)


def _cache_folder() -> Path:
    """For what vLLM compiles: that is the same at each start."""
    folder = cache_folder() / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
