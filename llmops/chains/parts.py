"""The parts that a release pins, each by version and digest."""

import re
from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.retrieval.search import Search

CHOICES = ("static", "similar")


def check_server(address: str) -> None:
    """Check that an address can be shown: whoever reads a release or a run reads it too.

    Raises:
        ConfigError: it holds a login, or a query, in which keys are sent.
    """
    if re.search("[@?#]", address):
        raise ConfigError(
            "the server's address holds a login or a query, which all who read the release would see. "
            "Give http(s)://host[:port][/v1], and the key in the environment variable that server_key_env names."
        )


def check_decoding(temperature: float, top_p: float) -> None:
    """Check how tokens are to be chosen.

    Raises:
        ConfigError: a value is out of range, or is one of drawing where nothing is drawn.
    """
    if not 0 <= temperature <= 2:
        raise ConfigError(f"temperature is {temperature}, expected 0, which is greedy, to 2.")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p is {top_p}, expected a share above 0, up to 1.")
    if temperature == 0 and top_p < 1:
        raise ConfigError(f"top_p is {top_p} at temperature 0, where nothing is drawn. Give a temperature, or top_p 1.")


@dataclass(frozen=True)
class Examples:
    """The set that shots come from: "static" ones are the release's own, "similar" ones are chosen for each question.

    `count` is the most that are chosen; `embedder` says how like two questions are.
    """

    examples: str  # models:/<app>-examples/<version>
    examples_digest: str
    choice: str
    count: int
    embedder: str | None = None
    embedder_digest: str | None = None

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise ConfigError(f"the choice of examples is {self.choice!r}, expected one of {', '.join(CHOICES)}.")
        if (self.embedder is not None) != (self.choice == "similar"):
            raise ConfigError(f"{self.choice} examples have the embedder {self.embedder!r}. Only similar ones need one.")
        if self.count < 1:
            raise ConfigError(f"the count of examples is {self.count}, expected 1 or more.")


@dataclass(frozen=True)
class Generator:
    """The base model, and the adapter on it if any; or a model of the server at `server`, by the name it has there.

    A server's model is pinned by name alone, and has a `window` of so many tokens; its key is in the environment variable
    `key_env`. At `temperature` 0 decoding is greedy; above it tokens are drawn, from the likeliest ones that together have
    a probability of `top_p`.
    """

    base: str
    base_digest: str
    dtype: str
    max_new_tokens: int
    adapter: str | None = None  # models:/<app>-adapter/<version>
    adapter_digest: str | None = None
    server: str | None = None
    window: int | None = None
    key_env: str | None = None
    temperature: float = 0.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_decoding(self.temperature, self.top_p)
        given = [value is not None for value in (self.server, self.window, self.key_env)]
        if len(set(given)) > 1:
            raise ConfigError("a generator has some of server, window and key_env, expected all or none.")
        check_server(self.server or "")


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
class ChainPrompt:
    """A prompt that comes before or after the answer's: `name` is one of `chain.PROMPTS`."""

    name: str
    prompt: str  # prompts:/<app>-<name>/<version>
    template: str


@dataclass(frozen=True)
class Abstention:
    """Answers of less confidence than `min_confidence` are withheld, so that at most a share `max_wrong` is wrong.

    Confidence is the mean log-probability, in nats, of an answer's tokens. It was calibrated on so many `questions`.
    """

    min_confidence: float
    max_wrong: float
    questions: int


@dataclass(frozen=True)
class Budget:
    """Most tokens of a prompt for passages and for examples (0: what the window has room for), and for the conversation."""

    passages: int = 0
    history: int = 512
    examples: int = 0

    def __post_init__(self) -> None:
        if min(self.passages, self.history, self.examples) < 0:
            found = f"{self.passages} (passages), {self.history} (history) and {self.examples} (examples)"
            raise ConfigError(f"a budget is {found} tokens, expected 0 or more.")
