"""A few steps that change nothing, to say how long the real ones will take."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmops.finetuning.collation import answer_loss, collate
from llmops.finetuning.tokens import Row, count_tokens

_BATCHES = 3  # the first of them is slow


def measure_speed(model: Any, tokenizer: Any, rows: Sequence[Row], micro_batch: int) -> float:
    """Tokens per second, forward and backward, on examples of middling length; weights and random state stay as they are."""
    import torch

    by_length = sorted(rows, key=count_tokens)
    middle = max(0, len(by_length) // 2 - micro_batch // 2)
    batch = collate(by_length[middle : middle + micro_batch], tokenizer.pad_token_id)
    batch = {name: value.to(model.device) for name, value in batch.items()}
    tokens, seconds = int(batch["attention_mask"].sum()), []
    with torch.random.fork_rng():
        model.train()
        for _ in range(_BATCHES):
            started = time.perf_counter()
            answer_loss(model, batch).backward()
            seconds.append(time.perf_counter() - started)
            model.zero_grad(set_to_none=True)
    return tokens / float(np.min(seconds))
