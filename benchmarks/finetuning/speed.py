"""Useful tokens per CPU-second of our training, of the Trainer of most tutorials, and of a bare loop on ideal batches.

Useful are the tokens of examples; padding is none. Each contender trains the same adapter, on the same examples, in a
process of its own on one core; its first step, in which kernels are made, isn't timed, nor is loading.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.finetuning.recipe import BASE, METHOD, recipe
from benchmarks.finetuning.squad import read_split, to_rows
from benchmarks.measure import on_one_core
from llmops.finetuning.collation import answer_loss, collate, without_casts
from llmops.finetuning.order import Schedule, training_order
from llmops.finetuning.tokens import Row
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import train
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights

PADDED_TO = 512  # the max_length of most tutorials, and of ours
OURS, PADDED, BARE = "sft", "padded_trainer", "bare_loop"


def measure(data: Path, rounds: int, steps: int) -> dict[str, Any]:
    """Train `steps` steps with each in every round; the ratios are medians over the rounds."""
    contenders: dict[str, Callable[[Path, int, int], float]] = {OURS: _ours, PADDED: _padded, BARE: _bare}
    done = [
        {name: on_one_core(contender, data, steps, number) for name, contender in contenders.items()}
        for number in range(rounds)
    ]
    return {
        "sft_vs_padded_trainer": median(one[OURS] / one[PADDED] for one in done),
        "sft_vs_bare_loop": median(one[OURS] / one[BARE] for one in done),
        **{f"{name}_tokens_per_cpu_s": median(one[name] for one in done) for name in contenders}, "sft_rounds": done,
    }  # fmt: skip


def _rows(data: Path, steps: int, seed: int) -> tuple[list[Row], Any]:
    """The examples of the first steps in the order in which all would be trained on."""
    weights = resolve_weights(BASE)
    tokenizer, settings = load_tokenizer(weights), recipe(seed)
    rows = to_rows(read_split(data).train, tokenizer, PADDED_TO, seed)
    order = training_order([len(row["input_ids"]) for row in rows], settings.micro_batch, settings.epochs, seed)
    return [rows[i] for i in order[: (steps + 1) * settings.batch_size]], tokenizer


def _ours(data: Path, steps: int, seed: int) -> float:
    rows, tokenizer = _rows(data, steps, seed)
    settings = recipe(seed)
    lengths = [len(row["input_ids"]) for row in rows]
    schedule = Schedule(training_order(lengths, settings.micro_batch, settings.epochs, seed), lengths, settings.batch_size)
    seconds: list[float] = []
    model = load_trainable(resolve_weights(BASE), METHOD, settings.dtype, seed)
    with TemporaryDirectory() as folder:
        train(model, tokenizer, rows, [], settings, Path(folder), lambda *_: seconds.append(time.process_time()))
    return (schedule.tokens(steps + 1) - schedule.tokens(1)) / (seconds[-1] - seconds[0])


def _padded(data: Path, steps: int, seed: int) -> float:
    """transformers' Trainer with peft in fp32, every example padded to max_length, as most tutorials have it."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments, default_data_collator

    rows, tokenizer = _rows(data, steps, seed)
    settings = recipe(seed)
    base = AutoModelForCausalLM.from_pretrained(resolve_weights(BASE).folder)
    model = get_peft_model(base, METHOD.peft_config(base.config))
    seconds: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.process_time())

    with TemporaryDirectory() as folder:
        Trainer(
            model=model, train_dataset=[_padded_row(row, tokenizer.pad_token_id) for row in rows],
            data_collator=default_data_collator, callbacks=[Clock()],
            args=TrainingArguments(
                output_dir=folder, num_train_epochs=1, per_device_train_batch_size=settings.micro_batch,
                gradient_accumulation_steps=settings.batch_size // settings.micro_batch, seed=seed, use_cpu=True,
                learning_rate=settings.learning_rate, lr_scheduler_type="cosine", warmup_steps=settings.warmup_steps,
                report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no",
                train_sampling_strategy="sequential",
            ),
        ).train()  # fmt: skip
    return sum(len(row["input_ids"]) for row in rows[settings.batch_size :]) / (seconds[-1] - seconds[0])


def _padded_row(row: Row, pad: int) -> dict[str, list[int]]:
    missing = PADDED_TO - len(row["input_ids"])
    return {
        "input_ids": [*row["input_ids"], *[pad] * missing], "labels": [*row["labels"], *[-100] * missing],
        "attention_mask": [*[1] * len(row["input_ids"]), *[0] * missing],
    }  # fmt: skip


def _bare(data: Path, steps: int, seed: int) -> float:
    """A loop of forward, backward and step in PyTorch with our arithmetic, on batches of examples that are equally long."""
    import torch

    settings = recipe(seed)
    rows, tokenizer = _rows(data, 10_000, seed)  # all of them
    batches = list(_ideal_batches(rows, settings.micro_batch))
    per_step = settings.batch_size // settings.micro_batch
    places = np.linspace(0, len(batches) - 1, (steps + 1) * per_step).round().astype(int)
    batches = [batches[place] for place in places]  # short and long ones as they come among all
    model = load_trainable(resolve_weights(BASE), METHOD, settings.dtype, seed).train()
    optimiser = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], lr=settings.learning_rate
    )
    started, tokens = 0.0, 0
    with without_casts(model, settings.half):
        for number, batch in enumerate(batches):
            if number == per_step:
                started = time.process_time()
            answer_loss(model, collate(batch, tokenizer.pad_token_id), half=settings.half).backward()
            if (number + 1) % per_step == 0:
                optimiser.step()
                optimiser.zero_grad()
            tokens += sum(len(row["input_ids"]) for row in batch) if number >= per_step else 0
    return tokens / (time.process_time() - started)


def _ideal_batches(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Batches of examples of one length each, short ones first."""
    by_length: dict[int, list[Row]] = {}
    for row in rows:
        by_length.setdefault(len(row["input_ids"]), []).append(row)
    for length in sorted(by_length):
        same = by_length[length]
        yield from (same[start : start + size] for start in range(0, len(same) - size + 1, size))
