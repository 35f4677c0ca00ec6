"""A training as an MLflow run: taken up where it was killed, with what was found before it began."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow

from llmops import digests
from llmops.errors import LLMOpsError
from llmops.files import open_workplace
from llmops.finetuning.callbacks import Report
from llmops.finetuning.certificate import certify
from llmops.finetuning.forgetting import Forgetting
from llmops.finetuning.saving import save
from llmops.finetuning.tokens import Row
from llmops.finetuning.trainable import Trainable
from llmops.finetuning.training import Training
from llmops.models.adapter import read_identity
from llmops.models.cache import cache_folder
from llmops.tracking import steps
from llmops.tracking.flavor import log_folder
from llmops.tracking.run import progress_bar, start_step

CHECKPOINTS = "checkpoints"


def is_first_process() -> bool:
    """Whether this is the process that keeps the records, of those that `torchrun` or `accelerate launch` started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def start_training(name: str, config: Any, identify: Callable[[Any], str]) -> Iterator[Path]:
    """Lend the workplace of a step that trains, within the step's run.

    The workplace belongs to the step's identity: the same command finds the checkpoints that a killed one left.
    """
    try:
        key = identify(config)
    except LLMOpsError:
        with start_step(name, config):
            raise
    place = cache_folder() / "training" / digests.of_data([key, os.environ.get("WORLD_SIZE", "1")])[:16]
    if not is_first_process():
        yield place
        return
    with open_workplace(place) as workplace, start_step(name, config, workplace):
        mlflow.set_tag(steps.KEY_TAG, key)
        yield workplace


def make_report(label: str) -> Report:
    """Log each step's measurements as they come, and show them."""
    show = progress_bar(label)

    def report(done: int, total: int, metrics: dict[str, float]) -> None:
        mlflow.log_metrics(metrics, step=done)
        if "train.loss" in metrics:
            speed = f"{metrics.get('train.tokens_per_s', 0):.0f} tokens a second"
            show(f"loss {metrics['train.loss']:.3f}, {speed}, step", done, total)

    return report


def log_preflight(facts: Mapping[str, str], lengths: Sequence[int], limit: int, lists: Mapping[str, Sequence[Any]]) -> None:
    """Print what will happen as a table, and log it, a histogram of the examples' tokens, and lists of what was found."""
    width = max(map(len, facts))
    print("\n".join(f"  {name:<{width}}  {value}" for name, value in facts.items()), flush=True)
    mlflow.log_dict(dict(facts), "preflight.json")
    for name, found in lists.items():
        if found:
            mlflow.log_text(json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False), f"{name}.json")
    _log_histogram(lengths, limit)


def _log_histogram(lengths: Sequence[int], limit: int) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.hist(lengths, bins=40)
    axes.axvline(limit, linestyle="--", label=f"max_tokens {limit}")
    axes.set(xlabel="tokens of an example", ylabel="examples")
    axes.legend()
    mlflow.log_figure(figure, "lengths.png")


def register_trained(
    trained: Trainable, training: Training, app: str, folder: Path, probes: Sequence[Row], shown: Mapping[str, Any],
    forgetting: Forgetting | None,
) -> str:  # fmt: skip
    """Save what was trained, certify it, and register it as a version of `<app>-adapter` or `<app>-base`; return its URI.

    Raises:
        ArtifactError: what was saved, or what the store gives back, is not what was trained.
    """
    save(trained, folder)
    certificate = asdict(certify(trained, folder, probes, forgetting))
    mlflow.log_metrics({f"train.{name}": value for name, value in asdict(training).items()})
    mlflow.log_metrics({f"certificate.{name}": value for name, value in _numbers(certificate).items()})
    method = trained.method
    about = {"method": method.name} | dict(shown)
    if trained.kind == "adapter":
        about |= {"rank": method.rank, "targets": method.targets, "variant": method.variant}
        about |= {f"base_{name}": value for name, value in asdict(read_identity(folder)).items()}
    else:
        about["made_from"] = trained.weights.source
    digest = digests.of_folder(folder)
    version = log_folder(trained.kind, folder, f"{app}-{trained.kind}", digest, about, certificate=certificate)
    steps.log_outputs({trained.kind: version.uri})
    return version.uri


def _numbers(certificate: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """What of a certificate is a number, by its path: merge.logit_difference and so on."""
    found: dict[str, float] = {}
    for name, value in certificate.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            found[prefix + name] = float(value)
    return found
