"""Rollouts on a real vLLM: releases of one base with and without adapters, one engine, workers that follow the plan."""

import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
import vllm_models
from conftest import HANDBOOK
from gateways import CHAT, body, served, wait_for

from llmops import digests
from llmops.chains.parts import Generator
from llmops.chains.prompt import read_prompt
from llmops.chains.release import Release
from llmops.models.weights import resolve_weights
from llmops.serving import state
from llmops.serving.engine import engines, record, vllm
from llmops.serving.engine.api import EngineApi
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.settings import Settings
from llmops.serving.options import Options
from llmops.serving.rollout.events import read_events
from llmops.serving.rollout.plan import read_plan
from llmops.serving.rollout.planned import PlannedRoster
from llmops.serving.rollout.reconciler import Reconciler
from llmops.serving.state import Deployment
from llmops.tracking.flavor import log_folder
from llmops.tracking.golden import record as ask_golden
from llmops.tracking.loading import load_answerer
from llmops.tracking.prompts import register_template
from llmops.tracking.releases import log_release

PLAIN, FIRST, SECOND, BROKEN = (f"models:/handbook/{number}" for number in (1, 2, 3, 4))
TOKENS = {PLAIN: 4, FIRST: 5, SECOND: 6}


@pytest.fixture(scope="module")
def folder(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A deployment of handbook@champion on vLLM. Version 1 is the base, the others have adapters, 4 a broken one."""
    place = tmp_path_factory.mktemp("vllm")
    with pytest.MonkeyPatch.context() as patch:
        uri = f"sqlite:///{shutil.copy(empty_store, place / 'mlflow.db')}"
        for name, value in {"MLFLOW_TRACKING_URI": uri, "LLMOPS_STATE": str(place / "state"), "NO_PROXY": "*"}.items():
            patch.setenv(name, value)
        mlflow.set_tracking_uri(uri)
        mlflow.create_experiment("test", artifact_location=(place / "artifacts").as_uri())
        patch.setenv("MLFLOW_EXPERIMENT_ID", mlflow.set_experiment("test").experiment_id)
        register(vllm_models.make_base(tiny_lm, place / "base"), place)
        state.write(Deployment("handbook", "models:/handbook@champion", Options(**OPTIONS), 8210))
        yield state.deployment_folder("handbook")
        for found in record.read_all():
            vllm.kill(record.path(found.key, "pid"))


OPTIONS: dict[str, Any] = {"engine": "vllm", "allow_unattested": True, "poll_s": 0.2}


def register(base: Path, place: Path) -> None:
    template = read_prompt(HANDBOOK / "prompt.txt").template
    prompt = register_template("handbook-prompt", template)
    plain = Generator(str(base), resolve_weights(str(base)).digest, "float32", TOKENS[PLAIN])
    adapters = [vllm_models.make_adapter(base, place / f"adapter-{seed}", seed) for seed in (1, 2)]
    releases = [plain, *(with_adapter(plain, one, 5 + n) for n, one in enumerate([*adapters, spoil(adapters[0], place)]))]
    for number, generator in enumerate(releases):
        kind = "adapter" if generator.adapter else "prompt"
        made = Release("handbook", kind, prompt, template, generator)
        golden = ask_golden(load_answerer(made), ["How long is leave?"]) if number < 3 else []
        with mlflow.start_run():
            log_release(made, golden)


def with_adapter(generator: Generator, folder: Path, tokens: int) -> Generator:
    with mlflow.start_run():
        version = log_folder("adapter", folder, "handbook-adapter", digests.of_folder(folder), {"method": "lora", "rank": 4})
    return replace(generator, adapter=version.uri, adapter_digest=version.digest, max_new_tokens=tokens)


def spoil(adapter: Path, place: Path) -> Path:
    """A copy with a value that is no number."""
    from safetensors.torch import load_file, save_file

    file = Path(shutil.copytree(adapter, place / "spoiled")) / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, file)
    return file.parent


@pytest.fixture(scope="module")
def reconciler(folder: Path) -> Iterator[Reconciler]:
    made = Reconciler("handbook")
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    made.end()
    thread.join(120)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def roster(folder: Path, reconciler: Reconciler) -> Iterator[PlannedRoster]:
    made = PlannedRoster(folder, "handbook")
    move(PLAIN)
    made.wait_until_ready(300)
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(folder: Path, roster: PlannedRoster) -> Iterator[str]:
    app = create_app(roster, folder, Settings(trace_rate=0.0), roster.wake, roster.heard)
    with served(app) as (address, _):
        yield address


def move(uri: str) -> None:
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", uri.rpartition("/")[2])


def ask(url: str) -> tuple[int, str | None, str, int]:
    """The status, the release, the text and its tokens."""
    said = httpx.post(url + CHAT, json=body(), timeout=120)
    if said.is_error:
        return said.status_code, None, said.text, 0
    answer = said.json()
    text = answer["choices"][0]["message"]["content"]
    return said.status_code, said.headers["x-llmops-release"], text, answer["usage"]["completion_tokens"]


def is_current(roster: PlannedRoster, uri: str) -> bool:
    return roster.models()[0][1].uri == uri


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [one for one in read_events(folder, 1000) if one["event"] == kind]


def loaded_adapters() -> set[str]:
    engine = engines.engine_of("handbook")
    assert engine is not None
    return set(EngineApi(engine.record.url, engine.key_file.read_text()).adapters())


def test_adapters_come_and_go_on_one_engine_under_load_and_no_request_is_lost_or_mixed(
    folder: Path, roster: PlannedRoster, url: str
) -> None:
    heard: list[tuple[int, str | None, str, int]] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            heard.append(ask(url))

    clients = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    for uri in [FIRST, SECOND, FIRST, PLAIN, SECOND, PLAIN, FIRST, SECOND]:
        move(uri)
        wait_for(partial(is_current, roster, uri), 120)
        asked = len(heard) + 8
        wait_for(lambda asked=asked: len(heard) >= asked, 120)  # type: ignore[misc]
    done.set()
    for client in clients:
        client.join(60)
    assert {(status, uri, tokens) for status, uri, _, tokens in heard} == {(200, *one) for one in TOKENS.items()}
    said = {uri: {text for _, made, text, _ in heard if made == uri} for uri in TOKENS}
    assert {len(texts) for texts in said.values()} == {1} and len(set.union(*said.values())) == 3
    wait_for(lambda: len(loaded_adapters()) == 2, 60)
    warm = [one["seconds"]["answering"] for one in events(folder, "rollout") if one["warm"]]
    cold = [one["seconds"]["answering"] for one in events(folder, "rollout")[1:] if not one["warm"]]
    print(f"{len(heard)} answers; rollouts {sorted(cold)} s, of warm releases {sorted(warm)} s")


def test_an_adapter_that_is_no_good_never_gets_into_the_engine(folder: Path, roster: PlannedRoster, url: str) -> None:
    move(BROKEN)
    wait_for(lambda: bool(events(folder, "failed")), 120)
    assert "values that are no numbers" in events(folder, "failed")[0]["text"]
    assert ask(url)[:2] == (200, SECOND) and read_plan(folder).loaded.keys() == {FIRST, SECOND}
    move(SECOND)


def test_an_engine_that_was_killed_is_started_again_with_its_adapters(folder: Path, url: str) -> None:
    before = ask(url)
    engine = engines.engine_of("handbook")
    assert engine is not None
    for process in vllm.members(record.path(engine.key, "pid")):
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: bool(events(folder, "engine")), 300)
    assert "was started anew" in events(folder, "engine")[0]["text"]
    assert ask(url) == before
