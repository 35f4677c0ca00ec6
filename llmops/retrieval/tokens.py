"""Texts -> tokens: where each begins, and padded batches for an embedding model."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import WeightsError
from llmops.retrieval.backends import Features

_STEP = 16  # tokens; texts are padded to the next multiple
_ENDLESS = 1_000_000  # tokens that a model without a limit is said to read
_BLOCK_TEXTS, _BLOCK_CHARS = 1024, 2_000_000  # tokenized at a time
_PIECE_CHARS = 65_536  # counted at a time
_MAX_CHARS_PER_TOKEN = 1000  # a text longer than this many for each token that is read is cut before it is tokenized


class Tokens:
    """A model's tokenizer, for several threads. `max_tokens` counts the `special` ones that frame each text.

    Raises:
        WeightsError: the model reads no text, or has no fast tokenizer.
    """

    def __init__(self, model: Any, source: str) -> None:
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        head: Any = model[0]
        self.static = isinstance(head, StaticEmbedding)
        text = isinstance(head, Transformer) and "text" in head.modality_config and head.tokenizer.is_fast
        if not (self.static or text):
            found = f"{type(head).__name__} with {type(getattr(head, 'tokenizer', None)).__name__}"
            raise WeightsError(f"{source!r} is a {found}. Expected a transformer for text with a fast tokenizer.")
        self._tokenizer: Any = head.tokenizer
        self._lock = Lock()
        if self.static:
            self._preprocess, self.special = head.preprocess, 0
            self._fast = type(head.tokenizer).from_str(head.tokenizer.to_str())  # a copy: `starts` lifts the limit
            self.max_tokens = int((head.tokenizer.truncation or {"max_length": _ENDLESS})["max_length"])
            return
        if self._tokenizer.pad_token_id is None:
            raise WeightsError(f"the tokenizer of {source!r} has no padding token, so it can't embed texts in batches.")
        self._fast = self._tokenizer.backend_tokenizer
        self.max_tokens = int(min(self._tokenizer.model_max_length, _ENDLESS))
        self.special = int(self._tokenizer.num_special_tokens_to_add(pair=False))

    def starts(self, text: str) -> npt.NDArray[np.int64]:
        """The character at which each token begins, ascending; neither special tokens nor a limit."""
        found = []
        for begin, piece in _pieces(text):
            with self._lock:
                self._fast.no_truncation()
                self._fast.no_padding()
                offsets = self._fast.encode(piece, add_special_tokens=False).offsets
            found.append(np.array(offsets, dtype=np.int64).reshape(-1, 2)[:, 0] + begin)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def batches(self, texts: Sequence[str], prefix: str, budget: int) -> Iterator[tuple[list[int], Features]]:
        """Batches of up to `budget` tokens: which texts, and their features; texts without a token have none.

        A text is padded to the next multiple of 16 and batched with those of that length only. So its shape doesn't depend
        on its neighbours, nor, as measured on CPUs, the last bit of its vector; and kernels are compiled for few shapes.
        """
        for begin, block in _blocks(texts):
            block = [prefix + text for text in block]
            if self.static:
                yield list(range(begin, begin + len(block))), self._preprocess(block)
                continue
            encoded = self._tokenize(block)
            steps = [-(-len(ids) // _STEP) for ids in encoded["input_ids"]]
            for step, group in groupby(sorted(range(len(block)), key=steps.__getitem__), key=steps.__getitem__):
                rows, length = list(group), min(step * _STEP, self.max_tokens)
                count = max(1, budget // max(1, length))
                for some in (rows[i : i + count] for i in range(0, len(rows), count)):
                    yield [begin + row for row in some], self._pad(encoded, some, length) if length else {}

    def _tokenize(self, texts: Sequence[str]) -> dict[str, list[list[int]]]:
        longest = self.max_tokens * _MAX_CHARS_PER_TOKEN
        with self._lock:
            return dict(
                self._tokenizer(
                    [text[:longest] for text in texts], truncation=True, max_length=self.max_tokens, verbose=False
                )
            )

    def _pad(self, encoded: dict[str, list[list[int]]], rows: Sequence[int], length: int) -> Features:
        batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
        self._tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True  # it has been said
        return dict(self._tokenizer.pad(batch, padding="max_length", max_length=length, return_tensors="pt"))


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Texts in the given order, as many at a time as fit in memory as tokens, and the first one's number."""
    block: list[str] = []
    chars = 0
    for number, text in enumerate(texts):
        if block and (len(block) == _BLOCK_TEXTS or chars + len(text) > _BLOCK_CHARS):
            yield number - len(block), block
            block, chars = [], 0
        block.append(text)
        chars += len(text)
    if block:
        yield len(texts) - len(block), block


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """A long text in pieces that begin with white space after a word, and where each begins."""
    begin = 0
    while len(text) - begin > _PIECE_CHARS:
        end = begin + _PIECE_CHARS
        while end > begin + 1 and not (text[end].isspace() and not text[end - 1].isspace()):
            end -= 1
        end = end if end > begin + 1 else begin + _PIECE_CHARS  # no word ends here
        yield begin, text[begin:end]
        begin = end
    if begin < len(text):
        yield begin, text[begin:]
