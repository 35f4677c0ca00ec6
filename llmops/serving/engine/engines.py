"""The engines of this machine. Deployments on one base share one, which runs as long as one of them holds it."""

import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from llmops.errors import EngineError
from llmops.finetuning.certificate import Probe
from llmops.models.http.engine import HttpEngine
from llmops.serving.engine import adapters, loading, record, running, vllm
from llmops.serving.engine.flags import EngineSpec, at_next_start, fits, wider
from llmops.serving.engine.record import Record
from llmops.serving.engine.running import START_S

_ANEW = "It is ended and started anew for that; who asks meanwhile waits, or is told to come again."
_BESIDE = "Another runs beside it for that, and it ends when no release is left on it."


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
            key_file=self.key_file, known=known, ours=True,
        )  # fmt: skip

    def trouble(self) -> str:
        """Why it doesn't answer as it should, a line; empty where it does. A busy one takes a while to say."""
        return running.trouble(self.record)

    def suspect(self) -> None:
        """Note that it was seen to compute values that are no numbers, for whoever tends it."""
        record.path(self.key, "suspect").touch()

    @property
    def is_suspect(self) -> bool:
        return record.path(self.key, "suspect").exists()

    def heal(self, anew: bool = False) -> bool:
        """Start it anew, with its adapters, where it doesn't answer as it should; return whether that was so.

        `anew` does it whatever it answers: for an engine that was seen to compute values that are no numbers. While somebody
        else starts it, or gives it an adapter, it is left to them.

        Raises:
            EngineError: it doesn't start, or an adapter's files are gone.
        """
        if not anew and not self.trouble() and not running.missing(self.record):
            return False
        before = self.record.started
        with suppress(BlockingIOError), record.lock(self.key, wait=False):
            if anew and self.record.started == before:  # nobody else did meanwhile
                running.load_missing(running.start(self.record, START_S))
                record.path(self.key, "suspect").unlink(missing_ok=True)
            return running.ensure(self.record).started != before
        return False

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
                loading.load(found, name, digest, folder, probes)
            record.write(loading.with_adapter(self.record, name, holder))
        return name

    def unload(self, holder: str, name: str) -> None:
        """Let go of an adapter; where nobody else holds it the engine forgets it. Its answers are to be finished before."""
        with record.lock(self.key):
            record.write(loading.without(self.record, holder, name))


def acquire(spec: EngineSpec, holder: str, restart: Callable[[str], None] | None = None, start_s: float = START_S) -> Engine:
    """The engine for a spec, shared where one on this base runs, else started; `holder` holds it until `release`.

    `restart` hears beforehand what a restart or another base is for; without it neither is done.

    Raises:
        EngineError: it doesn't start, or would need a restart or another base, which isn't asked for.
    """
    key = record.engine_key(spec)
    if why := needs_restart(spec, holder):
        if restart is None:
            raise EngineError(f"{why} Ask for a restart, or deploy it under another name.")
        found = record.read(key)
        restart(f"{why} {_BESIDE if found is None or fits(found.spec, spec) else _ANEW}")
    with record.lock(key):
        before = found = record.read(key) or Record(spec)
        if not fits(found.spec, spec):
            vllm.stop(record.path(key, "pid"), found.spec.drain_s)
            found = replace(found, spec=wider(found.spec, spec))
        held = replace(found, spec=at_next_start(found.spec, spec), holders=tuple(sorted({*found.holders, holder})))
        record.write(held)
        try:
            running.ensure(held, start_s)
        except BaseException:
            if not found.holders:
                _end(held)
            elif (now := record.read(key)) is not None:
                record.write(replace(now, spec=before.spec, holders=before.holders))
            raise
    return Engine(key)


def needs_restart(spec: EngineSpec, holder: str) -> str:
    """Why a spec can't be had without another engine than `holder` has, or without starting one anew; empty where it can."""
    key = record.engine_key(spec)
    for found in record.read_all():
        if holder in found.holders and found.key != key:
            return f"{holder} runs on base {found.spec.base} ({found.spec.base_digest[:12]}), and this is on {spec.base}."
        if found.key == key and not fits(found.spec, spec):
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
                left = loading.without(left, holder, name)
            record.write(left)


def release_gone(holders: Collection[str]) -> None:
    """Let go of what is held by others than these: those are gone without a word."""
    for gone in {one for found in record.read_all() for one in found.holders} - set(holders):
        release(gone)


def _end(found: Record) -> None:
    vllm.stop(record.path(found.key, "pid"), found.spec.drain_s)
    if found.scratch:
        shutil.rmtree(found.scratch, ignore_errors=True)
    record.remove(found)
    loading.clear()
