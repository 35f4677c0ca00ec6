"""Step `finetune`: examples -> an adapter, or a whole model -> a version of `<app>-adapter` or `<app>-base`.

mlflow run . -e finetune --env-manager local -P examples=examples/handbook/examples.jsonl
python -m pipelines.finetune --examples chats.jsonl --method qlora --targets all-linear --epochs 2
torchrun --nproc_per_node 2 -m pipelines.finetune --micro_batch 4
"""

import time
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from llmops import digests, step
from llmops.datasets.overlap import Overlap, check_overlaps
from llmops.datasets.rows import parse_columns
from llmops.errors import ArtifactError, ConfigError
from llmops.finetuning.forgetting import read_general
from llmops.finetuning.method import Method
from llmops.finetuning.objective import Objective, make_objective
from llmops.finetuning.preparation import Prepared, prepare
from llmops.finetuning.processes import WAIT_S, is_first_process
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.rehearsal import describe_time, measure_speed
from llmops.finetuning.settings import TrainingSettings
from llmops.finetuning.tokens import as_row, count_tokens, describe_template
from llmops.finetuning.trainable import Trainable, load_trainable
from llmops.models.engine import resolve_dtype
from llmops.models.tokenizer import load_tokenizer, read_stop_tokens
from llmops.models.weights import Weights
from llmops.planning.forecast import forecast, load_of
from llmops.planning.sizes import read_config
from llmops.tracking import steps
from llmops.tracking.inputs import log_source
from llmops.tracking.loading import fetch_adapter, find_weights
from llmops.tracking.prompts import find_prompt
from llmops.tracking.trainings import log_preflight, make_report, register_trained, start_training
from llmops.tracking.versions import get_version, pinned
from pipelines import pretrain
from pipelines.pretrain import PretrainConfig

# Settings of the examples' stage alone; the stage before has its own defaults, or settings of its own.
_OWN = {"columns", "epochs", "learning_rate", "warmup_steps", "max_tokens", "held_out", "patience"}


@dataclass(frozen=True)
class FinetuneConfig(TrainingSettings):
    """Train an adapter, or all weights, on conversations or preferences, certify what was trained, and register it."""

    examples: str = step.setting("training examples: .jsonl, .csv or .parquet", "examples/handbook/examples.jsonl")
    columns: str = step.setting("our column names and the file's, such as prompt=ask,completion=reply", "")
    objective: str = step.setting("instruction, or preference (DPO on chosen and rejected answers)", "instruction")
    beta: float = step.setting("preference: how dearly leaving the starting model is paid for", 0.1)
    corpus: str = step.setting("texts to train on first, as `pretrain` does; empty: none", "")
    corpus_epochs: float = step.setting("passes over these texts", 1.0)
    corpus_learning_rate: float = step.setting("peak learning rate on them", 5e-4)
    prompt: str = step.setting("file with {context} and {question}, or a prompts:/ URI", "examples/handbook/prompt.txt")
    max_rejected: float = step.setting("largest share of examples that may be left out", 0.1)


def identity(config: FinetuneConfig) -> str:
    """The cache key of this step."""
    inputs = {
        "examples": _examples_digest(config),
        "prompt": find_prompt(config.prompt).digest,
        "base": find_weights(config.base).digest,
        "adapter": get_version(config.adapter).digest if config.adapter else "",
        "general": digests.of_file(step.existing_file(config.general, "general text")) if config.general else "",
        "dtype": resolve_dtype(config.dtype),
        "corpus": pretrain.identity(_domain(config)) if config.corpus else "",
    } | {f"questions {i}": digests.of_file(path) for i, path in enumerate(config.question_files)}
    return steps.cache_key(__spec__.name, config, inputs)


def _examples_digest(config: FinetuneConfig) -> str:
    return digests.of_file(step.existing_file(config.examples, "examples file"))


def main(config: FinetuneConfig) -> str:
    """Train, certify, log and register; return the URI of what was made."""
    if config.corpus:
        return _in_two_stages(config)
    with start_training("finetune", config, identity) as workplace:
        config = replace(config, adapter=pinned(config.adapter))
        method, recipe = config.to_method(), config.to_recipe()
        prompt = find_prompt(config.prompt)
        objective = make_objective(config.objective, prompt.worked, config.beta)
        weights = find_weights(config.base)
        base = read_config(weights.folder)
        config.check_length(base)
        tokenizer = load_tokenizer(weights)
        data, overlaps = _read(config, objective, weights, tokenizer)
        before = fetch_adapter(config.adapter, weights, tokenizer) if config.adapter else None
        method = Method.of_adapter(before, method.name, base) if before else method
        load = partial(load_trainable, weights, method, config.dtype, config.seed, before)
        trained = Trainable(load(), tokenizer, weights, method, config.dtype)
        first = is_first_process()
        if first:
            log_source("examples", config.examples, _examples_digest(config), "training")
            _preflight(config, recipe, data, overlaps, trained)
        general = read_general(config.general, trained) if first else None
        training = objective.train(
            trained.model, tokenizer, data.rows, data.held_out, recipe, workplace.checkpoints, make_report("finetune")
        )
        if not first:
            return ""
        trained = trained.made_whole(training.state, load)
        probes = [as_row(row) for row in data.rows[:3]]
        shown = {"objective": config.objective, "prompt_digest": prompt.digest, "went_on_with": config.adapter}
        forgotten = general and general.compare(trained.model)
        uri = register_trained(trained, training, config.app, workplace.scratch / "made", probes, shown, forgotten)
    print(f"{len(data.rows)} examples, {training.tokens} tokens in {training.seconds:.0f} s -> {uri}")
    return uri


def _in_two_stages(config: FinetuneConfig) -> str:
    """Train on the corpus, or take what was made of it, and then train that further on the examples."""
    kind = "base" if config.method == "full" else "adapter"
    with start_training("finetune", config, identity):
        domain = _domain(config)
        key = pretrain.identity(domain)
        if not steps.find_reusable(key):
            pretrain.main(domain)
        made = main(replace(config, corpus="", **{kind: _output(key, kind)}))
        if made:
            steps.log_outputs({kind: made})
    return made


def _domain(config: FinetuneConfig) -> PretrainConfig:
    shared = {field.name for field in fields(PretrainConfig)} & {field.name for field in fields(config)} - _OWN
    return PretrainConfig(
        **{name: getattr(config, name) for name in shared}, epochs=config.corpus_epochs,
        learning_rate=config.corpus_learning_rate,
    )  # fmt: skip


def _output(key: str, kind: str) -> str:
    """What the first stage made, which its first process may still be registering.

    Raises:
        ArtifactError: it has made nothing after a while.
    """
    for _ in range(WAIT_S):
        if done := steps.find_reusable(key):
            return steps.read_outputs(done)[kind]
        time.sleep(1)
    raise ArtifactError(f"the first stage has registered no {kind} after {WAIT_S} s. Look at its run.")


def _read(
    config: FinetuneConfig, objective: Objective, weights: Weights, tokenizer: Any
) -> tuple[Prepared[Any], list[Overlap]]:
    """Read and tokenise the examples, and find those that hold a question of the app's.

    Raises:
        DataError: too many examples are left out, or questions are in the examples and that isn't allowed.
    """
    if not 0 <= config.max_rejected < 1:
        raise ConfigError(f"max_rejected is {config.max_rejected}, expected a share in [0, 1).")
    parsed = objective.read(step.existing_file(config.examples, "examples file"), parse_columns(config.columns))
    data: Prepared[Any] = prepare(
        parsed, lambda example: objective.tokenise(example, tokenizer), read_stop_tokens(weights, tokenizer),
        set(tokenizer.all_special_ids), config.max_tokens, config.max_rejected, config.held_out, config.seed,
    )  # fmt: skip
    asked = ((where, objective.asked(example)) for where, example in zip(parsed.wheres, parsed.items, strict=True))
    return data, check_overlaps(asked, config.read_questions(), config.allow_overlap == "yes")


def _preflight(
    config: FinetuneConfig, recipe: Recipe, data: Prepared[Any], overlaps: list[Overlap], trained: Trainable
) -> None:
    lengths = sorted(data.lengths)
    tokens = round(sum(map(count_tokens, data.rows)) * config.epochs)
    read, too_long = len(data.rows) + len(data.held_out) + len(data.rejected), sum(n > config.max_tokens for n in lengths)
    preferring = config.objective == "preference"
    rows = [as_row(row) for row in data.rows]
    speed = measure_speed(trained.model, trained.tokenizer, rows, recipe)
    passes = 4 / 3 if preferring else 1  # the reference's forward pass beside forward and backward, which is twice one
    stops = read_stop_tokens(trained.weights, trained.tokenizer)
    facts = {
        "examples": f"{len(data.rows)} to train on, {len(data.held_out)} held out, {len(data.rejected)} left out of {read}",
        "format": data.format,
        "tokens": f"{tokens} in all; an example has {lengths[len(lengths) // 2]} (median) to {lengths[-1]}",
        "too long": f"{too_long} of {read}, {too_long / read:.1%} (max_tokens {config.max_tokens}); none is cut",
        "end of answer": "trained: every answer ends with a token that stops the base" if stops else "unknown to the base",
        "template": describe_template(trained.tokenizer),
        **config.describe_overlaps(overlaps),
        **({"goes on with": config.adapter} if config.adapter else {}),
        **forecast(trained.weights, trained.method, load_of(data.rows, recipe, preferring, trained.tokenizer.pad_token_id)),
        "time": describe_time(tokens * passes, speed),
    }
    log_preflight(facts, lengths, config.max_tokens, {"rejected": data.rejected, "overlaps": overlaps})


if __name__ == "__main__":
    step.run(main, FinetuneConfig)
