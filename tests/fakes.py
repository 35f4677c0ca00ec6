"""Small real implementations of what an answer is made with: an engine, a tokenizer, an index; and releases for them."""

from collections.abc import Generator as Pieces
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llmops.chains.answerer import Answerer
from llmops.chains.parts import Generator, Retrieval
from llmops.chains.prompt import ABSTENTION
from llmops.chains.release import Release
from llmops.models.engine import Engine
from llmops.retrieval.retriever import IndexRetriever
from llmops.retrieval.search import Search
from llmops.types import Chunk, Completion, Example, GenerationRequest, Hit, Message, Progress

TEMPLATE = "Context:\n{context}\n\nQuestion: {question}"


GENERATOR = Generator("wheel:base", "b" * 64, "float32", 24)
SERVED = Generator("gpt", "b" * 64, "unknown", 24, server="http://127.0.0.1:9/v1", window=4096, key_env="KEY")
ADAPTED = replace(GENERATOR, adapter="models:/handbook-adapter/1", adapter_digest="a" * 64)
SEARCH = Search(k=3, min_score=0.25)
RETRIEVAL = Retrieval("models:/handbook-index/1", "c" * 64, SEARCH)
SHOTS = (Example("How many days?", ("Leave\nThirty days.",), "thirty"), Example("Who won?", (), ABSTENTION))


def release(kind: str) -> Release:
    return Release(
        "handbook",
        kind,
        "prompts:/handbook-prompt/1",
        TEMPLATE,
        ADAPTED if "adapter" in kind else SERVED if "external" in kind else GENERATOR,
        RETRIEVAL if "rag" in kind else None,
        SHOTS if kind == "few-shot" else (),
        "e" * 64,
    )


class EchoEngine:
    """Answers with the last line it was asked, and remembers the requests."""

    identity = {"name": "echo", "version": "1", "dtype": "float32"}

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        self.requests += requests
        return [Completion(self.says(request), len(request.messages), 2, "length") for request in requests]

    def stream(self, request: GenerationRequest) -> Pieces[str, None, Completion]:
        (completion,) = self.generate([request])
        for start in range(0, len(completion.text), 3):
            yield completion.text[start : start + 3]
        return completion

    def says(self, request: GenerationRequest) -> str:
        return request.messages[-1].content.splitlines()[-1]


class Words:
    """Counts words, with a window of so many, and breaks up <|tokens|>."""

    def __init__(self, window: int = 4096) -> None:
        self.window = window

    def count_prompt(self, messages: Sequence[Message]) -> int:
        return sum(self.count_text(message.content) for message in messages)

    def fits(self, messages: Sequence[Message], room: int) -> bool:
        return self.count_prompt(messages) + room <= self.window

    def count_text(self, text: str) -> int:
        return len(text.split())

    def defuse(self, text: str) -> str:
        return text.replace("<|", "< |")


def bot(made: Release, engine: Engine, *parts: Any, window: int = 4096, **more: Any) -> Answerer:
    return Answerer(made, engine, Words(window), *parts, **more)


class Parrot(EchoEngine):
    """Answers the same to everything."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def says(self, request: GenerationRequest) -> str:
        return self.text


class Shelf:
    """An index of chunks with given scores, for whatever question contains their heading."""

    def __init__(self, *scored: tuple[str, float]) -> None:
        self.hits = [
            Hit(Chunk(f"{name}.md#0", f"{name}.md", "Handbook", name, f"About {name}.", 0, 9), score)
            for name, score in scored
        ]

    def search(self, questions: Sequence[str], embedder: object, search: Search, *_: object) -> list[list[Hit]]:
        return [[hit for hit in self.hits if hit.chunk.heading in question][: search.k] for question in questions]


def retriever(*scored: tuple[str, float], min_score: float = -1.0) -> IndexRetriever:
    return IndexRetriever(index=Shelf(*scored), embedder=None, search=Search(k=3, min_score=min_score))


def shown(engine: EchoEngine) -> str:
    return engine.requests[-1].messages[-1].content
