"""What a gateway serves: releases that answer, and who picks one for a request."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from llmops.chains.answerer import Answerer
from llmops.errors import DeploymentError, EngineError
from llmops.tracking.agent import ReleaseAgent, details
from llmops.tracking.versions import at_hand, get_version
from llmops.tracking.worker import untraced
from llmops.types import Answer, Message, Query, Spans, no_spans


class UnknownModel(DeploymentError):
    """Nobody serves a model of this name here."""


class Unrestricted(DeploymentError):
    """A release can't keep to a caller's groups, so the caller may not ask it."""


class Unbounded(DeploymentError):
    """A release can't keep an answer as short as a caller asks."""


@dataclass(frozen=True)
class Asked:
    """A question as a caller may ask it: `groups` are those whose documents it may see, None sets no bound of its own."""

    query: Query
    seed: int | None = None
    groups: tuple[str, ...] | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Reply:
    """The text of an answer, and what is told beside it (`llmops.tracking.agent.details`)."""

    text: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """What a release is called: `name` is the application's, `adapter` what the engine knows its adapter by, or ""."""

    name: str
    uri: str
    digest: str
    version: str
    model_id: str = ""  # of the logged model, by which traces find it
    adapter: str = ""

    @property
    def pinned(self) -> str:
        """The model name that means this release and no other, such as handbook/5."""
        return f"{self.name}/{self.version}"


class Serving(Protocol):
    """A loaded release. Both methods block, and are called from many threads.

    Raises:
        EngineError: there is no answer.
        Unrestricted, Unbounded: it can't keep to the groups, or to the bound on tokens.
    """

    @property
    def identity(self) -> Identity: ...

    def answer(self, asked: Asked, spans: Spans = no_spans) -> Reply: ...

    def stream(self, asked: Asked, spans: Spans = no_spans) -> Generator[str, None, Reply]: ...


class Roster(Protocol):
    """Who answers. All methods are called in the event loop, so they answer at once."""

    @property
    def name(self) -> str: ...

    def pick(self, model: str, user: str) -> AbstractContextManager[Serving]:
        """The release for a request, held until the request has ended.

        Raises:
            UnknownModel: `model` isn't served; it says what is.
        """

    def models(self) -> Sequence[tuple[str, Identity]]:
        """What can be asked for: names of models, and the release that each means now. The first is the usual one."""

    def ready(self) -> str | None:
        """Why nothing can be answered yet, or None."""


@dataclass(frozen=True)
class AnswererServing:
    """A release that answers with the code installed here."""

    identity: Identity
    answerer: Answerer

    def answer(self, asked: Asked, spans: Spans = no_spans) -> Reply:
        return _reply(self._for(asked).answer([asked.query], spans=spans)[0])

    def stream(self, asked: Asked, spans: Spans = no_spans) -> Generator[str, None, Reply]:
        return _reply((yield from self._for(asked).stream(asked.query, spans)))

    def _for(self, asked: Asked) -> Answerer:
        answerer = self.answerer
        if asked.groups is not None or asked.max_new_tokens is not None:
            answerer = answerer.restricted(asked.groups, asked.max_new_tokens)
        return answerer.with_seed(asked.seed)


@dataclass(frozen=True)
class AgentServing:
    """A release behind `predict` and `predict_stream` of MLflow's ResponsesAgent, such as one in a process of its own.

    It can't be told which groups a caller is of, nor to say less than its own `max_new_tokens`, where that is known: such a
    caller is refused.
    """

    identity: Identity
    agent: Any
    max_new_tokens: int | None = None

    def answer(self, asked: Asked, spans: Spans = no_spans) -> Reply:
        request = self._request(asked)
        answer = self.agent.predict(request)
        return Reply(answer["output"][0]["content"][0]["text"], answer["custom_outputs"])

    def stream(self, asked: Asked, spans: Spans = no_spans) -> Generator[str, None, Reply]:
        request = self._request(asked)
        for event in self.agent.predict_stream(request):
            if event["type"] == "response.output_item.done":
                return Reply(event["item"]["content"][0]["text"], event["custom_outputs"])
            yield event["delta"]
        raise EngineError(f"{self.identity.uri} ended a stream without an answer.")

    def _request(self, asked: Asked) -> dict[str, Any]:
        if asked.groups is not None:
            raise Unrestricted(f"{self.identity.pinned} can't keep to the groups of a key. Ask with a key that has none.")
        wanted, own = asked.max_new_tokens, self.max_new_tokens
        if wanted is not None and (own is None or wanted < own):
            raise Unbounded(f"{self.identity.pinned} says up to {own or 'any number of'} tokens. Ask without a lower bound.")
        said = (*asked.query.history, Message("user", asked.query.question))
        messages = [{"role": one.role, "content": one.content} for one in said]
        return {"input": messages, "custom_inputs": {"seed": asked.seed}}


@dataclass(frozen=True)
class Single:
    """A roster of one release, which is there from the beginning."""

    serving: Serving

    @property
    def name(self) -> str:
        return self.serving.identity.name

    @contextmanager
    def pick(self, model: str, user: str) -> Iterator[Serving]:
        check_served(model, [name for name, _ in self.models()])
        yield self.serving

    def models(self) -> Sequence[tuple[str, Identity]]:
        identity = self.serving.identity
        return [(identity.name, identity), (identity.pinned, identity)]

    def ready(self) -> str | None:
        return None


def check_served(model: str, served: Sequence[str]) -> None:
    """Raises UnknownModel, which says what is served, unless `model` is one of them."""
    if model in served:
        return
    near = get_close_matches(model, served, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise UnknownModel(f"model {model[:80]!r} is not served here. {hint}Served: {', '.join(served) or 'none'}.")


def load_serving(name: str, uri: str) -> Serving:
    """Load a registered release from the store, to answer under the application's name. Who asks it writes the traces.

    Raises:
        ArtifactError: `uri` names no version, or what it names doesn't answer as it did when it was made.
    """
    import mlflow

    version = get_version(uri)
    with untraced():
        model = mlflow.pyfunc.load_model(at_hand(version.uri))
    return serving_of(Identity(name, version.uri, version.digest, version.version, version.model_id), model)


def serving_of(identity: Identity, model: Any) -> Serving:
    """What serves a loaded pyfunc: without MLflow's layer between where it is a release, for it traces every answer."""
    agent = model.get_raw_model() if hasattr(model, "get_raw_model") else model
    if not isinstance(agent, ReleaseAgent):
        return AgentServing(identity, model)
    if agent.worker is None:
        return AnswererServing(identity, agent.answerer)
    return AgentServing(identity, agent.worker, int(model.model_config["generator"]["max_new_tokens"]))


def _reply(answer: Answer) -> Reply:
    return Reply(answer.text, details(answer))
