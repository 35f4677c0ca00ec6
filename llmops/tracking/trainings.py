"""A training as an MLflow run: taken up where it was killed, with what was found before it began."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from llmops import digests
from llmops.errors import LLMOpsError
from llmops.files import open_workplace, told_when_full
from llmops.finetuning.callbacks import Report
from llmops.finetuning.certificate import certify
from llmops.finetuning.forgetting import Forgetting
from llmops.finetuning.processes import count_processes, is_first_process, shares_weights
from llmops.finetuning.saving import save
from llmops.finetuning.tokens import Row
from llmops.finetuning.trainable import Trainable
from llmops.finetuning.training import Training
from llmops.models.adapter import read_identity
from llmops.models.cache import cache_folder
from llmops.tracking import steps, versions
from llmops.tracking.flavor import log_folder
from llmops.tracking.run import progress_bar, start_step


@dataclass(frozen=True)
class Workplace:
    """Where a training works: folders for its checkpoints, which a kill leaves, and for what nobody needs after."""

    checkpoints: Path
    scratch: Path


@contextmanager
def start_training(name: str, config: Any, identify: Callable[[Any], str]) -> Iterator[Workplace]:
    """Lend the workplace of a step that trains, within the step's run.

    The workplace belongs to the step's identity: the same command finds the checkpoints that a killed one left; those of a
    finished one are removed. Of several processes the first has the run, and each has a scratch folder of its own.

    Raises:
        LLMOpsError: the same training is under way in several processes, which can't move to another folder one by one.
    """
    processes = count_processes()
    try:
        key = identify(config)
    except LLMOpsError:
        with start_step(name, config) if is_first_process() else nullcontext():
            raise
    place = cache_folder() / "training" / digests.of_data([key, processes, shares_weights()])[:16]
    if not is_first_process():
        with TemporaryDirectory() as scratch:
            yield Workplace(place / "checkpoints", Path(scratch))
        return
    kept = told_when_full(place, "the last whole checkpoint is kept")
    with open_workplace(place, alone=processes > 1) as workplace, start_step(name, config, workplace), kept:
        mlflow.set_tag(steps.KEY_TAG, key)
        yield Workplace(workplace / "checkpoints", workplace / "scratch")
        shutil.rmtree(workplace / "checkpoints", ignore_errors=True)


def make_report(label: str) -> Report:
    """Log each step's measurements as they come, and show them."""
    show = progress_bar(label)

    def report(done: int, total: int, metrics: dict[str, float]) -> None:
        mlflow.log_metrics(metrics, step=done)
        if "train/loss" in metrics:
            speed = f"{metrics.get('train/tokens_per_s', 0):.0f} tokens a second"
            show(f"loss {metrics['train/loss']:.3f}, {speed}, step", done, total)

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
    done = {name: float(getattr(training, name)) for name in ("steps", "resumed_from", "tokens", "seconds")}
    mlflow.log_metrics({f"train/{name}": value for name, value in done.items()})
    log_certificate(certificate)
    method = trained.method
    about: dict[str, Any] = {"method": method.name} | dict(shown)
    if trained.kind == "adapter":
        about |= {"rank": method.rank, "targets": method.targets, "variant": method.variant}
        about |= {f"base_{name}": value for name, value in asdict(read_identity(folder)).items()}
    else:
        about.setdefault("made_from", trained.weights.source)
    digest = digests.of_folder(folder)
    version = log_folder(trained.kind, folder, f"{app}-{trained.kind}", digest, about, certificate=certificate)
    steps.log_outputs({trained.kind: version.uri})
    return version.uri


def log_certificate(certificate: Mapping[str, Any]) -> None:
    """Log what was measured for a certificate as metrics of the run."""
    measured = {name: value for name, value in certificate.items() if name != "template"}  # its numbers are token ids
    mlflow.log_metrics({f"certificate/{name}": value for name, value in _numbers(measured).items()})


def _numbers(certificate: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """What of a certificate is a number, by its path: merge/logit_difference and so on."""
    found: dict[str, float] = {}
    for name, value in certificate.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found[prefix + name] = float(value)
    return found


def training_seconds(uri: str) -> float:
    """How long training took that made a registered version; 0 where its run isn't there any more."""
    try:
        source = mlflow.get_logged_model(versions.get_version(uri).model_id).source_run_id
        return float(mlflow.get_run(source).data.metrics.get("train/seconds", 0.0)) if source else 0.0
    except MlflowException:
        return 0.0
