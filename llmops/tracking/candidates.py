"""The parts that an application's candidates share, and the release of each kind that is put together from them."""

from dataclasses import dataclass, replace

from llmops.chains.parts import Budget, ChainPrompt, Examples, Generator, Retrieval, Shot
from llmops.chains.prompt import Prompt
from llmops.chains.release import Release
from llmops.errors import ConfigError
from llmops.guards.settings import GuardSettings
from llmops.tracking.registered import AGENT
from llmops.tracking.sources import source_digest
from llmops.tracking.versions import Registered


@dataclass(frozen=True)
class Parts:
    """Parts that are each verified; those that no candidate needs are None.

    `external` is the generator of kinds that ask a server. Of few-shot, `shots` are shown if `examples` are static.
    """

    app: str
    prompt: Prompt
    prompt_uri: str
    generator: Generator | None
    external: Generator | None
    retrieval: Retrieval | None
    adapter: Registered | None
    examples: Examples | None
    shots: tuple[Shot, ...]
    guards: GuardSettings
    chain: tuple[ChainPrompt, ...]
    budget: Budget

    def release(self, kind: str) -> Release:
        """Raises ConfigError if a part of this kind is missing."""
        generator = self.external if "external" in kind else self.generator
        if generator is None:
            raise ConfigError(f"kind {kind!r} asks a server, and none is given. Name its address (server) and its model.")
        if "adapter" in kind and self.adapter is not None:
            generator = replace(generator, adapter=self.adapter.uri, adapter_digest=self.adapter.digest)
        retrieves, shows = "rag" in kind, kind == "few-shot"
        return Release(
            self.app, kind, self.prompt_uri, self.prompt.template, generator,
            self.retrieval if retrieves else None,
            self.shots if shows else (),
            source_digest(AGENT), self.guards, self.budget,
            self.examples if shows else None,
            tuple(prompt for prompt in self.chain if retrieves or prompt.name == "rewrite"),
        )  # fmt: skip
