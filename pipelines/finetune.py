"""Step `finetune`: examples -> an adapter, or a whole model -> a version of `<app>-adapter` or `<app>-base`.

mlflow run . -e finetune --env-manager local -P examples=examples/handbook/examples.jsonl
python -m pipelines.finetune --examples chats.jsonl --method qlora --targets all-linear --epochs 2
torchrun --nproc_per_node 2 -m pipelines.finetune --micro_batch 4
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from llmops import digests, step
from llmops.chains.prompt import read_prompt
from llmops.datasets.overlap import Overlap, find_overlaps
from llmops.datasets.questions import read_questions
from llmops.datasets.rows import parse_columns
from llmops.errors import ConfigError, DataError
from llmops.finetuning.forgetting import read_general
from llmops.finetuning.objective import Objective, make_objective
from llmops.finetuning.preparation import Prepared, prepare
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.rehearsal import measure_speed
from llmops.finetuning.settings import TrainingSettings
from llmops.finetuning.tokens import IGNORED, as_row, describe_template
from llmops.finetuning.trainable import Trainable, load_trainable
from llmops.models.engine import load_tokenizer, read_stop_tokens, resolve_dtype
from llmops.models.weights import Weights
from llmops.planning.forecast import forecast
from llmops.planning.memory import Load
from llmops.tracking import steps
from llmops.tracking.loading import fetch_adapter, find_weights
from llmops.tracking.run import start_step
from llmops.tracking.trainings import (
    is_first_process,
    log_preflight,
    make_report,
    register_trained,
    start_training,
)
from llmops.tracking.versions import get_version
from pipelines import pretrain
from pipelines.pretrain import PretrainConfig

# Settings of the examples' stage alone; the stage before has its own defaults.
_OWN = {"columns", "epochs", "learning_rate", "warmup_steps", "max_tokens", "held_out", "patience"}


@dataclass(frozen=True)
class FinetuneConfig(TrainingSettings):
    """Train an adapter, or all weights, on conversations or preferences, certify what was trained, and register it."""

    examples: str = step.setting("training examples: .jsonl, .csv or .parquet", "examples/handbook/examples.jsonl")
    columns: str = step.setting("our column names and the file's, such as prompt=ask,completion=reply", "")
    objective: str = step.setting("instruction, or preference (DPO on chosen and rejected answers)", "instruction")
    beta: float = step.setting("preference: how dearly leaving the starting model is paid for", 0.1)
    corpus: str = step.setting("texts to train on first, as `pretrain` does; empty: none", "")
    prompt: str = step.setting("prompt template with {context} and {question}", "examples/handbook/prompt.txt")
    questions: str = step.setting("held-out questions that must not be in the examples", "")
    dev_questions: str = step.setting("development questions that must not be in them either", "")
    allow_overlap: str = step.setting("yes: train although questions are in the examples", "no")
    max_rejected: float = step.setting("largest share of examples that may be left out", 0.1)


def identity(config: FinetuneConfig) -> str:
    """The cache key of this step."""
    inputs = {
        "examples": digests.of_file(step.existing_file(config.examples, "examples file")),
        "prompt": digests.of_file(step.existing_file(config.prompt, "prompt file")),
        "base": find_weights(config.base).digest,
        "adapter": get_version(config.adapter).digest if config.adapter else "",
        "general": digests.of_file(step.existing_file(config.general, "general text")) if config.general else "",
        "dtype": resolve_dtype(config.dtype),
    } | {f"questions {i}": digests.of_file(path) for i, path in enumerate(_question_files(config))}
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: FinetuneConfig) -> str:
    """Train, certify, log and register; return the URI of what was made."""
    if config.corpus:
        return _in_two_stages(config)
    with start_training("finetune", config, identity) as workplace:
        _check(config)
        method, recipe = config.to_method(), config.to_recipe()
        prompt = read_prompt(step.existing_file(config.prompt, "prompt file"))
        objective = make_objective(config.objective, prompt.message, config.beta)
        weights = find_weights(config.base)
        tokenizer = load_tokenizer(weights)
        data, overlaps = _read(config, objective, weights, tokenizer)
        before = fetch_adapter(config.adapter, weights, tokenizer) if config.adapter else None
        load = partial(load_trainable, weights, method, config.dtype, config.seed, before)
        trained = Trainable(load(), tokenizer, weights, method)
        first = is_first_process()
        if first:
            _preflight(config, recipe, data, overlaps, trained)
        general = read_general(config.general, trained) if first else None
        training = objective.train(
            trained.model, tokenizer, data.rows, data.held_out, recipe, workplace.checkpoints, make_report("finetune")
        )
        if not first:
            return ""
        trained = trained.made_whole(training.state, load)
        probes = [as_row(row) for row in data.rows[:3]]
        shown = {"objective": config.objective, "prompt_digest": prompt.digest}
        forgotten = general and general.compare(trained.model)
        uri = register_trained(trained, training, config.app, workplace.scratch / "made", probes, shown, forgotten)
    print(f"{len(data.rows)} examples, {training.tokens} tokens in {training.seconds:.0f} s -> {uri}")
    return uri


def _in_two_stages(config: FinetuneConfig) -> str:
    """Train on the corpus, or take what was made of it, and then train that further on the examples."""
    kind = "base" if config.method == "full" else "adapter"
    with start_step("finetune", config) if is_first_process() else nullcontext():
        shared = {field.name for field in fields(PretrainConfig)} & {field.name for field in fields(config)} - _OWN
        domain = PretrainConfig(**{name: getattr(config, name) for name in shared})
        key = pretrain.identity(domain)
        if not steps.find_reusable(key):
            pretrain.main(domain)
        while not (done := steps.find_reusable(key)):  # the first process may still be registering it
            time.sleep(1)
        made = main(replace(config, corpus="", **{kind: steps.read_outputs(done)[kind]}))
        if made:
            steps.log_outputs({kind: made})
    return made


def _check(config: FinetuneConfig) -> None:
    if config.allow_overlap not in ("yes", "no"):
        raise ConfigError(f"allow_overlap is {config.allow_overlap!r}, expected yes or no.")
    if not 0 <= config.max_rejected < 1:
        raise ConfigError(f"max_rejected is {config.max_rejected}, expected a share in [0, 1).")


def _question_files(config: FinetuneConfig) -> list[Path]:
    return [step.existing_file(path, "questions file") for path in (config.questions, config.dev_questions) if path]


def _read(
    config: FinetuneConfig, objective: Objective, weights: Weights, tokenizer: Any
) -> tuple[Prepared[Any], list[Overlap]]:
    """Read and tokenise the examples, and find those that hold a question of the app's.

    Raises:
        DataError: too many examples are left out, or questions are in the examples and that isn't allowed.
    """
    parsed = objective.read(step.existing_file(config.examples, "examples file"), parse_columns(config.columns))
    data: Prepared[Any] = prepare(
        parsed, lambda example: objective.tokenise(example, tokenizer), read_stop_tokens(weights, tokenizer),
        set(tokenizer.all_special_ids), config.max_tokens, config.max_rejected, config.held_out, config.seed,
    )  # fmt: skip
    asked = [(where, objective.asked(example)) for where, example in zip(parsed.wheres, parsed.items, strict=True)]
    questions = [(q.question_id, q.text) for path in _question_files(config) for q in read_questions(path)]
    overlaps = find_overlaps(asked, questions)
    if overlaps and config.allow_overlap == "no":
        raise DataError(
            f"{len(overlaps)} examples hold a question that the app is measured by: {_shown(overlaps)}. "
            "Remove them, or set allow_overlap=yes."
        )
    return data, overlaps


def _shown(overlaps: Sequence[Overlap]) -> str:
    return "; ".join(f"{each.where} holds {each.question_id} ({each.kind})" for each in overlaps[:3])


def _preflight(
    config: FinetuneConfig, recipe: Recipe, data: Prepared[Any], overlaps: Sequence[Overlap], trained: Trainable
) -> None:
    lengths = sorted(data.lengths)
    tokens = sum(lengths) * config.epochs
    read, too_long = len(lengths) + len(data.rejected), data.too_long
    rows = [as_row(row) for row in data.rows]
    speed = measure_speed(trained.model, trained.tokenizer, rows, recipe)
    found = f"{len(overlaps)} in the examples{': ' if overlaps else ''}{_shown(overlaps)}"
    facts = {
        "examples": f"{len(data.rows)} to train on, {len(data.held_out)} held out, {len(data.rejected)} left out",
        "tokens": f"{tokens:.0f} in all; an example has {lengths[len(lengths) // 2]} (median) to {lengths[-1]}",
        "too long": f"{too_long} of {read}, {too_long / read:.1%} (max_tokens {config.max_tokens}); none is cut",
        "end of answer": "trained: every answer ends with the token that stops the base",
        "template": describe_template(trained.tokenizer),
        "questions of the app": found if _question_files(config) else "not given, not compared",
        **forecast(trained.weights, trained.method, _load(config, recipe, data, lengths[-1])),
        "time": f"{tokens / speed:.0f} s at {speed:.0f} tokens a second, measured on three batches",
    }
    log_preflight(facts, lengths, config.max_tokens, {"rejected": data.rejected, "overlaps": overlaps})


def _load(config: FinetuneConfig, recipe: Recipe, data: Prepared[Any], longest: int) -> Load:
    dtype = resolve_dtype(config.dtype)
    if config.objective == "preference":
        return Load(2 * config.micro_batch, longest, dtype=dtype, chunked=True, masked=True)
    labelled = config.micro_batch * max(sum(label != IGNORED for label in row["labels"]) for row in data.rows)
    rows = 1 if recipe.packs else config.micro_batch
    return Load(rows, config.micro_batch * longest // rows, labelled, dtype, masked=recipe.packs)


if __name__ == "__main__":
    step.run(main, FinetuneConfig)
