"""A few steps that change nothing: to say how long the real ones will take, and that packing leaves them as they are."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llmops.errors import ConfigError
from llmops.finetuning.collation import answer_loss, collate, without_casts
from llmops.finetuning.processes import count_processes, shares_weights
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import Row, count_tokens

_PLACES = (0.5, 0.2, 0.5, 0.8)  # batches by their place among short and long ones; the first makes kernels and isn't timed


def measure_speed(model: Any, tokenizer: Any, rows: Sequence[Row], recipe: Recipe) -> float:
    """Tokens per second, forward and backward, on three batches; weights and random state stay as they are.

    No number where processes will share the weights: here one of them has all, on its processor.

    Raises:
        ConfigError: examples are to be packed, and this base lets them see each other.
    """
    import torch

    if shares_weights() and not recipe.packing:
        return math.nan
    by_length = sorted(rows, key=count_tokens)
    starts = [max(0, round(place * (len(by_length) - recipe.micro_batch))) for place in _PLACES]
    chosen = [by_length[start : start + recipe.micro_batch] for start in starts]
    seconds = []
    with torch.random.fork_rng(), without_casts(model, recipe.half), _recomputing(model, recipe.recompute):
        if recipe.packing:
            packed, padded = (_batch(chosen[0], model, tokenizer, together) for together in (True, False))
            _check_packing(model, packed, padded, recipe.half)
        model.train()
        for examples in chosen:
            batch = _batch(examples, model, tokenizer, recipe.packing)
            started = time.perf_counter()
            answer_loss(model, batch, half=recipe.half).backward()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
            model.zero_grad(set_to_none=True)
    return sum(count_tokens(row) for examples in chosen[1:] for row in examples) / sum(seconds[1:])


def describe_time(tokens: float, speed: float) -> str:
    """How long all processes together will take for so many tokens at the `speed` of one."""
    if shares_weights():
        return "unknown: weights are shared between processes"
    processes = count_processes()
    alone = f"{speed:.0f} tokens a second, measured on three batches"
    return f"{tokens / speed / processes:.0f} s at {alone}" + f", times {processes} processes" * (processes > 1)


@contextmanager
def _recomputing(model: Any, recompute: bool) -> Iterator[None]:
    """Run layers again in the backward pass, as the training will."""
    if not recompute:
        yield
        return
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    yield
    model.gradient_checkpointing_disable()


def _batch(rows: Sequence[Row], model: Any, tokenizer: Any, packed: bool) -> dict[str, Any]:
    batch = collate(rows, tokenizer.pad_token_id, packed)
    return {name: value.to(model.device) for name, value in batch.items()}


def _check_packing(model: Any, packed: dict[str, Any], padded: dict[str, Any], half: bool) -> None:
    """Not every architecture keeps packed rows apart, and one that doesn't learns from the wrong text without a sign."""
    import torch

    model.eval()
    with torch.inference_mode():
        joined, apart = (float(answer_loss(model, batch, half=half)) for batch in (packed, padded))
    if not abs(joined - apart) <= (5e-2 if half else 1e-3) * max(apart, 1.0):
        raise ConfigError(
            f"packing is on, and on this base packed examples see each other: their loss is {joined:.4f}, apart "
            f"{apart:.4f}. Set packing=no."
        )
