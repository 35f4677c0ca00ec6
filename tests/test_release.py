"""A release in the registry: what it carries, and that it answers later as it did when it was made."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlflow
import psutil
import pytest
from conftest import ROOT
from fakes import Parrot, bot, retriever
from fakes import release as fake_release
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from test_chat_model import wait_until
from transformers import AutoConfig, AutoModelForSequenceClassification

from llmops.chains.parts import Generator
from llmops.chains.release import Release
from llmops.errors import ArtifactError, EngineError, WeightsError
from llmops.guards.settings import GuardSettings
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.serving.gateway.app import create_app
from llmops.serving.process import check_port, last_words, started, stop
from llmops.serving.rollout.backend import let_go
from llmops.serving.roster import Identity, Single, load_serving, serving_of
from llmops.tracking import golden, package, releases
from llmops.tracking.agent import ReleaseAgent, details
from llmops.tracking.candidates import CandidateSettings
from llmops.tracking.loading import load_answerer, load_engine, pin_guards
from llmops.tracking.registered import load_registered
from llmops.tracking.releases import log_release, read_release
from llmops.tracking.sources import source_digest
from llmops.tracking.versions import download
from llmops.tracking.worker import IN_WORKER
from llmops.types import Completion, GenerationRequest

QUESTION = "How long is leave?"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMOPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def make(weights: Path, **parts: Any) -> Release:
    generator = Generator(str(weights), resolve_weights(str(weights)).digest, "float32", 6)
    code = source_digest("llmops.tracking.agent")
    return replace(
        Release("handbook", "prompt", "prompts:/handbook-prompt/1", "{context} {question}", generator, code_digest=code),
        **parts,
    )


def register(release: Release) -> str:
    with mlflow.start_run():
        return log_release(release, golden.record(load_answerer(release), [QUESTION])).uri


def ask(model: Any, *said: str) -> dict[str, Any]:
    roles = ("user", "assistant") * len(said)
    messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    answer: dict[str, Any] = model.predict({"input": messages})
    return answer


def gateway_of(model: Any, folder: Path, name: str = "handbook", uri: str = "models:/handbook/1") -> FastAPI:
    """A gateway that serves a loaded model."""
    return create_app(Single(serving_of(Identity(name, uri, "d" * 64, "1"), model)), folder)


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["output"][0]["content"][0]["text"])


# The package


def test_the_same_code_is_the_same_wheel(tmp_path: Path) -> None:
    wheels = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        wheels.append(package.write_wheel(tmp_path / name))
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


def test_other_code_is_a_wheel_of_another_name_for_which_mlflow_makes_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "ROOT", tmp_path)
    (tmp_path / "llmops").mkdir()
    names = []
    for code in ("ONE = 1", "ONE = 2", "ONE = 1"):
        (tmp_path / "llmops" / "one.py").write_text(code)
        names.append(package.write_wheel(tmp_path).name)
    assert names[0] == names[2] != names[1]


def test_the_wheel_is_one_that_pip_installs(tmp_path: Path) -> None:
    wheel = package.write_wheel(tmp_path)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, str(wheel)], check=True)
    program = "import llmops, mlflow_plugins, pipelines; print(llmops.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    found = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()) == tmp_path / "site" / "llmops" / "__init__.py"


def test_a_release_carries_its_package_its_answers_and_what_to_install(store: str, tiny_lm: Path) -> None:
    release = make(tiny_lm)
    folder = download(register(release))
    (wheel,) = (folder / "artifacts").glob("*.whl")
    assert (folder / "requirements.txt").read_text().splitlines()[0] == f"artifacts/{wheel.name}"
    stored = json.loads((folder / "artifacts" / "golden.json").read_text())
    assert [one["question"] for one in stored] == [QUESTION]
    assert stored[0]["answer"] == load_answerer(release).answer([QUESTION])[0].text
    assert not list(folder.rglob("*.pkl"))


def test_a_release_that_needs_an_extra_lists_it(tiny_lm: Path) -> None:
    usual, with_presidio = (releases.requirements(make(tiny_lm, guards=guards)) for guards in (
        GuardSettings(), GuardSettings(personal_data_finder="presidio")
    ))  # fmt: skip
    (extra,) = set(with_presidio) - set(usual)
    assert extra.startswith("presidio-analyzer==")


# Answering


def test_a_registered_release_answers_streams_and_hears_the_conversation(store: str, tiny_lm: Path) -> None:
    release = make(tiny_lm)
    model = mlflow.pyfunc.load_model(register(release))
    answer = ask(model, QUESTION)
    assert text_of(answer) == load_answerer(release).answer([QUESTION])[0].text
    asked_before = ask(model, "Who signs ON-3?", "The People Desk.", QUESTION)
    more = asked_before["custom_outputs"]["prompt_tokens"] - answer["custom_outputs"]["prompt_tokens"]
    assert more > 10  # the turns before are in the prompt
    events = list(model.predict_stream({"input": [{"role": "user", "content": QUESTION}]}))
    assert "".join(event["delta"] for event in events[:-1]) == text_of(answer)
    assert events[-1]["custom_outputs"]["completion_tokens"] == answer["custom_outputs"]["completion_tokens"]


def test_the_gateway_streams_what_the_release_says(store: str, tiny_lm: Path, tmp_path: Path) -> None:
    app = gateway_of(mlflow.pyfunc.load_model(register(make(tiny_lm))), tmp_path)
    client = TestClient(app)
    body = {"model": "handbook", "messages": [{"role": "user", "content": QUESTION}]}
    whole = client.post("/v1/chat/completions", json=body).json()
    streamed = client.post("/v1/chat/completions", json={**body, "stream": True})
    *lines, last = streamed.text.strip().split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert last == "data: [DONE]" and said == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"] == whole["usage"] and events[-1]["choices"][0]["finish_reason"] == "length"
    app.state.gateway.traces.flush()
    traces = mlflow.search_traces(return_type="list")
    assert len(traces) == 2 and all(trace.info.state == "OK" for trace in traces)


def test_every_step_of_an_answer_is_a_span(store: str, tiny_lm: Path) -> None:
    model = mlflow.pyfunc.load_model(register(make(tiny_lm)))
    ask(model, QUESTION)
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    spans = {span.name: span for span in trace.data.spans}
    assert {"guard injection", "context", "generate", "guard answer_secrets"} <= spans.keys()
    assert spans["guard injection"].attributes["action"] == "pass" and spans["guard injection"].attributes["cost_ms"] >= 0


def test_a_request_without_a_question_is_refused_in_one_line(store: str, tiny_lm: Path) -> None:
    model = mlflow.pyfunc.load_model(register(make(tiny_lm)))
    with pytest.raises(MlflowException, match="doesn't end with a user message"):
        model.predict({"input": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]})


def test_stored_answers_are_those_to_questions_asked_one_at_a_time(
    store: str, tiny_lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a batch the sums may be rounded in another order, on some processors, so other tokens may be chosen."""
    release = make(tiny_lm)
    answerer = load_answerer(replace(release, generator=replace(release.generator, dtype="bfloat16", max_new_tokens=24)))
    asked = [
        QUESTION,
        "Who signs ON-3?",
        "Up to what sum does Fennmark support buying a desk and chair for the home office?",
    ]
    alone = [answerer.answer([question])[0].text for question in asked]
    engine = load_engine(release.generator.base, release.generator.base_digest, "bfloat16")
    batches: list[int] = []

    def generate(requests: Sequence[GenerationRequest], *rest: Any) -> list[Completion]:
        batches.append(len(requests))
        return TransformersEngine.generate(engine, requests, *rest)

    monkeypatch.setattr(engine, "generate", generate)
    assert [one.answer for one in golden.record(answerer, asked)] == alone
    assert batches == [1, 1, 1]


# Many callers


def test_callers_of_a_release_are_answered_as_one_batch(
    store: str, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = make(tiny_lm)
    model = mlflow.pyfunc.load_model(register(release))
    client = TestClient(gateway_of(model, tmp_path))
    questions = ["Who signs ON-3?", "\u0436 " * 1500, "Is there a car?", QUESTION]  # the second doesn't fit the window
    alone = {question: text_of(ask(model, question)) for question in questions if len(question) < 100}
    engine = load_engine(release.generator.base, release.generator.base_digest, "float32")
    batches: list[int] = []

    def generate(requests: Sequence[GenerationRequest], *rest: Any) -> list[Completion]:
        batches.append(len(requests))
        return TransformersEngine.generate(engine, requests, *rest)

    def post(question: str) -> Any:
        body = {"model": "handbook", "messages": [{"role": "user", "content": question}]}
        return client.post("/v1/chat/completions", json=body)

    monkeypatch.setattr(engine, "generate", generate)
    with client, ThreadPoolExecutor(5) as threads:
        with engine._busy:  # what is asked while the first is answered is the next batch
            first = threads.submit(post, QUESTION)
            wait_until(lambda: bool(batches))
            others = [threads.submit(post, question) for question in questions]
            wait_until(lambda: model._model_impl.responses_agent.answerer.engine._queue.qsize() == 3)
        replies = dict(zip(questions, [other.result(60) for other in others], strict=True))
    assert first.result(60).status_code == 200 and batches == [1, 3]
    assert {question: reply.status_code for question, reply in replies.items()} == {
        question: 200 if question in alone else 400 for question in questions
    }
    said = {question: replies[question].json()["choices"][0]["message"]["content"] for question in alone}
    assert said == alone


def test_a_release_in_the_gateway_hears_callers_at_once_and_no_reader_holds_up_another(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    class Model:
        def predict(self, asked: dict[str, Any]) -> dict[str, Any]:
            together.wait(20)
            raise EngineError("heard.")

        def predict_stream(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
            together.wait(20)
            raise EngineError("heard.")
            yield

    client = TestClient(gateway_of(Model(), tmp_path))
    body = {"model": "handbook", "messages": [{"role": "user", "content": QUESTION}]}
    with client, ThreadPoolExecutor(3) as threads:
        bodies = [body, {**body, "stream": True}, {**body, "stream": True}]
        replies = list(threads.map(lambda asked: client.post("/v1/chat/completions", json=asked), bodies))
    assert not together.broken and all(reply.status_code == 503 for reply in replies)


# What goes out


def test_sources_of_an_answer_hold_no_secret() -> None:
    hits = retriever(("leave", 0.9))
    key = "AKIAIOSFODNN7EXAMPLE"
    hits.index.hits = [replace(hit, chunk=replace(hit.chunk, text=f"The deploy key is {key}.")) for hit in hits.index.hits]
    answerer = bot(fake_release("rag"), Parrot(f"It is {key}."), None, hits)
    (source,) = details(answerer.answer(["leave?"])[0])["sources"]
    assert (source["text"], source["passage"]) == ("Handbook > leave\nThe deploy key is [api key].", 1)


# A classifier beside the guards


def test_a_release_pins_the_classifier_of_its_guards(tiny_lm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_lm, tmp_path / "classifier"))
    config = AutoConfig.from_pretrained(folder, num_labels=2)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    named = GuardSettings(injection_classifier=str(folder), injection_threshold=0.0)
    guards = pin_guards(named)
    assert guards == replace(named, injection_classifier_digest=resolve_weights(str(folder)).digest)
    answer = load_answerer(make(tiny_lm, guards=guards)).answer([QUESTION])[0]
    assert answer.blocked.startswith("injection")
    assert load_answerer(make(tiny_lm, guards=named)).answer([QUESTION])[0].blocked  # by whatever is there, as before
    with pytest.raises(WeightsError, match="expected 000000000000: other weights"):
        load_answerer(make(tiny_lm, guards=replace(named, injection_classifier_digest="0" * 64)))
    assert pin_guards(GuardSettings()) == GuardSettings()
    (tmp_path / "guards.yaml").write_text(f"injection_classifier: {folder}\ninjection_threshold: 0\n")
    assert CandidateSettings(guards=str(tmp_path / "guards.yaml"))._guards() == guards  # which a step's candidates have


# Where nothing of ours is installed but what it lists


def clean_python(folder: Path, model: Path) -> Path:
    """A Python with what is installed here, our package left out, and then with what the model's requirements.txt lists."""
    venv.create(folder, with_pip=False)
    python, site = folder / "bin" / "python", folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        if "llmops" not in installed.name and installed.suffix != ".pth":
            (site / installed.name).symlink_to(installed)
    uvicorn = folder / "bin" / "uvicorn"  # MLflow starts it by name
    uvicorn.write_text(f"#!{python}\nfrom uvicorn.main import main\nmain()\n")
    uvicorn.chmod(0o755)
    assert run(python, "import llmops").returncode != 0
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "-r", "requirements.txt"], cwd=model, env=clean_environment(folder), check=True)
    assert run(python, "import llmops; print(llmops.__file__)").stdout.strip() == str(site / "llmops" / "__init__.py")
    return python


def clean_environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}


def run(python: Path, program: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(python.parent.parent)
    return subprocess.run([str(python), "-P", "-c", program], env=environment, capture_output=True, text=True)


def test_mlflow_serves_a_release_where_only_what_it_lists_is_installed(store: str, tiny_lm: Path, tmp_path: Path) -> None:
    uri, folder = register(make(tiny_lm)), tmp_path / "clean"
    python, port, log = clean_python(folder, download(uri)), check_port("127.0.0.1", 0), tmp_path / "log.txt"
    expected = text_of(ask(mlflow.pyfunc.load_model(uri), QUESTION))
    mlflow.flush_trace_async_logging()
    traces = len(mlflow.search_traces(return_type="list"))
    command = [str(python), "-P", "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=clean_environment(folder), cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 600  # a busy machine takes long
        while not answers(url):
            assert process.poll() is None and time.monotonic() < deadline, last_words(log)
            time.sleep(0.2)
        said = {role: {"input": [{"role": role, "content": QUESTION}]} for role in ("user", "assistant")}
        answer = httpx.post(f"{url}/invocations", json=said["user"], timeout=300)
        assert text_of(answer.json()) == expected
        wrong = httpx.post(f"{url}/invocations", json=said["assistant"], timeout=300)
        assert wrong.status_code == 400 and "doesn't end with a user message" in wrong.json()["message"]
        (server,) = psutil.Process(process.pid).children()
        assert not server.children()  # its code is the release's own, so no worker
        while len(mlflow.search_traces(return_type="list")) < traces + 2:
            assert time.monotonic() < deadline, "its traces don't come into the store"
            time.sleep(0.2)
    finally:
        stop(process.pid, started(process.pid))
        process.wait()
    server.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


# With the code it was judged with


@pytest.fixture
def old(store: str, tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A release made by an earlier package, which asked the model in capitals."""

    def write_old_wheel(folder: Path) -> Path:
        wheel = package.write_wheel(folder)
        with zipfile.ZipFile(wheel) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        code = members["llmops/chains/prompt.py"]
        members["llmops/chains/prompt.py"] = code.replace(b"question.strip()", b"question.strip().upper()")
        assert members["llmops/chains/prompt.py"] != code
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return wheel

    monkeypatch.setattr(releases, "write_wheel", write_old_wheel)
    monkeypatch.setenv(IN_WORKER, "1")  # it was logged by its own code, and so answered without a worker
    release = make(tiny_lm, code_digest="0" * 64)
    asked = [replace(one, question=QUESTION) for one in golden.record(load_answerer(release), [QUESTION.upper()])]
    with mlflow.start_run():
        version = log_release(release, asked)
    monkeypatch.delenv(IN_WORKER)
    return version.uri


def test_an_old_release_answers_with_its_own_code(old: str, tiny_lm: Path) -> None:
    now, then = (answer.text for answer in load_answerer(make(tiny_lm)).answer([QUESTION, QUESTION.upper()]))
    model = mlflow.pyfunc.load_model(old)
    assert text_of(ask(model, QUESTION)) == then != now
    events = list(model.predict_stream({"input": [{"role": "user", "content": QUESTION}]}))
    assert "".join(event["delta"] for event in events[:-1]) == then
    assert text_of(ask(model, QUESTION)) == then


def test_an_old_release_behind_the_gateway_is_traced_once_and_refuses_what_it_can_not_keep(old: str, tmp_path: Path) -> None:
    serving = load_serving("handbook", old)
    app = create_app(Single(serving), tmp_path)
    client, asked = TestClient(app), {"model": "handbook", "messages": [{"role": "user", "content": QUESTION}]}
    mlflow.flush_trace_async_logging()
    before = len(mlflow.search_traces(return_type="list"))
    for stream in (False, True):
        assert client.post("/v1/chat/completions", json={**asked, "stream": stream, "max_tokens": 6}).is_success
    assert client.post("/v1/chat/completions", json={**asked, "max_tokens": 5}).status_code == 400
    app.state.gateway.traces.flush()
    let_go(serving)  # its process would write what it has left
    traces = mlflow.search_traces(return_type="list")
    assert len(traces) == before + 3 and all("llmops.answer" in trace.info.tags for trace in traces)


def test_an_old_release_is_evaluated_with_its_own_code_too(old: str, tiny_lm: Path) -> None:
    then = load_answerer(make(tiny_lm)).answer([QUESTION.upper()])[0]
    told: list[tuple[str, int, int]] = []
    answers = load_registered(old, read_release(old)).answer([QUESTION, QUESTION], lambda *report: told.append(report))
    near: Any = pytest.approx(then.confidence, abs=1e-5)  # a batch of two adds in another order
    then = replace(then, confidence=near)
    assert answers == [then, then] and told[-1] == ("answering", 2, 2)


def test_an_old_release_that_answers_otherwise_than_it_did_is_refused(old: str, tmp_path: Path) -> None:
    stored = download(old) / "artifacts" / "golden.json"
    kept = stored.read_text()
    stored.write_text(json.dumps([{**json.loads(kept)[0], "answer": "Forty days."}]))
    with pytest.raises(ArtifactError, match="expected 'Forty days.' as when it was made"):
        mlflow.pyfunc.load_model(old)


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_a_worker_leaves_no_process_behind(old: str, end: str) -> None:
    before = set(psutil.Process().children())
    agent = mlflow.pyfunc.load_model(old)._model_impl.responses_agent
    assert isinstance(agent, ReleaseAgent) and agent.worker is not None
    (process,) = set(psutil.Process().children()) - before
    if end == "killed":
        process.kill()
        process.wait()
        assert text_of(agent.worker.predict({"input": [{"role": "user", "content": QUESTION}]}))  # in a new one
    agent.worker.close()
    assert not set(psutil.Process().children()) - before


# Of an earlier format


@pytest.mark.parametrize("format", [1, 2])
def test_a_release_that_an_earlier_version_wrote_answers_as_it_did(
    store: str, monkeypatch: pytest.MonkeyPatch, format: int
) -> None:
    """Model folders as earlier packages logged them, but for the paths of the machine they came from.

    That of format 1 holds the agent's code of then, which runs on the package installed here; that of format 2 its package.
    """
    monkeypatch.chdir(ROOT)  # their base is ./tests/data/tiny-base
    folder = ROOT / "tests" / "data" / f"release-{format}"
    assert Release.from_dict(mlflow.models.get_model_info(str(folder)).flavors["python_function"]["config"]).format == format
    model = mlflow.pyfunc.load_model(str(folder))
    assert (getattr(model._model_impl.responses_agent, "worker", None) is not None) == (format == 2)
    assert text_of(ask(model, QUESTION)) == "hRkVJJuBJFxE"
