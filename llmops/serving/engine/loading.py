"""The adapters that an engine has loaded: who holds them, and what is done when nobody does any more."""

import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from llmops.errors import ArtifactError, EngineError
from llmops.finetuning.certificate import Probe
from llmops.serving.engine import adapters, proof, record
from llmops.serving.engine.api import Poisoned
from llmops.serving.engine.record import Record
from llmops.serving.engine.running import START_S, api_of, load_missing, start

_KEPT_S = 3600.0  # that an unloaded adapter's files stay: answers under way may read them once more


def load(found: Record, name: str, digest: str, folder: Path, probes: Sequence[Probe]) -> None:
    """Check it, load it and prove it; one that fails is taken out again, and an engine that it poisoned started anew."""
    if len(found.adapters) >= found.spec.adapters:
        raise EngineError(f"the engine has {len(found.adapters)} adapters, its most. Unload one, or start it for more.")
    spec, api = found.spec, api_of(found)
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
            load_missing(start(found, START_S))
            raise ArtifactError(f"adapter {name}: {error} The engine was started anew without it.") from error
        raise


def with_adapter(found: Record, name: str, holder: str) -> Record:
    """The record once `holder` holds an adapter too."""
    holders = tuple(sorted({*found.adapters.get(name, ()), holder}))
    return replace(found, adapters={**found.adapters, name: holders})


def without(found: Record, holder: str, name: str) -> Record:
    """The record once `holder` holds an adapter no more; one that nobody else holds is unloaded."""
    held = tuple(one for one in found.adapters.get(name, ()) if one != holder)
    others = {one: holders for one, holders in found.adapters.items() if one != name}
    if held:
        return replace(found, adapters={**others, name: held})
    if name in found.adapters:
        with suppress(EngineError):  # a dead one has forgotten all
            api_of(found).unload(name)
        with suppress(OSError):
            os.utime(adapters.adapters_folder() / name)  # when it was unloaded
    clear(others)
    return replace(found, adapters=others)


def clear(also_kept: Collection[str] = ()) -> None:
    """Remove the files of adapters that no engine has, and that had rest for an hour."""
    kept = {name for found in record.read_all() for name in found.adapters} | set(also_kept)
    for folder in adapters.adapters_folder().glob("[!.]*"):
        with suppress(OSError):
            if folder.name not in kept and time.time() - folder.stat().st_mtime > _KEPT_S:
                adapters.remove_adapter(folder.name)
