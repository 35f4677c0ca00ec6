"""The data that flows between rooms. Plain, frozen, without behaviour worth testing."""

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str, int, int], None]
"""Reports work under way: what is done, how many are done, how many there are."""

Metrics = dict[str, float]


@dataclass(frozen=True)
class Section:
    """A stretch of a document under one heading, `document.text[start:end]`."""

    start: int
    end: int
    heading: str = ""
    page: int | None = None  # 1-based; only paged formats have one


@dataclass(frozen=True)
class Document:
    """A source file as text. `doc_id` is its path below the documents folder, with forward slashes."""

    doc_id: str
    title: str
    text: str
    sections: tuple[Section, ...]
    digest: str  # sha256 of the file's bytes


@dataclass(frozen=True)
class Chunk:
    """A passage that fits the embedder, and its place: `document.text[start:end]` equals `text`."""

    chunk_id: str
    doc_id: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True)
class Hit:
    """A retrieved chunk. `score` is the cosine similarity to the question, in [-1, 1]."""

    chunk: Chunk
    score: float


@dataclass(frozen=True)
class Message:
    """One turn of a chat: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class GenerationRequest:
    """What an engine is asked: messages, and the name of a loaded adapter or None for the base."""

    messages: tuple[Message, ...]
    max_new_tokens: int
    adapter: str | None = None


@dataclass(frozen=True)
class Completion:
    """What an engine answers. `finish_reason` is "stop" or "length"."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


@dataclass(frozen=True)
class Question:
    """An evaluation question. No `answers` means that the documents don't hold one: abstaining is right."""

    question_id: str
    text: str
    answers: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        return bool(self.answers)


@dataclass(frozen=True)
class Example:
    """A training example: question and context passages to answer."""

    question: str
    context: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Answer:
    """What a release says to a question, and the hits it showed to the model."""

    text: str
    abstained: bool
    hits: tuple[Hit, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"
