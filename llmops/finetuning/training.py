"""Train on tokenised rows with TRL's trainers, from the first step or from the newest whole checkpoint."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmops.errors import ConfigError, LLMOpsError
from llmops.files import told_when_full
from llmops.finetuning import checkpoints
from llmops.finetuning.callbacks import Report, make_callbacks
from llmops.finetuning.collation import answer_loss, collate
from llmops.finetuning.order import Schedule, training_order
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
        LLMOpsError: the loss is no number any more, or the disk is full.
    """
    from trl import SFTConfig, SFTTrainer

    class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            loss = answer_loss(model, inputs, num_items_in_batch)
            shared = num_items_in_batch is not None and self.args.average_tokens_across_devices
            return loss * self.accelerator.num_processes if shared else loss  # gradients are averaged over processes

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            return _finite(super().training_step(*args, **kwargs), self)

    schedule = _schedule(rows, recipe)
    arguments = _arguments(recipe, schedule, folder, bool(held_out))
    trainer = AnswerTrainer(
        model=model, args=SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}), processing_class=tokenizer,
        train_dataset=_dataset(rows).select(schedule.order), eval_dataset=_dataset(held_out) if held_out else None,
        data_collator=lambda batch: collate(batch, tokenizer.pad_token_id, recipe.packs),
        callbacks=make_callbacks(schedule, recipe, report, bool(held_out)),
    )  # fmt: skip
    return _run(trainer, folder, schedule)


def train_preferences(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], held_out: Sequence[Pair], recipe: Recipe, beta: float, folder: Path,
    report: Report,
) -> Training:  # fmt: skip
    """Train an adapter by direct preference optimisation (Rafailov et al. 2023); the reference is the model as it comes.

    `beta` is how dearly leaving the reference is paid for.

    Raises:
        LLMOpsError: as `train`.
        ConfigError: pairs are to be packed, which TRL does not do.
    """
    if recipe.packing == "yes":
        raise ConfigError("packing is 'yes', which preferences don't take. Set packing=auto.")
    from trl import DPOConfig, DPOTrainer

    class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset  # tokenised already, as conversations are

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            return _finite(super().training_step(*args, **kwargs), self)

    schedule = _schedule(pairs, recipe)
    arguments = _arguments(recipe, schedule, folder, bool(held_out))
    trainer = PreferenceTrainer(
        model=model, args=DPOConfig(**arguments, beta=beta, max_length=None), processing_class=tokenizer,
        train_dataset=_dataset(pairs).select(schedule.order), eval_dataset=_dataset(held_out) if held_out else None,
        callbacks=make_callbacks(schedule, recipe, report, bool(held_out)),
    )  # fmt: skip
    training = _run(trainer, folder, schedule)
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")  # TRL's copy of what it started from
    return training


def _run(trainer: Any, folder: Path, schedule: Schedule) -> Training:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # `report` says the same
    _know_numbered_processors()
    with trainer.accelerator.main_process_first():
        start = checkpoints.newest(folder)
    started = time.perf_counter()
    with told_when_full(folder, "the last whole checkpoint is kept"):
        result = trainer.train(resume_from_checkpoint=str(start) if start else None)
    trainer.model.eval()
    steps, resumed_from = result.global_step, int(start.name.rpartition("-")[2]) if start else 0
    state = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    return Training(steps, resumed_from, schedule.tokens(steps), time.perf_counter() - started, state)


@cache
def _know_numbered_processors() -> None:
    """Let torch load onto "cpu:1", as accelerate calls the processor of the second process."""
    from torch.serialization import register_package

    register_package(99, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None)


def _finite(loss: Any, trainer: Any) -> Any:
    """Return a step's loss.

    Raises:
        LLMOpsError: it is no number: going on would spoil every weight.
    """
    import torch

    step = trainer.state.global_step + 1
    if not torch.isfinite(loss).all():
        raise LLMOpsError(
            f"the loss is {float(loss)} at step {step}; training stopped, the last checkpoint is kept. "
            "Lower learning_rate, or look for odd examples."
        )
    return loss


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

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.batch_size % (recipe.micro_batch * processes):
        raise ConfigError(
            f"batch_size is {recipe.batch_size}, expected a multiple of micro_batch times processes "
            f"({recipe.micro_batch} * {processes})."
        )
    return {
        "output_dir": str(folder), "num_train_epochs": 1, "train_sampling_strategy": "sequential", "seed": recipe.seed,
        "learning_rate": recipe.learning_rate, "lr_scheduler_type": "cosine",
        "warmup_steps": min(recipe.warmup_steps, schedule.steps // 2),  # the first step of a warm-up learns nothing
        "per_device_train_batch_size": recipe.micro_batch, "per_device_eval_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": recipe.batch_size // (recipe.micro_batch * processes),
        "save_strategy": "steps", "save_steps": recipe.checkpoint_every, "save_total_limit": 2,
        "eval_strategy": "steps" if held_out else "no", "eval_steps": recipe.checkpoint_every,
        "load_best_model_at_end": held_out, "metric_for_best_model": "loss" if held_out else None,
        "logging_steps": 1, "logging_nan_inf_filter": False, "disable_tqdm": True, "report_to": [],
        "bf16": False, "gradient_checkpointing": False, "remove_unused_columns": False, "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available(), "ddp_find_unused_parameters": False,
    }  # fmt: skip
