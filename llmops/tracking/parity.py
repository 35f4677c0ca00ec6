"""Parity: whether a release answers on the engine that will serve it as it does on the engine that answered in evaluation.

The certificate is a run: `parity.json` says how many answers are equal, and a tag of the version names the run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from llmops.chains.answerer import Answerer
from llmops.chains.release import Release
from llmops.datasets.questions import question_digest
from llmops.errors import ArtifactError, ConfigError
from llmops.evaluation.bulk import Outcome, answer_all
from llmops.evaluation.metrics import token_f1
from llmops.evaluation.statistics import Interval, mean_interval, unanimous_share
from llmops.journal import JsonJournal
from llmops.models.http.engine import HttpEngine
from llmops.tracking.answers import answer_questions
from llmops.tracking.registered import load_registered
from llmops.tracking.versions import Registered
from llmops.types import Progress, Question

PARITY_TAG, PARITY_FILE = "llmops.parity.", "parity.json"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")  # part of a tag's name


@dataclass(frozen=True)
class Parity:
    """How alike the answers of two engines are: the share that is equal, and the token F1 between them.

    `release` and `questions` are digests, `reference` is the engine in this process and `engine` what serves, by name,
    version and dtype as its operator says: a server doesn't. An answer that only one of them gave counts 0.
    """

    release: str
    questions: str
    reference: Mapping[str, str]
    engine: Mapping[str, str]
    equal: Interval
    f1: Interval

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Parity":
        return cls(**{**data, "equal": Interval(**data["equal"]), "f1": Interval(**data["f1"])})


def adapter_name(release: Release) -> str | None:
    """The name that a server has a release's adapter under, unless told otherwise: `<app>-adapter-<version>`."""
    adapter = release.generator.adapter
    return adapter.removeprefix("models:/").replace("/", "-") if adapter else None


def compare_engines(
    uri: str, release: Release, questions: Sequence[Question], served: HttpEngine, engine: Mapping[str, str],
    adapter: str | None = None, progress: Progress | None = None,
) -> Parity:  # fmt: skip
    """Let a release answer questions in this process and on a server of the same base, and compare.

    `adapter` is the name under which the server has the release's adapter, where that isn't `adapter_name`. All but
    the engine is the same: retrieval, prompts, guards. What the server says isn't remembered: it may be another tomorrow.

    Raises:
        ConfigError: the release's model is a server's already, or the engine's name can't be part of a tag's.
        ArtifactError: the release was made by other code, which takes no other engine.
        EngineError: the server can't be reached, or refuses.
    """
    if release.generator.server is not None:
        raise ConfigError(f"{uri} answers by the model at {release.generator.server}: there is nothing to compare.")
    if not _NAME.fullmatch(engine.get("name", "")):
        raise ConfigError(f"the engine's name is {engine.get('name')!r}, expected letters, digits, '.', '_' and '-'.")
    answerer = load_registered(uri, release)
    if not isinstance(answerer, Answerer):
        raise ArtifactError(f"{uri} was made by another version of this package. Evaluate it anew to register it again.")
    with TemporaryDirectory() as folder:
        elsewhere = answerer.with_engine(served, adapter or adapter_name(release))
        there = answer_all(elsewhere, questions, JsonJournal(Path(folder) / "served.jsonl"), progress)
    here = answer_questions(release, answerer, questions, progress)
    pairs = list(zip(here, there, strict=True))
    clusters = [question.documents[0] if question.documents else question.question_id for question in questions]
    return Parity(
        release.digest, question_digest(questions), dict(answerer.identity), dict(engine),
        _share([float(_are_equal(*pair)) for pair in pairs], clusters),
        mean_interval([_f1(*pair) for pair in pairs], clusters, bounds=(0.0, 1.0)),
    )  # fmt: skip


def log_parity(parity: Parity, version: Registered) -> None:
    """Log a certificate into the active run, and let the release's version name it."""
    run = mlflow.active_run()
    assert run is not None
    mlflow.log_dict(asdict(parity), PARITY_FILE)
    for name, interval in (("equal", parity.equal), ("f1", parity.f1)):
        mlflow.log_metrics({f"parity/{name}": interval.mean, f"parity/{name}_low": interval.low})
    tag = PARITY_TAG + parity.engine["name"]
    mlflow.MlflowClient().set_model_version_tag(version.name, version.version, tag, run.info.run_id)


def find_parity(tags: Mapping[str, str], engine: str) -> Parity | None:
    """The certificate for an engine that a version's tags name; None where they name none.

    Raises:
        ArtifactError: the run that they name is gone, or holds no certificate.
    """
    run_id = tags.get(PARITY_TAG + engine)
    if run_id is None:
        return None
    try:
        return Parity.from_dict(mlflow.artifacts.load_dict(f"runs:/{run_id}/{PARITY_FILE}"))
    except (MlflowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"run {run_id} holds no parity certificate for {engine}. Run -e parity again.") from error


def _are_equal(here: Outcome, there: Outcome) -> bool:
    if here.answer is None or there.answer is None:
        return False
    return (here.answer.text, here.answer.abstained) == (there.answer.text, there.answer.abstained)


def _f1(here: Outcome, there: Outcome) -> float:
    if here.answer is None or there.answer is None:
        return 0.0
    return token_f1(there.answer.text, [here.answer.text])


def _share(values: Sequence[float], clusters: Sequence[str]) -> Interval:
    if len(set(values)) == 1:
        return unanimous_share(values[0], len(values), len(set(clusters)))
    return mean_interval(values, clusters, bounds=(0.0, 1.0))
