"""SQuAD 2 split by article: as conversations to learn from, and as questions to an engine."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import Asked, read_asked
from llmops.chains.prompt import ABSTENTION, parse_prompt
from llmops.finetuning.tokens import Row, conversation_row
from llmops.types import Conversation, GenerationRequest, Message

HELD_OUT, CHOOSING = 4, 2  # articles; the rest is trained on
MAX_NEW_TOKENS = 24
_PROMPT = parse_prompt(
    'Answer the question from the context, with a short phrase copied from it. Say "I don\'t know" when the context does '
    "not hold the answer.\n\nContext:\n{context}\n\nQuestion: {question}"
)
_TURNS = 4  # questions on one paragraph in a conversation
PASSES = 2  # over the questions, each grouped anew
UNANSWERABLE = 0.5  # the share of them in a pass: with all of them, a model learns to refuse before it learns to answer


@dataclass(frozen=True)
class Split:
    """Questions on articles to train on, to choose settings on, and to measure on; no article is in two of them."""

    train: tuple[Asked, ...]
    choosing: tuple[Asked, ...]
    held_out: tuple[Asked, ...]


def read_split(data: Path) -> Split:
    """Split by article, by chance that is always the same.

    Raises:
        DataError: there are too few articles.
    """
    asked = read_asked(data)
    articles = sorted({each.article for each in asked})
    random.Random(0).shuffle(articles)
    held_out, choosing = set(articles[:HELD_OUT]), set(articles[HELD_OUT : HELD_OUT + CHOOSING])
    return Split(
        tuple(each for each in asked if each.article not in held_out | choosing),
        tuple(each for each in asked if each.article in choosing),
        tuple(each for each in asked if each.article in held_out),
    )


def message(asked: Asked) -> Message:
    return _PROMPT.message(asked.question, [asked.paragraph])


def answer(asked: Asked) -> str:
    """The shortest answer, or that there is none."""
    return min(asked.answers, key=len) if asked.answers else ABSTENTION


def request(asked: Asked, shots: Sequence[Message] = (), adapter: str | None = None) -> GenerationRequest:
    return GenerationRequest((*shots, message(asked)), MAX_NEW_TOKENS, adapter)


def choose_shots(asked: Sequence[Asked], count: int, seed: int) -> tuple[Message, ...]:
    """`count` questions on short paragraphs with their answers; every other one has none, the last one has."""
    order = [each for each in asked if len(each.paragraph) < 700]
    random.Random(seed).shuffle(order)
    kinds = [[each for each in order if bool(each.answers) == answerable][: count // 2] for answerable in (False, True)]
    chosen = [each for pair in zip(*kinds, strict=True) for each in pair]
    return tuple(turn for each in chosen for turn in (message(each), Message("assistant", answer(each))))


def to_rows(asked: Sequence[Asked], tokenizer: Any, max_tokens: int, seed: int) -> list[Row]:
    """Conversations on one paragraph each, a few questions long, tokenised and shuffled, none of them too long."""
    chance, rows = random.Random(seed), list[Row]()
    for _ in range(PASSES):
        drawn = [each for each in asked if each.answers or chance.random() < UNANSWERABLE]
        conversations = list(_conversations(drawn, chance))
        chance.shuffle(conversations)
        rows += [conversation_row(conversation, tokenizer) for conversation in conversations]
    return [row for row in rows if len(row["input_ids"]) <= max_tokens]


def _conversations(asked: Sequence[Asked], chance: random.Random) -> Iterator[Conversation]:
    by_paragraph: dict[str, list[Asked]] = {}
    for each in asked:
        by_paragraph.setdefault(each.paragraph_id, []).append(each)
    for questions in by_paragraph.values():
        chance.shuffle(questions)
        for start in range(0, len(questions), _TURNS):
            first, *others = questions[start : start + _TURNS]
            turns = [message(first), Message("assistant", answer(first))]
            for other in others:
                turns += [Message("user", f"Question: {other.question}"), Message("assistant", answer(other))]
            yield Conversation(tuple(turns))
