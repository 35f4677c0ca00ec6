"""Prompt, few-shot examples, answering, and the release that pins them."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import HANDBOOK

from llmops.chains.answerer import Answerer
from llmops.chains.examples import choose_shots
from llmops.chains.prompt import ABSTENTION, is_abstention, parse_prompt, read_prompt
from llmops.chains.release import KINDS, Generator, Release, Retrieval, Shot
from llmops.errors import ConfigError
from llmops.retrieval.retriever import IndexRetriever
from llmops.retrieval.search import Search
from llmops.types import Chunk, Completion, Example, GenerationRequest, Hit, Message, Progress

TEMPLATE = "Context:\n{context}\n\nQuestion: {question}"


# Prompt


def test_a_prompt_is_filled_with_passages_and_question() -> None:
    message = parse_prompt(TEMPLATE).message(" How many days? ", ["Leave\nThirty days.", "Sick\nCall."])
    assert message == Message("user", "Context:\nLeave\nThirty days.\n\nSick\nCall.\n\nQuestion: How many days?")


def test_a_prompt_without_passages_says_so() -> None:
    assert parse_prompt(TEMPLATE).message("Why?", []).content == "Context:\n(none)\n\nQuestion: Why?"


def test_braces_in_passages_and_questions_stay_as_they_are() -> None:
    content = parse_prompt(TEMPLATE).message("What is {question}?", ["Set {context} to {}."]).content
    assert content == "Context:\nSet {context} to {}.\n\nQuestion: What is {question}?"


def test_a_literal_brace_is_written_twice() -> None:
    assert parse_prompt("Answer {{briefly}}. " + TEMPLATE).message("Why?", []).content.startswith("Answer {briefly}. ")


BAD_TEMPLATES = {
    "no question": "{context}",
    "no context": "{question}",
    "no placeholder": "Answer.",
    "one too many": "{context} {question} {language}",
    "one too many, inside another": "{context} {question:{width}}",
    "one without a name": "{context} {question} {}",
    "a part of one": "{context.title} {question}",
    "an open brace": "{context} {question} {",
    "a closing brace": "{context} {question} }",
    "text as a number": "{context:d} {question}",
}


@pytest.mark.parametrize("template", BAD_TEMPLATES.values(), ids=BAD_TEMPLATES)
def test_a_prompt_has_exactly_the_two_placeholders(template: str) -> None:
    with pytest.raises(ConfigError, match="the prompt") as caught:
        parse_prompt(template)
    assert "\n" not in str(caught.value)


def test_prompts_are_identified_by_their_text_not_by_the_space_around_it() -> None:
    prompt = parse_prompt(TEMPLATE)
    assert prompt.digest == parse_prompt(TEMPLATE + "\n").digest != parse_prompt("Be brief. " + TEMPLATE).digest


def test_the_sample_prompt_tells_the_model_how_to_abstain() -> None:
    assert ABSTENTION in read_prompt(HANDBOOK / "prompt.txt").template


@pytest.mark.parametrize("content", [None, "Café {context} {question}".encode("latin-1")], ids=["missing", "not UTF-8"])
def test_a_prompt_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "prompt.txt").write_bytes(content)
    with pytest.raises(ConfigError, match="can't be read"):
        read_prompt(tmp_path / "prompt.txt")


ABSTAINING = [
    "I don't know",
    "I don't know.",
    "i DON'T know",
    "I don’t know.",
    "I do not know",
    "I dont know",
    '"I don\'t know"',
    "“I don’t know.”",
    "  I don't know, the context does not say.",
    "I don't know\nwho that is.",
]
ANSWERING = [
    "",
    "thirty days",
    "The foreman says: I don't know",
    'They write "I don\'t know" on form ON-3',
    "I know",
    "I do know",
    "You don't know",
    "I don't think so",
]


@pytest.mark.parametrize("text", ABSTAINING)
def test_an_answer_that_begins_by_not_knowing_abstains(text: str) -> None:
    assert is_abstention(text)


@pytest.mark.parametrize("text", ANSWERING)
def test_any_other_answer_does_not_abstain(text: str) -> None:
    assert not is_abstention(text)


# Release

GENERATOR = Generator("wheel:base", "b" * 64, "float32", 24)
ADAPTED = replace(GENERATOR, adapter="models:/handbook-adapter/1", adapter_digest="a" * 64)
SEARCH = Search(k=3, min_score=0.25)
RETRIEVAL = Retrieval("models:/handbook-index/1", "c" * 64, SEARCH)
SHOTS = (Shot("How many days?", ("Leave\nThirty days.",), "thirty"), Shot("Who won?", (), ABSTENTION))


def release(kind: str) -> Release:
    return Release(
        "handbook",
        kind,
        "prompts:/handbook-prompt/1",
        TEMPLATE,
        ADAPTED if "adapter" in kind else GENERATOR,
        RETRIEVAL if "rag" in kind else None,
        SHOTS if kind == "few-shot" else (),
        "e" * 64,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_survives_json(kind: str) -> None:
    made = release(kind)
    read = Release.from_dict(json.loads(json.dumps(made.to_dict())))
    assert read == made and read.digest == made.digest


CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "app": ("prompt", {"app": "manual"}),
    "prompt": ("prompt", {"prompt": "prompts:/handbook-prompt/2"}),
    "template": ("prompt", {"template": TEMPLATE + " Be brief."}),
    "base": ("prompt", {"generator": replace(GENERATOR, base="wheel:other")}),
    "base digest": ("prompt", {"generator": replace(GENERATOR, base_digest="0" * 64)}),
    "dtype": ("prompt", {"generator": replace(GENERATOR, dtype="bfloat16")}),
    "token limit": ("prompt", {"generator": replace(GENERATOR, max_new_tokens=25)}),
    "adapter": ("adapter", {"generator": replace(ADAPTED, adapter="models:/handbook-adapter/2")}),
    "adapter digest": ("adapter", {"generator": replace(ADAPTED, adapter_digest="0" * 64)}),
    "index": ("rag", {"retrieval": replace(RETRIEVAL, index="models:/handbook-index/2")}),
    "index digest": ("rag", {"retrieval": replace(RETRIEVAL, index_digest="0" * 64)}),
    "k": ("rag", {"retrieval": replace(RETRIEVAL, search=replace(SEARCH, k=2))}),
    "search": ("rag", {"retrieval": replace(RETRIEVAL, search=replace(SEARCH, mode="rrf"))}),
    "min score": ("rag", {"retrieval": replace(RETRIEVAL, search=replace(SEARCH, min_score=0.3))}),
    "groups": ("rag", {"retrieval": replace(RETRIEVAL, groups=("hr",))}),
    "reranker": ("rag", {"retrieval": replace(RETRIEVAL, reranker="wheel:reranker", reranker_digest="f" * 64)}),
    "shot question": ("few-shot", {"shots": (replace(SHOTS[0], question="Days?"), SHOTS[1])}),
    "shot context": ("few-shot", {"shots": (replace(SHOTS[0], context=()), SHOTS[1])}),
    "shot answer": ("few-shot", {"shots": (replace(SHOTS[0], answer="30"), SHOTS[1])}),
    "order of shots": ("few-shot", {"shots": SHOTS[::-1]}),
    "code": ("prompt", {"code_digest": "0" * 64}),
}


@pytest.mark.parametrize("kind, change", CHANGES.values(), ids=CHANGES)
def test_a_release_with_another_part_is_another_release(kind: str, change: dict[str, Any]) -> None:
    assert replace(release(kind), **change).digest != release(kind).digest


def test_every_kind_is_another_release() -> None:
    assert len({release(kind).digest for kind in KINDS}) == len(KINDS)


PARTS = {"retrieval": (None, RETRIEVAL), "generator": (GENERATOR, ADAPTED), "shots": ((), SHOTS)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_has_the_parts_of_its_kind_and_no_others(kind: str) -> None:
    right = release(kind)
    for parts in itertools.product(*PARTS.values()):
        changed = dict(zip(PARTS, parts, strict=True))
        if all(getattr(right, name) == part for name, part in changed.items()):
            continue
        with pytest.raises(ConfigError, match=re.escape(f"a '{kind}' release can't have")):
            replace(right, **changed)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="kind is 'magic', expected one of prompt, few-shot"):
        replace(release("prompt"), kind="magic")


# Few-shot examples

EXAMPLES = [
    Example("What is the very long way to ask?", ("A long passage about it.",), "the long one"),
    Example("Who won?", ("A passage.",), ABSTENTION),
    Example("When?", ("At nine.",), "nine"),
    Example("Who is the winner of it all?", ("A passage.",), ABSTENTION),
    Example("Where?", ("At Kesten.",), "Kesten"),
]


def test_the_shortest_examples_are_shown_and_the_last_of_them_abstains() -> None:
    assert [shot.question for shot in choose_shots(EXAMPLES, 3)] == ["When?", "Where?", "Who won?"]


def test_a_single_example_answers() -> None:
    assert [shot.question for shot in choose_shots(EXAMPLES, 1)] == ["When?"]


def test_the_choice_of_examples_does_not_depend_on_their_order() -> None:
    tied = [*EXAMPLES, replace(EXAMPLES[2], question="Then?")]
    assert len({choose_shots(order, 3) for order in itertools.permutations(tied)}) == 1


def test_where_no_example_abstains_all_answer() -> None:
    answering = [example for example in EXAMPLES if not is_abstention(example.answer)]
    assert [shot.question for shot in choose_shots(answering, 2)] == ["When?", "Where?"]


def test_an_example_is_shown_whole() -> None:
    assert choose_shots(EXAMPLES, 1) == (Shot("When?", ("At nine.",), "nine"),)


# Answering


class EchoEngine:
    """Answers with the last line it was asked, and remembers the requests."""

    identity = {"name": "echo", "version": "1", "dtype": "float32"}

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        self.requests += requests
        return [Completion(self.says(request), len(request.messages), 2, "length") for request in requests]

    def says(self, request: GenerationRequest) -> str:
        return request.messages[-1].content.splitlines()[-1]


class PassageCounter(EchoEngine):
    """Answers with the number of passages it was shown."""

    def says(self, request: GenerationRequest) -> str:
        return str(request.messages[-1].content.count("Handbook > "))


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


def test_retrieved_passages_reach_the_prompt() -> None:
    engine = EchoEngine()
    answer = Answerer(release("rag"), engine, None, retriever(("leave", 0.9), ("pay", 0.8))).answer(["leave or pay?"])[0]
    prompt = "Context:\nHandbook > leave\nAbout leave.\n\nHandbook > pay\nAbout pay.\n\nQuestion: leave or pay?"
    assert engine.requests == [GenerationRequest((Message("user", prompt),), 24)]
    assert [hit.chunk.doc_id for hit in answer.hits] == ["leave.md", "pay.md"]


def test_where_nothing_is_retrieved_the_answer_abstains_without_asking_the_model() -> None:
    engine = EchoEngine()
    answer = Answerer(release("rag"), engine, None, retriever(("leave", 0.9))).answer(["and pay?"])[0]
    assert (answer.text, answer.abstained, answer.hits, answer.prompt_tokens) == (ABSTENTION, True, (), 0)
    assert engine.requests == []


def test_answers_keep_the_order_of_the_questions_also_around_abstentions() -> None:
    answerer = Answerer(release("rag"), EchoEngine(), None, retriever(("leave", 0.9)))
    answers = answerer.answer(["leave one", "nothing", "leave two", "nothing", "leave three"])
    said = ["Question: leave one", ABSTENTION, "Question: leave two", ABSTENTION, "Question: leave three"]
    assert [answer.text for answer in answers] == said


def test_a_threshold_only_turns_answers_into_abstentions() -> None:
    """`choose_min_score` counts on this: it picks a threshold from answers given without one."""
    shelf = [("leave", 0.9), ("pay", 0.4)]
    free, strict = (
        Answerer(release("rag"), PassageCounter(), None, retriever(*shelf, min_score=score)).answer(
            ["leave and pay?", "pay?"]
        )
        for score in (-1.0, 0.5)
    )
    assert [answer.text for answer in free] == ["2", "1"]
    assert [answer.text for answer in strict] == ["2", ABSTENTION]


def test_few_shot_examples_come_before_the_question_as_turns() -> None:
    engine = EchoEngine()
    Answerer(release("few-shot"), engine).answer(["When?"])
    assert engine.requests[0].messages == (
        Message("user", "Context:\nLeave\nThirty days.\n\nQuestion: How many days?"),
        Message("assistant", "thirty"),
        Message("user", "Context:\n(none)\n\nQuestion: Who won?"),
        Message("assistant", ABSTENTION),
        Message("user", "Context:\n(none)\n\nQuestion: When?"),
    )


def test_a_release_without_retrieval_asks_the_model_every_question() -> None:
    engine = EchoEngine()
    answers = Answerer(release("prompt"), engine).answer(["One?", "Two?"])
    assert [answer.text for answer in answers] == ["Question: One?", "Question: Two?"]
    assert len(engine.requests) == 2


def test_the_engine_is_asked_for_the_adapter_by_its_name() -> None:
    engine = EchoEngine()
    Answerer(release("adapter"), engine, "a" * 64).answer(["One?"])
    assert [request.adapter for request in engine.requests] == ["a" * 64]


def test_an_answer_says_whether_it_abstains_what_it_cost_and_how_it_ended() -> None:
    template = "{context} {question}\nI do not know."
    answer = Answerer(replace(release("prompt"), template=template), EchoEngine()).answer(["One?"])[0]
    assert (answer.text, answer.abstained) == ("I do not know.", True)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.finish_reason) == (1, 2, "length")


def test_no_questions_get_no_answers() -> None:
    assert Answerer(release("rag"), EchoEngine(), None, retriever()).answer([]) == []
