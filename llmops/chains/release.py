"""A release: everything that decides an answer, each part pinned by version and digest."""

from dataclasses import asdict, dataclass
from typing import Any

from llmops import digests
from llmops.chains.chain import check_chain
from llmops.chains.parts import Abstention, Budget, ChainPrompt, Examples, Generator, Retrieval
from llmops.errors import ArtifactError, ConfigError
from llmops.guards.settings import GUARDS, GuardSettings
from llmops.retrieval.search import Search
from llmops.types import Example

KINDS = ("prompt", "few-shot", "rag", "adapter", "rag+adapter", "external", "rag+external", "pretrained")
TRAINED_HERE = KINDS[:5]  # what an application has without a server elsewhere
FORMAT = 5
NO_GUARDS = GuardSettings.from_dict(dict.fromkeys(GUARDS, "off"))
_SINCE = {  # the format from which on a field is written down; releases of earlier ones have its default
    "generator.temperature": 5, "generator.top_p": 5,
    "guards.injection_classifier_digest": 4, "generator.server": 3, "generator.window": 3, "generator.key_env": 3,
    "budget.examples": 3, "examples": 3, "chain": 3, "abstention": 3, "budget": 2, "guards": 2, "format": 2,
}  # fmt: skip


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
    shots: tuple[Example, ...] = ()
    code_digest: str = ""  # of the source files that answer; "" is whatever is installed
    guards: GuardSettings = GuardSettings()
    budget: Budget = Budget()
    examples: Examples | None = None
    chain: tuple[ChainPrompt, ...] = ()
    abstention: Abstention | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}.")
        similar = self.examples is not None and self.examples.choice == "similar"
        generator = self.generator
        has = (
            self.retrieval is not None, generator.adapter is not None, bool(self.shots) or similar,
            generator.server is not None,
        )  # fmt: skip
        if has != ("rag" in self.kind, "adapter" in self.kind, self.kind == "few-shot", "external" in self.kind):
            raise ConfigError(f"a {self.kind!r} release can't have (retrieval, adapter, shots, server) = {has}.")
        if similar and self.shots:
            raise ConfigError("a release has shots of its own and chooses similar ones, expected one of both.")
        check_chain(self.chain, self.retrieval is not None)

    @property
    def digest(self) -> str:
        return digests.of_data(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data from which `from_dict` makes an equal release."""
        data = asdict(self)
        data["shots"] = [{**shot, "context": list(shot["context"])} for shot in data["shots"]]
        data["chain"] = list(data["chain"])
        if self.retrieval is not None and self.retrieval.groups is not None:
            data["retrieval"]["groups"] = list(self.retrieval.groups)
        for name, since in _SINCE.items():
            if self.format < since:
                part, _, field = name.rpartition(".")
                (data[part] if part else data).pop(field)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Release":
        """Read what `to_dict` wrote, of this format or an earlier one.

        Raises:
            ArtifactError: it is of a format that is not known here.
        """
        format = data.get("format", 1)
        if type(format) is not int or not 1 <= format <= FORMAT:
            raise ArtifactError(f"the release has format {format!r}, expected 1 to {FORMAT}. Install a newer mlflow-llmops.")
        examples, abstention = data.get("examples"), data.get("abstention")
        return cls(
            **{
                **data,
                "generator": Generator(**data["generator"]),
                "retrieval": _retrieval(data["retrieval"]) if data["retrieval"] else None,
                "shots": tuple(Example(s["question"], tuple(s["context"]), s["answer"]) for s in data["shots"]),
                "guards": GuardSettings.from_dict(data["guards"]) if format > 1 else NO_GUARDS,
                "budget": Budget(**data["budget"]) if format > 1 else Budget(history=0),
                "examples": Examples(**examples) if examples else None,
                "chain": tuple(ChainPrompt(**prompt) for prompt in data.get("chain", ())),
                "abstention": Abstention(**abstention) if abstention else None,
                "format": format,
            }
        )


def _retrieval(data: dict[str, Any]) -> Retrieval:
    groups = data["groups"] if data["groups"] is None else tuple(data["groups"])
    return Retrieval(**{**data, "search": Search(**data["search"]), "groups": groups})
