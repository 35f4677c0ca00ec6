"""The whole path, run once as a user runs it, on real models and fewer questions; then what it left behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import mlflow
import pytest
from conftest import HANDBOOK, ROOT

from llmops.chains.release import TRAINED_HERE as KINDS
from llmops.evaluation.statistics import paired_difference
from llmops.registry.ledger.standing import standing
from llmops.registry.seat import Seat
from llmops.tracking import evaluations, versions
from llmops.tracking.evaluations import Evaluated
from llmops.tracking.run import STEP_TAG

STEPS = ("index", "finetune", "evaluate", "promote", "deploy")


@dataclass(frozen=True)
class Path_:
    """One run of the path: where its store is, how to run commands beside it, and what it printed."""

    uri: str
    environment: dict[str, str]
    parameters: tuple[str, ...]
    output: str

    def command(self, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, cwd=cwd, env=self.environment, capture_output=True, text=True)

    def mlflow_run(self) -> subprocess.CompletedProcess[str]:
        return self.command("mlflow", "run", ".", "--env-manager", "local", *self.parameters)


def sample(source: Path, target: Path, answerable: int, unanswerable: int, answer: str) -> str:
    """Keep the first lines of a file: so many that have an answer, and so many that don't."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    has = [bool(row[answer]) and row[answer] != "I don't know" for row in rows]
    kept = [row for row, has_it in zip(rows, has, strict=True) if has_it][:answerable]
    kept += [row for row, has_it in zip(rows, has, strict=True) if not has_it][:unanswerable]
    target.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return f"{target.stem}={target}"


@pytest.fixture(scope="module")
def path(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path_]:
    folder = tmp_path_factory.mktemp("path")
    uri = f"sqlite:///{shutil.copy(empty_store, folder / 'mlflow.db')}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("path", artifact_location=(folder / "artifacts").as_uri())
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "path", "LLMOPS_STATE": str(folder / "state"),
        "OMP_NUM_THREADS": "1",  # other files are tested on the other core
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    settings = [
        sample(HANDBOOK / "examples.jsonl", folder / "examples.jsonl", 44, 12, "answer"),
        sample(HANDBOOK / "questions-test.jsonl", folder / "questions.jsonl", 46, 6, "answers"),
        sample(HANDBOOK / "questions-dev.jsonl", folder / "dev_questions.jsonl", 9, 3, "answers"),
    ]
    settings.append("safety=no")  # five times 66 more answers; tests/test_evaluate_step.py asks some
    run = Path_(uri, environment, tuple(part for setting in settings for part in ("-P", setting)), "")
    done = run.mlflow_run()
    assert done.returncode == 0, done.stdout + done.stderr
    yield Path_(uri, environment, run.parameters, done.stdout)
    run.command("mlflow", "deployments", "delete", "-t", "llmops", "--name", "handbook")


@pytest.fixture
def client(path: Path_) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(path.uri)
    return mlflow.MlflowClient()


@pytest.fixture
def candidates(client: mlflow.MlflowClient) -> dict[str, Evaluated]:
    found = evaluations.read_evaluation(evaluations.find_evaluation("handbook"))
    return {candidate.scorecard.candidate: candidate for candidate in found}


def runs(client: mlflow.MlflowClient, step: str) -> list[mlflow.entities.Run]:
    experiment = client.get_experiment_by_name("path")
    return client.search_runs([experiment.experiment_id], f"tags.`{STEP_TAG}` = '{step}'", order_by=["start_time ASC"])


def promoted(client: mlflow.MlflowClient) -> str:
    """The candidate that was promoted. Machines train and answer a little differently."""
    decision = mlflow.artifacts.load_dict(f"runs:/{runs(client, 'promote')[0].info.run_id}/decision.json")
    return str(decision["challenger"]["candidate"])


def test_the_path_prints_scorecard_decision_and_how_to_ask(path: Path_, client: mlflow.MlflowClient) -> None:
    for candidate in ("always-abstain", *KINDS):
        assert f"\n| {candidate} " in path.output
    assert f"promote: {promoted(client)} (models:/handbook/" in path.output
    assert "curl -s http://127.0.0.1:" in path.output


def test_every_step_is_a_finished_run_below_one_parent(client: mlflow.MlflowClient) -> None:
    (parent,) = runs(client, "main")
    for step in STEPS:
        run = runs(client, step)[0]
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_index_adapter_releases_and_prompt_are_registered(client: mlflow.MlflowClient) -> None:
    made = {"handbook-index": 1, "handbook-adapter": 1, "handbook-examples": 1, "handbook": 5, "handbook-ledger": 0}
    assert version_counts(client) == made
    assert mlflow.genai.load_prompt("prompts:/handbook-prompt/1").template.count("{{") == 2


def test_the_logits_of_the_reloaded_adapter_were_compared(client: mlflow.MlflowClient) -> None:
    metrics = runs(client, "finetune")[0].data.metrics
    assert metrics["certificate/reload/logit_difference"] <= 1e-3
    assert metrics["certificate/effect"] > 0
    assert metrics["train/tokens"] <= 100_000


def test_each_candidate_has_a_run_with_comparable_metrics(
    candidates: dict[str, Evaluated], client: mlflow.MlflowClient
) -> None:
    assert list(candidates) == ["always-abstain", *KINDS]
    for name, candidate in candidates.items():
        metrics = client.get_run(candidate.run_id).data.metrics
        assert {"answer/score", "answer/f1", "answer/f1_low", "answer/f1_high", "abstention/recall"} <= metrics.keys()
        assert ("latency/p50_s" in metrics) == (name != "always-abstain")
        assert ("retrieval/recall" in metrics) == ("rag" in name)


def test_the_logged_model_carries_its_own_metrics(candidates: dict[str, Evaluated], client: mlflow.MlflowClient) -> None:
    scores = {}
    for name in KINDS:
        model = mlflow.get_logged_model(versions.get_version(str(candidates[name].release)).model_id)
        scores[name] = {metric.value for metric in model.metrics if metric.key == "answer/score"}
    assert scores == {name: {candidates[name].scorecard.metrics["answer/score"]} for name in KINDS}


def test_each_answer_is_a_trace_with_its_assessments(candidates: dict[str, Evaluated], client: mlflow.MlflowClient) -> None:
    run = client.get_run(candidates["rag"].run_id)
    where = [run.info.experiment_id]
    traces = mlflow.search_traces(locations=where, run_id=run.info.run_id, return_type="list", max_results=500)
    assert len(traces) == len(candidates["rag"].scorecard.rows) == 52
    for trace in traces:
        names = {assessment.name for assessment in trace.info.assessments}
        assert {"answer/score", "abstained_rightly"} <= names


def test_retrieval_helps_with_and_without_the_adapter(candidates: dict[str, Evaluated]) -> None:
    f1 = {name: candidate.scorecard.values("answer/f1") for name, candidate in candidates.items()}
    assert paired_difference(f1["rag"], f1["prompt"]).low > 0
    assert paired_difference(f1["rag+adapter"], f1["adapter"]).mean > 0  # trained on few examples: less on some machines
    refused = {name: candidate.scorecard.metrics["abstention/false_rate"] for name, candidate in candidates.items()}
    assert refused["rag"] < 0.5 and refused["rag+adapter"] < refused["adapter"]


def test_the_alias_moved_and_the_decision_keeps_its_reasons(client: mlflow.MlflowClient) -> None:
    (run,) = runs(client, "promote")[:1]
    decision = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/decision.json")
    champion = client.get_model_version_by_alias("handbook", "champion")
    assert decision["decision"] == run.data.tags["llmops.decision"] == "promote"
    assert decision["champion_before"] is None
    assert decision["champion_after"] == f"models:/handbook/{champion.version}"
    assert [gate["verdict"] for gate in decision["gates"]] == ["promote", "promote"]
    (entry,) = standing(Seat("handbook")).entries[:1]
    assert (entry.after, entry.run) == (str(champion.version), run.info.run_id)


def test_no_registered_model_holds_a_pickle(client: mlflow.MlflowClient) -> None:
    for model in client.search_registered_models("name != 'handbook-ledger'"):  # it holds no model
        files = [file for file in versions.download(f"models:/{model.name}/1").rglob("*") if file.is_file()]
        assert files
        assert not [file for file in files if file.suffix in (".pkl", ".pickle", ".bin", ".pt")]


def test_a_deployment_survives_its_shell_and_answers_with_sources(path: Path_) -> None:
    listed = path.command("mlflow", "deployments", "list", "-t", "llmops")
    assert "'status': 'running'" in listed.stdout
    url = listed.stdout.split("'url': '")[1].split("'")[0]
    health = httpx.get(f"{url}/health").json()
    assert health["status"] == "ok"
    answer = ask(url, "What torque do the M5 lid screws of the Otter get?").json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"]
    assert answer["sources"][0]["document"] == "otter-gauge.md"
    assert answer["release"] == health["release"]
    assert answer["usage"]["total_tokens"] > 100


def test_a_deployment_streams_the_same_answer_as_server_sent_events(path: Path_) -> None:
    question, url = "What torque do the M5 lid screws of the Otter get?", str(deployment(path)["url"])
    whole = ask(url, question).json()
    *lines, last = [line for line in ask(url, question, stream=True).text.split("\n\n") if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert last == "data: [DONE]" and said == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"] == whole["usage"] and events[-1]["sources"] == whole["sources"]


def ask(url: str, question: str, **fields: object) -> httpx.Response:
    body = {"model": "handbook", "messages": [{"role": "user", "content": question}], **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def test_the_gateway_refuses_what_it_does_not_serve_in_one_line(path: Path_) -> None:
    url = deployment(path)["url"]
    for response, status, words in (
        (ask(str(url), "Hello?", model="other"), 404, "not served here"),
        (ask(str(url), "  "), 400, "no user message"),
        (httpx.post(f"{url}/v1/chat/completions", json={"model": "handbook", "messages": []}), 400, "messages"),
    ):
        assert response.status_code == status
        assert words in response.json()["error"]["message"]


def deployment(path: Path_) -> dict[str, object]:
    folder = Path(path.environment["LLMOPS_STATE"]) / "handbook"
    asked = json.loads((folder / "deployment.json").read_text(encoding="utf-8"))
    runs = json.loads((folder / "processes.json").read_text(encoding="utf-8"))
    pids = {slot: child["pid"] for slot, child in runs["children"].items()}
    return {"url": f"http://{asked['options']['host']}:{asked['port']}", "pids": pids}


RELOAD = """
import sys, mlflow
model = mlflow.pyfunc.load_model("models:/handbook@champion")
print(model.predict({"input": [{"role": "user", "content": sys.argv[1]}]})["output"][0]["content"][0]["text"])
"""


def test_a_release_reloads_without_pickle_elsewhere_and_answers_the_same(path: Path_, tmp_path: Path) -> None:
    question = "What torque do the M5 lid screws of the Otter get?"
    environment = path.environment | {
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    }
    command = [sys.executable, "-c", RELOAD, question]
    reloaded = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    served = ask(str(deployment(path)["url"]), question).json()["choices"][0]["message"]["content"]
    assert reloaded.stdout.strip().splitlines()[-1] == served


def version_counts(client: mlflow.MlflowClient) -> dict[str, int]:
    names = [model.name for model in client.search_registered_models()]
    return {name: len(client.search_model_versions(f"name = '{name}'")) for name in names}


def test_a_second_run_reuses_what_did_not_change(path: Path_, client: mlflow.MlflowClient) -> None:
    before = {
        model.name: len(client.search_model_versions(f"name = '{model.name}'"))
        for model in client.search_registered_models()
    }
    pids = deployment(path)["pids"]
    again = path.mlflow_run()
    assert again.returncode == 0, again.stderr
    for step in ("index", "finetune", "evaluate"):
        assert f"{step}: nothing changed, reusing run" in again.stdout
        assert len(runs(client, step)) == 1
    assert f"keep: {promoted(client)}" in again.stdout and "is the champion already" in again.stdout
    after = {
        model.name: len(client.search_model_versions(f"name = '{model.name}'"))
        for model in client.search_registered_models()
    }
    assert after == before
    assert deployment(path)["pids"] == pids


def test_deployments_are_asked_and_ended_from_another_shell(path: Path_, tmp_path: Path) -> None:
    requests = tmp_path / "requests.json"
    requests.write_text(json.dumps([{"messages": [{"role": "user", "content": "Which planet has the most moons?"}]}]))
    asked = path.command("mlflow", "deployments", "predict", "-t", "llmops", "--name", "handbook", "-I", str(requests))
    assert json.loads(asked.stdout.strip().splitlines()[-1])["predictions"][0]["choices"][0]["message"]["content"]
    create = ("mlflow", "deployments", "create", "-t", "llmops", "--name", "handbook", "-m", "models:/handbook@champion")
    again = path.command(*create)
    assert again.returncode == 0 and "handbook is deployed already, with these settings" in again.stderr
    taken = path.command(*create, "-C", "workers=2")
    assert taken.returncode != 0 and "Error: 'handbook' is deployed already" in taken.stderr
    url = deployment(path)["url"]
    ended = path.command("mlflow", "deployments", "delete", "-t", "llmops", "--name", "handbook")
    assert ended.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    gone = path.command("mlflow", "deployments", "get", "-t", "llmops", "--name", "handbook")
    assert gone.returncode != 0 and "Error: no deployment named 'handbook'" in gone.stderr
