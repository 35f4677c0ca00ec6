"""The data that flows between rooms. Plain, frozen, without behaviour worth testing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

Progress = Callable[[str, int, int], None]
"""Reports work under way: what is done, how many are done, how many there are."""

Metrics = dict[str, float]


class Span(Protocol):
    """A step of an answer under way, as a trace shows it."""

    def record(self, **values: Any) -> None:
        """Note what the step found, JSON-like values by name."""


Spans = Callable[[str, str], AbstractContextManager[Span]]
"""Opens a span: what is done, and of which kind it is ("CHAIN", "RETRIEVER", "CHAT_MODEL", "GUARDRAIL" ...)."""


class _Unseen:
    def record(self, **values: Any) -> None:
        pass


@contextmanager
def no_spans(name: str, kind: str) -> Iterator[Span]:
    """For answers that nobody traces."""
    yield _Unseen()


MetadataValue = str | int | float | bool | tuple[str, ...]
Metadata = Mapping[str, MetadataValue]
"""What is known of a document besides its text. `groups` names who may see it; without it everyone may."""


@dataclass(frozen=True)
class Section:
    """A stretch of a document in one place, `document.text[start:end]`.

    `heading` is the path of headings that stand above it, outermost first, joined by " > ".
    """

    start: int
    end: int
    heading: str = ""
    page: int | None = None  # 1-based: a page of a PDF, a slide; other formats have none
    start_s: float | None = None  # seconds into a recording
    end_s: float | None = None


@dataclass(frozen=True)
class Table:
    """A table, `document.text[start:end]`, one row a line; its header ends at `header_end`."""

    start: int
    header_end: int
    end: int


@dataclass(frozen=True)
class Document:
    """A source file or record as text.

    `doc_id` is its path below the documents folder with forward slashes, or the record's own id; `origin` is the path of
    the file that holds it. Sections tile the text in order, without gaps.
    """

    doc_id: str
    title: str
    text: str
    sections: tuple[Section, ...]
    digest: str  # sha256 of the file's bytes, or of the record
    origin: str = ""
    tables: tuple[Table, ...] = ()
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """A passage that fits the embedder, and its place: `document.text[start:end]` equals `text`.

    `table_header` is the header of the table the chunk continues, when it begins inside one.
    """

    chunk_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    page: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    table_header: str = ""


@dataclass(frozen=True)
class Hit:
    """A retrieved chunk. `score` is what it was ranked by; `similarity` the cosine similarity to the question, in [-1, 1].

    Lexical search and reranking know no similarity. `also` are the other documents that hold the same passage.
    """

    chunk: Chunk
    score: float
    similarity: float | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """One turn of a chat: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Query:
    """What a release is asked: a question, and the conversation before it."""

    question: str
    history: tuple[Message, ...] = ()


@dataclass(frozen=True)
class GenerationRequest:
    """What an engine is asked: messages, and the name of a loaded adapter or None for the base.

    At a `temperature` above 0 tokens are drawn, from the likeliest ones that together have a probability of `top_p`. The
    same request with the same `seed` draws the same ones; without a seed the engine takes one at random.
    """

    messages: tuple[Message, ...]
    max_new_tokens: int
    adapter: str | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Completion:
    """What an engine answers. `finish_reason` is "stop" or "length".

    `logprobs` are the log-probabilities, in nats, of the tokens that were generated, the one that ended the answer
    included; empty where the engine doesn't tell.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True)
class Question:
    """An evaluation question: `answers` are acceptable wordings, `documents` those that hold the answer.

    Neither means that the documents don't hold one: abstaining is right. Without answers alone only retrieval can be
    measured, without documents alone only answers. `slices` group questions, such as topic, language, length or source by
    their values; `origin` is human, synthetic or feedback.
    """

    question_id: str
    text: str
    answers: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    slices: Mapping[str, str] = field(default_factory=dict, hash=False)
    origin: str = "human"

    @property
    def answerable(self) -> bool:
        return bool(self.answers or self.documents)


@dataclass(frozen=True)
class Example:
    """A training example: question and context passages to answer."""

    question: str
    context: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Conversation:
    """A chat to learn from: its messages in order, at least one of them the assistant's, and so the last."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Preference:
    """Messages to answer, with a better and a worse answer to them."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Answer:
    """What a release says to a question, and the hits it showed to the model.

    `blocked` tells why a guard refused; `guards` what guards noted; `engine` what generated it. `places` says in which
    passage each hit was shown, the first being 1, `passages` how each read, less any secrets, and `citations` which ones the
    text cites; `confidence` is the mean log-probability of the answer's tokens, in nats, where the engine tells. Tokens are
    those of all that the model was asked for this answer.
    """

    text: str
    abstained: bool
    hits: tuple[Hit, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"
    blocked: str = ""
    guards: tuple[str, ...] = ()
    engine: Mapping[str, str] = field(default_factory=dict)
    places: tuple[int, ...] = ()
    citations: tuple[int, ...] = ()
    confidence: float | None = None
    passages: tuple[str, ...] = ()
