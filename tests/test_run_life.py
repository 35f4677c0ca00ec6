"""The ordinary life of a step's run: what it read, what it cost the machine, and what its models take and give."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run
from test_finetune_step import SMALL, chat, tune, write

from llmops import digests
from llmops.chains.parts import Generator
from llmops.chains.release import Release
from llmops.models.weights import resolve_weights
from llmops.tracking.releases import log_release
from llmops.tracking.run import start_step
from pipelines import index, pretrain

pytestmark = pytest.mark.usefixtures("one_thread")

INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"


@dataclass(frozen=True)
class Config:
    app: str = "handbook"


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "own_cache" in request.fixturenames:
        monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def own_cache() -> None:
    """Weights of wheels are not in it."""


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nEvery employee has thirty days of paid leave in a calendar year.\n")
    return folder


def last_run(name: str) -> Run:
    found: list[Run] = mlflow.search_runs(filter_string=f"run_name = '{name}'", output_format="list", max_results=1)
    return found[0]


def inputs(name: str) -> dict[str, tuple[str, Any, str]]:
    """Digest, source and context of each input of the newest run of this name."""
    found = last_run(name).inputs
    assert found
    return {
        one.dataset.name: (one.dataset.digest, json.loads(one.dataset.source), one.tags[0].value)
        for one in found.dataset_inputs
    }


# The machine


def system(run: Run) -> set[str]:
    return {name for name in mlflow.get_run(run.info.run_id).data.metrics if name.startswith("system/")}


def test_a_step_logs_what_it_takes_of_the_machine(
    store: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(INTERVAL, "0.05")
    deadline = time.monotonic() + 60
    with start_step("outer", Config()) as outer, start_step("inner", Config()) as inner:
        while not (system(outer) and system(inner)):
            assert time.monotonic() < deadline, "nothing was logged"
            time.sleep(0.02)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= system(outer) & system(inner)
    assert "system metrics" not in capfd.readouterr().err


def test_a_short_step_logs_nothing_of_the_machine(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERVAL, "600")
    with start_step("short", Config()) as run:
        pass
    assert not system(run)


def test_a_user_may_switch_it_off(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERVAL, "0.01")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with start_step("off", Config()) as run:
        time.sleep(0.5)
    assert not system(run)


# What was read


def test_an_index_names_its_documents_and_questions_as_inputs(store: str, documents: Path, tmp_path: Path) -> None:
    asked = {"id": "q1", "question": "How long is leave?", "answers": ["thirty days"], "documents": ["leave.md"]}
    questions = write(tmp_path / "questions.jsonl", [asked])
    index.main(index.IndexConfig(documents=str(documents), questions=str(questions)))
    before = inputs("index")
    digest, source, context = before["documents"]
    assert (source, context, len(digest)) == ({"uri": str(documents)}, "index", 12)
    assert before["questions"] == (digests.of_file(questions)[:12], {"uri": str(questions)}, "evaluation")
    (documents / "new.md").write_text("# New\n\nA page that was not there before.\n")
    index.main(index.IndexConfig(documents=str(documents)))
    assert inputs("index")["documents"][0] != digest


def test_a_training_names_its_examples_as_inputs(store: str, own_cache: None, tiny_lm: Path, tmp_path: Path) -> None:
    examples = write(tmp_path / "chats.jsonl", [chat(f"Which number is {n}?", f"It is {n}.") for n in range(4)])
    tune(tiny_lm, examples, epochs=1.0)
    assert inputs("finetune") == {"examples": (digests.of_file(examples)[:12], {"uri": str(examples)}, "training")}


def pretraining(corpus: str, base: Path) -> None:
    settings = {**SMALL, "epochs": 1.0, "max_tokens": 32, "held_out": 0.0}
    pretrain.main(pretrain.PretrainConfig(corpus=corpus, base=str(base), **settings))


def test_a_pretraining_names_its_corpus_as_input(store: str, own_cache: None, tiny_lm: Path, documents: Path) -> None:
    pretraining(str(documents), tiny_lm)
    assert inputs("pretrain") == {"corpus": (digests.of_folder(documents)[:12], {"uri": str(documents)}, "training")}


def test_a_registered_index_that_was_trained_on_is_named_by_its_version(
    store: str, tiny_lm: Path, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = index.main(index.IndexConfig(documents=str(documents)))
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    pretraining("models:/handbook-index/latest", tiny_lm)
    assert inputs("pretrain")["corpus"][1] == {"tags": {"mlflow.source.name": made}}


# What models take and give


def test_an_index_says_what_it_takes(store: str, documents: Path) -> None:
    made = index.main(index.IndexConfig(documents=str(documents)))
    signature = mlflow.models.get_model_info(made).signature
    assert signature.inputs.input_names() == ["question"]
    assert {param.name for param in signature.params} >= {"k", "search", "filter", "groups"}


def test_a_release_says_what_it_takes_and_gives(store: str, tiny_lm: Path) -> None:
    generator = Generator(str(tiny_lm), resolve_weights(str(tiny_lm)).digest, "float32", 6)
    with mlflow.start_run():
        made = log_release(Release("handbook", "prompt", "prompts:/handbook-prompt/1", "{context} {question}", generator))
    signature = mlflow.models.get_model_info(made.uri).signature
    assert "input" in signature.inputs.input_names() and "output" in str(signature.outputs)
