"""A small application in the store: indexes of a few pages, an adapter, releases of both, scorecards and decisions."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK, use_store
from fakes import GENERATOR, Parrot, bot, release, retriever
from test_retrieval import Workshop, write

from llmops import digests
from llmops.chains.parts import Generator, Retrieval
from llmops.chains.prompt import read_prompt
from llmops.chains.release import Release
from llmops.evaluation.scorecard import score
from llmops.models.weights import resolve_weights
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit
from llmops.registry.seat import Seat
from llmops.retrieval.manifest import index_digest
from llmops.retrieval.search import Search
from llmops.tracking import evaluations
from llmops.tracking.flavor import log_folder
from llmops.tracking.golden import record
from llmops.tracking.inputs import log_source
from llmops.tracking.loading import load_answerer
from llmops.tracking.prompts import register_template
from llmops.tracking.question_sets import freeze_questions
from llmops.tracking.releases import log_release
from llmops.tracking.run import STEP_TAG
from llmops.tracking.versions import Registered
from llmops.tracking.worker import IN_WORKER
from llmops.types import Answer, Question

CHAMPION = Seat("handbook")
QUESTIONS = [Question("q1", "How long is leave?", ("thirty",)), Question("q2", "Who books cars?", ("Pebble",))]


def need_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let releases be logged whose weights don't exist: MLflow asks each of them once."""
    monkeypatch.setenv(IN_WORKER, "1")
    monkeypatch.setattr("llmops.tracking.agent.load_answerer", lambda made: bot(made, Parrot("thirty"), None, retriever()))


def make_index(place: Path, pages: dict[str, str], name: str = "handbook-index") -> Registered:
    workshop = Workshop(place)
    write(workshop.documents, pages)
    workshop.build()
    with mlflow.start_run():
        mlflow.log_param("documents", "pages")
        return log_folder("index", workshop.index.folder, name, index_digest(workshop.index.manifest), {"embedder": "words"})


def make_adapter(place: Path, text: str, base: str = "wheel:base") -> Registered:
    folder = place / f"adapter-{text}"
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors", "base.json"):
        (folder / name).write_text(json.dumps(text))
    about = {"method": "lora", "rank": 4, "base_source": base}
    with mlflow.start_run():
        mlflow.log_params({"examples": "examples.jsonl", "corpus": "''"})
        log_source("examples", "examples.jsonl", "f" * 64, "training")
        return log_folder("adapter", folder, "handbook-adapter", digests.of_folder(folder), about)


def make_base(place: Path, text: str) -> Registered:
    folder = place / f"base-{text}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)
    with mlflow.start_run():
        return log_folder("base", folder, "handbook-base", digests.of_folder(folder), {"made_from": "scratch"})


def make_release(index: Registered | None = None, adapter: Registered | None = None, **parts: Any) -> Registered:
    """A release of what is given; `tokens` tells releases of the same parts apart."""
    generator = replace(GENERATOR, max_new_tokens=parts.pop("tokens", 24), base=parts.pop("base", GENERATOR.base))
    if adapter:
        generator = replace(generator, adapter=adapter.uri, adapter_digest=adapter.digest)
    kind = "+".join(filter(None, ("rag" if index else "", "adapter" if adapter else ""))) or "prompt"
    made: Release = replace(
        release(kind), generator=generator, prompt=register_template("handbook-prompt", "{context} {question}"),
        retrieval=Retrieval(index.uri, index.digest, Search()) if index else None, **parts,
    )  # fmt: skip
    with mlflow.start_run():
        return log_release(made)


def evaluate(version: Registered, candidate: str = "rag") -> str:
    """The run of an evaluation of one release, as the step leaves it."""
    with mlflow.start_run() as run:
        mlflow.set_tags({STEP_TAG: "evaluate", evaluations.APP_TAG: "handbook"})
        mlflow.log_input(freeze_questions("handbook", QUESTIONS).dataset)
        with mlflow.start_run(nested=True):
            card = score(candidate, QUESTIONS, [Answer("thirty", False), Answer("nobody", False)], False, {})
            evaluations.log_scorecard(card, "handbook", version.uri, version.model_id)
    return str(run.info.run_id)


def decide(version: Registered, decision: str = "promote", evaluation: str = "", seat: Seat = CHAMPION) -> Entry:
    """Write a decision into the ledger of a seat."""
    before = standing(seat)
    after = before.attested if decision in ("keep", "insufficient evidence") else version.version
    draft = Entry(
        0, "", "", decision, before.attested, after, version.uri, version.digest, {"base": "b" * 64}, "p" * 64, evaluation,
        f"run {len(before.entries)}", {"user": "alice"}, f"2026-11-26T14:0{len(before.entries)}:00+00:00", "",
    )  # fmt: skip
    return commit(seat, draft, len(before.entries))


def three_releases(folder: Path, empty_store: Path, base: Path, asked: Sequence[str] = ()) -> Path:
    """A store in `folder` with three versions of `handbook`, which answer with 4, 5 and 6 tokens; to be copied.

    What they say to the questions `asked` is stored with them.
    """
    path = Path(shutil.copy(empty_store, folder / "mlflow.db"))
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.create_experiment("test", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("test")
    template, digest = read_prompt(HANDBOOK / "prompt.txt").template, resolve_weights(str(base)).digest
    prompt = register_template("handbook-prompt", template)
    for tokens in (4, 5, 6):
        made = Release("handbook", "prompt", prompt, template, Generator(str(base), digest, "float32", tokens))
        with mlflow.start_run():
            log_release(made, record(load_answerer(made), asked) if asked else ())
    return path


def use_copy(store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a copy of a store, in `folder`, here and in processes started, until the test ends."""
    use_store(f"sqlite:///{shutil.copy(store, folder / 'mlflow.db')}", "test", monkeypatch)
