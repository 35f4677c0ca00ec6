"""Train on tokenised rows with TRL's trainers, from the first step or from the newest whole checkpoint."""

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmops.errors import ConfigError, LLMOpsError
from llmops.finetuning import checkpoints
from llmops.finetuning.callbacks import Report, make_callbacks
from llmops.finetuning.collation import answer_loss, collate, fused_loss, without_casts
from llmops.finetuning.order import Schedule, training_order
from llmops.finetuning.processes import WAIT_S, count_processes, shares_weights
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import Pair, Row, count_tokens


@dataclass(frozen=True)
class Training:
    """What a training came to: steps done, the step it went on from, tokens seen (no padding), seconds of this process.

    `state` is None where the model was trained in place. Where processes shared it (FSDP) each is left with a part of it,
    and the first has all weights here, by name.
    """

    steps: int
    resumed_from: int
    tokens: int
    seconds: float
    state: dict[str, Any] | None = None


def train(
    model: Any, tokenizer: Any, rows: Sequence[Row], held_out: Sequence[Row], recipe: Recipe, folder: Path, report: Report
) -> Training:
    """Train `model` in place on rows whose labels say what to learn; checkpoints are kept in `folder`.

    Where `held_out` is given, the weights with the lowest loss on it are the ones that stay.

    Raises:
        LLMOpsError: the loss or its gradient is no number any more, or processes don't share the folder.
        ConfigError: batches can't be shared among the processes.
    """
    from trl import SFTConfig, SFTTrainer

    class AnswerTrainer(_guarded(SFTTrainer)):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            find_loss = fused_loss if inputs["labels"].device.type == "cuda" else answer_loss
            loss = find_loss(model, inputs, num_items_in_batch, recipe.half)
            shared = num_items_in_batch is not None and self.args.average_tokens_across_devices
            return loss * self.accelerator.num_processes if shared else loss  # gradients are averaged over processes

    schedule = _schedule(rows, recipe)
    arguments = _arguments(recipe, schedule, folder, bool(held_out))
    with _unrounded(model):
        trainer = AnswerTrainer(
            model=model, args=_on_one_gpu(SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True})),
            processing_class=tokenizer, train_dataset=_dataset(rows).select(schedule.order),
            eval_dataset=_dataset(held_out) if held_out else None,
            data_collator=lambda batch: collate(batch, tokenizer.pad_token_id, recipe.packing),
            callbacks=make_callbacks(schedule, recipe, report, bool(held_out)),
        )  # fmt: skip
    with without_casts(model, recipe.half), _repeatable(recipe.packing):
        return _run(trainer, folder, schedule)


def train_preferences(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], held_out: Sequence[Pair], recipe: Recipe, beta: float, folder: Path,
    report: Report,
) -> Training:  # fmt: skip
    """Train by direct preference optimisation (Rafailov et al. 2023); the reference is the model as it comes.

    `beta` is how dearly leaving the reference is paid for.

    Raises:
        LLMOpsError: as `train`.
        ConfigError: as `train`, or pairs are to be packed or weights to be shared (FSDP).
    """
    if recipe.packing:
        raise ConfigError("packing is yes, which preferences don't take. Set packing=no.")
    if shares_weights():
        raise ConfigError("processes share the model's weights (FSDP), which preferences don't take. Use torchrun.")
    import torch
    from trl import DPOConfig, DPOTrainer

    class PreferenceTrainer(_guarded(DPOTrainer)):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset  # tokenised already, as conversations are

        def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
            super()._load_from_checkpoint(checkpoint, model)
            if hasattr(self.model, "peft_config"):  # with TRL's copy of the reference beside it, this one is passed over
                self.model.load_adapter(checkpoint, "default", is_trainable=True)

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=recipe.half):
                return super().compute_loss(*args, **kwargs)

    schedule = _schedule(pairs, recipe)
    arguments = _arguments(recipe, schedule, folder, bool(held_out))
    with _unrounded(model):
        trainer = PreferenceTrainer(
            model=model, args=_on_one_gpu(DPOConfig(**arguments, beta=beta, max_length=None)), processing_class=tokenizer,
            train_dataset=_dataset(pairs).select(schedule.order), eval_dataset=_dataset(held_out) if held_out else None,
            callbacks=make_callbacks(schedule, recipe, report, bool(held_out)),
        )  # fmt: skip
    with without_casts(model, recipe.half), _repeatable(masked=True):
        training = _run(trainer, folder, schedule)
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")  # TRL's copy of what it started from
    return training


def check_batches(recipe: Recipe) -> None:
    """Raise ConfigError unless a step's batch can be shared evenly among the processes."""
    processes = count_processes()
    if recipe.batch_size % (recipe.micro_batch * processes):
        raise ConfigError(
            f"batch_size is {recipe.batch_size}, expected a multiple of micro_batch times processes "
            f"({recipe.micro_batch} * {processes})."
        )


def _guarded(trainer: Any) -> Any:
    """A trainer that stops before a gradient that is no number spoils every weight, in all processes alike."""

    class Guarded(trainer):  # type: ignore[misc]
        def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
            norm = super()._get_grad_norm(*args, **kwargs)
            if not math.isfinite(float(norm)):
                raise LLMOpsError(
                    f"the loss or its gradient is no number (gradient norm {float(norm)}) at step "
                    f"{self.state.global_step + 1}; training stopped, the last checkpoint is kept. "
                    "Lower learning_rate, or look for odd examples."
                )
            return norm

    return Guarded


def _run(trainer: Any, folder: Path, schedule: Schedule) -> Training:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # `report` says the same
    _know_numbered_processors()
    start = _start(trainer, folder)
    resumed_from = checkpoints.step_of(start) if start else 0
    if start and _had_stopped_early(start):
        done = min(resumed_from * schedule.batch_size, len(schedule.order))
        trainer.train_dataset = trainer.train_dataset.select(range(done))  # what is left is to take the best weights
    started = time.perf_counter()
    result = trainer.train(resume_from_checkpoint=str(start) if start else None)
    trainer.model.eval()
    steps, seconds = result.global_step, time.perf_counter() - started
    state = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    trainer.accelerator.free_memory()  # the optimiser's moments
    return Training(steps, resumed_from, schedule.tokens(steps), seconds, state)


def _start(trainer: Any, folder: Path) -> Path | None:
    """The checkpoint from which all processes go on: the newest whole one that the first finds.

    Raises:
        LLMOpsError: another process doesn't see it.
    """
    from accelerate.utils import broadcast_object_list

    found = checkpoints.newest(folder) if trainer.is_world_process_zero() else None
    (chosen,) = broadcast_object_list([found])
    if chosen is not None and not chosen.is_dir():
        raise LLMOpsError(f"{chosen} is not to be seen from this machine. Let $LLMOPS_CACHE be a folder that all share.")
    return Path(chosen) if chosen else None


def _had_stopped_early(checkpoint: Path) -> bool:
    """Whether nothing had improved for as long as patience lasts; transformers forgets that it stopped for it."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    stopping = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback")
    if not stopping:
        return False
    return int(stopping["attributes"]["early_stopping_patience_counter"]) >= int(stopping["args"]["early_stopping_patience"])


@contextmanager
def _unrounded(model: Any) -> Iterator[None]:
    """TRL rounds the adapter of a base in 4 bits to bfloat16, where small steps are lost; here it keeps its weights."""
    kept = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    yield
    for weight, values in kept:
        weight.data = values


@contextmanager
def _repeatable(masked: bool) -> Iterator[None]:
    """Have a GPU add up in the same order each time where batches are `masked`: attention with a mask doesn't by itself.

    Others repeated on an H100, with rows of 400 tokens, and are left alone: what has no such order torch would refuse.
    """
    import torch

    if not masked or not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses matrix products
    deterministic: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # a check for debugging, which takes time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        deterministic.fill_uninitialized_memory = filled


@cache
def _know_numbered_processors() -> None:
    """Let torch load onto "cpu:1", as accelerate calls the processor of the second process."""
    from torch.serialization import register_package

    register_package(99, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None)


def _on_one_gpu(arguments: Any) -> Any:
    """Arguments by which a process takes one GPU, however many there are: transformers would cut batches across rows."""
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _schedule(rows: Sequence[Row] | Sequence[Pair], recipe: Recipe) -> Schedule:
    lengths = [count_tokens(row) for row in rows]
    order = training_order(lengths, recipe.micro_batch, recipe.epochs, recipe.seed)
    return Schedule(order, lengths, recipe.batch_size)


def _dataset(rows: Sequence[Row] | Sequence[Pair]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(list(rows))


def _arguments(recipe: Recipe, schedule: Schedule, folder: Path, held_out: bool) -> dict[str, Any]:
    """What the trainers share. The rows come in their final order, all epochs as one."""
    import torch

    check_batches(recipe)
    return {
        "output_dir": str(folder), "num_train_epochs": 1, "train_sampling_strategy": "sequential", "seed": recipe.seed,
        "learning_rate": recipe.learning_rate, "lr_scheduler_type": "cosine",
        "warmup_steps": min(recipe.warmup_steps, schedule.steps // 2),  # the first step of a warm-up learns nothing
        "per_device_train_batch_size": recipe.micro_batch, "per_device_eval_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": recipe.batch_size // (recipe.micro_batch * count_processes()),
        "save_strategy": "steps", "save_steps": recipe.checkpoint_every, "save_total_limit": 2,
        "eval_strategy": "steps" if held_out else "no", "eval_steps": recipe.checkpoint_every,
        "load_best_model_at_end": held_out, "metric_for_best_model": "loss" if held_out else None,
        "restore_callback_states_from_checkpoint": True,
        "gradient_checkpointing": recipe.recompute, "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "logging_steps": 1, "logging_nan_inf_filter": False, "disable_tqdm": True, "report_to": [],
        "bf16": False, "remove_unused_columns": False, "dataloader_pin_memory": False,
        "use_cache": True,  # in config.json; the losses use none
        "ddp_timeout": WAIT_S, "use_cpu": not torch.cuda.is_available(), "ddp_find_unused_parameters": False,
    }  # fmt: skip
