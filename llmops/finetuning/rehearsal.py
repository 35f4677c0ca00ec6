"""A few steps that change nothing: to say how long the real ones will take, and that packing leaves them as they are."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmops.errors import ConfigError
from llmops.finetuning.collation import answer_loss, collate
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import Row, count_tokens

_BATCHES = 3  # the first of them is slow
_TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2}  # of a loss, as a share


def measure_speed(model: Any, tokenizer: Any, rows: Sequence[Row], recipe: Recipe) -> float:
    """Tokens per second, forward and backward, on examples of middling length; weights and random state stay as they are.

    Raises:
        ConfigError: examples are to be packed, and this base lets them see each other.
    """
    import torch

    by_length = sorted(rows, key=count_tokens)
    middle = max(0, len(by_length) // 2 - recipe.micro_batch // 2)
    chosen = by_length[middle : middle + recipe.micro_batch]
    batch = _batch(chosen, model, tokenizer, recipe.packs)
    tokens, seconds = sum(map(count_tokens, chosen)), []
    with torch.random.fork_rng():
        if recipe.packs:
            _check_packing(model, batch, _batch(chosen, model, tokenizer, packed=False))
        model.train()
        for _ in range(_BATCHES):
            started = time.perf_counter()
            answer_loss(model, batch).backward()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
            model.zero_grad(set_to_none=True)
    return tokens / float(np.min(seconds))


def _batch(rows: Sequence[Row], model: Any, tokenizer: Any, packed: bool) -> dict[str, Any]:
    batch = collate(rows, tokenizer.pad_token_id, packed)
    return {name: value.to(model.device) for name, value in batch.items()}


def _check_packing(model: Any, packed: dict[str, Any], padded: dict[str, Any]) -> None:
    """Not every architecture keeps packed rows apart, and one that doesn't learns from the wrong text without a sign."""
    import torch

    model.eval()
    with torch.inference_mode():
        joined, apart = (float(answer_loss(model, batch)) for batch in (packed, padded))
    tolerance = _TOLERANCES.get(str(model.dtype).removeprefix("torch."), 5e-2)
    if not abs(joined - apart) <= tolerance * max(apart, 1.0):
        raise ConfigError(
            f"packing is on, and on this base packed examples see each other: their loss is {joined:.4f}, apart "
            f"{apart:.4f}. Set packing=no."
        )
