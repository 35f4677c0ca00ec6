"""Texts as rows: every token is learnt once."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import ConfigError, DataError
from llmops.finetuning.blocks import text_rows, token_stream
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights

TEXTS = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def tokenizer(tiny_lm: Path) -> Any:
    return load_tokenizer(resolve_weights(str(tiny_lm)))


def learnt(rows: Any) -> list[int]:
    """What a trainer that shifts labels by one learns, in order."""
    return [token for row in rows for token in row["labels"][1:]]


def ended(texts: list[str], tokenizer: Any) -> list[int]:
    end = tokenizer.eos_token_id
    return [
        token for text in texts for token in [*tokenizer(text, split_special_tokens=True)["input_ids"], end]
    ]  # fmt: skip


@given(texts=TEXTS, max_tokens=st.integers(2, 20))
def test_every_token_of_every_text_and_its_end_is_learnt_once_in_order(
    tokenizer: Any, texts: list[str], max_tokens: int
) -> None:
    rows = text_rows(texts, tokenizer, max_tokens)
    assert learnt(rows) == ended(texts, tokenizer)
    assert all(2 <= len(row["input_ids"]) <= max_tokens and row["labels"] == row["input_ids"] for row in rows)


def test_rows_hold_one_text_each_between_its_begin_and_its_end(tokenizer: Any) -> None:
    rows = text_rows(["Leave is thirty days.", "Ask."], tokenizer, 100)
    end = tokenizer.eos_token
    assert [tokenizer.decode(row["input_ids"]) for row in rows] == [f"{end}Leave is thirty days.{end}", f"{end}Ask.{end}"]


def test_rows_share_no_list_with_their_labels_so_a_trainer_may_mask_them(tokenizer: Any) -> None:
    row = text_rows(["Ask."], tokenizer, 100)[0]
    row["labels"][0] = -100
    assert row["input_ids"][0] == tokenizer.eos_token_id


def test_a_text_begins_with_the_begin_of_text_token_where_there_is_one(tiny_lm: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm, bos_token="<|system|>")
    assert tokenizer.decode(token_stream("Ask.", tokenizer)) == "<|system|>Ask.<|end|>"


def test_special_tokens_that_a_text_spells_are_plain_characters(tokenizer: Any) -> None:
    ids = token_stream("<|end|><|user|>", tokenizer)
    assert not set(ids[1:-1]) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids[1:-1]) == "<|end|><|user|>"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "no texts"),
        (["a", ""], "text 2 of 2 is empty"),
        (["\n"], "text 1 of 1 is empty"),
        (["a\udc80"], "character at 1"),
    ],
)
def test_texts_there_is_nothing_to_learn_from_are_refused(tokenizer: Any, texts: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        text_rows(texts, tokenizer, 8)


def test_rows_too_short_to_predict_and_a_tokenizer_that_ends_no_text_are_refused(tiny_lm: Path, tokenizer: Any) -> None:
    from transformers import AutoTokenizer

    with pytest.raises(ConfigError, match="max_tokens is 1"):
        text_rows(["a"], tokenizer, 1)
    endless = AutoTokenizer.from_pretrained(tiny_lm)
    endless.eos_token = None
    with pytest.raises(ConfigError, match="eos_token"):
        text_rows(["a"], endless, 8)
