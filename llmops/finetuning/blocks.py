"""Texts as rows of token ids for language modelling: every token of every text is predicted exactly once."""

from collections.abc import Sequence
from typing import Any

from llmops.errors import ConfigError, DataError
from llmops.finetuning.tokens import Row


def text_rows(texts: Sequence[str], tokenizer: Any, max_tokens: int) -> list[Row]:
    """Tokenise each text, end it, and cut it into rows of at most `max_tokens` ids; `labels` equal `input_ids`.

    A row starts with the token that comes before the first one to predict: what begins a text, or the last token of the
    row before. A trainer shifts labels by one, so each token is learnt once, the first of a row from one token only.

    Raises:
        ConfigError: `max_tokens` is below 2, or the tokenizer has no end-of-text token.
        DataError: a text is empty or no Unicode, or there is none.
    """
    check_texts(texts)
    return [
        Row(input_ids=stream[start:end], labels=stream[start:end])
        for stream in (token_stream(text, tokenizer) for text in texts)
        for start, end in row_spans(len(stream), max_tokens)
    ]


def row_spans(length: int, max_tokens: int) -> list[tuple[int, int]]:
    """Cut 0..length into spans of at most `max_tokens` that share one position with the span before.

    Raises:
        ConfigError: `max_tokens` is below 2.
    """
    if max_tokens < 2:
        raise ConfigError(f"max_tokens is {max_tokens}, expected 2 or more: a token to read and one to predict.")
    return [(start, min(start + max_tokens, length)) for start in range(0, length - 1, max_tokens - 1)]


def token_stream(text: str, tokenizer: Any) -> list[int]:
    """The ids of a text between a token that begins it and the one that ends it.

    A tokenizer without a begin-of-text token begins with the end-of-text token, as if another text came before. A special
    token that the text spells is read as the characters it is made of.

    Raises:
        ConfigError: the tokenizer has no end-of-text token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ConfigError("the base's tokenizer has no end-of-text token (eos_token), so texts can't be ended. Use another.")
    begin = end if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    return [begin, *encoded["input_ids"], end]


def check_texts(texts: Sequence[str]) -> None:
    """Refuse texts that there is nothing to learn from.

    Raises:
        DataError: a text is empty or no Unicode, or there is none.
    """
    if not texts:
        raise DataError("there are no texts, expected at least one.")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"text {number} of {len(texts)} is empty. Leave it out.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"text {number} of {len(texts)} holds half a character at {error.start}. Mend it.") from error
