"""How well held-out texts are predicted, in bits per byte: comparable between models whatever their tokenizers.

Every model is asked the same: all of a text, and then that it ends.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import ArtifactError, ConfigError
from llmops.finetuning.blocks import check_texts, token_stream

_BATCH_TOKENS = 4096  # bounds the logits in memory: times the vocabulary
_END = 256  # the symbol after the 256 bytes
_SYMBOLS = 257
_EM_STEPS = 30
_MADE_UP = 4.0  # events added to each bucket

Symbols = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bits:
    """What texts cost a model. `perplexity` is per token; `tokens` count the ends of texts, `bytes` (UTF-8) don't."""

    bits_per_byte: float
    perplexity: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class _Window:
    """Token ids of which those from `scored` on are scored."""

    ids: list[int]
    scored: int


def bits_per_byte(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Bits:
    """Score each token once, in windows of `max_tokens` that overlap by half: all but a text's first see half a window.

    Raises:
        ConfigError: `max_tokens` is below 2 or more than the model was made for, or the tokenizer can't end a text.
        DataError: a text is empty or no Unicode, or there is none.
        ArtifactError: the model's logits aren't finite.
    """
    check_texts(texts)
    limit = getattr(model.config, "max_position_embeddings", None) or max_tokens
    if not 2 <= max_tokens <= limit:
        raise ConfigError(f"max_tokens is {max_tokens}, expected 2 to {limit}, what the model was made for.")
    windows = [window for text in texts for window in _windows(token_stream(text, tokenizer), max_tokens)]
    bits = _nats(model, windows) / math.log(2)
    if not math.isfinite(bits):
        raise ArtifactError("the model gives logits that are not finite, so texts can't be scored. Train it again.")
    tokens = sum(len(window.ids) - window.scored for window in windows)
    size = _bytes(texts)
    return Bits(bits / size, 2 ** (bits / tokens), tokens, size)


def _windows(stream: list[int], max_tokens: int) -> Iterator[_Window]:
    """The first window scores all of it but its first token, those after it their last half."""
    done, end = 1, min(max_tokens, len(stream))
    while done < len(stream):
        start = max(0, end - max_tokens)
        yield _Window(stream[start:end], done - start)
        done, end = end, min(end + max(1, max_tokens // 2), len(stream))


def _nats(model: Any, windows: Sequence[_Window]) -> float:
    """The negative log-likelihood of all that is scored."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return sum(_batch_nats(model, batch) for batch in _batches(windows))
    finally:
        model.train(was_training)


def _batches(windows: Sequence[_Window]) -> Iterator[Sequence[_Window]]:
    ordered = sorted(windows, key=lambda window: -len(window.ids))
    start = 0
    while start < len(ordered):
        size = max(1, _BATCH_TOKENS // len(ordered[start].ids))
        yield ordered[start : start + size]
        start += size


def _batch_nats(model: Any, windows: Sequence[_Window]) -> float:
    """Padded on the right, which a causal model never looks at."""
    import torch
    from torch.nn.functional import cross_entropy

    width = max(len(window.ids) for window in windows)
    ids, mask = torch.zeros((2, len(windows), width), dtype=torch.long, device=model.device)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = torch.tensor(window.ids)
        mask[row, : len(window.ids)] = 1
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    nats = 0.0
    for row, window in enumerate(windows):
        scored = slice(window.scored, len(window.ids))
        before = logits[row, scored.start - 1 : scored.stop - 1].float()
        nats += float(cross_entropy(before, ids[row, scored], reduction="none").double().sum())
    return nats


def trigram_bits_per_byte(train_texts: Sequence[str], held_out_texts: Sequence[str]) -> float:
    """Bits per byte of held-out texts under a byte trigram model, the least that a language model should beat.

    Frequencies of orders 0 to 3 are interpolated (Jelinek & Mercer 1980) with weights by how often the context was seen
    (Chen & Goodman 1998, section 2.3), fitted by EM on a tenth of the training texts and used with counts of all.

    Raises:
        DataError: a text is empty or no Unicode, or there is none on a side.
    """
    check_texts(train_texts)
    check_texts(held_out_texts)
    order = np.random.default_rng(0).permutation(len(train_texts))
    events = _events([train_texts[i] for i in order])
    cut = len(events) - max(1, len(events) // 10)
    shares, seen = _frequencies(events[:cut], events[cut:])
    weights = _fit_weights(shares, seen)
    shares, seen = _frequencies(events, _events(held_out_texts))
    return float(-np.log2((weights[seen] * shares).sum(axis=1)).sum() / _bytes(held_out_texts))


def _events(texts: Sequence[str]) -> Symbols:
    """Each byte and each end of a text, with the two symbols before it: shape (n, 3)."""
    parts = []
    for text in texts:
        symbols = np.array([_END, _END, *text.encode(), _END], dtype=np.int64)
        parts.append(np.lib.stride_tricks.sliding_window_view(symbols, 3))
    return np.concatenate(parts)


def _frequencies(train: Symbols, asked: Symbols) -> tuple[Shares, Symbols]:
    """Relative frequencies of the asked events, uniform to trigram, shape (n, 4); and the bucket of each event.

    After a context never seen, a frequency is that of the order below. A bucket is the number of binary digits of how
    often the trigram's context was seen.
    """
    columns = [np.full(len(asked), 1 / _SYMBOLS)]
    for start in (2, 1, 0):  # the context is the columns from there to the last
        context = _counts(_codes(train, start, 2), _codes(asked, start, 2))
        event = _counts(_codes(train, start, 3), _codes(asked, start, 3))
        columns.append(np.where(context > 0, event / np.maximum(context, 1), columns[-1]))
    return np.stack(columns, axis=1), np.frexp(context.astype(np.float64))[1].astype(np.int64)


def _codes(events: Symbols, start: int, stop: int) -> Symbols:
    """The columns from `start` to `stop` of each event as one number; 0 where there are none."""
    code = np.zeros(len(events), dtype=np.int64)
    for column in range(start, stop):
        code = code * _SYMBOLS + events[:, column]
    return code


def _counts(train: Symbols, asked: Symbols) -> Symbols:
    """How often each asked code occurs in `train`."""
    codes, counts = np.unique(train, return_counts=True)
    place = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
    return np.where(codes[place] == asked, counts[place], 0)


def _fit_weights(shares: Shares, seen: Symbols) -> Shares:
    """Interpolation weights by bucket, shape (64, 4), that make the held-back events most likely.

    Each bucket also gets a few made-up events with the weights of all buckets together, each order one of those: so no
    weight is 0, and a bucket that no held-back event falls in takes after the others.
    """
    weights = np.full((64, shares.shape[1]), 1 / shares.shape[1])
    for _ in range(_EM_STEPS):
        parts = weights[seen] * shares
        parts /= parts.sum(axis=1, keepdims=True)
        taken = np.stack([np.bincount(seen, part, minlength=64) for part in parts.T], axis=1)
        overall = 1 + taken.sum(axis=0)
        taken += _MADE_UP * overall / overall.sum()
        weights = taken / taken.sum(axis=1, keepdims=True)
    return weights


def _bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)
