"""Train a LoRA adapter on question, context and answer.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685. Only the answer's tokens are scored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from llmops.chains.prompt import Prompt
from llmops.errors import ConfigError
from llmops.models.adapter import write_identity
from llmops.models.engine import base_identity, load_tokenizer, resolve_dtype
from llmops.models.weights import Weights
from llmops.types import Example

Report = Callable[[int, int, dict[str, float]], None]
"""Receives the optimiser step, how many there are, and what was measured, such as {"train.loss": 1.2}."""


@dataclass(frozen=True)
class LoraRecipe:
    """How to train. Attention projections of the upper layers get adapters, the rest of the base stays as it is."""

    epochs: float
    learning_rate: float
    rank: int
    batch_size: int
    layers: float  # the upper share of layers that get adapters, in (0, 1]
    max_tokens: int  # per example; longer ones are refused
    dtype: str
    seed: int

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate", "rank", "batch_size", "max_tokens"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0.")
        if not 0 < self.layers <= 1:
            raise ConfigError(f"layers is {self.layers}, expected a share in (0, 1].")
        resolve_dtype(self.dtype)


class Tokenized(TypedDict):
    """Token ids of one example; the last `answer_length` of them are the answer and the end of turn."""

    input_ids: list[int]
    answer_length: int


def tokenize(examples: Sequence[Example], prompt: Prompt, tokenizer: Any, max_tokens: int) -> list[Tokenized]:
    """Render each example exactly as a release asks its question, followed by the answer and the end of the turn.

    Raises:
        ConfigError: an example is longer than `max_tokens`: cutting would hide context or answer.
    """
    rows = []
    for number, example in enumerate(examples, start=1):
        user = {"role": "user", "content": prompt.message(example.question, example.context).content}
        asked = tokenizer.apply_chat_template([user], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template([user, {"role": "assistant", "content": example.answer}], tokenize=False)
        if not whole.startswith(asked):
            raise ConfigError("the base's chat template doesn't continue the prompt with the answer. Use another base.")
        prompt_ids, answer_ids = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (asked, whole[len(asked) :].rstrip())
        )
        length = len(prompt_ids) + len(answer_ids)
        if length > max_tokens:
            raise ConfigError(
                f"example {number} has {length} tokens, more than max_tokens={max_tokens}. "
                "Shorten its context or raise max_tokens."
            )
        rows.append(Tokenized(input_ids=[*prompt_ids, *answer_ids], answer_length=len(answer_ids)))
    return rows


def collate(rows: Sequence[Tokenized], pad: int) -> dict[str, Any]:
    """Pad on the left, so that all answers end together and only the last columns need logits.

    Returns input_ids and attention_mask of shape (b, s), labels of shape (b, k), and logits_to_keep = k, where k is
    the longest answer plus one; labels outside an answer are -100.
    """
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    keep = max(row["answer_length"] for row in rows) + 1
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), keep), -100)
    for i, row in enumerate(rows):
        ids[i, width - len(row["input_ids"]) :] = torch.tensor(row["input_ids"])
        mask[i, width - len(row["input_ids"]) :] = 1
        labels[i, keep - row["answer_length"] :] = torch.tensor(row["input_ids"][-row["answer_length"] :])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "logits_to_keep": keep}


def train_adapter(
    examples: Sequence[Example], prompt: Prompt, weights: Weights, recipe: LoraRecipe, folder: Path, report: Report
) -> tuple[Any, dict[str, float]]:
    """Train, and save the adapter with its base's identity into the empty `folder`.

    Returns the trained model, still in memory so that the saved one can be compared with it, and what training took:
    tokens, steps and seconds.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Reporter(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                measured = {"train.loss": float(logs["loss"]), "train.learning_rate": float(logs["learning_rate"])}
                report(state.global_step, state.max_steps, measured)

    torch.manual_seed(recipe.seed)
    tokenizer = load_tokenizer(weights)
    rows = tokenize(examples, prompt, tokenizer, recipe.max_tokens)
    base = AutoModelForCausalLM.from_pretrained(weights.folder, dtype=getattr(torch, resolve_dtype(recipe.dtype)))
    depth = base.config.num_hidden_layers
    config = LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        layers_to_transform=list(range(depth - max(1, round(depth * recipe.layers)), depth)),
    )  # fmt: skip
    model = get_peft_model(base, config)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "checkpoints"), num_train_epochs=recipe.epochs, learning_rate=recipe.learning_rate,
            per_device_train_batch_size=recipe.batch_size, lr_scheduler_type="cosine", warmup_steps=2, logging_steps=1,
            save_strategy="no", report_to=[], seed=recipe.seed, disable_tqdm=True, remove_unused_columns=False,
            train_sampling_strategy="group_by_length",
            use_cpu=not torch.cuda.is_available(), dataloader_pin_memory=False, label_names=["labels"],
        ),
        train_dataset=rows, data_collator=lambda batch: collate(batch, tokenizer.pad_token_id), callbacks=[Reporter()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # `report` says the same
    result = trainer.train()
    model.save_pretrained(folder)
    write_identity(folder, base_identity(weights, tokenizer))
    for extra in ("checkpoints", "README.md"):  # PEFT's model card template says nothing
        _remove(folder / extra)
    tokens = sum(len(row["input_ids"]) for row in rows) * recipe.epochs
    return model.eval(), {
        "train.tokens": float(tokens), "train.steps": float(result.global_step),
        "train.seconds": result.metrics["train_runtime"],
    }  # fmt: skip


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
