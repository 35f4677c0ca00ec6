"""What releases run on: in the workers themselves, on a vLLM that they share, or on a server that somebody else runs.

The reconciler prepares a release and says in the plan how workers load it; when no worker has it any more, it is retired.
"""

import json
import math
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from llmops.chains.release import Release
from llmops.errors import ArtifactError, DeploymentError, EngineError
from llmops.finetuning.certificate import Probe
from llmops.models.engine import Engine
from llmops.models.http.engine import HttpEngine
from llmops.planning.serving import max_lora_rank
from llmops.serving import state
from llmops.serving.engine import engines
from llmops.serving.engine.api import tells_poison
from llmops.serving.engine.environment import find_environment
from llmops.serving.engine.flags import derive_spec
from llmops.serving.options import Options
from llmops.serving.rollout.events import add_event
from llmops.serving.rollout.plan import How
from llmops.serving.rollout.probe import probe, read_golden
from llmops.serving.roster import AgentServing, AnswererServing, Asked, Identity, Reply, Serving, load_serving
from llmops.tracking import agent
from llmops.tracking.flavor import fetch_folder, read_certificate
from llmops.tracking.loading import find_weights, load_answerer
from llmops.tracking.releases import read_release
from llmops.tracking.sources import source_digest
from llmops.tracking.versions import get_version
from llmops.tracking.worker import Worker
from llmops.types import Spans, no_spans

URL = "url"  # an engine of this key is the server that the deployment names


class Backend(Protocol):
    """The reconciler's side."""

    def prepare(self, release: Release) -> How:
        """Make ready what a release runs on; again is harmless.

        Raises:
            ArtifactError: it can't run there.
            EngineError: the engine fails, or would need a restart that isn't asked for.
        """

    def settle(self, kept: Collection[How]) -> None:
        """Let go of everything but what these run on."""

    def tend(self, hows: Collection[How]) -> str:
        """Repair what these run on where it doesn't answer; return what was done since the last time, or ""."""

    def now(self, how: How) -> How:
        """What a release runs on as it is to be asked now.

        Raises:
            EngineError: it is gone, and nobody repairs it.
        """


@dataclass
class InProcess:
    """Workers load everything themselves. `holder` is the deployment."""

    holder: str

    def prepare(self, release: Release) -> How:
        return How()

    def settle(self, kept: Collection[How]) -> None:
        used, names = _engines(kept), {how.adapter for how in kept}
        if len(used) < 2:  # two have work while a base changes
            engines.release(self.holder, next(iter(used), None))
        for engine in used:
            for name in [name for name, holders in engine.record.adapters.items() if self.holder in holders]:
                if name not in names:
                    engine.unload(self.holder, name)

    def tend(self, hows: Collection[How]) -> str:
        return ""

    def now(self, how: How) -> How:
        return how


class AtUrl(InProcess):
    """A server that runs already. It has the base alone."""

    def prepare(self, release: Release) -> How:
        if not _runs_here(release):
            return How()
        if release.generator.adapter is not None:
            raise ArtifactError(
                f"the release has the adapter {release.generator.adapter}, which a server of others can't load. "
                "Use engine=vllm or engine=transformers."
            )
        return How(URL)


@dataclass
class OnVllm(InProcess):
    """One vLLM for all on a base; with `restart` it may be started anew for a release that it has no place for.

    `chosen` settings of it stand above those that follow from releases.
    """

    restart: bool = False
    chosen: Mapping[str, Any] = field(default_factory=dict)
    _restarts: dict[str, int] = field(default_factory=dict)  # that were told, by engine

    def prepare(self, release: Release) -> How:
        generator = release.generator
        if not _runs_here(release):
            return How()
        folder = fetch_folder("adapter", generator.adapter) if generator.adapter else None
        ranks = [max_lora_rank(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")))] if folder else []
        weights = find_weights(generator.base, generator.base_digest)
        spec = derive_spec(weights, generator.dtype, find_environment().device, ranks, **self.chosen)
        engine = engines.acquire(spec, self.holder, self._tell if self.restart else None)
        if folder is None or generator.adapter is None:
            return self.now(How(engine.key))
        uri, digest = generator.adapter, str(generator.adapter_digest)
        return self.now(How(engine.key, engine.load(self.holder, uri, digest, folder, _read_probes(uri))))

    def _tell(self, text: str) -> None:
        add_event(state.deployment_folder(self.holder), "engine", text=text)

    def tend(self, hows: Collection[How]) -> str:
        """Others who share an engine repair it too: what they do is told once it is done."""
        told = []
        for engine in _engines(hows):
            before = self._restarts.get(engine.key, engine.record.restarts)
            is_suspect = engine.is_suspect  # what got into its memory can lie in a part of it that no probe reads
            trouble = "It computed values that are no numbers." if is_suspect else engine.trouble()
            if trouble and not engine.heal(anew=is_suspect):
                continue
            found = engine.record
            self._restarts[engine.key] = found.restarts
            if found.restarts > before:
                told.append(f"the engine on {found.spec.base} was started anew. {trouble}".strip())
        return " ".join(told)

    def now(self, how: How) -> How:
        return replace(how, url=engines.Engine(how.engine).record.url) if how.engine not in ("", URL) else how


def backend_of(name: str, options: Options) -> Backend:
    """What a deployment's options ask for."""
    if options.engine == "vllm":
        return OnVllm(name, options.base_change == "restart", options.vllm_settings)
    return AtUrl(name) if options.engine == "url" else InProcess(name)


def load_planned(name: str, uri: str, how: How) -> Serving:
    """Load a release in a worker as the plan says, and let it prove that it answers, within the time of a request.

    Raises:
        LLMOpsError: it can't be loaded, or doesn't answer as it did when it was made.
    """
    deployment = state.read(name)
    serving = _load_on_engine(name, uri, how) if how.engine else load_serving(name, uri)
    try:
        probe(serving, read_golden(serving), deployment.options.request_timeout_s if deployment else math.inf)
    except BaseException:
        let_go(serving)
        raise
    return serving


@dataclass(frozen=True)
class EngineServing(AnswererServing):
    """On an engine of ours, which is noted down for what its answers show of it."""

    engine: engines.Engine

    def answer(self, asked: Asked, spans: Spans = no_spans) -> Reply:
        with self._watched():
            return super().answer(asked, spans)

    def stream(self, asked: Asked, spans: Spans = no_spans) -> Generator[str, None, Reply]:
        with self._watched():
            return (yield from super().stream(asked, spans))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            if tells_poison(str(error)):
                self.engine.suspect()
            raise


def let_go(serving: Serving) -> None:
    """Free what a release has for itself, once its last request has ended."""
    if isinstance(serving, AgentServing) and isinstance(serving.agent, Worker):
        serving.agent.close()


def _load_on_engine(name: str, uri: str, how: How) -> Serving:
    version, release = get_version(uri), read_release(uri)
    identity = Identity(name, version.uri, version.digest, version.version, version.model_id, how.adapter)
    if how.engine == URL:
        return AnswererServing(identity, load_answerer(release, _server(name, release.generator.base), how.adapter or None))
    engine = engines.Engine(how.engine)
    return EngineServing(identity, load_answerer(release, engine.answering(), how.adapter or None), engine)


def _server(name: str, base: str) -> Engine:
    deployment = state.read(name)
    if deployment is None:
        raise DeploymentError(f"{name!r} was deleted.")
    options = deployment.options
    return HttpEngine(
        options.engine_url, options.engine_model or base, options.engine_key_env or "OPENAI_API_KEY",
        options.max_in_flight, options.request_timeout_s, retries=2,
    )  # fmt: skip


def _engines(hows: Collection[How]) -> list[engines.Engine]:
    return [engines.Engine(key) for key in sorted({how.engine for how in hows} - {"", URL})]


def _runs_here(release: Release) -> bool:
    """Whether the code installed here is to answer, and chooses the engine: not for another server's, or older code's."""
    return release.generator.server is None and release.code_digest in ("", source_digest(agent.__name__))


def _read_probes(adapter: str) -> list[Probe]:
    """Those of an adapter's certificate."""
    stored = read_certificate(get_version(adapter)).get("probes") or []
    return [Probe(**{name: tuple(value) for name, value in one.items()}) for one in stored]
