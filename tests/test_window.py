"""All that a release asks of its model fits the model's window, or one line says that it doesn't."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes import EchoEngine, release
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from llmops.chains.answerer import Answerer
from llmops.chains.parts import Budget, ChainPrompt
from llmops.chains.release import NO_GUARDS, Release
from llmops.errors import EngineError
from llmops.models.tokenizer import ModelTokenizer
from llmops.models.weights import resolve_weights
from llmops.retrieval.retriever import IndexRetriever
from llmops.retrieval.search import Search
from llmops.types import Chunk, Example, GenerationRequest, Hit, Message, Query

TEMPLATE = "Answer briefly, and cite, such as [1].\n\n{context}\n\n{question}"
CHAIN = {
    "rewrite": "Make it stand alone.\n{conversation}\n{question}",
    "decompose": "Take it apart.\n{question}",
    "check": "Yes or no?\n{context}\n{question}\n{answer}",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_lm: Path) -> ModelTokenizer:
    return ModelTokenizer(resolve_weights(str(tiny_lm)))


WORDS = [
    "leave ",
    "of thirty days. ",
    "<|end|>",
    "<|user|>",
    "\n\n",
    "請假三十天",
    "🌊",
    "x" * 60,
    "é",
    "[1] ",
    "{",
    "\u0301",
]
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=25).map("".join)


@dataclass(frozen=True)
class Case:
    """A release, what is asked of it, what is found for that, and what the model says to everything."""

    made: Release
    query: Query
    passages: tuple[str, ...]
    said: str
    window: int


@st.composite
def cases(draw: st.DrawFn, kind: str) -> Case:
    names = [name for name in CHAIN if draw(st.booleans()) and (name != "decompose" or kind == "rag")]
    examples = st.builds(Example, TEXT, st.lists(TEXT, max_size=2).map(tuple), TEXT)
    generator = replace(release(kind).generator, max_new_tokens=draw(st.integers(1, 40)))
    made = replace(
        release(kind), template=TEMPLATE, guards=NO_GUARDS, generator=generator,
        chain=tuple(ChainPrompt(name, f"prompts:/handbook-{name}/1", CHAIN[name]) for name in names),
        shots=tuple(draw(st.lists(examples, min_size=1, max_size=3))) if kind == "few-shot" else (),
        budget=draw(st.builds(Budget, st.sampled_from([0, 50]), st.sampled_from([0, 60, 512]), st.sampled_from([0, 80]))),
    )  # fmt: skip
    history = draw(st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "system"]), TEXT), max_size=6))
    passages = draw(st.lists(TEXT, min_size=1, max_size=4)) if kind == "rag" else []
    window = draw(st.sampled_from([400, 600, 900, 1500, 300, 200, 100]))
    return Case(made, Query(draw(TEXT), tuple(history)), tuple(passages), draw(TEXT), window)


class Strict(EchoEngine):
    """Says the same to everything, as much of it as was asked for, and refuses what doesn't fit its window."""

    def __init__(self, tokenizer: ModelTokenizer, said: str) -> None:
        super().__init__()
        self._tokenizer, self._said = tokenizer, said

    def says(self, request: GenerationRequest) -> str:
        roles = [message.role for message in request.messages]
        assert roles == [("user", "assistant")[place % 2] for place in range(len(roles))]
        assert self._tokenizer.count_prompt(request.messages) + request.max_new_tokens <= self._tokenizer.window
        ids = self._tokenizer.wrapped(self._said, add_special_tokens=False)["input_ids"][: request.max_new_tokens]
        return str(self._tokenizer.wrapped.decode(ids, skip_special_tokens=True))


class Found:
    """An index that finds the same passages for every question."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._hits = [
            Hit(Chunk(f"{place}.md#0", f"{place}.md", "Handbook", "Leave", text, 0, len(text)), 0.9)
            for place, text in enumerate(passages)
        ]

    def search(self, questions: Sequence[str], *_: object) -> list[list[Hit]]:
        return [self._hits for _ in questions]


def finding(passages: Sequence[str]) -> IndexRetriever:
    return IndexRetriever(index=Found(passages), embedder=None, search=Search(k=4, min_score=-1.0))


@pytest.mark.parametrize("kind", ["rag", "few-shot"])
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_asked_fits_the_window_with_room_for_the_answer(
    tokenizer: ModelTokenizer, kind: str, data: st.DataObject
) -> None:
    case = data.draw(cases(kind))
    tokenizer.window = case.window
    retriever = finding(case.passages) if case.made.retrieval else None
    try:
        (answer,) = Answerer(case.made, Strict(tokenizer, case.said), tokenizer, retriever=retriever).answer([case.query])
    except EngineError as error:
        event("refused")
        assert str(error).endswith(" Ask shorter.") and "\n" not in str(error)
        return
    event(f"answered with {len(answer.hits)} passages")
    first = next((place for place, text in enumerate(case.passages) if text.strip()), None)
    if first is not None and case.query.question.strip():
        assert answer.hits[0].chunk.doc_id == f"{first}.md" and answer.places[0] == 1


@pytest.mark.parametrize("name", CHAIN)
def test_a_chains_prompt_that_does_not_fit_is_one_line(tokenizer: ModelTokenizer, name: str) -> None:
    tokenizer.window = 200
    chain = (ChainPrompt(name, "prompts:/handbook-x/1", "word " * 200 + CHAIN[name]),)
    made = replace(release("rag"), template=TEMPLATE, chain=chain)
    answerer = Answerer(made, Strict(tokenizer, "Yes."), tokenizer, retriever=finding(["Leave is thirty days."]))
    query = Query("And then?", (Message("user", "How long?"), Message("assistant", "Long.")))
    with pytest.raises(EngineError, match=r"^[^\n]*window[^\n]* Ask shorter\.$"):
        answerer.answer([query])
