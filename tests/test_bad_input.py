"""What a user gets wrong: one clear line, exit code 2, a FAILED run, and nothing half-made left behind."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from applications import decide
from conftest import ROOT
from test_ledger_faults import answering

from llmops import step
from llmops.chains.parts import Generator
from llmops.chains.release import Release
from llmops.errors import DeploymentError
from llmops.models.weights import resolve_weights
from llmops.tracking.prompts import register_template
from llmops.tracking.releases import log_release
from pipelines import deploy, evaluate, finetune, index, promote

GOOD = "# Leave\n\nEveryone has 30 days of leave a year.\n"


def fails(
    capsys: pytest.CaptureFixture[str], main: Callable[[Any], Any], config: type[Any], **flags: object
) -> str:  # fmt: skip
    """Run a step as its command line does; return what it says after checking what it leaves."""
    arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["step", *arguments])
        with pytest.raises(SystemExit) as ended:
            step.run(main, config)
    assert ended.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    runs = mlflow.search_runs(output_format="list")
    assert [run.info.status for run in runs] == ["FAILED"]
    assert runs[0].data.tags["llmops.error"] in lines[0]
    assert list(mlflow.MlflowClient().search_registered_models()) == []
    return lines[0]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def register_release(weights: Path) -> None:
    """Make the champion of `handbook` a release that prompts the model in a folder."""
    prompt = register_template("handbook-prompt", "{context} {question}")
    generator = Generator(str(weights), resolve_weights(str(weights)).digest, "float32", 4)
    with mlflow.start_run():
        version = log_release(Release("handbook", "prompt", prompt, "{context} {question}", generator))
    decide(version)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text(GOOD)
    return folder


def test_a_missing_folder(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, index.main, index.IndexConfig, documents="no/such/folder")
    assert "documents 'no/such/folder' does not exist" in said


def test_a_folder_without_a_readable_document(store: str, documents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (documents / "leave.md").rename(documents / "leave.exe")
    said = fails(capsys, index.main, index.IndexConfig, documents=documents)
    assert "no readable document" in said and "leave.exe: format '.exe' is not read" in said


def test_a_bad_document_is_reported_skipped_and_counted(
    store: str, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (documents / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing of a PDF")
    (documents / "empty.txt").write_text("")
    uri = index.main(index.IndexConfig(documents=str(documents)))
    said = capsys.readouterr().out
    assert "skipped broken.pdf: it can't be read as .pdf" in said and "skipped empty.txt: " in said
    assert "1 documents: 1 added, 0 changed, 0 reused, 0 deleted, 2 skipped" in said
    (run,) = mlflow.search_runs(output_format="list")
    assert (run.info.status, run.data.metrics["documents/skipped"]) == ("FINISHED", 2)
    assert uri == "models:/handbook-index/1"


def test_an_unknown_model(store: str, documents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, index.main, index.IndexConfig, documents=documents, embedder="wheel:no-such-model")
    assert "no wheel 'no-such-model'" in said and "make models" in said


def test_a_malformed_line_of_examples(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_lm: Path) -> None:
    examples = write(tmp_path / "examples.jsonl", {"question": "?", "context": [], "answer": "x"}, '{"question": \n')
    said = fails(capsys, finetune.main, finetune.FinetuneConfig, examples=examples, base=tiny_lm)
    assert "examples.jsonl:2: no valid JSON" in said


def test_an_example_longer_than_allowed(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_lm: Path
) -> None:
    examples = write(tmp_path / "examples.jsonl", {"question": "?", "context": ["word " * 500], "answer": "x"})
    said = fails(capsys, finetune.main, finetune.FinetuneConfig, examples=examples, base=tiny_lm, max_tokens=200)
    assert "examples.jsonl:1: it has" in said and "more than max_tokens=200" in said


def test_questions_about_documents_that_are_not_in_the_index(
    store: str, documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_lm: Path
) -> None:
    index.main(index.IndexConfig(documents=str(documents)))
    capsys.readouterr()
    files = {
        "questions": write(tmp_path / "q.jsonl", {"id": "1", "question": "?", "answers": ["x"], "documents": ["pay.md"]}),
        "dev_questions": write(tmp_path / "d.jsonl", {"id": "1", "question": "!", "answers": [], "documents": []}),
        "examples": write(tmp_path / "e.jsonl", {"question": "a", "context": [], "answer": "x"}),
    }
    with pytest.raises(Exception, match=r"1 documents named by the questions are not in the index \(pay.md\)"):
        evaluate.main(evaluate.EvaluateConfig(base=str(tiny_lm), kinds="rag", **{k: str(v) for k, v in files.items()}))
    assert [model.name for model in mlflow.MlflowClient().search_registered_models()] == ["handbook-index"]
    assert mlflow.search_runs(output_format="list")[0].info.status == "FAILED"


def test_evaluating_before_an_index_was_made(store: str, capsys: pytest.CaptureFixture[str], tiny_lm: Path) -> None:
    said = fails(capsys, evaluate.main, evaluate.EvaluateConfig, base=tiny_lm, kinds="rag")
    assert "'handbook-index' has no version" in said


def test_promoting_before_anything_was_evaluated(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, promote.main, promote.PromoteConfig)
    assert "no finished evaluation of 'handbook'" in said


def test_promoting_by_a_policy_with_an_unknown_metric(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = write(tmp_path / "policy.yaml", "win: {kpi: answer.bleu, by: 0}\n")
    said = fails(capsys, promote.main, promote.PromoteConfig, policy=policy)
    assert "policy.yaml:1: win.kpi: unknown KPI 'answer.bleu'" in said


def test_deploying_what_was_never_promoted(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    said = fails(capsys, deploy.main, deploy.DeployConfig)
    assert "'models:/handbook@champion' is not in the registry" in said
    assert list((tmp_path / "state").glob("*.json")) == []


ANSWERS = {
    "is not in the registry": (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}'),
    "fails or can't be reached": (500, '{"error_code": "INTERNAL_ERROR", "message": "no disk"}'),
    "is not in the registry http://.*, or you may not read it": (403, "Permission denied"),
}


@pytest.mark.parametrize("words", ANSWERS)
def test_deploying_from_a_registry_that_refuses_is_one_line_without_its_password(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(*ANSWERS[words]) as uri:
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri.replace("//", "//carol:secret@"))
        with pytest.raises(DeploymentError, match=words) as caught:
            deploy.main(deploy.DeployConfig())
    (run,) = mlflow.search_runs(output_format="list")
    assert run.data.tags["llmops.error"] == str(caught.value) and "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_port_in_use(
    store: str, tmp_path: Path, tiny_lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    register_release(tiny_lm)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Exception, match=f"port {port} is in use on 127.0.0.1"):
            deploy.main(deploy.DeployConfig(port=port))
    assert mlflow.search_runs(output_format="list")[0].info.status == "FAILED"
    assert list((tmp_path / "state").glob("*.json")) == []


def test_a_release_that_cannot_start_leaves_nothing_running(
    store: str, tmp_path: Path, tiny_lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    weights = Path(shutil.copytree(tiny_lm, tmp_path / "weights"))
    register_release(weights)
    shutil.rmtree(weights)
    with pytest.raises(Exception, match="models:/handbook/1 is not served: .*weights"):
        deploy.main(deploy.DeployConfig())
    assert list((tmp_path / "state").glob("*.json")) == []


def test_what_is_no_release_is_not_deployed(
    store: str, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    index.main(index.IndexConfig(documents=str(documents)))
    mlflow.MlflowClient().set_registered_model_alias("handbook-index", "champion", "1")
    with pytest.raises(Exception, match="models:/handbook-index/1 is a model of flavor llmops_index.*, expected a release"):
        deploy.main(deploy.DeployConfig(app="handbook-index"))
    assert list((tmp_path / "state").glob("*.json")) == []


def test_under_mlflow_run_a_mistake_is_a_failed_run_and_an_exit_code(store: str, tmp_path: Path) -> None:
    name = "a'; touch x; '"
    command = ["mlflow", "run", ".", "--env-manager", "local", "-e", "promote", "-P", f"app={name}", "-P", "policy=p'x"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"error: app is {name!r}, expected letters" in done.stderr
    assert not (ROOT / "x").exists() and not (tmp_path / "x").exists()
    (run,) = mlflow.search_runs(output_format="list")
    assert run.info.status == "FAILED"
