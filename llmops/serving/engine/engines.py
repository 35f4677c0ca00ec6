"""The engines of this machine. Deployments on one base share one, which runs as long as one of them holds it."""

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from llmops.errors import ArtifactError, EngineError
from llmops.finetuning.certificate import Probe
from llmops.models.cache import cache_folder
from llmops.models.http.engine import HttpEngine
from llmops.serving.engine import adapters, flags, proof, record, vllm
from llmops.serving.engine.api import EngineApi, Poisoned
from llmops.serving.engine.environment import find_environment
from llmops.serving.engine.flags import EngineSpec
from llmops.serving.engine.record import Record
from llmops.serving.process import check_port

START_S = 600.0  # for a large base from a slow disk
_KEPT_S = 3600.0  # that an unloaded adapter's files stay: answers under way may read them once more


@dataclass(frozen=True)
class Engine:
    """An engine that was acquired. What it is now is in its record, which others change too."""

    key: str

    @property
    def record(self) -> Record:
        """Raises EngineError if nobody holds it any more."""
        found = record.read(self.key)
        if found is None:
            raise EngineError(f"engine {self.key} is gone: nobody holds it. Acquire it anew.")
        return found

    @property
    def key_file(self) -> Path:
        return record.path(self.key, "secret")

    @property
    def log(self) -> Path:
        return record.path(self.key, "log")

    def answering(self, timeout_s: float = 300.0, retries: int = 2) -> HttpEngine:
        """What asks it for answers. A release's adapter is asked for by the name that `load` gave."""
        found = self.record
        known = {"name": "vllm", "version": found.version, "dtype": found.spec.dtype}
        at_once = found.spec.at_once + found.spec.queued
        return HttpEngine(
            found.url, found.spec.model, concurrency=at_once, timeout_s=timeout_s, retries=retries,
            key_file=self.key_file, known=known,
        )  # fmt: skip

    def trouble(self) -> str:
        """Why it doesn't answer as it should, a line; empty where it does. A busy one takes a while to say."""
        return _trouble(self.record)

    def suspect(self) -> None:
        """Note that it was seen to compute values that are no numbers, for whoever tends it."""
        record.path(self.key, "suspect").touch()

    @property
    def is_suspect(self) -> bool:
        return record.path(self.key, "suspect").exists()

    def heal(self, anew: bool = False) -> bool:
        """Start it anew, with its adapters, where it doesn't answer as it should; return whether that was so.

        `anew` does it whatever it answers: for an engine that was seen to compute values that are no numbers.

        Raises:
            EngineError: it doesn't start, or an adapter's files are gone.
        """
        if not anew and not self.trouble() and not _missing(self.record):
            return False
        before = self.record.started
        with record.lock(self.key):
            if anew and self.record.started == before:  # nobody else did meanwhile
                _load_missing(_start(self.record, START_S))
                record.path(self.key, "suspect").unlink(missing_ok=True)
            return _ensure(self.record).started != before

    def load(self, holder: str, uri: str, digest: str, folder: Path, probes: Sequence[Probe] = ()) -> str:
        """Check an adapter, load it, prove that it works and harms nobody; return the name to ask for it by.

        `probes` are those of its certificate, which any engine that serves it has to agree with.

        Raises:
            ArtifactError: it can't be served, or doesn't compute what was trained.
            EngineError: the engine is full, or fails.
        """
        name = adapters.engine_name(uri, digest)
        with record.lock(self.key):
            found = self.record
            if name not in found.adapters:
                _load(found, name, digest, folder, probes)
            record.write(_with_adapter(self.record, name, holder))
        return name

    def unload(self, holder: str, name: str) -> None:
        """Let go of an adapter; where nobody else holds it the engine forgets it. Its answers are to be finished before."""
        with record.lock(self.key):
            record.write(_without(self.record, holder, name))


def acquire(spec: EngineSpec, holder: str, restart: bool = False, start_s: float = START_S) -> Engine:
    """The engine for a spec, shared where one on this base runs, else started; `holder` holds it until `release`.

    Raises:
        EngineError: it doesn't start, or would need a restart or another base, which isn't asked for.
    """
    why = needs_restart(spec, holder)
    if why and not restart:
        raise EngineError(f"{why} Ask for a restart, or deploy it under another name.")
    key = record.engine_key(spec)
    with record.lock(key):
        found = record.read(key) or Record(spec)
        if not _fits(found.spec, spec):
            vllm.stop(record.path(key, "pid"), found.spec.drain_s)
            found = replace(found, spec=_wider(found.spec, spec))
        held = replace(
            found, spec=replace(found.spec, folder=spec.folder), holders=tuple(sorted({*found.holders, holder}))
        )  # fmt: skip
        record.write(held)
        try:
            _ensure(held, start_s)
        except BaseException:
            if not found.holders:
                _end(held)
            elif (now := record.read(key)) is not None:
                record.write(replace(now, holders=found.holders))
            raise
    return Engine(key)


def needs_restart(spec: EngineSpec, holder: str) -> str:
    """Why a spec can't be had without another engine than `holder` has, or without starting one anew; empty where it can."""
    key = record.engine_key(spec)
    for found in record.read_all():
        if holder in found.holders and found.key != key:
            return f"{holder} runs on base {found.spec.base} ({found.spec.base_digest[:12]}), and this is on {spec.base}."
        if found.key == key and not _fits(found.spec, spec):
            had = f"rank {found.spec.max_rank}, window {found.spec.window}, {found.spec.adapters} adapters"
            asked = f"rank {spec.max_rank}, window {spec.window}, {spec.adapters} adapters"
            return f"the engine on {spec.base} runs with {had}, and this needs {asked}."
    return ""


def engine_of(holder: str) -> Engine | None:
    """The engine that is held; of two, as while a base changes, the one that was started last."""
    held = sorted((one for one in record.read_all() if holder in one.holders), key=lambda one: one.started)
    return Engine(held[-1].key) if held else None


def release(holder: str, keep: Engine | None = None) -> None:
    """Let go of all engines but the one to keep, and of what they have loaded; an engine that nobody holds is ended."""
    for key in [one.key for one in record.read_all() if holder in one.holders]:
        if keep is not None and keep.key == key:
            continue
        with record.lock(key):
            found = record.read(key)
            if found is None:
                continue
            left = replace(found, holders=tuple(one for one in found.holders if one != holder))
            if not left.holders:
                _end(left)
                continue
            for name in found.adapters:
                left = _without(left, holder, name)
            record.write(left)


def release_gone(holders: Collection[str]) -> None:
    """Let go of what is held by others than these: those are gone without a word."""
    for gone in {one for found in record.read_all() for one in found.holders} - set(holders):
        release(gone)


def _fits(has: EngineSpec, wanted: EngineSpec) -> bool:
    return all(getattr(has, name) >= getattr(wanted, name) for name in ("max_rank", "window", "adapters"))


def _wider(has: EngineSpec, wanted: EngineSpec) -> EngineSpec:
    """A spec that serves both."""
    most = {name: max(getattr(has, name), getattr(wanted, name)) for name in ("max_rank", "window", "adapters", "cache_gib")}
    return replace(wanted, **most)


def _api(found: Record) -> EngineApi:
    return EngineApi(found.url, record.secret(found.key).read_text(encoding="utf-8"))


def _trouble(found: Record) -> str:
    if vllm.leader(record.path(found.key, "pid")) is None:
        return "its process has ended."
    try:
        proof.check_base(_api(found), found.spec.model, found.baseline)
    except EngineError as error:
        return str(error)
    return ""


def _missing(found: Record) -> set[str]:
    return set(found.adapters) - set(_api(found).adapters())


def _ensure(found: Record, start_s: float = START_S) -> Record:
    """See that it runs, is well, and has its adapters; one that somebody began to start is waited for."""
    pid_file, young_s = record.path(found.key, "pid"), found.started + start_s - time.time()
    if vllm.leader(pid_file) is not None and young_s > 0 and found.baseline is None:
        with suppress(EngineError):
            found = _settle(found, young_s)
    if found.baseline is None or _trouble(found):
        found = _start(found, start_s)
    _load_missing(found)
    return found


def _load_missing(found: Record) -> None:
    """Load what it should have; one that can't be loaded keeps no other from it."""
    errors = []
    for name in sorted(_missing(found)):
        try:
            _api(found).load(name, str(adapters.adapters_folder() / name))
        except EngineError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _start(found: Record, start_s: float) -> Record:
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
    api = _api(found)
    vllm.wait_until_up(api, record.path(found.key, "pid"), record.path(found.key, "log"), start_s)
    found = replace(found, baseline=api.probe(found.spec.model, start_s).logprobs[0])
    record.write(found)
    return found


def _port(before: int) -> int:
    """The port it had, so that who asks there goes on, or a free one where another process took it."""
    with suppress(Exception):
        return check_port(flags.HOST, before)
    return check_port(flags.HOST, 0)


def _load(found: Record, name: str, digest: str, folder: Path, probes: Sequence[Probe]) -> None:
    if len(found.adapters) >= found.spec.adapters:
        raise EngineError(f"the engine has {len(found.adapters)} adapters, its most. Unload one, or start it for more.")
    spec, api = found.spec, _api(found)
    placed = adapters.place_adapter(folder, name, digest)
    try:
        adapters.check_adapter(placed, spec)
        api.load(name, str(placed))
        proof.prove(api, spec.model, name, spec.window, probes)
        proof.check_base(api, spec.model, found.baseline)
    except BaseException as error:
        with suppress(EngineError):
            api.unload(name)
        if isinstance(error, Poisoned):  # it sleeps in the engine's memory, whatever that says next
            _load_missing(_start(found, START_S))
            raise ArtifactError(f"adapter {name}: {error} The engine was started anew without it.") from error
        raise


def _with_adapter(found: Record, name: str, holder: str) -> Record:
    holders = tuple(sorted({*found.adapters.get(name, ()), holder}))
    return replace(found, adapters={**found.adapters, name: holders})


def _without(found: Record, holder: str, name: str) -> Record:
    held = tuple(one for one in found.adapters.get(name, ()) if one != holder)
    others = {one: holders for one, holders in found.adapters.items() if one != name}
    if held:
        return replace(found, adapters={**others, name: held})
    if name in found.adapters:
        with suppress(EngineError):  # a dead one has forgotten all
            _api(found).unload(name)
        with suppress(OSError):
            os.utime(adapters.adapters_folder() / name)  # when it was unloaded
    _clear(_KEPT_S, others)
    return replace(found, adapters=others)


def _clear(older_s: float, also_kept: Collection[str] = ()) -> None:
    """Remove the files of adapters that no engine has, and that had rest for so long."""
    kept = {name for found in record.read_all() for name in found.adapters} | set(also_kept)
    for folder in adapters.adapters_folder().glob("[!.]*"):
        with suppress(OSError):
            if folder.name not in kept and time.time() - folder.stat().st_mtime > older_s:
                adapters.remove_adapter(folder.name)


def _end(found: Record) -> None:
    vllm.stop(record.path(found.key, "pid"), found.spec.drain_s)
    if found.scratch:
        shutil.rmtree(found.scratch, ignore_errors=True)
    record.remove(found)
    _clear(_KEPT_S)


def _cache_folder() -> Path:
    """For what vLLM compiles: that is the same at each start."""
    folder = cache_folder() / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
