"""A release: everything that decides an answer, each part pinned by version and digest."""

from dataclasses import asdict, dataclass
from typing import Any

from llmops import digests
from llmops.errors import ArtifactError, ConfigError
from llmops.guards.settings import GUARDS, GuardSettings
from llmops.retrieval.search import Search

KINDS = ("prompt", "few-shot", "rag", "adapter", "rag+adapter")
FORMAT = 2
NO_GUARDS = GuardSettings.from_dict(dict.fromkeys(GUARDS, "off"))
_SINCE_2 = ("format", "guards", "budget")  # releases of format 1 have none of these


@dataclass(frozen=True)
class Shot:
    """A worked example shown before the question."""

    question: str
    context: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Generator:
    """The base model, and the adapter on it if any."""

    base: str
    base_digest: str
    dtype: str
    max_new_tokens: int
    adapter: str | None = None  # models:/<app>-adapter/<version>
    adapter_digest: str | None = None


@dataclass(frozen=True)
class Retrieval:
    """The index, how it is asked, and the cross-encoder that reranks what is found, if any.

    `groups` are those whose documents may be shown, beside everyone's; None shows all to whoever asks.
    """

    index: str  # models:/<app>-index/<version>
    index_digest: str
    search: Search
    reranker: str | None = None
    reranker_digest: str | None = None
    groups: tuple[str, ...] | None = ()


@dataclass(frozen=True)
class Budget:
    """Most tokens of a prompt for passages (0: as many as the window has room for), and for the conversation so far."""

    passages: int = 0
    history: int = 512

    def __post_init__(self) -> None:
        if min(self.passages, self.history) < 0:
            raise ConfigError(f"a budget is {self.passages} and {self.history} tokens, expected 0 or more.")


@dataclass(frozen=True)
class Release:
    """One answerer of an application. The only thing evaluated, promoted, deployed, rolled back.

    `format` says how it is written down: one read from another package's registry is what it was, to its digest.
    """

    app: str
    kind: str
    prompt: str  # prompts:/<app>-prompt/<version>
    template: str
    generator: Generator
    retrieval: Retrieval | None = None
    shots: tuple[Shot, ...] = ()
    code_digest: str = ""  # of the source files that answer; "" is whatever is installed
    guards: GuardSettings = GuardSettings()
    budget: Budget = Budget()
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}.")
        has = (self.retrieval is not None, self.generator.adapter is not None, bool(self.shots))
        if has != ("rag" in self.kind, "adapter" in self.kind, self.kind == "few-shot"):
            raise ConfigError(f"a {self.kind!r} release can't have (retrieval, adapter, shots) = {has}.")

    @property
    def digest(self) -> str:
        return digests.of_data(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data from which `from_dict` makes an equal release."""
        data = asdict(self)
        data["shots"] = [{**shot, "context": list(shot["context"])} for shot in data["shots"]]
        if self.retrieval is not None and self.retrieval.groups is not None:
            data["retrieval"]["groups"] = list(self.retrieval.groups)
        return {name: value for name, value in data.items() if self.format > 1 or name not in _SINCE_2}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Release":
        """Read what `to_dict` wrote, of this format or an earlier one.

        Raises:
            ArtifactError: it is of a format that is not known here.
        """
        format = data.get("format", 1)
        if format not in (1, FORMAT):
            raise ArtifactError(f"the release has format {format!r}, expected 1 to {FORMAT}. Install a newer mlflow-llmops.")
        return cls(
            **{
                **data,
                "generator": Generator(**data["generator"]),
                "retrieval": _retrieval(data["retrieval"]) if data["retrieval"] else None,
                "shots": tuple(Shot(s["question"], tuple(s["context"]), s["answer"]) for s in data["shots"]),
                "guards": GuardSettings.from_dict(data["guards"]) if format > 1 else NO_GUARDS,
                "budget": Budget(**data["budget"]) if format > 1 else Budget(history=0),
                "format": format,
            }
        )


def _retrieval(data: dict[str, Any]) -> Retrieval:
    groups = data["groups"] if data["groups"] is None else tuple(data["groups"])
    return Retrieval(**{**data, "search": Search(**data["search"]), "groups": groups})
